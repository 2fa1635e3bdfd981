"""One process at a time: a lock on an open file. It ends with the process that holds it, however that ends.

Who only asks whether a lock is held takes nothing, so that nobody who asks, however often, is in the way of one who
starts. How the system is asked:

Linux      the holder has a lock of its open file description (OFD) beside that of `flock`; F_OFD_GETLK tells of it.
macOS, BSD `flock` and `fcntl` share their locks; F_GETLK tells of them.
Windows    a locked byte cannot be read, so that byte is read.

On a system without any of these, and only there, the lock is taken for an instant to find out.
"""

import contextlib
import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from filelock import lock_descriptor, unlock_descriptor

from iwax.errors import IwaxError
from iwax.files import writing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["BusyError", "is_free", "locked", "try_lock"]

PATIENCE = 0.3  # seconds; a former version of iwax holds a lock for microseconds to ask whether it is free
PAUSE = 0.01
BSD = ("darwin", "freebsd")
LAYOUT, KIND = ("hhqqi0q", 0) if sys.platform.startswith("linux") else ("qqihh", 3)
"""Of a `struct flock` on 64 bits, and the place of its type in it."""


class BusyError(IwaxError):
    """Another process works on the same thing."""


def try_lock(file: IO, patience: float = PATIENCE) -> bool:
    """Whether the lock on an open file was free; then it is held until the file is closed.

    Arguments:
        file: open for writing; its content does not matter.
        patience: seconds for which to try again.
    """
    deadline = time.monotonic() + patience
    while not lock_descriptor(file.fileno(), blocking=False):
        if time.monotonic() >= deadline:
            return False
        time.sleep(PAUSE)
    _show(file)
    return True


@contextlib.contextmanager
def locked(path: Path, busy: str, patience: float = PATIENCE) -> Iterator[None]:
    """While inside, nobody else is inside with the same file, which is made if there is none, and stays.

    Arguments:
        busy: the message where somebody is, and still is after `patience` seconds.

    Raises:
        BusyError: somebody is.
        NotWritableError: the file cannot be made.
    """
    with writing(path):
        file = open(path, "w")  # noqa: SIM115 (closed below)
    with file:
        if not try_lock(file, patience):
            raise BusyError(busy)
        yield


def is_free(file: IO) -> bool:
    """Whether nobody holds the lock on an open file; where the system can be asked, it is not taken to find out."""
    if sys.platform == "win32":
        return _can_be_read(file)
    command = _command("F_OFD_GETLK", "F_GETLK")
    if command is None:
        return _can_be_taken(file)
    answer = fcntl.fcntl(file.fileno(), command, _whole_file(fcntl.F_WRLCK))
    return bool(struct.unpack(LAYOUT, answer)[KIND] == fcntl.F_UNLCK)


def _show(file: IO) -> None:
    """Make a lock that is held visible to who asks; where a file system refuses, it is held all the same."""
    command = _command("F_OFD_SETLK")
    if command is not None:
        with contextlib.suppress(OSError):  # NFS, where `flock` is such a lock already, and is seen
            fcntl.fcntl(file.fileno(), command, _whole_file(fcntl.F_WRLCK))


def _command(of_linux: str, elsewhere: str | None = None) -> int | None:
    """The number of a command of `fcntl`; None where there is none, or its arguments are of a form unknown here."""
    name = of_linux if sys.platform.startswith("linux") else elsewhere
    known = struct.calcsize("P") == 8 and (sys.platform.startswith("linux") or sys.platform in BSD)
    return getattr(fcntl, name, None) if known and name is not None else None


def _whole_file(kind: int) -> bytes:
    """A `struct flock` of all of a file, in the order that the system has its fields."""
    values = (kind, os.SEEK_SET, 0, 0, 0) if KIND == 0 else (0, 0, 0, kind, os.SEEK_SET)
    return struct.pack(LAYOUT, *values)


def _can_be_read(file: IO) -> bool:
    """Whether the byte that a holder locks can be read, which Windows refuses to all others."""
    try:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        os.read(file.fileno(), 1)
    except PermissionError:
        return False
    return True


def _can_be_taken(file: IO) -> bool:
    free = try_lock(file, 3 * PAUSE)  # longer than the instant of another that asks
    if free:
        unlock_descriptor(file.fileno())
    return free
