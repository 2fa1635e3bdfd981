"""The driver: a loop over what is left to do. It holds no state that is not in files, and may be killed at any time."""

import collections
import dataclasses
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from iwax.interrupts import raising
from iwax.progress import Progress
from iwax.sweeps.executors.protocol import BUSY, Ended, Executor, Task
from iwax.sweeps.lease import LOST, holder

__all__ = ["RETRIES", "Driver", "Failure", "Outcome", "Work"]

RETRIES = 3
POLL = 1.0  # seconds between two looks at what others do
INTERRUPTED = 128 + signal.SIGINT


class Work(Protocol):
    """What a driver asks of the tasks it is given."""

    def is_done(self, task: Task) -> bool:
        """Whether nothing of a task is left to do, whoever did it."""

    def step(self, task: Task) -> int:
        """How far a task has got, by what it would go on from."""

    def is_ready(self, task: Task) -> bool:
        """Whether all that a task goes on from is done."""

    def hopeless(self, task: Task) -> str:
        """Why a task would end as it did before, whoever tries; "" if nothing says so."""

    def give_up(self, task: Task, reason: str) -> None:
        """Told of every task that is given up, and why."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a task was given up, in one line, and the log that says more."""

    name: str
    reason: str
    log: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What has become of all tasks.

    Attributes:
        done: by name; `found` of them were done before.
        failed: given up; they stopped no other.
        left: not started, since too many had failed.
    """

    done: tuple[str, ...]
    found: tuple[str, ...]
    failed: tuple[Failure, ...]
    left: tuple[str, ...]


class Driver:
    """Sees to it that every task is done, or given up, by this driver or by others on the same files.

    A task that is killed, or lost with its machine, is started again, and goes on from its checkpoint; given up after
    so many deaths without getting on. One that says what is wrong is given up at once. One that somebody else works on
    is waited for: it is theirs until they end.

    Arguments:
        work: says what is done.
        executor: where tasks run, started.
        retries: how many deaths without getting on a task may have.
        max_failures: once so many are given up no other is started; None for no limit.
        log: told what happens.
        on_progress: called as tasks end.
    """

    def __init__(
        self,
        work: Work,
        executor: Executor,
        *,
        retries: int = RETRIES,
        max_failures: int | None = None,
        log: Callable[[str], None] = lambda message: None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.work, self.executor, self.log, self.on_progress = work, executor, log, on_progress
        self.retries, self.max_failures = retries, max_failures
        self.done, self.failed = list[str](), list[Failure]()
        self.waiting, self.running = dict[str, Task](), dict[str, Task]()
        self._deaths, self._steps = collections.Counter[str](), dict[str, int]()

    def run(self, tasks: Sequence[Task]) -> Outcome:
        """Work until nothing is left.

        Raises:
            KeyboardInterrupt: as the user's, once all tasks have written their checkpoints.
        """
        found = tuple(task.name for task in tasks if self.work.is_done(task))
        self.done += found
        self.waiting = {task.name: task for task in tasks if task.name not in found}
        self._steps = {name: self.work.step(task) for name, task in self.waiting.items()}
        try:
            with raising():  # a signal to a command
                self._report(len(tasks))
                while self.running or (self.waiting and not self._is_full):
                    self._start()
                    self._give_up_stuck()
                    for ended in self.executor.wait(POLL) if self.running or self.waiting else ():
                        self._end(ended)
                        self._report(len(tasks))
                self._report(len(tasks))  # the last may have been found done by others
        except KeyboardInterrupt:
            self.log(f"Interrupting {len(self.running)} tasks; the same command goes on with all that is left.")
            self.executor.stop()
            raise
        return Outcome(tuple(self.done), found, tuple(self.failed), tuple(self.waiting))

    @property
    def _is_full(self) -> bool:
        return self.max_failures is not None and len(self.failed) >= self.max_failures

    def _start(self) -> None:
        """Start what nobody works on, as far as there is room; leave out what others have done meanwhile."""
        slots = self.executor.slots
        room = len(self.waiting) if slots is None else slots - len(self.running)
        chosen: list[Task] = []
        for name, task in list(self.waiting.items()):
            if len(chosen) >= room or self._is_full:
                break
            if self.work.is_done(task):
                self._finish(self.waiting.pop(name), "by another driver")
            elif reason := self.work.hopeless(task):
                self._fail(self.waiting.pop(name), reason)
            elif self.work.is_ready(task) and (task.lease is None or holder(task.lease, task.timeout) is None):
                chosen.append(self.waiting.pop(name))
        if chosen:
            self.executor.start(chosen)
            self.running |= {task.name: task for task in chosen}

    def _give_up_stuck(self) -> None:
        """What waits for something that was given up here would wait for ever."""
        if not self.running and self.failed and not any(self.work.is_ready(task) for task in self.waiting.values()):
            for name in list(self.waiting):
                self._fail(self.waiting.pop(name), "It was not started: what it goes on from was given up.")

    def _end(self, ended: Ended) -> None:
        """Decide what follows from how a task ended."""
        task, status = ended.task, ended.status
        self.running.pop(task.name)
        if self.work.is_done(task):
            self._finish(task, "")
        elif status == BUSY:  # back to the end of the queue, until whoever has it is done
            self.waiting[task.name] = task
        elif status is None or status < 0 or status in (LOST, INTERRUPTED) or status >= 128:
            self._die(task, ended)
        else:
            self._fail(task, self.work.hopeless(task) or _reason(task, status))

    def _die(self, task: Task, ended: Ended) -> None:
        step = self.work.step(task)
        if step > self._steps[task.name]:
            self._deaths[task.name] = 0
        self._steps[task.name] = step
        self._deaths[task.name] += 1
        how = _how(ended)
        if self._deaths[task.name] > self.retries:
            self._fail(task, f"It {how}, {self._deaths[task.name]} times without getting on.")
        else:
            self.log(f"{task.name}: {how}; it goes on from its last checkpoint")
            self.waiting[task.name] = task

    def _finish(self, task: Task, note: str) -> None:
        self.done.append(task.name)
        self.log(f"{task.name}: done {note}".rstrip())

    def _fail(self, task: Task, reason: str) -> None:
        self.failed.append(Failure(task.name, reason, task.log))
        self.work.give_up(task, reason)
        self.log(f"{task.name}: failed. {reason} Its log: {task.log}")
        if self._is_full:
            self.log(f"{len(self.failed)} have failed: no other is started.")

    def _report(self, total: int) -> None:
        if self.on_progress is not None:
            ended = len(self.done) + len(self.failed)
            note = f"{len(self.done)} done, {len(self.running)} running, {len(self.failed)} failed"
            self.on_progress(Progress(ended, total, note))


def _how(ended: Ended) -> str:
    """How a task died, in words."""
    if ended.status is None:
        return f"was lost ({ended.note})"
    if ended.status < 0:
        return f"was killed by {signal.Signals(-ended.status).name}"
    return {LOST: "lost its lease", INTERRUPTED: "was interrupted"}.get(ended.status, f"ended by {ended.status}")


def _reason(task: Task, status: int) -> str:
    """The last thing that a task said."""
    said: list[Any] = []
    if Path(task.log).exists():
        lines = Path(task.log).read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.strip()]
    return said[-1].removeprefix("iwax: ") if said else f"It ended with status {status}, and said nothing."
