"""More epochs for a run that was planned for fewer: the longer run to the bit, where the schedule allows."""

import dataclasses

import numpy as np
import pytest

from iwax.runs import folder as runs
from iwax.runs.folder import RunFolder
from iwax.runs.launch import new_run, resume_run
from tiny import tiny_config, tiny_data

DATA = tiny_data()
CONFIG = tiny_config(epochs=2, seed=3)
LONGER = dataclasses.replace(CONFIG, epochs=4)
FILES = (runs.CHECKPOINT, runs.METRICS, runs.CONFIG)


class Killed(BaseException):
    """Stands for the end of the process."""


def contents(folder):
    return {name: (folder.path / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """A run that was planned for four epochs."""
    return new_run(LONGER, tmp_path_factory.mktemp("runs") / "longer", data=DATA)


@pytest.fixture
def shorter(tmp_path):
    """A run of two epochs, to be extended."""
    return new_run(CONFIG, tmp_path / "shorter", data=DATA)


def test_an_extended_run_is_the_longer_run_to_the_bit(shorter, longer):
    assert contents(shorter) != contents(longer)
    resume_run(shorter.path, data=DATA, options={"epochs": 4})
    assert contents(shorter) == contents(longer)
    status = shorter.json(runs.STATUS)
    assert (status["state"], status["epoch"], status["epochs"]) == ("finished", 4, 4)
    record = [{"from": 2, "to": 4, "epoch": 2, "step": 8}]
    assert shorter.json(runs.ENVIRONMENT)["extensions"] == record
    resume_run(shorter.path, data=DATA, options={"epochs": 4})  # it has nothing left to do
    assert contents(shorter) == contents(longer)
    assert shorter.json(runs.ENVIRONMENT)["extensions"] == record


@pytest.mark.parametrize("lost", [runs.NEW, pytest.param(runs.CONFIG, marks=pytest.mark.slow)])
def test_a_crash_while_it_is_extended_is_made_good(shorter, longer, monkeypatch, lost):
    write = RunFolder.write

    def dying(self, name, content):
        if name == lost:
            raise Killed
        write(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write", dying)
        with pytest.raises(Killed):
            resume_run(shorter.path, data=DATA, options={"epochs": 4})
    resume_run(shorter.path, data=DATA, options={"epochs": 4})
    assert contents(shorter) == contents(longer)
    assert len(shorter.json(runs.ENVIRONMENT)["extensions"]) == 1


def test_epochs_that_were_edited_by_hand_are_refused_as_before(shorter):
    shorter.write(runs.CONFIG, dataclasses.replace(shorter.config(), epochs=4).to_json())
    with pytest.raises(ValueError, match=r"to be the one its checkpoint was made with; these differ: epochs: 2 -> 4\."):
        resume_run(shorter.path, data=DATA)


@pytest.mark.slow
def test_a_run_that_is_stopped_early_goes_on_with_patience_afresh(tmp_path):
    config = dataclasses.replace(
        CONFIG, validation="8", patience=1, epochs=6, eval_images=5, eval_samples=64, stages="1e-1:9"
    )
    folder = new_run(config, tmp_path / "run", data=DATA)
    stopped = folder.json(runs.STATUS)
    assert stopped["epoch"] < 6
    resume_run(folder.path, data=DATA)
    assert folder.json(runs.STATUS)["epoch"] == stopped["epoch"]
    resume_run(folder.path, data=DATA, options={"epochs": 7})
    assert folder.json(runs.STATUS)["epoch"] > stopped["epoch"]
    numbers = [record["iwae_64"] for record in folder.records(runs.EVALUATIONS)]
    assert folder.json(runs.STATUS)["best"]["value"] == max(numbers)


@pytest.mark.slow
def test_a_cosine_is_as_long_as_the_new_length(tmp_path):
    config = dataclasses.replace(CONFIG, decay="cosine", stages="1e-3:2")
    folder = new_run(config, tmp_path / "run", data=DATA)
    ended = folder.metrics()[-1]["learning_rate"]
    resume_run(folder.path, data=DATA, options={"epochs": 4})
    rates = [record["learning_rate"] for record in folder.metrics()]
    halves = [1e-3 * (1 + np.cos(np.pi * step / 16)) / 2 for step in (11, 15)]  # of the last step of epochs 3 and 4
    np.testing.assert_allclose(rates[2:], halves, rtol=1e-5)
    assert rates[2] > 2 * ended
