"""The life of a run: stopped anywhere and gone on with, it is the run that never stopped, bit for bit."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from iwax.data import load
from iwax.runs import environment, session
from iwax.runs import folder as runs
from iwax.runs.folder import RunFolder
from iwax.runs.initial import build_model
from iwax.runs.launch import new_run, resume_run
from iwax.runs.listing import list_runs
from iwax.runs.loading import load_run
from iwax.runs.resolution import resolve
from iwax.training.fit import NonFiniteLossError
from tiny import tiny_config, tiny_data

DATA = tiny_data()
# Six epochs of four steps; beta is learned, and test images are judged at epochs 2, 4 and 6.
CONFIG = tiny_config(
    objective="ciwae",
    num_samples=2,
    beta_rule="ascend",
    epochs=6,
    eval_every=2,
    eval_images=5,
    eval_samples=64,
    protocol="burda-code",
)
FILES = (runs.CHECKPOINT, runs.METRICS, runs.EVALUATIONS)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The files of a run that nothing interrupts."""
    path = tmp_path_factory.mktemp("runs") / "undisturbed"
    new_run(CONFIG, path, data=DATA)
    return {name: (path / name).read_bytes() for name in FILES}


def start_and_kill(path, when, config=CONFIG):
    """Train until `when(progress)`, then die."""

    def on_progress(progress):
        if when(progress):
            raise Killed

    with pytest.raises(Killed):
        new_run(config, path, data=DATA, on_progress=on_progress)


def assert_same(path, undisturbed):
    for name in FILES:
        assert (path / name).read_bytes() == undisturbed[name], name
    assert RunFolder(path).json("status.json")["state"] == "finished"


def test_the_undisturbed_run(undisturbed):
    metrics = [json.loads(line) for line in undisturbed[runs.METRICS].splitlines()]
    assert [record["epoch"] for record in metrics] == [1, 2, 3, 4, 5, 6]
    assert [record["step"] for record in metrics] == [4, 8, 12, 16, 20, 24]
    assert set(metrics[0]) == {"epoch", "step", "bound", "learning_rate", "beta"}
    assert metrics[-1]["beta"] != metrics[0]["beta"]
    evaluations = [json.loads(line) for line in undisturbed[runs.EVALUATIONS].splitlines()]
    assert [record["epoch"] for record in evaluations] == [2, 4, 6]
    assert {"log_p", "iwae_64", "test_hash"} <= set(evaluations[0])
    assert len({record["test_hash"] for record in evaluations}) == 1
    assert {record["num_examples"] for record in evaluations} == {5}


def test_killed_between_epochs(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    start_and_kill(tmp_path / "run", lambda progress: progress.step == 12)
    assert RunFolder(tmp_path / "run").json("status.json")["step"] == 12
    assert_same(resume_run(tmp_path / "run", data=DATA).path, undisturbed)


def test_killed_within_an_epoch(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    start_and_kill(tmp_path / "run", lambda progress: progress.step % 4)
    assert RunFolder(tmp_path / "run").json("status.json")["step"] % 4
    assert_same(resume_run(tmp_path / "run", data=DATA).path, undisturbed)


def test_killed_long_after_the_last_checkpoint(tmp_path, undisturbed):
    # Records of epochs that the checkpoint, of step 0, has not seen are taken back and made again.
    start_and_kill(tmp_path / "run", lambda progress: progress.step == 20)
    assert len(RunFolder(tmp_path / "run").metrics()) == 5
    assert_same(resume_run(tmp_path / "run", data=DATA).path, undisturbed)


@pytest.mark.parametrize("place", ["writing", "putting in place", "keeping the one before", "replacing"])
def test_killed_during_a_checkpoints_write(tmp_path, undisturbed, monkeypatch, place):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    replace, fsync = os.replace, os.fsync
    target = {
        "putting in place": runs.NEW,
        "keeping the one before": runs.PREVIOUS,
        "replacing": runs.CHECKPOINT,
    }.get(place)
    seen = []

    def dying_replace(source, destination):
        seen.append(os.path.basename(destination))
        if seen.count(target) == 4:
            raise Killed
        replace(source, destination)

    def dying_fsync(descriptor):
        if place == "writing" and seen.count(runs.NEW) == 4:
            os.ftruncate(descriptor, 1000)
            raise Killed
        fsync(descriptor)

    monkeypatch.setattr(os, "replace", dying_replace)
    monkeypatch.setattr(os, "fsync", dying_fsync)
    with pytest.raises(Killed):
        new_run(CONFIG, tmp_path / "run", data=DATA)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "run" / ".checkpoint.new.safetensors.xyz.part").write_bytes(b"half a checkpoint")
    assert_same(resume_run(tmp_path / "run", data=DATA).path, undisturbed)
    assert not list((tmp_path / "run").glob("*.part")) + list((tmp_path / "run").glob(".*.part"))


@pytest.mark.parametrize("damage", ["truncated", "altered", "removed"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, undisturbed, monkeypatch, damage):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    start_and_kill(tmp_path / "run", lambda progress: progress.step == 16)
    path = tmp_path / "run" / runs.CHECKPOINT
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content[:-50] if damage == "truncated" else content)
    if damage == "removed":
        path.unlink()
    assert_same(resume_run(tmp_path / "run", data=DATA).path, undisturbed)


def test_stopped_by_a_time_limit_again_and_again(tmp_path, undisturbed):
    folder = new_run(CONFIG, tmp_path / "run", data=DATA, time_limit=1e-9)
    assert folder.json("status.json")["state"] == "stopped"
    for _ in range(24):  # at least a step each
        if folder.json("status.json")["state"] == "finished":
            break
        resume_run(folder.path, data=DATA, time_limit=1e-9)
    assert_same(folder.path, undisturbed)


def test_an_interruption_from_the_keyboard_loses_nothing(tmp_path, undisturbed):
    def on_progress(progress):
        if progress.step == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new_run(CONFIG, tmp_path / "run", data=DATA, on_progress=on_progress)
    assert RunFolder(tmp_path / "run").json("status.json")["state"] == "stopped"
    assert RunFolder(tmp_path / "run").json("status.json")["step"] == 16
    assert_same(resume_run(tmp_path / "run", data=DATA).path, undisturbed)


@pytest.mark.slow
def test_an_alternating_run_goes_on_as_well(tmp_path):
    config = tiny_config(objective="piwae", num_groups=3, num_samples=2, update="alternating", protocol="tightiwae")
    folder = new_run(config, tmp_path / "run", data=DATA, time_limit=1e-9)
    assert folder.json("status.json")["step"] == 1
    resume_run(folder.path, data=DATA)
    new_run(config, tmp_path / "undisturbed", data=DATA)
    for name in (runs.CHECKPOINT, runs.METRICS):
        assert (folder.path / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert {"bound", "inference_bound"} <= set(folder.metrics()[0])


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    folder = new_run(tiny_config(), tmp_path / "run", data=DATA)
    before = {name: (folder.path / name).read_bytes() for name in (runs.CHECKPOINT, runs.METRICS)}
    resume_run(folder.path, data=DATA)
    assert before == {name: (folder.path / name).read_bytes() for name in before}


@pytest.mark.slow
def test_killed_from_outside(tmp_path):
    # No cleaning up: SIGKILL in the middle of training, twice, against a run of the same command left alone.
    command = [sys.executable, "-c", "from iwax import session; session.CHECKPOINT_SECONDS = 0.0\n"]
    command[-1] += "from iwax.cli import main; main()"
    options = ["--dataset", "mnist-sample", "--objective", "elbo", "--epochs", "8", "--batch-size", "100"]

    def train(*arguments, lines=None):
        with subprocess.Popen([*command, "train", *arguments], stderr=subprocess.DEVNULL) as process:
            metrics = tmp_path / "killed" / runs.METRICS
            while lines and process.poll() is None:
                if metrics.exists() and metrics.read_text().count("\n") >= lines:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.01)
            return process.wait()

    assert train(*options, "--out", str(tmp_path / "alone")) == 0
    assert train(*options, "--out", str(tmp_path / "killed"), lines=2) == -signal.SIGKILL
    assert list_runs(tmp_path / "killed")[0]["state"] == "interrupted"
    train("--resume", str(tmp_path / "killed"), lines=5)
    assert train("--resume", str(tmp_path / "killed")) == 0
    for name in (runs.CHECKPOINT, runs.METRICS):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, not to be changed."""
    return new_run(tiny_config(), tmp_path_factory.mktemp("runs") / "finished", data=DATA).path


@pytest.fixture
def stopped(tmp_path):
    """A run with a checkpoint and most of its way to go."""
    return new_run(tiny_config(epochs=50), tmp_path / "stopped", data=DATA, time_limit=1e-9).path


def everything(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name != runs.LOCK}


def test_resuming_with_other_data_is_refused(stopped):
    before = everything(stopped)
    with pytest.raises(ValueError, match=r"Expected the data .* these differ: checksums\.tiny: seed 0 -> seed 1\."):
        resume_run(stopped, data=tiny_data(1), force=True)
    assert everything(stopped) == before


def test_resuming_with_other_options_is_refused(stopped):
    before = everything(stopped)
    with pytest.raises(ValueError, match=r"its own options; these differ: seed: 0 -> 1\. Leave them"):
        resume_run(stopped, data=DATA, options={"epochs": 60, "seed": 1})
    with pytest.raises(ValueError, match=r"Expected epochs to be more than the 50 that .* is planned for.*; got 40\."):
        resume_run(stopped, data=DATA, options={"epochs": 40})
    assert everything(stopped) == before
    resume_run(stopped, data=DATA, options={"epochs": 50, "seed": 0}, time_limit=1e-9)


def test_resuming_with_an_edited_configuration_is_refused(stopped):
    config = RunFolder(stopped).config()
    RunFolder(stopped).write("config.json", dataclasses.replace(config, epsilon=0.5, objective="iwae").to_json())
    with pytest.raises(ValueError, match=r"these differ: epsilon: 0\.0001 -> 0\.5, objective: elbo -> iwae\. Put it b"):
        resume_run(stopped, data=DATA, force=True)


def test_resuming_with_other_versions_is_refused_unless_forced(stopped, monkeypatch):
    real = environment.importlib.metadata.version
    monkeypatch.setattr(environment.importlib.metadata, "version", lambda name: "0.1" if name == "jax" else real(name))
    monkeypatch.setattr(environment, "_code", lambda: "other code")
    before = everything(stopped)
    with pytest.raises(ValueError, match=r"code: \w{12}\.\.\. -> other code, versions\.jax: [\d.]+ -> 0\.1.*--force"):
        resume_run(stopped, data=DATA)
    assert everything(stopped) == before
    resume_run(stopped, data=DATA, force=True, time_limit=1e-9)
    (last,) = RunFolder(stopped).json("environment.json")["sessions"]
    assert last["versions"]["jax"] == "0.1"
    assert len(last["forced"]) == 2
    resume_run(stopped, data=DATA, time_limit=1e-9)  # the same versions as last time


def test_resuming_what_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"Expected .*nothing to be the folder of a run; it has no config\.json"):
        resume_run(tmp_path / "nothing")


def test_resuming_without_a_good_checkpoint(stopped):
    for name in (runs.CHECKPOINT, runs.PREVIOUS):
        (stopped / name).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="to be a whole checkpoint; it cannot be read"):
        resume_run(stopped, data=DATA)


def test_metrics_that_the_checkpoint_outlived(finished, tmp_path):
    folder = RunFolder(tmp_path)
    for name, content in everything(finished).items():
        folder.write(name, content)
    folder.write(runs.METRICS, "")
    with pytest.raises(ValueError, match=r"to hold the records of epochs 1 to 2, .* got 0 of them"):
        resume_run(tmp_path, data=DATA)


def test_a_second_process_is_refused(stopped):
    with (
        RunFolder(stopped).lock(),
        pytest.raises(ValueError, match=r"Expected .*stopped to be trained by one process at a time"),
    ):
        resume_run(stopped, data=DATA)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    config = tiny_config(likelihood="gaussian", binarize="intensities", stages="1e-3:2,1e30:10", epochs=12)
    with pytest.raises(
        NonFiniteLossError, match=r"got .* at step (9|10|11|12) \(epoch 3\); .* of the epoch\. Lower the"
    ):
        new_run(config, tmp_path / "run", data=DATA)
    folder = RunFolder(tmp_path / "run")
    status = folder.json("status.json")
    assert status["state"] == "failed"
    assert "Expected a finite loss" in status["message"]
    model = load_run(folder.path, data=DATA).model
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape"))
    assert len(folder.metrics()) == 2


def test_a_folder_that_exists_is_refused_and_left_alone(finished):
    before = everything(finished)
    with pytest.raises(
        ValueError, match=r"Expected .*finished to be a new folder; it exists\. Name another; .*--resume .* --overwrite"
    ):
        new_run(tiny_config(), finished, data=DATA)
    assert everything(finished) == before


def test_overwriting_replaces_a_run_with_all_its_results(tmp_path):
    folder = new_run(tiny_config(), tmp_path / "run", data=DATA)
    (folder.path / "evaluation.json").write_text("{}")
    folder.append(runs.EVALUATIONS, {"epoch": 1, "step": 4})
    new_run(tiny_config(), folder.path, data=DATA, overwrite=True)
    assert folder.json("evaluation.json") == {}
    assert folder.records(runs.EVALUATIONS) == []
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("keep me")
    with pytest.raises(ValueError, match=r"to hold a run to overwrite; got a folder without config\.json"):
        new_run(tiny_config(), tmp_path / "letters", data=DATA, overwrite=True)
    assert (tmp_path / "letters" / "dear.txt").read_text() == "keep me"


def test_bad_input_leaves_nothing_behind(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(
        ValueError, match="Expected batch_size to be at most the number of training examples, 40; got 41"
    ):
        new_run(tiny_config(batch_size=41), path, data=DATA)
    with pytest.raises(ValueError, match="Expected time_limit to be positive; got -1"):
        new_run(tiny_config(), path, data=DATA, time_limit=-1.0)
    with pytest.raises(
        ValueError, match="Expected train_images to be at most 40, all that burda-paper trains on of tiny"
    ):
        new_run(tiny_config(train_images=41), path, data=DATA)
    with pytest.raises(ValueError, match=r"Expected .* to be the folder of a run"):
        new_run(tiny_config(init_from=str(tmp_path / "nothing")), path, data=DATA)
    assert not path.exists()


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OSError, match=r"Expected to be able to write .*file/run; got Not a directory\. Free some space"
    ):
        new_run(tiny_config(), tmp_path / "file" / "run", data=DATA)


def test_no_space_left_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    fsync, count = os.fsync, []

    def full(descriptor):
        count.append(None)
        if len(count) > 20:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"Expected to be able to write .*; got No space left on device"):
        new_run(CONFIG, tmp_path / "run", data=DATA)
    monkeypatch.setattr(os, "fsync", fsync)
    assert resume_run(tmp_path / "run", data=DATA).json("status.json")["state"] == "finished"


def test_starting_from_another_runs_model(tmp_path, finished):
    config = tiny_config(init_from=str(finished), seed=5)
    start_and_kill(tmp_path / "run", lambda progress: True, config=config)  # leaves the checkpoint of step 0
    folder = RunFolder(tmp_path / "run")
    before, after = (jax.tree.leaves(load_run(path, data=DATA).model) for path in (finished, folder.path))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    record = folder.json("environment.json")["init_from"]
    assert record == {
        "run": str(finished),
        "objective": "elbo",
        "seed": 0,
        "checkpoint": RunFolder(finished).checkpoint().sha256,
    }
    fresh = build_model(resolve(config), DATA.train)
    assert not np.array_equal(after[0], jax.tree.leaves(fresh)[0])


def test_starting_from_a_run_of_another_model_is_refused(tmp_path, finished):
    with pytest.raises(ValueError, match=r"run of the same model; these differ: model: one-layer -> two-layer\."):
        new_run(tiny_config(init_from=str(finished), model="two-layer"), tmp_path / "run", data=DATA)
    with pytest.raises(ValueError, match=r"these differ: scale_map: exp -> softplus\."):
        new_run(tiny_config(init_from=str(finished), scale_map="softplus"), tmp_path / "run", data=DATA)


def test_the_record_names_what_was_overridden(finished):
    recipe = RunFolder(finished).json("environment.json")["protocol"]
    assert recipe["name"] == "burda-paper"
    assert recipe["source"].startswith("Burda")
    assert recipe["overridden"] == {"batch_size": {"protocol": 20, "run": 10}}


def test_list_of_runs(tmp_path, finished, stopped):
    folder = RunFolder(tmp_path / "judged")
    folder.create(CONFIG, {})
    folder.append(runs.EVALUATIONS, {"epoch": 2, "step": 8, "log_p": -7.0, "iwae_64": -8.0})
    RunFolder(tmp_path / "damaged").create(CONFIG, {})
    (tmp_path / "damaged" / "config.json").write_text("{")
    (tmp_path / "no run").mkdir()
    (tmp_path / "no run" / "config.json").write_text("{")
    rows = {os.path.basename(row["run"]): row for row in list_runs(tmp_path) + list_runs(finished)}
    assert rows["finished"]["state"] == "finished"
    assert rows["finished"]["epochs"] == "2/2"
    assert rows["finished"]["bound"] < 0
    assert rows["stopped"]["state"] == "stopped"
    assert (rows["judged"]["state"], rows["judged"]["log_p"], rows["judged"]["iwae_64"]) == ("new", -7.0, -8.0)
    assert rows["damaged"]["state"] == "damaged"
    assert "no run" not in rows
    status = RunFolder(stopped).json("status.json")
    RunFolder(stopped).write_json("status.json", status | {"state": "running"})
    assert list_runs(stopped)[0]["state"] == "interrupted"
    with RunFolder(stopped).lock():
        assert list_runs(stopped)[0]["state"] == "running"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["burda-code", "tightiwae", "dd2434"])
def test_every_recipe_trains_on_the_sample(tmp_path, recipe):
    data = load("mnist-sample")
    config = tiny_config(dataset="mnist-sample", protocol=recipe, batch_size=None, epochs=3)
    records = new_run(config, tmp_path / "run", data=data).metrics()
    assert records[-1]["bound"] > records[0]["bound"] + 10
