"""Leases: no run is trained twice at once, and a dead owner loses its run.

A lease is a file that its owner holds open, locked, and touches every few seconds.

On the owner's own machine the lock decides: it ends with the process that holds it, however that ends, so that the
lease of a dead one is free at once. From another machine, where locks may not be seen, its age decides: after
`TIMEOUT` seconds without a touch it is free. Ages are differences of two times that the file system wrote, so that
the clocks of machines do not matter. If the file system's own was set back meanwhile, a touch lies in its future, and
is as old as it is ahead; else a dead owner would keep a lease until the clock is there again.

An owner that was cut off for longer than that finds at its next touch that the file is another's, and ends on the
spot, without another write. Until then, for at most `BEAT` seconds, two may work on one run; what they write is the
same, since a run is decided by its configuration, and is written whole.
"""

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from iwax.errors import IwaxError
from iwax.files import dumps, loads
from iwax.runs import BusyError, is_free, try_lock

__all__ = ["BEAT", "LOST", "TIMEOUT", "holder", "lease"]

TIMEOUT = 120.0
BEAT = 10.0
LOST = 76  # exit status of an owner that lost its lease
BOOT = Path("/proc/sys/kernel/random/boot_id")


def machine() -> str:
    """This machine since it was started: one name on all its processes, another after a restart."""
    return BOOT.read_text().strip() if BOOT.exists() else socket.gethostname()


@contextlib.contextmanager
def lease(path: str | Path, timeout: float = TIMEOUT, beat: float | None = None) -> Iterator[None]:
    """While inside, nobody else has the lease; it is given back at the end.

    Arguments:
        path: the lease's file, in a folder that all who ask see.
        timeout: seconds without a touch after which another machine may take it.
        beat: seconds between two touches; `BEAT`, or less where the time-out is short, if left out.

    Raises:
        BusyError: somebody has it.
    """
    path, beat = Path(path), min(BEAT, timeout / 6) if beat is None else beat
    path.parent.mkdir(parents=True, exist_ok=True)
    with _guard(path, timeout):
        if (owner := holder(path, timeout)) is not None:
            raise BusyError(f"Expected {path.name} to be free; it is held by {owner}. Wait for it.")
        file = _put(path)
    done = threading.Event()
    thread = threading.Thread(target=_keep, args=(file, path, timeout, beat, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if _is_own(file, path):
            path.unlink(missing_ok=True)
        file.close()


def holder(path: str | Path, timeout: float = TIMEOUT) -> str | None:
    """Who has a lease, as HOST:PROCESS; None if it is free, or its owner is dead or has not been heard of."""
    path = Path(path)
    try:
        with open(path) as file:
            owner = loads(file.read(), path)
            name = f"{owner['host']}:{owner['pid']}"
            if owner["machine"] == machine() and owner["locks"]:
                return None if is_free(file) else name
    except (FileNotFoundError, UnicodeDecodeError, IwaxError, KeyError, TypeError):  # or it is none that iwax wrote
        return None
    return None if _age(path) > timeout else name


def _put(path: Path) -> IO[str]:
    """A new lease of this process in place of what is there, locked before anybody sees it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    file = os.fdopen(handle, "w")
    try:
        locks = _locks(file)
        owner = {"machine": machine(), "host": socket.gethostname(), "pid": os.getpid(), "locks": locks}
        file.write(dumps(owner))
        file.flush()
        os.replace(temporary, path)
    except BaseException:
        file.close()
        Path(temporary).unlink(missing_ok=True)
        raise
    return file


def _locks(file: IO[str]) -> bool:
    """Whether the file system has locks; then the file is locked."""
    try:
        return try_lock(file)
    except OSError:
        return False


def _keep(file: IO[str], path: Path, timeout: float, beat: float, done: threading.Event) -> None:
    """Touch a lease until `done`; the process ends where it is another's, or could not be touched for too long."""
    last = time.monotonic()
    while not done.wait(beat):
        try:
            if not _is_own(file, path):
                os._exit(LOST)
            os.utime(path)
            last = time.monotonic()
        except OSError:
            if time.monotonic() - last > timeout / 2:
                os._exit(LOST)


def _is_own(file: IO[str], path: Path) -> bool:
    """Whether the lease under its name is still the one that is held open."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _age(path: Path) -> float:
    """Seconds between a touch of a file and now, by the file system's clock, which may be back; 0 without a file."""
    clock = path.parent / ".clock"
    clock.touch()
    os.utime(clock)
    try:
        return abs(clock.stat().st_mtime - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


@contextlib.contextmanager
def _guard(path: Path, timeout: float) -> Iterator[None]:
    """While inside, nobody else takes this lease: a file that one alone can make, on every file system."""
    guard = path.with_name(f".{path.name}.taking")
    for again in (False, True):
        try:
            os.close(os.open(guard, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:  # held for milliseconds, unless its maker died within
            if again or _age(guard) < timeout:
                raise BusyError(f"Expected {path.name} to be free; somebody is taking it. Wait for it.") from None
            guard.unlink(missing_ok=True)
    try:
        yield
    finally:
        guard.unlink(missing_ok=True)
