"""Tasks as processes of this machine: as many as it has GPUs, or else cores, each with its own."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from iwax.errors import IwaxError
from iwax.sweeps.executors.protocol import Ended, Task
from iwax.sweeps.hardware import available_cores, visible_gpus
from iwax.sweeps.process import interrupt, start_process

__all__ = ["LocalExecutor"]

PAUSE = 0.05


class LocalExecutor:
    """Processes of this machine; see `iwax.sweeps.executors.protocol.Executor`.

    Arguments:
        workers: how many tasks at a time; left out, one for each GPU (or share of one), or for each `cores` cores.
        cores: of each task.
        gpus: of each task: 0, 1, or a fraction such as 0.25; left out, 1 where there are any.
    """

    slots: int | None

    def __init__(self, workers: int | None = None, *, cores: int = 1, gpus: float | None = None) -> None:
        devices = visible_gpus()
        gpus = (1.0 if devices else 0.0) if gpus is None else gpus
        if gpus and (not devices or gpus > 1):
            raise IwaxError(f"Expected gpus to be at most 1, of {len(devices)} GPUs of this machine; got {gpus:g}.")
        if cores > available_cores():
            most = f"the {available_cores()} that this machine has for this process"
            raise IwaxError(f"Expected cores of a task to be at most {most}; got {cores}.")
        at_once = len(devices) * int(1 / gpus) if gpus else max(1, available_cores() // cores)
        self.slots = at_once if workers is None else workers
        self._resources: dict[str, Any] = {"cores": cores, "gpus": gpus, "devices": devices if gpus else ()}
        self._running: dict[subprocess.Popen[bytes], Task] = {}

    def start(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._running[start_process(replace(task, **self._resources))] = task

    def wait(self, seconds: float) -> list[Ended]:
        deadline = time.monotonic() + seconds
        while True:
            ended = [process for process in self._running if process.poll() is not None]
            if ended or time.monotonic() >= deadline:
                return [Ended(self._running.pop(process), process.returncode) for process in ended]
            time.sleep(PAUSE)

    def stop(self) -> None:
        interrupt(list(self._running))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stop()
