"""One session of several runs: as one program, or side by side, one on each core."""

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import jax
import numpy as np

from iwax import interrupts
from iwax.errors import is_out_of_memory
from iwax.progress import Progress
from iwax.runs.environment import cores
from iwax.runs.session import CHUNK_SECONDS, Clock, Session, training_progress
from iwax.training import Cohort, CohortState, NonFiniteLossError, TrainState

__all__ = ["train_as_one", "train_side_by_side", "vectorized_is_quicker"]

HEARS_SECONDS = 0.1
"""After which a thread that waits for others looks for signals."""

Failures = dict[str, NonFiniteLossError]
OnProgress = Callable[[Progress], None] | None


def vectorized_is_quicker() -> bool:
    """Whether one program for all runs is the quicker way on these devices; see docs/cohorts.md for what was timed."""
    return jax.default_backend() != "cpu"


def train_as_one(sessions: list[Session], states: list[TrainState], on_progress: OnProgress = None) -> Failures:
    """Train the runs on from their states, all at one step, by one program; the runs that failed, by name.

    A run that fails stops there, and the others go on.
    """
    cohort, state = Cohort(tuple(session.trainer for session in sessions)), CohortState.stack(states)
    alive, failures = dict(enumerate(sessions)), Failures()
    lead, total_steps = sessions[0], sessions[0].total_steps
    with contextlib.ExitStack() as stack:
        for session in sessions:
            stack.enter_context(session.folder.lock())
        clocks = [session.begin(member) for session, member in zip(sessions, states, strict=True)]
        clock = clocks[0]
        try:
            with interrupts.finishing():
                for after in cohort.chunks(state, total_steps, CHUNK_SECONDS):
                    for i in list(alive):
                        error = cohort.failure(after, i, int(state.step))
                        if error is not None:
                            failures[sessions[i].folder.path.name] = error
                            alive.pop(i).fail(state.member(i), clock, error)
                    name = lead.name_of(int(after.step), clock)
                    _keep(alive, after, clock, name)
                    state = after  # not before its records are written: what an interruption saves is `state`
                    if not alive:
                        break
                    _report(on_progress, alive, state, clock)
                    if name == "stopped":
                        break
        except interrupts.Interrupted:
            raise  # all is written
        except (MemoryError, RuntimeError, ValueError) as error:
            if not is_out_of_memory(error):
                raise
            full = lead.out_of_memory(error)
            for i, session in alive.items():
                session.fail(state.member(i), clock, full)
            raise full from error
        except KeyboardInterrupt:
            name = lead.name_of(int(state.step), clock, interrupted=True)
            for i, session in alive.items():
                session.save(state.member(i), clock, name)
            raise
    return failures


def train_side_by_side(sessions: list[Session], states: list[TrainState], on_progress: OnProgress = None) -> Failures:
    """Train the runs on from their states, each as it would be alone, as many at a time as there are cores.

    The runs that failed, by name; the others go on. An interruption or another error stops all of them. A time limit is
    that of all together, so that some may not get their turn.
    """
    begin, workers = time.monotonic(), cores()
    going = [i for i, session in enumerate(sessions) if int(states[i].step) < session.total_steps]
    halt, failures, heard = threading.Event(), Failures(), _Heard(on_progress, len(sessions))

    def train(index: int) -> None:
        session = sessions[index]
        limit = None if session.time_limit is None else session.time_limit - (time.monotonic() - begin)
        if halt.is_set() or (limit is not None and limit <= 0 and index in going[workers:]):
            return
        hear = functools.partial(heard.hear, index)
        try:
            dataclasses.replace(session, time_limit=limit, halt=halt, on_progress=hear).run(states[index])
        except NonFiniteLossError as error:
            failures[session.folder.path.name] = error
        except BaseException:
            halt.set()
            raise

    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in [pool.submit(train, index) for index in range(len(sessions))]:
                while not wait([future], HEARS_SECONDS).done:
                    pass  # a signal is answered between two waits, whichever thread the system gave it to
                future.result()
        except BaseException:
            halt.set()
            raise
    return failures


class _Heard:
    """The progress of several runs as one."""

    def __init__(self, on_progress: OnProgress, runs: int) -> None:
        self.on_progress, self.runs = on_progress, runs
        self._lock, self._last = threading.Lock(), dict[int, Progress]()

    def hear(self, index: int, progress: Progress) -> None:
        with self._lock:
            self._last[index] = progress
            seen = self._last.values()
            most = max(p.numbers.get("samples", 0) for p in seen)  # a mean of bounds of one number of samples
            alike = [p.numbers["bound"] for p in seen if p.numbers.get("samples", 0) == most]
            if self.on_progress is not None:
                self.on_progress(
                    training_progress(
                        step=sum(p.step for p in seen),
                        total_steps=self.runs * progress.total_steps,
                        epoch=sum(int(p.numbers["epoch"]) for p in seen),
                        epochs=self.runs * int(progress.numbers["epochs"]),
                        bound=float(np.mean(alike)),
                        seconds=max(p.numbers["seconds"] for p in seen),
                        rate=float(sum(p.numbers["rate"] for p in seen if p.step < p.total_steps)),
                        runs=self.runs,
                        samples=int(most) or None,
                    )
                )


def _keep(alive: dict[int, Session], state: CohortState, clock: Clock, name: str) -> None:
    """What is written after a chunk of steps; all checkpoints or none, since the runs go on from one step."""
    save = clock.due or name != "running"
    for i, session in alive.items():
        if save or int(state.step) % session.trainer.steps_per_epoch == 0:
            session.keep(state.member(i), clock, name, save=save)


def _report(on_progress: OnProgress, alive: dict[int, Session], state: CohortState, clock: Clock) -> None:
    step, session, runs = int(state.step), next(iter(alive.values())), len(alive)
    rate, per_epoch = runs * clock.rate(step), session.trainer.steps_per_epoch
    if on_progress is not None:
        bounds = np.asarray(state.runs.bounds)[sorted(alive), (step - 1) % per_epoch].reshape(runs, -1)[:, -1]
        epochs = runs * session.resolved.epochs
        total, mean = runs * session.total_steps, float(np.mean(bounds))
        epoch = runs * -(-step // per_epoch)
        samples = None if session.trainer.early is None else session.trainer.num_samples(state.runs)
        on_progress(training_progress(runs * step, total, epoch, epochs, mean, clock.total, rate, runs, samples))
