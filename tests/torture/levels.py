"""A disk that is really full: a small file system of its own, on which a command runs out of space at every level.

Where the command's file operations are faults of the process (`faults`), one either happens or does not; here a part of
a file is written, and the system says what it says. It takes Linux and root, who may mount; elsewhere nothing is tried.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from torture.tour import JOURNEYS, cut_off, fresh, go

__all__ = ["can_mount", "on_small_disks"]

ROOM = 1 << 30  # bytes, where there is enough
PAGE = 4096


UNSEEN = ["unshare", "--mount"]
"""What starts a process whose file systems nobody else sees, and which go with it."""


def can_mount() -> bool:
    """Whether a process started by `UNSEEN` may mount a file system."""
    if sys.platform != "linux" or os.geteuid():
        return False
    with contextlib.suppress(FileNotFoundError), tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "none", folder]
        return not subprocess.run([*UNSEEN, *mount], check=False, stderr=subprocess.DEVNULL).returncode
    return False


def on_small_disks(root: Path, scratch: Path, name: str, count: int) -> dict[str, Any]:
    """`full_at_every_level` in a process that may mount; nothing where none may."""
    if not can_mount():
        return {"counts": {"no file system can be mounted": 0}, "wrong": []}
    command = [*UNSEEN, sys.executable, "-m", "torture.levels", str(root), str(scratch), name, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def full_at_every_level(root: Path, scratch: Path, name: str, count: int) -> dict[str, Any]:
    """Give the command `name` on a disk with room for 0/count, 1/count, ... of what it writes, then more room."""
    commands, end = JOURNEYS[name]
    place = scratch / "small"
    place.mkdir(exist_ok=True)
    copied, wrong = place / "copy", []
    with _mounted(place, ROOM):
        fresh(root, copied)
        before = _used(place)
        problem = go(commands(copied)[-1:])
        if problem:
            return {"counts": {"levels": 0}, "wrong": [f"{name}: {problem}"]}
        after, expected = _used(place), end(copied)
    most = before + 2 * (after - before) + 16 * PAGE  # files are written beside those whose place they take
    for number in range(count):
        size = before + (most - before) * number // count
        with _mounted(place, size):
            fresh(root, copied)
            problem = cut_off(commands(copied)[-1], contextlib.nullcontext(), copied)
            _mount(place, "remount,size", ROOM)
            problem = problem or go(commands(copied))
            if not problem and end(copied) != expected:
                problem = "another end than that of the command that nothing disturbed"
        if problem:
            wrong.append(f"{name}, with room for {size - before} bytes: {problem}")
    return {"counts": {"levels": count}, "wrong": wrong}


@contextlib.contextmanager
def _mounted(place: Path, size: int) -> Any:
    _mount(place, "size", size)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _mount(place: Path, option: str, size: int) -> None:
    how = f"{option}={-(-size // PAGE) * PAGE}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", how, "none", str(place)], check=True)


def _used(place: Path) -> int:
    found = os.statvfs(place)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


if __name__ == "__main__":
    print(json.dumps(full_at_every_level(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
