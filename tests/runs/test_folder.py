"""The files of a run's folder."""

import os

import pytest

from iwax.runs.environment import cores, current_environment, differences
from iwax.runs.folder import METRICS, RunFolder
from tiny import tiny_config, tiny_data


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(tiny_config(), {"commit": None})
    return folder


def test_a_record_half_written_is_left_out(folder):
    folder.append(METRICS, {"epoch": 1, "step": 4, "bound": -2.0})
    with open(folder.path / METRICS, "a") as file:
        file.write('{"epoch": 2, "st')
    assert folder.metrics() == [{"epoch": 1, "step": 4, "bound": -2.0}]
    folder.rewind(4, 1)
    folder.append(METRICS, {"epoch": 2, "step": 8, "bound": -2.0})
    assert [record["step"] for record in folder.metrics()] == [4, 8]


def test_rewinding(folder):
    for epoch in (1, 2, 3):
        folder.append(METRICS, {"epoch": epoch, "step": 4 * epoch, "bound": -2.0})
    folder.rewind(9, 2)
    assert [record["epoch"] for record in folder.metrics()] == [1, 2]
    with pytest.raises(ValueError, match=r"to hold the records of epochs 1 to 3, .* got 2 of them"):
        folder.rewind(12, 3)


def test_a_write_that_fails_leaves_the_old_file(folder, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = sorted(path.name for path in folder.path.iterdir())
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"Expected to be able to write .*config\.json; got No space left on device"):
        folder.write("config.json", "{}")
    assert folder.config() == tiny_config()
    assert sorted(path.name for path in folder.path.iterdir()) == before


def test_the_lock_is_given_back(folder):
    assert not folder.is_locked
    with folder.lock():
        assert folder.is_locked
    assert not folder.is_locked


def test_what_is_recorded_of_the_environment():
    record = current_environment(tiny_data(), ["iwax", "train"])
    assert {"iwax", "jax", "jaxlib", "equinox", "optax", "numpy"} == set(record["versions"])
    assert len(record["code"]) == 64
    assert record["checksums"] == {"tiny": "seed 0"}
    assert record["command"] == ["iwax", "train"]


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1}, raising=False)
    assert cores() == current_environment(tiny_data())["cores"] == 1
    monkeypatch.delattr(os, "sched_getaffinity")  # as on other systems
    assert cores() == os.cpu_count()


def test_differences():
    before = {"a": 1, "b": {"c": "x" * 64, "d": 2}, "e": None}
    assert differences(before, before) == []
    assert differences(before, {"a": 1, "b": {"c": "y" * 64, "d": 2}, "f": 3}) == [
        "b.c: xxxxxxxxxxxx... -> yyyyyyyyyyyy...",
        "f: None -> 3",
    ]
