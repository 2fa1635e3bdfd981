"""One run of a sweep, started, or gone on with exactly from its last checkpoint: what a task does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.progress import Progress
from iwax.runs import CONFIG, STATUS, RunConfig, RunFolder, new_run, resume_run
from iwax.sweeps.folder import SweepFolder
from iwax.sweeps.mirror import Mirror

__all__ = ["train_member", "train_mirrored"]


def train_member(
    folder: str | Path,
    id: str,
    *,
    data_dir: str | None = None,
    force: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunFolder:
    """Train one run of a sweep to its end.

    Arguments:
        folder: of the sweep.
        id: of the run.
        data_dir: folder of the data sets.
        force: go on with a run under another version of the code, too.
        on_progress: called about twice a second.

    Raises:
        BusyError: another process trains it.
        ValueError, OSError, NonFiniteLossError: as `iwax.runs.new_run` and `iwax.runs.resume_run`.
    """
    sweep = SweepFolder(folder)
    options, run = sweep.options(id), sweep.run(id)
    if run.json(STATUS).get("state") == "finished":
        return run
    common: dict[str, Any] = {"data_dir": data_dir, "on_progress": on_progress}
    if any(run.checkpoints()):
        return resume_run(run.path, force=force, **common)
    begun = (run.path / CONFIG).exists()  # and killed before its first checkpoint
    return new_run(RunConfig(**options), run.path, overwrite=begun, **common)


def train_mirrored(
    mirror: Mirror,
    id: str,
    *,
    log: Callable[[str], None] = lambda message: None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> RunFolder:
    """`train_member` of a run in a store: brought before, and put back after each checkpoint and at the end.

    A store that cannot be reached meanwhile is told to `log` and stops nothing; one that cannot at the end does.
    """
    mirror.fetch_run(id)
    status, seen = mirror.folder / id / STATUS, 0

    def mirrored(progress: Progress) -> None:
        nonlocal seen
        if status.exists() and (now := status.stat().st_mtime_ns) != seen:  # written after each checkpoint
            seen = now
            try:
                mirror.push_run(id)
            except IwaxError as error:
                log(f"{error} It is tried again after the next checkpoint.")
        if on_progress is not None:
            on_progress(progress)

    try:
        return train_member(mirror.folder, id, on_progress=mirrored, **options)
    finally:
        mirror.push_run(id)
