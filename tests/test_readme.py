"""What the README shows is true: its Python runs, its commands parse, its table is the code's."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import iwax
from iwax.cli import iwax as command_line

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_of_the_readme_runs_in_a_fresh_process(tmp_path):
    """Only its first block stands alone; the others say that they go on from it."""
    first, *others = blocks("python")
    assert all(block.startswith("# goes on from the blocks above\n") for block in others)
    program = "\n".join([first, *others, "assert evaluation.num_samples == 640"])
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "LinearGaussian meets the contract." in done.stdout


@pytest.mark.parametrize(
    "line",
    [line for block in blocks("bash") for line in block.replace("\\\n", "").splitlines() if line.startswith("iwax")],
)
def test_the_commands_of_the_readme_are_commands(line):
    """Parsed with all their options, not run."""
    name, *arguments = shlex.split(line, comments=True)[1:]
    context = command_line.commands[name].make_context(name, arguments)
    assert context.params is not None


def test_the_table_of_objectives_is_the_codes():
    script = runpy.run_path(str(ROOT / "scripts" / "readme.py"))
    assert script["with_objectives"](README) == README, "Run: python scripts/readme.py"
    assert re.findall(r"^\| `([\w-]+)` \|", README, flags=re.MULTILINE) == list(iwax.OBJECTIVES)


def test_the_public_names():
    """At most 25, and every one can be imported."""
    assert len(iwax.__all__) <= 25
    for name in iwax.__all__:
        assert getattr(iwax, name) is not None


def test_the_demos_output_is_shown():
    shown = re.search(r"<!-- demo: .*?-->\n```text\n(.*?)```", README, flags=re.DOTALL)[1]
    for label in ("VAE, ELBO(64)", "IWAE(64)", "MIWAE(8, 8)", "PIWAE(8, 8)", "CIWAE(64), fixed", "CIWAE(64), learned"):
        assert label in shown
    assert all(path.exists() for path in map(ROOT.joinpath, re.findall(r"\]\(([\w/.-]+\.md)\)", README)))
