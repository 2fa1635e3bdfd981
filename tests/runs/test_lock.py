"""Locks: one process at a time, until it ends, however it ends; who only asks is in nobody's way."""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

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


POLL = """
import sys
from iwax.runs.lock import is_free
print(flush=True)
while True:
    with open(sys.argv[1]) as file:
        is_free(file)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what other systems say of their locks is not tested")
def test_who_starts_while_others_poll_is_never_refused(tmp_path):
    """Of 58,000 starts 18,600 failed, against two processes that took the lock for an instant to find out."""
    path = tmp_path / "lock"
    path.touch()
    with subprocess.Popen([sys.executable, "-c", POLL, path], stdout=subprocess.PIPE) as polling:
        try:
            assert polling.stdout.readline() == b"\n"
            refused = 0
            for _ in range(3000):
                with open(path, "w") as file:
                    refused += not try_lock(file, patience=0)
            assert refused == 0
        finally:
            polling.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="what other systems say of their locks is not tested")
def test_asking_takes_no_lock(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.touch()
    with open(path, "w") as held, open(path) as file:
        assert is_free(file)
        assert try_lock(held)
        monkeypatch.setattr(lock, "lock_descriptor", lambda *args, **options: pytest.fail("a lock was taken"))
        assert not is_free(file)
        held.close()
        assert is_free(file)


def test_windows_is_asked_by_reading_the_locked_byte(tmp_path, monkeypatch):
    def refuse(descriptor, count):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "lock"
    path.touch()
    monkeypatch.setattr(lock.sys, "platform", "win32")
    monkeypatch.setattr(lock, "lock_descriptor", lambda *args, **options: pytest.fail("a lock was taken"))
    with open(path) as file:
        assert is_free(file)
        monkeypatch.setattr(lock.os, "read", refuse)
        assert not is_free(file)


def test_windows_locks_a_byte_and_needs_nothing_of_posix(tmp_path, monkeypatch):
    """By a stand-in for msvcrt.locking, which locks a byte for one descriptor, and bars all others from reading it."""
    held = {}

    def locking(descriptor, blocking):
        return held.setdefault("by", descriptor) == descriptor

    def read(descriptor, count):
        if held.get("by", descriptor) != descriptor:
            raise PermissionError(13, "Permission denied")
        return b""

    path = tmp_path / "lock"
    path.touch()
    monkeypatch.setattr(lock.sys, "platform", "win32")
    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock, "lock_descriptor", locking)
    monkeypatch.setattr(lock.os, "read", read)
    with open(path, "r+") as first, open(path, "r+") as second:
        assert is_free(second)
        assert try_lock(first)
        assert not is_free(second)
        assert not try_lock(second, 0.02)
        held.clear()  # as the system does when the first is closed
        assert is_free(second)
        assert try_lock(second)


@pytest.mark.skipif(lock.fcntl is None, reason="constants of POSIX")
def test_macos_is_asked_by_f_getlk_in_the_order_of_its_fields(tmp_path, monkeypatch):
    """By a stand-in for its `fcntl`: the struct flock of macOS has start, length and process first, then type."""
    asked, answers = [], [lock.fcntl.F_WRLCK, lock.fcntl.F_UNLCK]

    def ask(descriptor, command, content):
        asked.append((command, struct.unpack("qqihh", content)))
        return struct.pack("qqihh", 0, 0, 7, answers.pop(0), 0)

    stand_in = SimpleNamespace(fcntl=ask, **{name: getattr(lock.fcntl, name) for name in ("F_WRLCK", "F_UNLCK")})
    stand_in.F_GETLK = 7
    monkeypatch.setattr(lock.sys, "platform", "darwin")
    monkeypatch.setattr(lock, "fcntl", stand_in)
    monkeypatch.setattr(lock, "LAYOUT", "qqihh")
    monkeypatch.setattr(lock, "KIND", 3)
    monkeypatch.setattr(lock, "lock_descriptor", lambda *args, **options: pytest.fail("a lock was taken"))
    with open(tmp_path / "lock", "w") as file:
        assert [is_free(file), is_free(file)] == [False, True]
    assert asked == [(7, (0, 0, 0, stand_in.F_WRLCK, os.SEEK_SET))] * 2


def test_a_system_that_cannot_be_asked_makes_nobody_busy(tmp_path, monkeypatch):
    """There the lock is taken for an instant to find out: even where that lasts."""
    path, asking = tmp_path / "lock", threading.Event()
    path.touch()

    def unlock(descriptor):
        asking.set()
        time.sleep(0.05)
        unlock_descriptor(descriptor)

    def ask():
        with open(path) as file:
            is_free(file)

    monkeypatch.setattr(lock, "_command", lambda *names: None)
    monkeypatch.setattr(lock, "unlock_descriptor", unlock)
    thread = threading.Thread(target=ask)
    thread.start()
    assert asking.wait(10)
    with open(path, "w") as file:
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
