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
    (table,) = re.findall(rf"^\| {re.escape(head)} \| .*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
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


COMMANDS = (
    "evaluate judge train compare table runs data objectives encode anneal ssim posterior impute snr sweep reproduce"
)


def test_every_command_that_prints_json_has_a_section():
    """Groups by one section: `snr`, whose commands are `run`, `training` and `toy`."""

    def prints(command):
        within = getattr(command, "commands", {}).values()
        return any(option.name == "as_json" for option in command.params) or any(map(prints, within))

    named = [name for name, command in command_line.commands.items() if prints(command)]
    assert sorted(named) == sorted(COMMANDS.split())
    assert sorted(re.findall(r"^## iwax (\w+)$", PAGE, re.MULTILINE)) == sorted(named)


def test_what_reproduce_lists_has_the_keys_of_the_page(capsys, tmp_path):
    (row, *_) = printed(capsys, "reproduce", "--list", "--results", tmp_path)
    assert list(row) == keys_of("iwax reproduce", "key of `--list`")
    (row, *_) = printed(capsys, "reproduce", "dd2434", "--list", "--results", tmp_path, "--runs", tmp_path)
    assert list(row) == keys_of("iwax reproduce", "key of `STUDY --list`")


@pytest.mark.slow
def test_what_impute_prints_has_the_keys_of_the_page(capsys, tmp_path):
    rng = np.random.default_rng(0)
    numbers, holes = rng.normal(size=60), rng.random(60) < 0.2
    rows = [f"{'' if hole else x},{'a' if x > 0 else 'b'}" for x, hole in zip(numbers, holes, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["length,group", *rows]))
    small = ["--epochs", 2, "--num-samples", 32, "--latent-size", 2, "--held-out", 0.2, "--no-report"]
    found = printed(capsys, "impute", tmp_path / "table.csv", "--out", tmp_path / "done.csv", *small)
    assert list(found) == keys_of("iwax impute")
    assert list(found["columns"][0]["held_out"]) == keys_of("iwax impute", "key of `held_out`")


@pytest.mark.slow
def test_what_the_judges_of_a_posterior_print_has_the_keys_of_the_page(folder, capsys, monkeypatch):
    from iwax.judging import posterior

    run = folder / "runs" / "one"
    found = printed(capsys, "ssim", run, "--setting", "pytorch_ssim", "--test-images", 5)
    assert list(found) == keys_of("iwax ssim")
    small = ["--num-distributions", 1, "--chains", 4, "--images", 2, "--num-samples", 64]
    found = printed(capsys, "anneal", run, *small)
    assert list(found) == keys_of("iwax anneal")
    assert list(found["sandwich"]) == keys_of("iwax anneal", "key of `sandwich`")
    monkeypatch.setattr(posterior, "POOL", 8192)
    found = printed(capsys, "posterior", run, "--images", "1", "--num-samples", "5", "--out", folder / "q.svg")
    assert list(found) == keys_of("iwax posterior")
    assert list(found["images"][0]) == keys_of("iwax posterior", "key of `images`")


@pytest.mark.slow
def test_what_snr_prints_has_the_keys_of_the_page(folder, capsys):
    small = ["--objectives", "elbo", "--num-samples", 2, "--num-examples", 2, "--num-replicates", 4]
    (found,) = printed(capsys, "snr", "run", folder / "runs" / "one", "--out", folder / "snr", *small)
    assert list(found) == keys_of("iwax snr")
    (row,) = re.findall(r"^\| `point` \| (.*) \|$", PAGE, re.MULTILINE)
    assert list(found["point"]) == re.findall(r"`(\w+)`", row)
    estimator = found["estimators"]["sticking-the-landing"]
    assert list(estimator) == keys_of("iwax snr", "key of an estimator")
    assert list(estimator["inference"]) == keys_of("iwax snr", "key of `inference`")
    small = ["--replicates", 20, "--counts", "1,10", "--deviations", "0.5", "--size", 2, "--num-examples", 4]
    (line, *_) = printed(capsys, "snr", "toy", "--out", folder / "toy", *small)
    assert list(line) == keys_of("iwax snr", "key of the toy")


@pytest.mark.slow
def test_what_sweep_and_evaluate_of_seeds_print_has_the_keys_of_the_page(folder, capsys):
    out = folder / "sweep"
    found = printed(capsys, "sweep", "--out", out, "--seeds", 1, *TINY)
    assert list(found) == keys_of("iwax sweep")
    assert found["failed"] == []
    (row,) = printed(capsys, "sweep", "--status", out)
    assert list(row) == keys_of("iwax sweep", "key of `--status`")
    found = printed(capsys, "sweep", "--out", out, "--seeds", 1, "--dry-run", *TINY)
    assert list(found) == ["runs", "rate"]
    assert list(found["runs"][0]) == keys_of("iwax sweep", "key of `runs`")
    assert list(found["rate"]) == ["device", "startup", "points"]
    assert printed(capsys, "sweep", "--out", out, "--seed", 1, "--seeds", 2, *TINY)["failed"] == []
    (group,) = printed(capsys, "evaluate", out, "--num-samples", 64, "--num-images", 5, "--seed", 5)
    assert list(group) == ["runs", "over_seeds"]
    of_one = [key.replace("iwae_K", "iwae_64") for key in keys_of("iwax evaluate")]
    assert list(group["runs"][0]) == ["run", "training_seed", *of_one]
    assert [(run["training_seed"], run["seed"]) for run in group["runs"]] == [(0, 5), (1, 5), (2, 5)]
    assert list(group["over_seeds"]["log_p"]) == ["mean", "sd", "count", "mc_error", "data_error"]
