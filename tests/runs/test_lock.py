"""Locks: one process at a time, until it ends, however it ends; who only asks is in nobody's way."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import unlock_descriptor

from iwax.runs import BusyError, RunFolder, lock
from iwax.runs.lock import is_free, try_lock
from tiny import tiny_config

HOLD = """
import sys, time
from iwax.runs.lock import try_lock
file = open(sys.argv[1], "a+b")
print(try_lock(file), flush=True)
time.sleep(60)
"""


def test_a_lock_dies_with_its_process(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(tiny_config(), {})
    with subprocess.Popen([sys.executable, "-c", HOLD, folder.path / ".lock"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"True\n"
        assert folder.is_locked
        with pytest.raises(BusyError, match="trained by one process at a time"), folder.lock():
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not folder.is_locked
        with folder.lock():
            assert folder.is_locked


def test_who_asks_whether_a_lock_is_free_makes_nobody_busy(tmp_path, monkeypatch):
    """Even where the instant for which it is held to find out lasts."""
    path, asking = tmp_path / "lock", threading.Event()
    path.touch()

    def unlock(descriptor):
        asking.set()
        time.sleep(0.05)
        unlock_descriptor(descriptor)

    def ask():
        with open(path) as file:
            is_free(file)

    monkeypatch.setattr(lock, "unlock_descriptor", unlock)
    thread = threading.Thread(target=ask)
    thread.start()
    assert asking.wait(10)
    with open(path) as file:
        assert try_lock(file)
    thread.join()


def test_a_lock_is_asked_for_in_vain_for_a_moment_only(tmp_path):
    with open(tmp_path / "lock", "w") as file, open(tmp_path / "lock") as other:
        assert try_lock(file)
        begin = time.monotonic()
        assert not is_free(other)
        assert not try_lock(other, 0.05)
        assert time.monotonic() - begin < 5
    with open(tmp_path / "lock") as other:
        assert is_free(other)
        assert is_free(other)
