"""Faults of a machine, for tests: the process dies before its n-th file operation, or the disk is full from there on.

Operations are counted as Python reports them to audit hooks (`sys.addaudithook`), whatever library asks for them, so
that no code under test needs a hook of its own: opening a file to write, renaming, removing, making a folder,
truncating, changing the mode; and `os.fsync`, before which what was written is not yet on the disk. Those outside the
folder that is watched are not counted.

    with watched(folder) as seen: ...           # seen.operations: "open config.json", "rename ...", in order
    with killed_before(3, folder): ...          # `Killed` is raised there, and at all that is tried after
    with full_from(3, folder): ...              # what needs space fails with "No space left on device"

In a process of its own, which really dies, for `kill:3:FOLDER` or `full:3:FOLDER` in IWAX_FAULT:

    python -c "import faults; faults.arm(); from iwax.cli import main; main()" train ...
"""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "IWAX_FAULT"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink")
FREE = ("rename", "remove", "rmdir", "truncate", "chmod")  # which a full disk allows


class Killed(BaseException):
    """Stands for the end of the process: not even what cleans up reaches the disk after it."""


class Faults:
    """Counts the file operations under a folder, and fails from one of them on."""

    def __init__(self, folder: str | os.PathLike[str], first: int | None = None, how: str = "watch") -> None:
        self.folder, self.first, self.how = os.path.realpath(folder), first, how
        self.operations: list[str] = []

    def meet(self, what: str, path: object) -> None:
        """One operation, before it happens."""
        place = self._place(path)
        if place is None:
            return
        if self.first is not None and len(self.operations) + 1 >= self.first:
            self._fail(what, str(path))
        self.operations.append(f"{what} {place}")

    def _fail(self, what: str, path: str) -> None:
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "kill":
            raise Killed(f"{what} {path}")
        if self.how == "full" and what not in FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([path] if what != "fsync" else []))

    def _place(self, path: object) -> str | None:
        """The path within the folder; None for one outside, and for what is no path."""
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        parent, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        whole = os.path.join(os.path.realpath(parent), name)
        inside = whole == self.folder or whole.startswith(self.folder + os.sep)
        return os.path.relpath(whole, self.folder) if inside else None


_active: list[Faults] = []
_hooked = False


def _hook(event: str, arguments: tuple) -> None:
    if not _active:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = any(letter in mode for letter in "wax+") if mode else bool((flags or 0) & WRITING)
        if writes:
            _active[-1].meet("open", path)
    elif event in EVENTS:
        path = arguments[1] if event in ("os.rename", "os.link", "os.symlink") else arguments[0]
        _active[-1].meet(event.removeprefix("os."), path)


def _fsync(descriptor: int, real=os.fsync) -> None:
    path = f"/proc/self/fd/{descriptor}"
    if _active and os.path.exists(path):
        _active[-1].meet("fsync", os.readlink(path))
    real(descriptor)


def _begin(faults: Faults) -> None:
    global _hooked
    if not _hooked:  # a hook stays as long as the process; `_active` says whether it has something to do
        sys.addaudithook(_hook)
        _hooked = True
    _active.append(faults)


@contextmanager
def _faults(faults: Faults) -> Iterator[Faults]:
    real, os.fsync = os.fsync, _fsync
    _begin(faults)
    try:
        yield faults
    finally:
        _active.remove(faults)
        os.fsync = real


def watched(folder: str | os.PathLike[str]):
    """A context that counts: its value's `operations` are those so far."""
    return _faults(Faults(folder))


def killed_before(number: int, folder: str | os.PathLike[str]):
    """A context in which operation `number`, from 1, and all after it raise Killed and do not happen."""
    return _faults(Faults(folder, number, "kill"))


def full_from(number: int, folder: str | os.PathLike[str]):
    """A context in which from operation `number` on whatever needs space fails; removing and renaming do not."""
    return _faults(Faults(folder, number, "full"))


def arm() -> None:
    """As IWAX_FAULT says, for the rest of this process."""
    how, number, folder = os.environ[VARIABLE].split(":", 2)
    os.fsync = _fsync
    _begin(Faults(Path(folder), int(number), {"kill": "die", "full": "full"}[how]))
