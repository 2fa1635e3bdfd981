"""Tasks as processes of this machine: as many as it has GPUs, or else cores, each with its own."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from iwax.errors import IwaxError
from iwax.sweeps.executors.protocol import Ended, Task
from iwax.sweeps.process import interrupt, start_process

__all__ = ["LocalExecutor", "visible_gpus"]

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


def visible_gpus() -> tuple[str, ...]:
    """The NVIDIA GPUs that CUDA would show, as CUDA_VISIBLE_DEVICES names them; found without JAX, which takes memory.

    There are none where JAX_PLATFORMS leaves them out.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return ()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name for name in named.split(",") if name)
    found = [match[1] for path in Path("/dev").glob("nvidia*") if (match := re.fullmatch(r"nvidia(\d+)", path.name))]
    return tuple(sorted(found, key=int))


def available_cores() -> int:
    """How many cores this process may use (`iwax.runs.cores`, without JAX)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
