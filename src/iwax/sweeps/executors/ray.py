"""Tasks on a Ray cluster: Ray Core decides where each runs, and starts workers in place of those that die.

What is Ray's here is only placing: a worker of Ray's starts the task as a process of its own and waits for it. So a
worker that idles holds no GPU memory (`max_calls=1` ends it all the same), nothing but text goes through the object
store, and the GPUs that Ray lends are set before the process imports JAX. Ray tries nothing again (`max_retries=0`):
the driver does, and the run's own checkpoint says from where.
"""

import time
from collections.abc import Sequence
from typing import Any, Self

from iwax.errors import IwaxError
from iwax.extras import missing
from iwax.sweeps.executors.protocol import Ended, Task, first_sentence
from iwax.sweeps.process import run_process

__all__ = ["RayExecutor"]


class RayExecutor:
    """Tasks of a Ray cluster, all of which see the runs' folder under one path and have iwax installed.

    Arguments:
        address: of the cluster, such as "auto" or HOST:PORT; left out, RAY_ADDRESS, or a new one on this machine.
        workers: how many tasks at a time; left out, as many as the cluster has cores (or GPUs) for.
        cores, gpus: of each task; fractions of a GPU are shared out by Ray.
        options: further ones of `ray.init`.
    """

    slots: int | None

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        cores: int = 1,
        gpus: float | None = None,
        **options: Any,
    ) -> None:
        self._address, self._options = address, options
        self._cores, self._gpus = cores, gpus or 0.0
        self.slots = workers
        self._running: dict[Any, Task] = {}

    def __enter__(self) -> Self:
        try:
            import ray
        except ImportError as error:
            raise missing("ray", "sweeps on a Ray cluster") from error
        self._ray = ray
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self._address is None:
            quiet["include_dashboard"] = False
        try:
            ray.init(self._address, **quiet | self._options)
        except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
            raise IwaxError(
                f"Expected a Ray cluster at {self._address} to take tasks; got {first_sentence(error)}. Start one with "
                "`ray start --head`, by the Python and Ray that run this, or leave out --address."
            ) from error
        self._run = ray.remote(num_cpus=self._cores, num_gpus=self._gpus, max_retries=0, max_calls=1)(run_process)
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stop()
        self._ray.shutdown()

    def start(self, tasks: Sequence[Task]) -> None:
        resources: dict[str, Any] = {"cores": self._cores, "gpus": self._gpus}
        for task in tasks:
            self._running[self._run.remote(_with(task, resources))] = task

    def wait(self, seconds: float) -> list[Ended]:
        if not self._running:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [self._ended(reference) for reference in ready]

    def _ended(self, reference: Any) -> Ended:
        task = self._running.pop(reference)
        try:
            return Ended(task, self._ray.get(reference))
        except self._ray.exceptions.RayError as error:  # the worker died, or its node
            return Ended(task, None, f"{type(error).__name__}: {first_sentence(error)}")

    def stop(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference)  # as Ctrl-C in the worker, which passes it on to the task
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=100.0)
        self._running.clear()


def _with(task: Task, resources: dict[str, Any]) -> Task:
    return Task(**task.to_json() | resources)
