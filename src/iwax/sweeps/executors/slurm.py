"""Tasks as jobs of a Slurm cluster, through submitit: an array of jobs, each with its time, its cores and its GPUs.

A job that is pre-empted, or comes to the end of its time, is told so by a signal some time before: its run writes a
checkpoint, and the job is queued again. What has been queued goes on without the driver; a driver that is started
again finds what is running by its lease, and what is finished by its folder.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from iwax.errors import IwaxError
from iwax.extras import missing
from iwax.sweeps.executors.protocol import Ended, Task, first_sentence
from iwax.sweeps.process import PATIENCE, start_process

__all__ = ["Job", "SlurmExecutor"]

MINUTES = 60
TIMEOUTS = 100  # how often a job may come to the end of its time; each time it has got on
PAUSE = 1.0


class Job:
    """What a job runs: a task. submitit asks it, before the job is taken away, for what is to be queued instead."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        self._process = start_process(self.task)
        while self._process.poll() is None:  # submitit's signals are answered meanwhile, whichever thread took them
            time.sleep(PAUSE / 10)
        return self._process.returncode

    def checkpoint(self) -> Any:
        """Has the run write its checkpoint, and gives the same job afresh; the run goes on from there."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            _interrupt(self._process.pid)
        return DelayedSubmission(Job(self.task))


def _interrupt(pid: int) -> None:
    """Interrupt a child and wait for its end, without `Popen`: its `poll`, within which a signal may call this, holds
    the lock that its other methods wait for."""
    deadline = time.monotonic() + PATIENCE
    with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it has ended
        os.kill(pid, signal.SIGINT)
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(PAUSE / 10)


class SlurmExecutor:
    """Jobs of Slurm, all of which see the runs' folder under one path and use this Python.

    Arguments:
        folder: for the scripts and logs of submitit, which all nodes see.
        minutes: of each job; a run that needs more goes on in a job after it.
        workers: how many jobs of the array run at a time; as many as there is room for if left out.
        cores, gpus: of each job; GPUs are whole.
        cluster: "slurm", or "local" for processes of this machine in its place, to try it.
        options: further ones of submitit, such as slurm_partition or slurm_account.
    """

    slots: int | None

    def __init__(
        self,
        folder: str | Path,
        *,
        minutes: int = MINUTES,
        workers: int | None = None,
        cores: int = 1,
        gpus: float | None = None,
        cluster: str = "slurm",
        **options: Any,
    ) -> None:
        if gpus is not None and gpus != int(gpus):
            raise IwaxError(f"Expected gpus of a Slurm job to be whole; got {gpus:g}.")
        self._folder, self._cluster = Path(folder), cluster
        self.slots = workers if cluster == "local" else None  # Slurm has a queue
        self._resources: dict[str, Any] = {"cores": cores, "gpus": float(gpus or 0)}
        self._parameters: dict[str, Any] = {"timeout_min": minutes, "cpus_per_task": cores, "name": "iwax", **options}
        if gpus:
            self._parameters["gpus_per_node"] = int(gpus)
        if workers is not None:
            self._parameters["slurm_array_parallelism"] = workers
        self._running: dict[Any, Task] = {}

    def __enter__(self) -> Self:
        try:
            import submitit
        except ImportError as error:
            raise missing("submitit", "sweeps on a Slurm cluster") from error
        try:
            own: dict[str, Any] = {"slurm_max_num_timeout": TIMEOUTS, "local_max_num_timeout": TIMEOUTS}
            self._executor = submitit.AutoExecutor(self._folder, cluster=self._cluster, **own)
        except RuntimeError as error:
            raise IwaxError(
                f"Expected Slurm's commands to be found; got {error} Use a machine from which `sbatch` works."
            ) from error
        self._executor.update_parameters(**self._parameters)
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stop()

    def start(self, tasks: Sequence[Task]) -> None:
        jobs = [Job(replace(task, **self._resources)) for task in tasks]
        if jobs:
            self._running |= dict(zip(self._executor.submit_array(jobs), tasks, strict=True))

    def wait(self, seconds: float) -> list[Ended]:
        deadline = time.monotonic() + seconds
        while True:
            ended = [job for job in self._running if job.done()]
            if ended or time.monotonic() >= deadline:
                return [_ended(job, self._running.pop(job)) for job in ended]
            time.sleep(PAUSE)

    def stop(self) -> None:
        for job in self._running:
            job.cancel(check=False)
        self._running.clear()


def _ended(job: Any, task: Task) -> Ended:
    error = job.exception()
    if error is None:
        return Ended(task, job.result())
    return Ended(task, None, f"{type(error).__name__}: {first_sentence(error)}")
