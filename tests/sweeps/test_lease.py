"""Leases: one owner at a time, who loses it by dying on this machine, and by silence on another."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from iwax.runs import BusyError
from iwax.sweeps import lease as leases
from iwax.sweeps.lease import LOST, holder, lease

HOLD = """
import sys, time
from iwax.sweeps.lease import lease
with lease(sys.argv[1], timeout=float(sys.argv[2]), beat=0.05):
    print("held", flush=True)
    time.sleep(60)
"""


def held_by_process(path, timeout=60.0):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(timeout)], stdout=subprocess.PIPE)
    with process.stdout as said:
        assert said.readline() == b"held\n"
    return process


def of_another_machine(path, seconds_ago):
    """A lease as another machine left it, which was last heard of some time ago."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": "another", "host": "there", "pid": 7, "locks": True}))
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


def test_a_lease_is_held_by_one_at_a_time_and_given_back(tmp_path):
    path = tmp_path / "leases" / "run"
    assert holder(path) is None
    with lease(path):
        assert holder(path).endswith(f":{os.getpid()}")
        with pytest.raises(BusyError, match=f"Expected run to be free; it is held by .*:{os.getpid()}"), lease(path):
            pass
    assert holder(path) is None
    assert [file.name for file in path.parent.iterdir()] == []
    with lease(path):
        pass


def test_the_dead_lose_their_lease_at_once_and_the_suspended_keep_it(tmp_path):
    """As the lock says, which lasts as long as the process, even where its lease was not touched for too long."""
    path = tmp_path / "run"
    process = held_by_process(path, timeout=0.2)
    try:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        assert holder(path, 0.2).endswith(f":{process.pid}")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert holder(path) is None
        with lease(path):
            assert holder(path).endswith(f":{os.getpid()}")
    finally:
        process.kill()
        process.wait()


def test_another_machine_keeps_its_lease_until_it_was_silent_for_too_long(tmp_path):
    path = tmp_path / "leases" / "run"
    of_another_machine(path, 100)
    assert holder(path, 120) == "there:7"
    with pytest.raises(BusyError, match="held by there:7"), lease(path, 120):
        pass
    of_another_machine(path, 130)
    assert holder(path, 120) is None
    with lease(path, 120):
        assert holder(path, 120).endswith(f":{os.getpid()}")


def test_a_lease_is_touched_so_that_other_machines_hear_of_its_owner(tmp_path, monkeypatch):
    with lease(tmp_path / "touched", beat=0.05), lease(tmp_path / "silent", beat=60):
        monkeypatch.setattr(leases, "machine", lambda: "another")
        time.sleep(0.8)
        assert holder(tmp_path / "touched", 0.5) is not None
        assert holder(tmp_path / "silent", 0.5) is None


def test_an_owner_whose_lease_was_taken_ends_without_another_word(tmp_path):
    path = tmp_path / "run"
    process = held_by_process(path)
    of_another_machine(tmp_path / "new", 0)
    os.replace(tmp_path / "new", path)
    assert process.wait(10) == LOST
    assert holder(path, 60) == "there:7"  # it did not give back what is not its own


def test_of_many_who_want_a_lease_that_is_free_one_gets_it(tmp_path):
    path, inside, most = tmp_path / "leases" / "run", [], []
    of_another_machine(path, 1000)
    got, gate = [], threading.Barrier(8)

    def want():
        gate.wait()
        try:
            with lease(path, 60):
                inside.append(1)
                most.append(len(inside))
                got.append(1)
                time.sleep(0.3)
                inside.pop()
        except BusyError:
            pass

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(got)) == (1, 1)


def test_who_died_while_taking_a_lease_bars_it_for_no_longer_than_the_time_out(tmp_path):
    guard = tmp_path / ".run.taking"
    guard.touch()
    with pytest.raises(BusyError, match="somebody is taking it"), lease(tmp_path / "run", 60):
        pass
    os.utime(guard, (time.time() - 61,) * 2)
    with lease(tmp_path / "run", 60):
        assert not guard.exists()


def test_a_clock_that_was_set_back_keeps_no_lease_of_the_dead(tmp_path):
    """The last touch is a day ahead then, and nothing would be free until the clock is there again."""
    path = tmp_path / "leases" / "run"
    of_another_machine(path, -50)
    assert holder(path, 120) == "there:7"  # the control: clocks may be a little apart
    of_another_machine(path, -86_400)
    assert holder(path, 120) is None
    (path.parent / ".run.taking").touch()
    os.utime(path.parent / ".run.taking", (time.time() + 86_400,) * 2)
    with lease(path, 120):
        assert holder(path, 120).endswith(f":{os.getpid()}")


def test_what_is_no_lease_bars_nothing(tmp_path):
    path = tmp_path / "lease"
    for content in (b"", b"[]", b"3", b"\xff", b'{"machine": 1, "locks": true}', b'{"host": "a", "pid": 1}'):
        path.write_bytes(content)
        assert holder(path) is None
    path.write_text('{"host": "a", "pid": 1, "machine": "another", "locks": true}')
    assert holder(path) == "a:1"  # the control
