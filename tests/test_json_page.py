"""docs/json.md has the keys that the commands print, no more and no fewer."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from iwax.cli import iwax as command_line

PAGE = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
TINY = ["--dataset", "mnist-sample", "--train-images", "200", "--epochs", "1", "--batch-size", "100"]
TINY += ["--recipe", "burda-paper", "--objective", "iwae", "--num-samples", "3"]


def keys_of(section, head="key"):
    """The first column of a table of the page."""
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    (table,) = re.findall(rf"^\| {head} \| .*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that is judged, and log-weights of two programs."""
    folder = tmp_path_factory.mktemp("json")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        command_line.main(["train", *TINY, "--json", "--out", str(folder / "runs" / "one")], standalone_mode=False)
    (folder / "train.json").write_text(out.getvalue())
    for seed in (0, 1):
        np.save(folder / f"w{seed}.npy", np.random.default_rng(seed).normal(-90, 0.5, (64, 5)))
    return folder


def printed(capsys, *arguments):
    capsys.readouterr()
    command_line.main([*map(str, arguments), "--json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


@pytest.mark.filterwarnings("ignore:Pareto")
def test_what_evaluate_runs_and_table_print_has_the_keys_of_the_page(folder, capsys):
    found = printed(capsys, "evaluate", folder / "runs" / "one", "--num-samples", 64, "--num-images", 5)
    assert list(found) == [key.replace("iwae_K", "iwae_64") for key in keys_of("iwax evaluate")]
    assert json.loads((folder / "runs/one/evaluation.json").read_text()).keys() == found.keys()
    (run,) = printed(capsys, "runs", folder / "runs")
    assert list(run) == keys_of("iwax runs")
    (line,) = printed(capsys, "table", folder / "runs")
    metrics = ("log_p", "iwae_64", "neg_kl", "active_units")
    named = [
        [key.replace("METRIC", metric) for metric in metrics] if "METRIC" in key else [key]
        for key in keys_of("iwax table")
    ]
    assert set(line) == {key for keys in named for key in keys}
    status = json.loads((folder / "runs/one/status.json").read_text())
    assert all(f"`{key}`" in PAGE for key in status)


def test_what_train_prints_has_the_keys_of_the_page(folder):
    assert list(json.loads((folder / "train.json").read_text())) == keys_of("iwax train")


def test_what_judge_and_compare_print_has_the_keys_of_the_page(folder, capsys):
    whole = [key for key in keys_of("iwax evaluate") if key not in ("reconstruction", "kl")]
    summary = whole[whole.index("log_p") : whole.index("advice") + 1]
    found = printed(capsys, "judge", folder / "w0.npy", "--iwae-samples", 8)
    assert list(found) == [key.replace("iwae_K", "iwae_8") for key in summary]
    found = printed(capsys, "compare", folder / "w0.npy", folder / "w1.npy", "--out", folder / "pictures")
    assert list(found) == keys_of("iwax compare")
    first, second = found["models"]
    assert list(first) == ["name", *(key.replace("iwae_K", "iwae_64") for key in summary)]
    assert list(second) == [*first, "less_first"]
    assert list(second["less_first"]) == keys_of("iwax compare", "key of `less_first`")


@pytest.mark.parametrize("command", ["data", "objectives"])
def test_what_lists_print_has_the_keys_of_the_page(command, capsys):
    rows = printed(capsys, command)
    assert {tuple(row) for row in rows} == {tuple(keys_of(f"iwax {command}"))}


@pytest.mark.slow
def test_what_encode_prints_has_the_keys_of_the_page(folder, capsys):
    found = printed(capsys, "encode", folder / "runs" / "one", "--out", folder / "codes.npz")
    assert list(found) == keys_of("iwax encode")
