"""One session of a run: training between two looks at the clock, and what is written and reported then."""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from iwax import interrupts
from iwax.data import Dataset
from iwax.errors import OutOfMemoryError, is_out_of_memory
from iwax.evaluation import evaluate
from iwax.keys import TrainingKeys
from iwax.models import Model
from iwax.progress import Progress
from iwax.runs.choice import Choice
from iwax.runs.folder import ENVIRONMENT, EVALUATIONS, METRICS, STATUS, RunFolder
from iwax.runs.initial import validation_images
from iwax.runs.resolution import AlongTraining, ResolvedRun
from iwax.training import NonFiniteLossError, Trainer, TrainState

__all__ = ["CHUNK_SECONDS", "Clock", "Session", "training_progress"]

CHUNK_SECONDS = 0.5  # how long the device works between two looks at the clock
CHECKPOINT_SECONDS = 60.0  # how much work a crash may lose


def training_progress(
    step: int,
    total_steps: int,
    epoch: int,
    epochs: int,
    bound: float,
    seconds: float,
    rate: float,
    runs: int = 1,
    samples: int | None = None,
) -> Progress:
    """The progress of a run, or of several; with the samples of its bound, where that changes along training."""
    all_runs = "" if runs == 1 else f"{runs} runs, "
    of, more = ("", {}) if samples is None else (f" of {samples} samples", {"samples": samples})
    return Progress(
        step,
        total_steps,
        f"{all_runs}epoch {epoch}/{epochs}, {rate:.0f} steps/s, bound {bound:.2f}{of}",
        {"epoch": epoch, "epochs": epochs, "bound": bound, "seconds": seconds, "rate": rate, "runs": runs, **more},
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """Trains one run from some state to its end, or to a time limit (in seconds).

    Records are written as epochs end, checkpoints at intervals; a record that a crash outlives is made again.
    """

    folder: RunFolder
    resolved: ResolvedRun
    trainer: Trainer
    data: Dataset
    time_limit: float | None = None
    on_progress: Callable[[Progress], None] | None = None
    halt: threading.Event | None = None
    """Set from another thread, it stops the run as a time limit does."""
    entry: dict[str, Any] | None = None
    """Of a run that goes on: what its record says of this session, once that trains."""

    def run(self, state: TrainState) -> None:
        """Train on from `state`.

        Raises:
            NonFiniteLossError: the loss became NaN or infinite; the last good checkpoint stays.
            OutOfMemoryError: as for the checkpoint.
            Interrupted: a command was asked to stop, and the checkpoint is written.
        """
        with self.folder.lock():
            clock = self.begin(state)
            if self._is_over(int(state.step)):
                return
            try:
                with interrupts.finishing():
                    for after in self.trainer.chunks(state, self.total_steps, CHUNK_SECONDS):
                        name = self.name_of(int(after.step), clock)
                        name = self.keep(after, clock, name, save=clock.due or name != "running")
                        state = after  # not before its record is written: what an interruption saves is `state`
                        self._report(state, clock)
                        if name != "running":
                            break
            except interrupts.Interrupted:
                raise  # all is written
            except NonFiniteLossError as error:
                self.fail(state, clock, error)
                raise
            except (MemoryError, RuntimeError, ValueError) as error:  # the last from device_put
                if not is_out_of_memory(error):
                    raise
                self.fail(state, clock, full := self.out_of_memory(error))
                raise full from error
            except KeyboardInterrupt:
                self.save(state, clock, self.name_of(int(state.step), clock, interrupted=True))
                raise

    @property
    def total_steps(self) -> int:
        return self.resolved.epochs * self.trainer.steps_per_epoch

    @property
    def choice(self) -> Choice:
        """What the run selects by its validation images."""
        return Choice(self.folder, self.resolved.config)

    def begin(self, state: TrainState) -> "Clock":
        """What is written before the first step of a session, whose clock starts here."""
        self.folder.rewind(int(state.step), self._epochs(state))
        if self.entry is not None and not self._is_over(int(state.step)):
            began = self.folder.json(ENVIRONMENT)
            self.folder.write_json(ENVIRONMENT, began | {"sessions": [*began.get("sessions", []), self.entry]})
        clock = Clock(self.folder.json(STATUS).get("seconds", 0.0), int(state.step))
        if int(state.step) == 0:
            self.save(state, clock, "running")
        self.choice.complete(state, self._epochs(state))
        self._write_status("finished" if self._is_over(int(state.step)) else "running", state, clock)
        return clock

    def keep(self, state: TrainState, clock: "Clock", name: str, *, save: bool) -> str:
        """What is written after a chunk of steps: the record of an epoch just ended, and a checkpoint on request.

        Returns whether the run is then finished, stopped or running. A best checkpoint is written after the last one of
        the same step, so that it never outlives the record by which it is the best.
        """
        better = False
        if int(state.step) % self.trainer.steps_per_epoch == 0:
            better = self._write_records(state)
            name = "finished" if self._is_over(int(state.step)) else name
        if save or better or name == "finished":
            self.save(state, clock, name)
        if better:
            self.choice.save(state)
        return name

    def fail(self, state: TrainState, clock: "Clock", error: Exception) -> None:
        """What is written once the loss is lost, or memory is full; `state` is the last good one."""
        full = {"out_of_memory": True} if isinstance(error, OutOfMemoryError) else {}
        self._write_status("failed", state, clock, message=str(error), **full)

    def out_of_memory(self, error: BaseException) -> OutOfMemoryError:
        """The error that says what to lower; the run goes on where there is more room."""
        samples = getattr(self.resolved.objective, "num_samples", 1)
        what = str(error).partition("\n")[0][:200].rstrip(".")
        return OutOfMemoryError(
            f"Expected memory for steps with {self.resolved.recipe.batch_size} images and {samples} samples of each; "
            f"got {what or 'none'}. Lower --batch-size or --num-samples, raise --parts, or go on where there is more."
        )

    def name_of(self, step: int, clock: "Clock", interrupted: bool = False) -> str:
        """Whether a run at `step` is finished, is to be stopped, or is running."""
        if self._is_over(step):
            return "finished"
        out_of_time = self.time_limit is not None and clock.session > self.time_limit
        halted = interrupts.asked() or (self.halt is not None and self.halt.is_set())
        return "stopped" if out_of_time or halted or interrupted else "running"

    def _is_over(self, step: int) -> bool:
        """Whether a run whose records are written up to `step` has nothing left to do."""
        return step == self.total_steps or self.choice.has_run_out

    def save(self, state: TrainState, clock: "Clock", name: str) -> None:
        """A checkpoint, and the status that goes with it."""
        self.folder.save(state)
        clock.saved = time.monotonic()
        self._write_status(name, state, clock)

    def _write_status(self, name: str, state: TrainState, clock: "Clock", **more: Any) -> None:
        status = {"state": name, "epoch": self._epochs(state), "epochs": self.resolved.epochs, "step": int(state.step)}
        self.folder.write_json(STATUS, {**status, "seconds": clock.total, **self.choice.status(), **more})

    def _write_records(self, state: TrainState) -> bool:
        """The record of the epoch just finished, and its evaluation if there is one; whether that is to be kept."""
        record, along = self.trainer.record(state), self.resolved.along
        if along is not None and (record["epoch"] % along.every == 0 or int(state.step) == self.total_steps):
            place = {name: record[name] for name in ("epoch", "step")}
            self.folder.append(EVALUATIONS, place | self._evaluation(state.model, along))
        self.folder.append(METRICS, record)
        return self.choice.is_kept and self.choice.selection.epoch == record["epoch"]

    @functools.cached_property
    def _judged_along(self) -> np.ndarray:
        """The images that are judged along training, evenly spaced among those for validation, or all test images."""
        held_out, along = validation_images(self.resolved, self.data), self.resolved.along
        images = self.data.test if held_out is None else held_out
        count = min(along.num_images if along else 0, len(images))
        return images[np.linspace(0, len(images) - 1, count).round().astype(int)]

    def _evaluation(self, model: Model, along: AlongTraining) -> dict[str, Any]:
        """The summary of `evaluate` for the images that are judged along training."""
        return evaluate(
            model,
            self._judged_along,
            TrainingKeys.along(self.resolved.config.seed),
            num_samples=along.num_samples,
            binarize=self.resolved.test_binarize,
        ).summary()

    def _report(self, state: TrainState, clock: "Clock") -> None:
        step, per_epoch = int(state.step), self.trainer.steps_per_epoch
        rate = clock.rate(step)
        if self.on_progress is not None:
            bound = float(np.ravel(state.bounds[(step - 1) % per_epoch])[-1])
            epochs = self.resolved.epochs
            epoch = -(-step // per_epoch)
            samples = None if self.trainer.early is None else self.trainer.num_samples(state)
            numbers = (step, self.total_steps, epoch, epochs, bound, clock.total, rate)
            self.on_progress(training_progress(*numbers, samples=samples))

    def _epochs(self, state: TrainState) -> int:
        return int(state.step) // self.trainer.steps_per_epoch


class Clock:
    """Seconds of a run (`before`, in earlier sessions, and now) and its pace."""

    def __init__(self, before: float, step: int) -> None:
        self.before, self.begin = before, time.monotonic()
        self.saved = self.begin
        self._last = (self.begin, step)

    @property
    def session(self) -> float:
        return time.monotonic() - self.begin

    @property
    def total(self) -> float:
        return self.before + self.session

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self.saved > CHECKPOINT_SECONDS

    def rate(self, step: int) -> float:
        """Steps per second since the last call."""
        (then, first), now = self._last, time.monotonic()
        self._last = (now, step)
        return (step - first) / max(now - then, 1e-9)
