"""One run of a sweep, started, or gone on with exactly from its last checkpoint: what a task does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from iwax.progress import Progress
from iwax.runs import CONFIG, STATUS, RunConfig, RunFolder, new_run, resume_run
from iwax.sweeps.folder import SweepFolder

__all__ = ["train_member"]


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
