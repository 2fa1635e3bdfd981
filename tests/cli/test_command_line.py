"""What the command line does before JAX is there: it refuses, groups its help and completes; and its table of runs."""

import io
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from iwax.cli import iwax as group
from iwax.cli import main
from iwax.cli.grouped import GROUPS
from iwax.console import ProgressBar, print_table
from iwax.runs import RunConfig

ROOT = Path(__file__).parent.parent.parent
REFUSED = (
    ["train", "--objective", "iwea", "--out", "x"],
    ["train", "--dataset", "mnits", "--out", "x"],
    ["train", "--recipe", "fats", "--out", "x"],
    ["train", "--likelihood", "gausian", "--out", "x"],
    ["train", "--model", "one-layr", "--out", "x"],
    ["evaluate", "no/such/run"],
    ["anneal", "two-layer-wae"],
    ["train", "--num-samples", "many", "--out", "x"],
    ["train"],
)


def test_a_wrong_choice_is_refused_in_one_line_before_jax_is_imported(tmp_path):
    program = """
import json, sys
from iwax.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as error:
        assert error.code == 2, arguments
assert "jax" not in sys.modules
main(["train", "--dataset", "faces", "--data-dir", "nowhere", "--out", "x"])  # may be there: only JAX's side can say
"""
    command = [sys.executable, "-c", program, json.dumps(REFUSED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    lines = done.stderr.splitlines()
    assert len(lines) == len(REFUSED) + 1, done.stderr
    assert all(line.startswith("iwax: ") for line in lines)
    assert "Did you mean 'iwae'?" in lines[0]
    assert "or a path to your own; got 'mnits', which is not there. Did you mean 'mnist'?" in lines[1]
    assert "Expected recipe to be one of" in lines[2]
    assert "Did you mean 'two-layer-vae'?" in lines[6]
    assert "faces" in lines[-1]
    assert not (tmp_path / "x").exists()


def test_the_module_of_choices_is_the_generated_one():
    script = runpy.run_path(str(ROOT / "scripts" / "objective_options.py"))
    assert script["CHOICES"].read_text() == script["choices"](), "Run: make pages"


def test_every_option_of_a_run_stands_under_one_heading_of_the_help():
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped))
    assert set(vars(RunConfig())) - set(grouped) == {"seed"}  # of everything: among the options of the command
    parameters = {parameter.name for parameter in group.commands["train"].params}
    assert set(grouped) <= parameters
    text = CliRunner().invoke(group, ["train", "--help"]).output
    assert [line[:-1] for line in text.splitlines() if re.fullmatch(r"[A-Z][\w ]+:", line)] == ["Options", *GROUPS]
    assert text.index("\nModel:") < text.index("--likelihood NAME") < text.index("\nData:")


@pytest.mark.parametrize(
    ("line", "found"),
    [("iwax train --objective pi", "piwae"), ("iwax tra", "train"), ("iwax train --data", "--dataset")],
)
def test_tab_completes_choices_commands_and_options(line, found, monkeypatch, capsys):
    monkeypatch.setenv("_IWAX_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with pytest.raises(SystemExit):
        main([])
    assert f"plain,{found}" in capsys.readouterr().out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_a_shell_reads(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["completion", shell])
    assert ended.value.code == 0
    assert "_IWAX_COMPLETE" in capsys.readouterr().out


def test_the_bar_says_compiling_until_the_first_steps_and_then_fits_80_columns():
    long = "24 runs, epoch 3840/3840, 1234 steps/s, bound -123.45"
    bar = ProgressBar().bar
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)

    def shown():
        console.file = io.StringIO()
        console.print(bar.get_renderable())
        return console.file.getvalue().rstrip()

    assert "compiling" in shown()
    bar.update(0, total=3840, completed=2000, note=long)
    assert long in shown()
    assert "52%" in shown()
    assert "\n" not in shown()


def test_a_table_that_is_wider_than_the_terminal_is_turned_and_keeps_every_number(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    columns = ["model", *(f"quantity {i}" for i in range(10))]
    rows = [[f"runs/{name}", *(f"{i}-{name}-0.123456" for i in range(10))] for name in ("vae", "iwae")]

    def printed(width):
        monkeypatch.setenv("COLUMNS", str(width))
        print_table("two models", columns, rows)
        text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        assert max(map(len, text.splitlines())) <= width
        assert {cell for row in rows for cell in row} <= set(text.split())  # none is cut
        return [line.split() for line in text.splitlines() if "quantity" in line]

    assert printed(80)[3] == ["quantity", "3", "3-vae-0.123456", "3-iwae-0.123456"]
    assert printed(35)[13] == ["quantity", "3", "3-iwae-0.123456"]  # one below the other
    assert len(printed(300)) == 1  # the control: where there is room it stands as it is


def test_a_table_of_runs_fits_80_columns_with_its_numbers_whole(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    columns = ["run", "objective", "data, model", "seed", "state", "epochs", "time", "bound", "log p"]
    words = ["iwae-50-two-layer-mnist-seed0-ce8ac8986f29", "CIWAE(64), β 0.5, DReG", "mnist-sample, two-layer"]
    print_table("runs", columns, [[*words, "4294967", "finished", "160/160", "8.4 h", "-107.12", "-103.77"]], texts=3)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = (line for line in lines if "finished" in line)
    assert {"4294967", "160/160", "8.4", "-107.12", "-103.77"} <= set(row.split())
