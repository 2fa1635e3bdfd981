"""The life of several runs in one folder: as one program or side by side, stopped, gone on with, failed, refused."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from in_process import run_command
from iwax.runs import cohort_session, session
from iwax.runs import folder as runs
from iwax.runs.checkpoint import read_checkpoint
from iwax.runs.cohorts import COHORT, _check_alike, new_cohort, resume_cohort, seeds
from iwax.runs.folder import RunFolder
from iwax.runs.launch import new_run, resume_run
from iwax.runs.listing import list_runs
from iwax.runs.loading import load_run
from iwax.runs.resolution import resolve
from iwax.training.cohort import _numbers
from iwax.training.fit import NonFiniteLossError
from tiny import tiny_config, tiny_data

DATA = tiny_data()
# Three epochs of four steps, and two runs whose rates differ, so that every test here has the same program.
BASE = tiny_config(likelihood="gaussian", binarize="intensities", epochs=3, stages="1e-3:3")
CONFIGS = {"a": BASE, "b": dataclasses.replace(BASE, seed=1, protocol="demo", stages="1e-3:1,5e-4:2")}
FAILING = CONFIGS | {"b": dataclasses.replace(BASE, seed=1, stages="1e-3:1,1e30:2")}
FILES = (runs.CHECKPOINT, runs.METRICS)


class Killed(BaseException):
    """Stands for the end of the process."""


def contents(path, names=("a", "b")):
    return {(name, file): (path / name / file).read_bytes() for name in names for file in FILES}


def states(path, names=("a", "b")):
    return [RunFolder(path / name).json("status.json").get("state") for name in names]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("cohorts") / "undisturbed"
    new_cohort(CONFIGS, path, vectorized=True, data=DATA)
    return path


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    """The same runs, each alone."""
    path = tmp_path_factory.mktemp("cohorts") / "singles"
    for name, config in CONFIGS.items():
        new_run(config, path / name, data=DATA)
    return path


@pytest.mark.slow
def test_as_one_program_each_run_is_the_run_alone(undisturbed, singles):
    assert states(undisturbed) == ["finished", "finished"]
    for name in CONFIGS:
        own, single = (read_checkpoint(path / name / runs.CHECKPOINT).tensors for path in (undisturbed, singles))
        assert list(own) == list(single)
        for leaf in own:
            np.testing.assert_allclose(own[leaf], single[leaf], rtol=1e-3, atol=1e-5, err_msg=leaf)
        ours, theirs = (RunFolder(path / name).metrics() for path in (undisturbed, singles))
        assert len(ours) == 3
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, rel=1e-4)
    a, b = (RunFolder(undisturbed / name).metrics()[0]["bound"] for name in CONFIGS)
    assert abs(a - b) > 1e-3 * abs(a)  # the comparison above could have failed


def test_side_by_side_each_run_is_the_run_alone_to_the_bit(tmp_path, singles):
    seen = []
    folders = new_cohort(CONFIGS, tmp_path / "runs", vectorized=False, data=DATA, on_progress=seen.append)
    assert [folder.path.name for folder in folders] == ["a", "b"]
    assert contents(tmp_path / "runs") == contents(singles)
    assert (seen[-1].step, seen[-1].total_steps, seen[-1].numbers["runs"]) == (24, 24, 2)
    assert "2 runs, epoch 6/6" in seen[-1].note


@pytest.mark.slow
def test_the_folder_of_each_run_serves_as_any_other(undisturbed):
    run = load_run(undisturbed / "b", data=DATA)
    assert run.config.seed == 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.model) if hasattr(leaf, "shape"))
    assert [row["state"] for row in list_runs(undisturbed)] == ["finished", "finished"]
    record = RunFolder(undisturbed / "a").json("environment.json")["cohort"]
    written = json.loads((undisturbed / COHORT).read_text())
    assert record == {"runs": ["a", "b"], "vectorized": True}
    assert record.items() <= written.items()
    assert written["configs"]["b"] == json.loads((undisturbed / "b" / "config.json").read_text())
    before = contents(undisturbed)
    resume_run(undisturbed / "a", data=DATA)
    resume_cohort(undisturbed, data=DATA)
    assert contents(undisturbed) == before


@pytest.mark.parametrize("vectorized", [pytest.param(True, marks=pytest.mark.slow), False])
def test_stopped_by_a_time_limit_again_and_again(tmp_path, undisturbed, singles, vectorized):
    path = tmp_path / "runs"
    new_cohort(CONFIGS, path, vectorized=vectorized, data=DATA, time_limit=1e-9)
    for _ in range(24):  # at least a step each time
        if states(path) == ["finished", "finished"]:
            break
        assert "stopped" in states(path)
        resume_cohort(path, data=DATA, time_limit=1e-9)
    assert contents(path) == contents(undisturbed if vectorized else singles)


def test_killed_while_checkpoints_are_written(tmp_path, undisturbed, monkeypatch):
    """One run has a checkpoint that the other has not: all go back to the last that both have."""
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    save, count = RunFolder.save, []

    def dying_save(folder, state):
        count.append(folder.path.name)
        if count.count("b") == 5:
            raise Killed
        save(folder, state)

    monkeypatch.setattr(RunFolder, "save", dying_save)
    with pytest.raises(Killed):
        new_cohort(CONFIGS, tmp_path / "runs", vectorized=True, data=DATA)
    monkeypatch.setattr(RunFolder, "save", save)
    steps = [int(RunFolder(tmp_path / "runs" / name).checkpoint().tensors[".step"]) for name in CONFIGS]
    assert steps[0] > steps[1] > 0
    resume_cohort(tmp_path / "runs", data=DATA)
    assert contents(tmp_path / "runs") == contents(undisturbed)


@pytest.mark.parametrize("vectorized", [True, False])
def test_an_interruption_from_the_keyboard_loses_nothing(tmp_path, undisturbed, singles, monkeypatch, vectorized):
    def on_progress(progress):
        if progress.step >= 8:
            raise KeyboardInterrupt

    path = tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt):
        new_cohort(CONFIGS, path, vectorized=vectorized, data=DATA, on_progress=on_progress)
    assert "stopped" in states(path)
    assert not any(RunFolder(path / name).is_locked for name in CONFIGS)
    resume_cohort(path, data=DATA)
    assert contents(path) == contents(undisturbed if vectorized else singles)


@pytest.mark.parametrize("vectorized", [True, False])
def test_a_run_that_fails_stops_alone(tmp_path, undisturbed, singles, vectorized):
    path = tmp_path / "runs"
    with pytest.raises(
        NonFiniteLossError, match=r"^1 of 2 runs failed; the others went on\. b: Expected a finite loss; got .* at step"
    ):
        new_cohort(FAILING, path, vectorized=vectorized, data=DATA)
    assert states(path) == ["finished", "failed"]
    assert contents(path, ["a"]) == contents(undisturbed if vectorized else singles, ["a"])
    status = RunFolder(path / "b").json("status.json")
    assert "Expected a finite loss" in status["message"]
    assert status["step"] < 12
    model = load_run(path / "b", data=DATA).model  # its last good checkpoint
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape"))
    before = contents(path)
    resume_cohort(path, data=DATA)
    assert contents(path) == before


def test_runs_that_have_parted_are_sent_on_alone(tmp_path, undisturbed):
    path = tmp_path / "runs"
    new_cohort(CONFIGS, path, vectorized=True, data=DATA, time_limit=1e-9)
    resume_run(path / "a", data=DATA, time_limit=1e-9)
    resume_run(path / "a", data=DATA)
    with pytest.raises(ValueError, match=r"to have checkpoints of one step; got a: 12, b: 1\. Go on with --no-vec"):
        resume_cohort(path, data=DATA)
    resume_cohort(path, data=DATA, vectorized=False)
    assert states(path) == ["finished", "finished"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_samples": 2}, r"a and b, which differ in num_samples: 1 -> 2\. Train them as runs of their own\."),
        ({"objective": "iwae"}, r"objective: elbo -> iwae\. ELBO and IWAE of one K are ciwae with beta 1 and 0\."),
        ({"objective": "vr-iwae"}, r"objective: elbo -> vr-iwae\. Train"),
        ({"gradient": "sticking-the-landing"}, "gradient: reparameteri.* -> sticking-the"),
        ({"model": "two-layer"}, "model: one-layer -> two-layer"),
        ({"batch_size": 20}, "batch_size: 10 -> 20"),
        ({"dataset": "other"}, "dataset: tiny -> other"),
        ({"epochs": 4}, "epochs: 3 -> 4"),
        ({"decay": "cosine", "stages": "1e-2:3"}, "decay: stages -> cosine, stages: "),
        ({"second_moment": 1.0}, r"second_moment: 0\.0 -> 1\.0"),
    ],
)
def test_runs_that_cannot_share_a_program_are_refused(tmp_path, fields, message):
    configs = {"a": dataclasses.replace(BASE, num_samples=1), "b": dataclasses.replace(BASE, **fields)}
    with pytest.raises(ValueError, match=r"Expected the runs of a cohort to differ in seed, .* only; got .*" + message):
        new_cohort(configs, tmp_path / "runs", data=DATA)
    assert not (tmp_path / "runs").exists()


def test_runs_may_differ_in_their_learning_rate_which_is_that_of_their_stages_but_not_of_a_cosine():
    slow, fast, cosine = (
        resolve(dataclasses.replace(BASE, learning_rate=rate, **more))
        for rate, more in ((5e-4, {}), (2e-3, {}), (2e-3, {"decay": "cosine"}))
    )
    _check_alike({"a": slow.config, "b": fast.config})
    rates, lengths = _numbers([slow.recipe, fast.recipe])["stages"][0]
    np.testing.assert_allclose(rates, [5e-4, 2e-3])
    assert lengths.tolist() == [3, 3]
    other = dataclasses.replace(cosine.config, learning_rate=1e-3)
    with pytest.raises(ValueError, match=r"which differ in learning_rate: 0\.002 -> 0\.001"):
        _check_alike({"a": cosine.config, "b": other})


def test_what_else_is_refused(tmp_path, undisturbed):
    before = contents(undisturbed)
    with pytest.raises(ValueError, match="Expected a cohort to hold at least one run; got none"):
        new_cohort({}, tmp_path / "runs", data=DATA)
    with pytest.raises(ValueError, match=r"Expected the names of runs to be names of folders; got '\.\./a'"):
        new_cohort({"../a": BASE}, tmp_path / "runs", data=DATA)
    with pytest.raises(ValueError, match=r"undisturbed to be a new folder; it exists\. Name another, or replace its"):
        new_cohort(CONFIGS, undisturbed, data=DATA)
    with pytest.raises(ValueError, match=r"to hold no other runs than the new ones; got b\. Delete them"):
        new_cohort({"a": BASE}, undisturbed, data=DATA, overwrite=True)
    with pytest.raises(ValueError, match=r"to hold several runs to overwrite; got a folder without cohort\.json"):
        new_cohort(CONFIGS, undisturbed / "a", data=DATA, overwrite=True)
    with pytest.raises(ValueError, match=r"a to be the folder of several runs; it holds no cohort\.json"):
        resume_cohort(undisturbed / "a", data=DATA)
    assert contents(undisturbed) == before


def test_seeds_are_counted_from_the_configurations_own():
    assert {name: config.seed for name, config in seeds(tiny_config(seed=10), 3).items()} == {
        "seed10": 10,
        "seed11": 11,
        "seed12": 12,
    }


def test_the_way_follows_the_device(monkeypatch):
    for backend, vectorized in (("cpu", False), ("gpu", True), ("tpu", True)):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        assert cohort_session.vectorized_is_quicker() is vectorized


def train(capsys, *arguments):
    return run_command(capsys, "train", *arguments)


def test_seeds_on_the_command_line(tmp_path, capsys, singles):
    np.savez(tmp_path / "tiny.npz", train=DATA.train, test=DATA.test)
    options = {"dataset": tmp_path / "tiny.npz", "seeds": 2, "out": tmp_path / "elbo", "time-limit": 1e-9}
    for field in ("objective", "num_samples", "likelihood", "binarize", "batch_size", "epochs", "stages", "protocol"):
        options[field.replace("_", "-")] = getattr(BASE, field)
    status, out, _ = train(capsys, *(word for name, value in options.items() for word in (f"--{name}", value)))
    assert status == 0
    assert "stopped after 0 of 3 epochs" in out
    status, out, _ = train(capsys, "--resume", tmp_path / "elbo", "--json")
    assert status == 0
    assert [(result["run"], result["state"]) for result in json.loads(out)] == [
        (str(tmp_path / "elbo" / name), "finished") for name in ("seed0", "seed1")
    ]
    assert RunFolder(tmp_path / "elbo" / "seed0").metrics() == RunFolder(singles / "a").metrics()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "RUN", "--seeds", "2"], "Expected --seeds together with --out RUN"),
        (["--out", "RUN", "--vectorized"], "Expected --vectorized or --no-vectorized together with --seeds"),
        (["--resume", "RUN", "--no-vectorized"], "Expected --vectorized with --seeds, or --resume of several runs"),
        (["--out", "RUN", "--seeds", "0"], "0 is not in the range x>=1"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, capsys, arguments, message):
    path = tmp_path / "run"
    status, out, err = train(capsys, *[str(path) if a == "RUN" else a for a in arguments])
    assert (status, out) == (2, "")
    assert message in next(line for line in err.splitlines() if line.startswith("iwax: "))
    assert not path.exists()
