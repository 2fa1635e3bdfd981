"""A sweep: what was asked for, trained by an executor until nothing is left."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iwax.progress import Progress
from iwax.sweeps.driver import RETRIES, Driver, Outcome
from iwax.sweeps.executors.protocol import Executor, Task
from iwax.sweeps.folder import SweepFolder
from iwax.sweeps.lease import TIMEOUT
from iwax.sweeps.planning import PlannedRun

__all__ = ["run_sweep", "sweep_tasks"]


def run_sweep(
    runs: Sequence[PlannedRun],
    folder: str | Path,
    executor: Executor,
    *,
    data_dir: str | None = None,
    force: bool = False,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    max_failures: int | None = None,
    environment: Mapping[str, str] | None = None,
    log: Callable[[str], None] = lambda message: None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train runs, each in a folder of its own below `folder`; what is finished there is not trained again.

    Whatever the executor, each run is `iwax.runs.new_run` in a process of its own, on as many cores: on one kind of
    machine the numbers are the same to the bit.

    Arguments:
        runs: as `iwax.sweeps.plan` gives them.
        folder: of the sweep, new or begun; all machines of the executor see it.
        executor: as `iwax.sweeps.make_executor` gives it; it is started, and closed at the end.
        data_dir: folder of the data sets.
        force: go on with runs under another version of the code, too.
        timeout: seconds after which a machine that is not heard of has lost its runs.
        retries, max_failures, log, on_progress: as for `iwax.sweeps.Driver`.
        environment: further variables of the runs' processes.

    Raises:
        OSError: the folder cannot be written.
        KeyboardInterrupt: the user's; the same call goes on.
    """
    own = SweepFolder(folder, timeout)
    own.add(runs)
    own.forgive(run.id for run in runs)
    tasks = sweep_tasks(own, [run.id for run in runs], data_dir=data_dir, force=force, environment=environment)
    with executor:
        driver = Driver(
            _Training(own), executor, retries=retries, max_failures=max_failures, log=log, on_progress=on_progress
        )
        return driver.run(tasks)


def sweep_tasks(
    folder: SweepFolder,
    ids: Sequence[str],
    *,
    data_dir: str | None = None,
    force: bool = False,
    environment: Mapping[str, str] | None = None,
) -> list[Task]:
    """The tasks of runs of a sweep: `iwax sweep --out FOLDER --run ID`, each under its lease."""
    more: tuple[str, ...] = () if data_dir is None else ("--data-dir", str(Path(data_dir).absolute()))
    more += ("--force",) if force else ()
    common: dict[str, Any] = {"timeout": folder.timeout, "environment": environment or {}}
    return [
        Task(
            name=id,
            arguments=("sweep", "--out", str(folder.path), "--run", id, *more),
            log=str(folder.log(id)),
            lease=str(folder.lease(id)),
            **common,
        )
        for id in ids
    ]


class _Training:
    """What the driver asks of training."""

    def __init__(self, folder: SweepFolder) -> None:
        self.folder = folder

    def is_done(self, task: Task) -> bool:
        return self.folder.is_done(task.name)

    def step(self, task: Task) -> int:
        return self.folder.step(task.name)

    def is_ready(self, task: Task) -> bool:
        return True

    def hopeless(self, task: Task) -> str:
        return self.folder.diverged(task.name)

    def give_up(self, task: Task, reason: str) -> None:
        self.folder.give_up(task.name, reason)
