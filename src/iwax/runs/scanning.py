"""The runs under a folder, found by one look at each folder, with signatures that say whether their files changed."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from iwax.runs.contents import CHECKPOINT, CONFIG, ENVIRONMENT, LOCK, METRICS, STATUS

__all__ = ["FoundRun", "file_signature", "scan_runs"]

SETTLED = 2.0  # seconds; a file changed since may change again without a trace in its size and times
OF_A_RUN = (ENVIRONMENT, STATUS, METRICS, CHECKPOINT)
"""What tells a run from another folder with a file config.json: one of these is in it."""

FoundRun = tuple[Path, str]
"""A run's folder, and the signature of its files; "" while they change."""


def scan_runs(path: str | os.PathLike[str]) -> list[FoundRun]:
    """The runs in and under a folder, in the order of their paths, each with a signature of its files.

    Folders that may not be entered are left out; links to folders are not followed.
    """
    found = sorted(_walk(os.fspath(path)), key=lambda run: run[0].split(os.sep))
    return [(Path(folder), signature) for folder, signature in found]


def _walk(folder: str) -> Iterator[tuple[str, str]]:
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                here = {entry.name: entry for entry in entries}
        except OSError:
            continue
        if CONFIG in here and any(name in here for name in OF_A_RUN):
            yield folder, _signature(here)
        waiting += [entry.path for entry in here.values() if entry.is_dir(follow_symlinks=False)]


def _signature(entries: dict[str, os.DirEntry[str]]) -> str:
    """Of the names, sizes, times and inodes of a run's files; "" if one has changed just now, or is a link."""
    parts, recent = [], time.time() - SETTLED
    for name in sorted(entries):
        try:
            stat = entries[name].stat(follow_symlinks=False)
        except OSError:
            return ""
        if entries[name].is_symlink() or (stat.st_mtime > recent and name != LOCK):
            return ""
        if name != LOCK:
            parts.append((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def file_signature(path: Path) -> str:
    """The same of one file, which may be a link; "" if it has changed just now, or is not there."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    if stat.st_mtime > time.time() - SETTLED:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
