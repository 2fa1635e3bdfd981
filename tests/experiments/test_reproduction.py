"""`iwax reproduce`: each run once, whatever happens in between; failures listed; records verified."""

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import iwax
import made
from in_process import run_command
from iwax.errors import IwaxError
from iwax.experiments import STUDIES, executing, verification
from iwax.experiments.identity import run_name
from iwax.experiments.matching import matching_records
from iwax.experiments.recording import machine
from iwax.experiments.records import read_records
from iwax.experiments.reproduction import Reproduction, RunReport, reproduce
from iwax.experiments.scales import plan
from iwax.experiments.study import Study, chosen
from iwax.judging.partial import partial_evaluation
from iwax.runs.config import RunConfig
from iwax.runs.environment import versions_and_commit

ROOT = Path(__file__).parents[2]
SHARED = Path(__file__).parents[3] / "shared" / "data"
ONE = ["--only", "elbo-1-one-layer"]


def command(capsys, *arguments):
    return run_command(capsys, "reproduce", *arguments)


def how(path, **options):
    silent = lambda task: contextlib.nullcontext()  # noqa: E731
    return Reproduction(scale="smoke", runs=path / "runs", results=path / "results", progress=silent, **options)


def test_the_list_of_studies(tmp_path, capsys):
    status, out, _ = command(capsys, "--list", "--json", "--results", tmp_path)
    assert status == 0
    assert {row["study"]: row["smoke"] for row in json.loads(out)}["dd2434"] == "0 done, 24 open"
    status, out, _ = command(capsys, "dd2434", "--list", "--json", "--runs", tmp_path, "--results", tmp_path)
    assert [row["state"] for row in json.loads(out)] == ["open"] * 10


@pytest.mark.parametrize("study", STUDIES)
def test_the_list_of_any_study_holds_all_that_it_makes(tmp_path, capsys, study):
    """One is without runs: of it a table of runs alone had no row to take its columns from."""
    status, out, _ = command(capsys, study, "--list", "--json", "--runs", tmp_path, "--results", tmp_path)
    listed = {row["run"]: row["state"] for row in json.loads(out)}
    assert (status, set(listed.values())) == (0, {"open"})
    assert {one.name for one in STUDIES[study].demonstrations} <= set(listed)
    status, out, _ = command(capsys, study, "--list", "--runs", tmp_path, "--results", tmp_path)
    assert (status, out.splitlines()[0].startswith(study)) == (0, True)


def test_a_demonstration_that_was_made_is_listed_as_done(capsys):
    _, out, _ = command(capsys, "audit", "--scale", "short", "--list", "--json", "--results", ROOT / "results")
    by_name = {row["run"]: row for row in json.loads(out)}
    made = {path.stem for path in (ROOT / "results" / "demonstrations").glob("audit-*-short.json")}
    assert made
    assert {row["record"] for row in by_name.values() if row["state"] == "done"} >= made


def test_the_list_says_what_a_run_was_judged_with(capsys):
    """A record of another k than asked for is no reason to train again, but no record of what was asked for either."""
    one = ("dd2434", "--scale", "short", "--seeds", "1", "--list", "--json", "--results", ROOT / "results")
    for asked_for, state in (([], "done"), (["--num-samples", 64], "done, k = 4992")):
        _, out, _ = command(capsys, *one, *asked_for)
        rows = {row["run"]: row for row in json.loads(out)}
        row = rows["elbo-1-one-layer-mnist-seed0-2cf2c4582536"]
        assert (row["state"], row["record"]) == (state, "8d990071fc7d")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "burda2016-fixed, rainforth2018, audit, speedrun, missing; got none."),
        (["dd243"], "got 'dd243'. Did you mean 'dd2434'?"),
        (["audit", "--scale", "shorter"], "Expected scale to be one of smoke, trial, short, full; got 'shorter'."),
        (
            ["audit", "--workers", "1"],
            "Expected --workers together with --executor NAME; got it without. Add --executor l",
        ),
        (["--list", "--workers", "4", "--cores", "3"], "got it without. Add --executor local, ray or slurm, or leave "),
        (["audit", "--list", "--executor", "local"], "Expected --list or --executor; got both."),
        (["--verify", "--executor", "local"], "Expected --verify or --executor; got both."),
        (["audit", "--set", "epochs"], "Expected --set NAME=VALUE; got 'epochs'."),
        (["audit", "--set", "epoch=3"], "Did you mean 'epochs'?"),
        (["audit", "--set", "epochs=many"], "'many' is not a valid integer"),
        (["audit", "--only", "nothing"], "Expected --only to name runs of audit"),
        (["audit", "--export", "name"], "Expected --only to name one run of audit; got 16"),
        (["--verify", "--results", "nowhere"], "Expected records in nowhere; there are none."),
    ],
)
def test_what_is_refused(capsys, arguments, message):
    status, out, err = command(capsys, *arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_a_run_that_fails_is_listed_and_stops_no_other(tmp_path):
    """Neither of these can start: their data are nowhere, or too few."""
    configs = [
        RunConfig(objective="elbo", dataset="omniglot"),
        RunConfig(objective="elbo", dataset="mnist-sample", train_images=3000),
    ]
    study = Study("x", "x", "x")
    first, second = reproduce(study, configs, how(tmp_path, data_dir=str(tmp_path)))
    assert (first.state, second.state) == ("failed", "failed")
    assert first.note.startswith("Expected")
    assert "omniglot" in first.note
    assert "Expected train_images to be at most 2000" in second.note
    assert read_records(tmp_path / "results") == []


def test_a_run_that_another_process_judges_is_left_to_it(tmp_path, monkeypatch):
    """As one that another trains: no failure."""

    def busy(path):
        with partial_evaluation(path, {}), partial_evaluation(path, {}):
            pass

    monkeypatch.setattr("iwax.experiments.reproduction._train", lambda *_: None)
    monkeypatch.setattr("iwax.experiments.reproduction.evaluate_run", lambda path, **_: busy(tmp_path / "rows"))
    config = RunConfig(objective="elbo", dataset="mnist-sample")
    (report,) = reproduce(Study("x", "x", "x"), [config], how(tmp_path))
    assert (report.state, report.note) == ("busy", "is already running")


@pytest.mark.parametrize("study", STUDIES)
def test_a_task_named_in_full_is_that_one_alone(tmp_path, monkeypatch, study):
    """Of `missing`, wine-random is a part of red-wine-random; of others, iwae-5-... of miwae-5-..."""
    made = lambda study, shown, name, how: RunReport(name, "made")  # noqa: E731
    monkeypatch.setattr("iwax.experiments.reproduction._demonstrated", made)
    demonstrations = [one.name for one in STUDIES[study].demonstrations]
    for name in demonstrations:
        reports = reproduce(STUDIES[study], [], how(tmp_path), [name])
        assert [report.name for report in reports] == [f"demonstration {name}"]
        assert set(executing._records(STUDIES[study], [], "smoke", tmp_path, [name])) == {name}
    names = [*demonstrations, *map(run_name, plan(STUDIES[study], "smoke", None, {}))]
    assert all(chosen(names, [name]) == {name} for name in names)


def test_a_text_that_is_no_whole_name_means_all_that_contain_it():
    names = ["red-wine", "white-wine", "wine"]
    assert chosen(names, ["ine"]) == chosen(names, []) == set(names)
    assert chosen(names, ["wine"]) == {"wine"}
    assert chosen(names, ["wine", "red"]) == {"wine", "red-wine"}


def test_the_time_that_is_over_leaves_runs_open(tmp_path):
    configs = [RunConfig(objective="elbo", dataset="mnist-sample", seed=seed) for seed in range(2)]
    reports = reproduce(Study("x", "x", "x"), configs, how(tmp_path, time_limit=1e-9))
    assert [report.state for report in reports] == ["open", "open"]


def test_only_the_sample_stands_in_and_only_at_smoke(tmp_path, monkeypatch):
    monkeypatch.setattr("iwax.experiments.reproduction.load", lambda *_: type("Sample", (), {"name": "mnist-sample"}))
    with pytest.raises(ValueError, match=r"Expected the data set mnist itself; no source has it, and mnist-sample"):
        how(tmp_path).data("mnist")


@pytest.mark.slow
def test_a_run_whose_start_has_a_record_but_no_folder(tmp_path):
    """As after a clone, which holds the records alone: the start is trained again, for its model."""
    before = RunConfig(objective="elbo", protocol="burda-paper", dataset="mnist-sample", epochs=1, train_images=200)
    after = dataclasses.replace(before, objective="iwae", num_samples=2, init_from=run_name(before))
    reproduce(Study("x", "x", "x"), [before], how(tmp_path))
    shutil.rmtree(tmp_path / "runs")
    said = []
    found, made = reproduce(Study("x", "x", "x"), [before, after], how(tmp_path, log=said.append))
    assert (found.state, made.state) == ("found", "made"), made.note
    assert f"  its start, {run_name(before)}, has no model here: it is trained first" in said
    assert (tmp_path / "runs" / run_name(before) / "status.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_end_to_end(study, tmp_path, capsys, monkeypatch):
    if study == "missing":  # whose tables nothing downloads
        if not (SHARED / "tables").exists():
            pytest.skip("no tables of the UCI repository beside this checkout")
        monkeypatch.setenv("IWAX_DATA", str(SHARED))
    folders = ["--runs", tmp_path / "runs", "--results", tmp_path / "results"]
    status, out, _ = command(capsys, study, "--scale", "smoke", *folders)
    assert status == 0, out
    records = read_records(tmp_path / "results")
    assert len(records) == len(plan(STUDIES[study], "smoke"))
    for record in records:
        assert all(record.checks.values())
        assert record.training["flop"] > 0
        assert all(
            (tmp_path / "results" / "sheets" / sheet).stat().st_size < 30_000 for sheet in record.sheets.values()
        )
    for cell in STUDIES[study].cells:
        found = matching_records(STUDIES[study], cell.config, records, cell.start)
        assert found
        assert all(record.value(cell.metric) is not None for record in found)
    images = tmp_path / "results" / "images"
    assert {path.stem for path in images.glob("*.npz")} == {record.id for record in records}
    shutil.rmtree(images, ignore_errors=True)  # as records of before have none
    status, out, _ = command(capsys, study, "--scale", "smoke", *folders, "--json")
    assert {report["state"] for report in json.loads(out)} == {"found"}
    assert {path.stem for path in images.glob("*.npz")} == {record.id for record in records}
    status, out, _ = command(capsys, "--list", "--json", "--results", tmp_path / "results")
    (row,) = (row for row in json.loads(out) if row["study"] == study)
    assert row["smoke"].endswith(", 0 open")


LONG = [
    *("dd2434", "--scale", "short", "--seeds", "1", "--only", "elbo-1-one-layer-mnist-sample", "--num-samples", "64"),
    *("--set", "dataset=mnist-sample", "--set", "batch_size=20", "--set", "epochs=15", "--set", "eval_every=15"),
]


@pytest.mark.slow
def test_a_killed_reproduction_goes_on(tmp_path, capsys):
    """SIGKILL in the middle of training; then the same record as without, to the bit."""
    source = "from iwax.cli import main; import sys; main(sys.argv[1:])"
    words = ["reproduce", *LONG, "--runs", "runs", "--results", "results"]
    process = subprocess.Popen([sys.executable, "-c", source, *words], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and not list((tmp_path / "runs").glob("*/metrics.jsonl")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "results").exists()
    for folder in ("", "undisturbed/"):
        where = ["--runs", tmp_path / f"{folder}runs", "--results", tmp_path / f"{folder}results"]
        status, out, _ = command(capsys, *LONG, *where)
        assert (status, "1 made" in out, f"iwax report --results {tmp_path}" in out) == (0, True, True)
    (killed,), (undisturbed,) = (read_records(tmp_path / name) for name in ("results", "undisturbed/results"))
    assert killed.checkpoint_sha256 == undisturbed.checkpoint_sha256
    assert killed.evaluation["values"] == undisturbed.evaluation["values"]
    assert killed.training["curve"] == undisturbed.training["curve"]


def test_what_may_round_otherwise_is_named():
    versions, _ = versions_and_commit()
    here = made.record(RunConfig(objective="elbo"), machine=machine(), versions=versions)
    assert verification._others(here) == []
    other = {**here.machine, "instructions": "mmx", "cores": 99}
    told = verification._others(dataclasses.replace(here, machine=other))
    cores, instructions = here.machine["cores"], here.machine["instructions"]
    assert told == [f"cores: 99 -> {cores}", f"instructions: mmx -> {instructions}"]
    older = {name: value for name, value in here.machine.items() if name != "instructions"}
    told = verification._others(dataclasses.replace(here, machine=older))
    assert told == [f"instructions: None -> {instructions}"]
    told = verification._others(dataclasses.replace(here, versions={**versions, "jax": "0.1"}))
    assert told == [f"jax: 0.1 -> {versions['jax']}"]


def test_a_run_made_again_may_be_as_far_off_as_its_seeds_are_apart():
    """One that leaves a plateau by chance ends nats away, by other rounding as by another seed; -KL is as ever."""
    configs = [RunConfig(objective="elbo", seed=seed) for seed in range(3)]
    seeds = [made.record(config, log_p=log_p) for config, log_p in zip(configs, (-90.0, -93.0, -91.0), strict=True)]
    longer = made.record(RunConfig(objective="elbo", seed=3, epochs=99), log_p=-200.0)
    found = verification._seeds(seeds[0], [longer, *seeds])
    assert found == seeds
    judged = 4 * 0.03 * 2**0.5
    off = {"log_p": 4.0, "minus_kl": 0.4, "training_bound": -5.0}
    allowed = verification._allowed(seeds[0], found, off)
    assert allowed == pytest.approx({"log_p": judged + 6, "minus_kl": judged + 0.3, "training_bound": judged + 6})
    assert verification._verdict(seeds[0], off, allowed)["verdict"] == "within the error"
    assert verification._verdict(seeds[0], off | {"minus_kl": 0.5}, allowed)["verdict"] == "differs"
    alone = verification._allowed(seeds[0], seeds[:1], off)
    assert alone == pytest.approx(dict.fromkeys(off, judged + 0.3))
    assert verification._verdict(seeds[0], off, alone)["verdict"] == "differs"
    kept = verification._allowed(seeds[0], None, off)
    assert kept == pytest.approx(dict.fromkeys(off, judged))


def test_a_number_that_is_not_finite_any_more_differs_and_nothing_known_is_said(tmp_path, monkeypatch):
    """A record whose numbers are all null said `max() arg is an empty sequence`."""
    record = made.record(RunConfig(objective="elbo"))
    record.evaluation.update(test_hash="0", seed=0)
    found = {"test_hash": "0", "log_p": None, "iwae_64": -90.0, "elbo": None, "neg_kl": -1.0}
    monkeypatch.setattr(verification, "evaluate_run", lambda path, **options: found)
    off = verification._judgement(record, tmp_path, None, None)
    assert off == {"log_p": math.inf, "iwae_64": 1.0, "minus_kl": 0.0}
    assert verification._verdict(record, off, dict.fromkeys(off, 2.0))["verdict"] == "differs"
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "step": 4, "bound": null}\n')
    assert verification._curve(record, tmp_path) == {"training_bound": math.inf}
    record.evaluation.update(values={"log_p": None})
    none = verification._judgement(record, tmp_path, None, None)
    with pytest.raises(IwaxError, match=f"Expected {record.id} to state a finite number to compare with; got none"):
        verification._verdict(record, none, {})


def test_another_version_of_iwax_is_no_excuse_for_other_bits():
    """A record of 0.1.0 is verified to the bit by 0.2.0, where all else is as it was."""
    versions, _ = versions_and_commit()
    assert versions["iwax"] == iwax.__version__
    record = made.record(RunConfig(objective="elbo"), machine=machine(), versions={**versions, "iwax": "0.1.0"})
    assert verification._others(record) == []


@pytest.mark.slow
def test_records_are_verified_and_altered_ones_found_out(tmp_path, capsys):
    results = tmp_path / "results"
    folders = ["--runs", tmp_path / "runs", "--results", results]
    assert command(capsys, "dd2434", *ONE, *folders)[0] == 0
    (path,) = results.glob("*.json")
    status, out, _ = command(capsys, "--verify", path.stem, *folders, "--json")
    found = json.loads(out)
    assert (status, found["verdict"], found["largest_difference"]) == (0, "the same bits", 0.0)
    assert found["compared"] == "trained again, all 1 epochs, and judged again"
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text().split("key of `--verify`")[1].split("\n\n")[0]
    assert list(found) == re.findall(r"^\| `(\w+)`", page, re.MULTILINE)
    assert found["expected"] == "the same bits (same machine and versions)"
    # A record of a run that takes longer than there is time for, with the run's folder and without.
    record = read_records(results)[0]
    assert len(record.evaluation["holding_units"]) == len(record.evaluation["active_units"]) == 1
    slow = dataclasses.replace(record, training={**record.training, "seconds": 1e6})
    path.write_text(slow.to_json())
    for runs, compared in (("runs", "judged again; it was not trained again"), ("none", "the first 1 of 1 epochs")):
        where = ["--runs", tmp_path / runs, "--results", results]
        status, out, _ = command(capsys, "--verify", path.stem, *where, "--json")
        assert status == 0
        assert compared in json.loads(out)["compared"]
        assert json.loads(out)["verdict"] == "the same bits"
    better = {**record.evaluation, "values": {**record.evaluation["values"], "log_p": -80.0}}
    path.write_text(dataclasses.replace(record, evaluation=better).to_json())
    status, out, _ = command(capsys, "--verify", *folders, "--json")
    assert (status, json.loads(out)["verdict"]) == (1, "differs")


def test_a_record_is_verified_as_far_as_it_says_what_it_is_of(tmp_path, monkeypatch):
    """One that says less may be shown: those of other versions, or made by hand."""
    whole = made.record(RunConfig(objective="iwae", dataset="mnist-sample"))
    path = tmp_path / f"{whole.id}.json"
    path.write_text(whole.to_json())
    with pytest.raises(IwaxError, match=r"to have seed and test_hash, without which it cannot be verified"):
        verification.verify(tmp_path)
    judged = {**whole.evaluation, "seed": 0, "test_hash": "abc"}
    path.write_text(dataclasses.replace(whole, evaluation=judged).to_json())
    limits = []

    def train(*arguments):
        limits.append(arguments[4:])
        raise IwaxError("got as far as training")

    monkeypatch.setattr(verification, "_train", train)
    for checks, limit in (({}, (1800.0,)), ({"all_epochs": True}, ())):  # of the first epochs only, if not known
        path.write_text(dataclasses.replace(whole, evaluation=judged, checks=checks).to_json())
        with pytest.raises(IwaxError, match="as far as training"):
            verification.verify(tmp_path)
        assert limits.pop() == limit


def test_the_run_limit_judges_a_run_as_it_is(tmp_path):
    """Only the arithmetic of limits: a run that has had its time is not trained on."""
    limited = how(tmp_path, run_limit=1.0)
    assert limited.run_limit == 1.0
    assert dataclasses.replace(limited, scale="short", run_limit=None).run_limit == 140 * 60
