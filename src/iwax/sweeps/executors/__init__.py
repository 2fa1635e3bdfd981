"""Executors: engines that run tasks, one file each behind one small protocol (`iwax.sweeps.executors.protocol`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from iwax.checks import check_choice
from iwax.errors import IwaxError
from iwax.sweeps.executors.protocol import Ended, Executor, Task

__all__ = ["EXECUTORS", "Ended", "Executor", "Task", "make_executor"]

LEAST_SHARE = 0.01  # of a GPU
MOST_GPUS = 1024


def _local(folder: Path, *, workers: int | None, cores: int, gpus: float | None, **others: Any) -> Executor:
    from iwax.sweeps.executors.local import LocalExecutor

    return LocalExecutor(workers, cores=cores, gpus=gpus)


def _ray(folder: Path, *, address: str | None, minutes: int | None, **options: Any) -> Executor:
    from iwax.sweeps.executors.ray import RayExecutor

    return RayExecutor(address, **options)


def _slurm(folder: Path, *, address: str | None, minutes: int | None, **options: Any) -> Executor:
    from iwax.sweeps.executors.slurm import MINUTES, SlurmExecutor

    return SlurmExecutor(folder / "slurm", minutes=minutes or MINUTES, **options)


EXECUTORS: dict[str, Callable[..., Executor]] = {"local": _local, "ray": _ray, "slurm": _slurm}


def make_executor(
    name: str,
    folder: Path,
    *,
    workers: int | None = None,
    cores: int = 1,
    gpus: float | None = None,
    address: str | None = None,
    minutes: int | None = None,
) -> Executor:
    """The executor of a name, not yet started.

    Arguments:
        name: "local", "ray" or "slurm".
        folder: for what the engine keeps of its own.
        workers: tasks at a time; as many as there is room for if left out.
        cores, gpus: of each task; GPUs left out are 1 of "local" where the machine has some, else 0.
        address: of a Ray cluster.
        minutes: of each Slurm job.

    Raises:
        ValueError: an unknown name, or more than there is.
        MissingExtraError: the engine is not installed.
    """
    check_choice("executor", name, EXECUTORS)
    if gpus is not None and not (gpus == 0 or LEAST_SHARE <= gpus <= MOST_GPUS):  # which NaN is not either
        raise IwaxError(f"Expected gpus of a task to be 0, or from {LEAST_SHARE} to {MOST_GPUS}; got {gpus:g}.")
    options: dict[str, Any] = {"workers": workers, "cores": cores, "gpus": gpus}
    return EXECUTORS[name](folder, **options, address=address, minutes=minutes)
