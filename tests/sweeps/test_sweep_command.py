"""`iwax sweep`: from what is asked for to folders of runs, in one process; test_sweep_processes.py has the others."""

import contextlib
import errno
import os
import shutil
import sys

import pytest
from sweeps_here import OPTIONS, TINY, Here, iwax, rows

from faults import Killed, full_from, killed_before
from iwax.cli import main
from iwax.errors import IwaxError, NoticeWarning
from iwax.runs import RunConfig, RunFolder, identifier, list_runs, new_run, non_default_fields
from iwax.sweeps import SweepFolder, cost, executors, plan, train_member
from iwax.sweeps.planning import PlannedRun

SEEDS = ["--seeds", "2"]
POISON = "seed=2 stages=1e30:2"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two seeds, done; and the executor that did it."""
    patch, executor, out = pytest.MonkeyPatch(), Here(), tmp_path_factory.mktemp("sweep") / "out"
    patch.setitem(executors.EXECUTORS, "local", lambda folder, **options: executor)
    with pytest.raises(SystemExit) as exit_:
        main(["sweep", *TINY, *SEEDS, "--out", str(out)])
    patch.undo()
    return out, exit_.value.code, list(executor.started)


def test_each_run_is_in_a_folder_of_its_hash_and_is_the_run_it_would_be_alone(swept, tmp_path):
    out, status, started = swept
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == sorted([*started, "sweep"])
    one = next(RunFolder(out / id) for id in started if RunFolder(out / id).config().seed == 1)
    alone = new_run(RunConfig(**OPTIONS, seed=1), tmp_path / "alone")
    assert one.checkpoint().sha256 == alone.checkpoint().sha256
    assert one.config() == alone.config()
    assert len(list_runs(out)) == 2


def test_what_is_done_is_not_done_again_and_a_sweep_can_grow(swept, capsys, monkeypatch):
    out, _, started = swept
    executor = Here()
    monkeypatch.setitem(executors.EXECUTORS, "local", lambda folder, **options: executor)
    status, said, _ = iwax(capsys, "sweep", *TINY, "--grid", "seed=1,0,2", "--out", out)
    assert status == 0
    assert "1 done, 2 found done, 0 failed" in said
    assert len(executor.started) == 1
    assert executor.started[0] not in started
    assert [row["state"] for row in rows(capsys, out).values()] == ["done"] * 3
    assert list(rows(capsys, out)) == ["seed=0", "seed=1", "seed=2"]


def test_a_poisoned_run_is_reported_with_its_log_once_and_the_rest_finish(tmp_path, capsys, monkeypatch):
    executor, out = Here(), tmp_path / "out"
    monkeypatch.setitem(executors.EXECUTORS, "local", lambda folder, **options: executor)
    (tmp_path / "spec.toml").write_text('[[case]]\nseed = 1\n[[case]]\nseed = 2\nstages = "1e30:2"\n')
    command = ["sweep", tmp_path / "spec.toml", *TINY, "--out", out]
    status, said, above = iwax(capsys, *command)
    found = rows(capsys, out)
    assert status == 1
    assert (found[POISON]["state"], found["seed=1 stages=default"]["state"]) == ("failed", "done")
    poisoned = found[POISON]
    log = out / "sweep" / "logs" / f"{poisoned['run']}.log"
    assert f"  {poisoned['run']}: Expected a finite loss; got" in said
    assert f"Its log: {log}" in said
    assert f"Delete {out / poisoned['run']} to train it again." in said
    assert str(log) in poisoned["note"]
    assert any("failed. Expected a finite" in line and line.endswith(str(log)) for line in (said + above).splitlines())
    table, below = iwax(capsys, "sweep", "--status", out)[1].split("2 runs: 1 done, 1 failed")
    assert f"  {poisoned['run']}: Expected a finite loss; got" in below
    assert poisoned["run"] in table
    assert "finite loss" not in table  # or the table would be turned on its side
    status, said, _ = iwax(capsys, *command)
    assert (status, f"Delete {out / poisoned['run']} to train it again." in said) == (1, True)
    assert executor.started.count(poisoned["run"]) == 1


def test_a_run_whose_status_is_damaged_fails_alone_and_goes_on_once_that_is_deleted(
    swept, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(executors.EXECUTORS, "local", Here)
    out = shutil.copytree(swept[0], tmp_path / "out")
    damaged, whole = swept[2]
    (out / damaged / "status.json").write_text("{")
    (out / whole / "status.json").unlink()  # to be gone on with
    command = ["sweep", *TINY, *SEEDS, "--out", out]
    for asked in (("sweep", "--status", out), command):
        _, said, _ = iwax(capsys, *asked)
        assert f"Expected {out / damaged / 'status.json'} to be JSON" in " ".join(said.split())
    assert "1 done, 0 found done, 1 failed" in said
    assert "Delete it: it only says how far the run has come." in said
    (out / damaged / "status.json").unlink()
    assert "1 done, 1 found done, 0 failed" in iwax(capsys, *command)[1]


def test_a_full_disk_in_one_folder_fails_that_run_alone_and_the_same_command_then_does_it(
    tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    monkeypatch.setitem(executors.EXECUTORS, "local", Here)
    command = ["sweep", *TINY, *SEEDS, "--out", out]
    ids = [run.id for run in plan([{**OPTIONS, "seed": seed} for seed in (0, 1)])[0]]
    with full_from(6, out / ids[0]):
        status, said, _ = iwax(capsys, *command)
    states = {row["run"]: row for row in rows(capsys, out).values()}
    assert status == 1
    assert os.strerror(errno.ENOSPC) in said
    assert {id: states[id]["state"] for id in ids} == {ids[0]: "failed", ids[1]: "done"}
    assert os.strerror(errno.ENOSPC) in states[ids[0]]["note"]
    status, said, _ = iwax(capsys, *command)
    assert (status, "1 done, 1 found done, 0 failed" in said) == (0, True)


def test_data_that_are_not_there_start_no_run(swept, tmp_path, capsys, monkeypatch):
    """Of runs that are still to be made: those that are done need no data."""
    executor = Here()
    monkeypatch.setitem(executors.EXECUTORS, "local", lambda folder, **options: executor)
    (tmp_path / "flowers.csv").write_text("1,2\n3,4\n")
    command = ["sweep", "--seeds", 3, "--out", tmp_path / "out", "--dataset"]
    for dataset, said in (("flower.csv", "got {}: there is nothing. Did you mean"), ("mnits", "mean 'mnist'?")):
        place = tmp_path / dataset if "." in dataset else dataset
        status, _, err = iwax(capsys, *command, place)
        assert (status, said.format(place) in " ".join(err.split())) == (2, True), err
    assert executor.started == []
    assert not (tmp_path / "out").exists()
    out = shutil.copytree(swept[0], tmp_path / "done")
    monkeypatch.setattr("iwax.data.catalog.DATASETS", {})
    assert "2 found done" in iwax(capsys, "sweep", *TINY, *SEEDS, "--out", out)[1]


@pytest.mark.parametrize(
    "operation", [pytest.param(n, marks=[] if n in (1, 5) else [pytest.mark.slow]) for n in range(1, 9)]
)
def test_a_run_that_died_while_its_folder_was_made_is_begun_again(tmp_path, capsys, operation):
    """At each of the first file operations under its folder; before that of the first checkpoint there is none."""
    (run,), _ = plan([OPTIONS])
    sweep = SweepFolder(tmp_path / "out")
    sweep.add([run])
    with contextlib.suppress(Killed), killed_before(operation, sweep.path / run.id):
        train_member(sweep.path, run.id)
    assert not sweep.is_done(run.id)
    train_member(sweep.path, run.id)
    assert sweep.is_done(run.id)


def test_two_names_of_one_run_are_one_and_what_differs_is_another():
    same = [{"objective": "iwae"}, {"objective": "iwae", "seed": 0}, {"binarize": "dynamic"}, {"num_samples": 7}]
    assert [len(plan(same[:n])[0]) for n in (1, 2, 3, 4)] == [1, 1, 1, 2]
    assert plan(same[:1])[0][0].id == identifier(non_default_fields(RunConfig()), {})


def test_a_model_of_ones_own_is_known_by_its_code_and_not_by_its_path(tmp_path, monkeypatch):
    def id_of(path, text):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return plan([{"model": f"{path}:make"}])[0][0]

    here, there = id_of(tmp_path / "a" / "m.py", "x = 1"), id_of(tmp_path / "b" / "m.py", "x = 1")
    assert here.id == there.id
    assert id_of(tmp_path / "a" / "m.py", "x = 2").id != here.id
    monkeypatch.chdir(tmp_path / "a")
    assert plan([{"model": "m.py:make"}])[0][0].options["model"] == f"{tmp_path / 'a' / 'm.py'}:make"


def test_a_damaged_wish_of_a_sweep_is_named(tmp_path):
    sweep = SweepFolder(tmp_path)
    sweep.add([PlannedRun(id="a", options={"seed": 1})])
    assert sweep.runs() == {"a": {"seed": 1}}
    (tmp_path / "sweep" / "runs" / "a.json").write_text("{}")
    with pytest.raises(IwaxError, match=r"Expected .*a\.json to have options; got nothing\. Delete it: the sweep"):
        sweep.options("a")


def test_a_run_for_which_memory_was_full_goes_on_where_there_is_more(tmp_path):
    """It is no run whose loss became NaN, which would do so again."""
    sweep = SweepFolder(tmp_path)
    sweep.add([PlannedRun(id=id, options={}) for id in ("full", "nan")])
    for id, more in (("full", {"out_of_memory": True}), ("nan", {})):
        (tmp_path / id).mkdir()
        RunFolder(tmp_path / id).write_json("status.json", {"state": "failed", "message": "Expected it.", **more})
    assert [sweep.diverged(id) for id in ("full", "nan")] == [
        "",
        f"Expected it. Delete {tmp_path / 'nan'} to train it again.",
    ]
    assert [sweep.state(id)[0] for id in ("full", "nan")] == ["left", "failed"]
    RunFolder(tmp_path / "full").write_json("status.json", {"state": "failed", "out_of_memory": "yes"})
    with pytest.raises(IwaxError, match=r"Expected out_of_memory of .* to be true or false; got 'yes'"):
        RunFolder(tmp_path / "full").json("status.json")


def test_options_that_do_not_go_together_are_refused_with_the_run_they_are_in(tmp_path, capsys):
    status, _, err = iwax(capsys, "sweep", "--grid", "objective=iwae,elbo", "--beta", "0.5", "--out", tmp_path / "out")
    assert status == 2
    assert "Expected no beta for objective 'iwae'; got 0.5." in err
    assert "(In the run of beta 0.5, objective iwae.)" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected --out DIR, or --status DIR; got neither."),
        (["--status", "nowhere"], "to be the folder of a sweep; it holds no sweep/runs."),
        (["--out", "out", "--run", "abc"], "Expected abc to be a run of"),
        (["--out", "out", "--seed", "1", "--grid", "seed=1,2"], "Expected seed as an option or in the grid; got both."),
        (["--out", "out", "--grid", "sed=1,2"], "Did you mean 'seed'?"),
        (["--out", "out", "--executor", "rai"], "Did you mean 'ray'?"),
        (["--out", "out", "--address", "auto"], "Expected --address together with --executor ray; got it with local."),
        (["--out", "out", "--time", "9"], "Expected --time together with --executor slurm; got it with local."),
        (["--out", "out", "--gpus", "1"], "Expected gpus to be at most 1, of 0 GPUs of this machine; got 1."),
        (["--out", "out", "--cores", "4096"], "that this machine has for this process; got 4096."),
        (
            ["--out", "out", "--executor", "slurm", "--gpus", "0.5"],
            "gpus of a Slurm job to be whole; got 0.5.",
        ),
        (["none.toml", "--out", "out"], "none.toml"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_trained(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    status, _, err = iwax(capsys, "sweep", *arguments)
    assert (status, message in err) == (2, True), err


def test_an_engine_that_is_not_installed_is_named_with_the_extra_that_brings_it(tmp_path, capsys, monkeypatch):
    for module, name in (("ray", "ray"), ("submitit", "slurm")):
        monkeypatch.setitem(sys.modules, module, None)
        status, _, err = iwax(capsys, "sweep", *TINY, "--executor", name, "--out", tmp_path / "out")
        assert (status, f'pip install "iwax[{name}]" brings it.' in err) == (2, True), err


def test_what_a_run_will_cost_is_counted_for_the_batches_that_it_trains_on(monkeypatch):
    """Forty images are fewer than two batches of `fast`: a tenth of them is a batch, and an epoch has ten steps."""
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    options = {"dataset": "mnist-sample", "train_images": 40, "objective": "elbo", "epochs": 2}
    runs = [PlannedRun(id=str(size), options={**options, "batch_size": size}) for size in (None, 4)]
    with pytest.warns(NoticeWarning, match="Batches of 4 examples"):
        (run, given), _ = cost.priced(runs, cores=1, data_dir=None, began=0.0)
    assert run.steps == given.steps == 20
    assert run.flop == given.flop
