"""A training run without its state: its data and recipe, its compiled step, and its cuts into chunks of steps."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.checks import check_choice, check_positive_integer
from iwax.data import binarize, check_examples, num_examples
from iwax.errors import IwaxError, NonFiniteLossError
from iwax.keys import TrainingKeys
from iwax.models import PRECISIONS, Model, matrix_precision
from iwax.objectives import AbstractObjective, check_kl_weight
from iwax.training.devices import at_home, check_devices, everywhere, mesh_of
from iwax.training.early import EarlyPart, in_form_of
from iwax.training.recipe import Optimizer, Recipe, check_optimizer
from iwax.training.steps import TrainState, num_parts, run_steps, start
from iwax.training.updates import Update, ascended

__all__ = ["Record", "Trainer", "WarmUp", "in_chunks"]

Record = dict[str, int | float]


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """A KL weight that rises from 0 to 1 in so many steps, linearly.

    >>> [float(WarmUp(4)(step)) for step in (0, 1, 4, 100)]
    [0.0, 0.25, 1.0, 1.0]
    """

    steps: int | float

    def __call__(self, step: Array | int) -> Array:
        return jnp.minimum(jnp.asarray(step) / self.steps, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainer:
    """One training run: its compiled step and its data, without its state.

    Arguments:
        images: training data, (N, *event), or a pytree of such arrays, as stored; binarised afresh at each visit where
            `binarize` is "dynamic".
        recipe: the recipe, as it is for these data.
        key: seed of the whole run.
        update: what a step updates, by which objective.
        precision: of the operands of matrix products, "float32" or "bfloat16"; see `iwax.models.precision`.
        optimizer: in place of the recipe's: a transformation of optax, or a rate or schedule for the recipe's own.
        kl_weight: of log p(z) - log q(z | x) in the log-weights; a number, or a function of the step, from 0.
        devices: how many share each minibatch; between calls the state is on the first of them.
        early: the first epochs, if they train an objective of fewer samples; the state has that of the rest throughout.
    """

    images: PyTree
    recipe: Recipe
    key: PRNGKeyArray
    batch_size: int
    binarize: str = "dynamic"
    update: Update = "joint"
    precision: str = "float32"
    optimizer: Optimizer | None = None
    kl_weight: int | float | Callable[[Any], Any] | None = None
    devices: int = 1
    early: EarlyPart | None = None

    def __post_init__(self) -> None:
        check_optimizer(self.optimizer)
        if self.kl_weight is not None and not callable(self.kl_weight) and not 0 <= self.kl_weight < float("inf"):
            raise IwaxError(f"Expected kl_weight to be finite and not negative; got {self.kl_weight!r}.")
        check_positive_integer("batch_size", self.batch_size)
        check_choice("precision", self.precision, PRECISIONS)
        check_examples(self.images, self.binarize)
        if self.batch_size > num_examples(self.images):
            raise IwaxError(
                f"Expected batch_size to be at most the number of training examples, {num_examples(self.images)}; "
                f"got {self.batch_size}."
            )
        check_devices(self.devices, self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch; what is left over is another handful of examples each time they are shuffled."""
        return num_examples(self.images) // self.batch_size

    def start(self, model: Model, objective: AbstractObjective) -> TrainState:
        """The state before the first step.

        Raises:
            ValueError: a KL weight for a model or an objective that cannot take one, or parts of a minibatch that the
                devices cannot share.
        """
        own = ascended(objective, self.update)
        for one in own if self.early is None else (*own, *map(self.early.objective, own)):
            check_devices(self.devices, self.batch_size, self._parts(one))
            if self.kl_weight is not None:
                check_kl_weight(model, one)
        return start(model, objective, self.update, self.recipe, self.steps_per_epoch, self.optimizer)

    def _parts(self, objective: AbstractObjective) -> int:
        return self.recipe.parts or num_parts(self.batch_size, objective.total_samples)

    def record(self, state: TrainState) -> Record:
        """The record of the epoch that `state` has just finished; bounds in nats, averaged over its steps."""
        step = int(state.step)
        means = np.mean(np.asarray(state.bounds, np.float64), axis=0)
        record = {"epoch": step // self.steps_per_epoch, "step": step, "bound": float(np.ravel(means)[-1])}
        if np.ndim(means):
            record["inference_bound"] = float(means[0])
        if self.early is not None:
            record["samples"] = self.num_samples(state)
        if not isinstance(self.optimizer, optax.GradientTransformation):  # which alone knows its rate
            record["learning_rate"] = float(self.recipe.learning_rate(self.steps_per_epoch, self.optimizer)(step - 1))
        if self.kl_weight is not None:
            record["kl_weight"] = float(self.kl_weight(step - 1) if callable(self.kl_weight) else self.kl_weight)
        return record | {name: float(getattr(state.objective, name)) for name in state.objective.reported}

    def num_samples(self, state: TrainState) -> int:
        """How many samples the bound of the last step has, that of the generative network if there are two."""
        update, before = self.climbing(dataclasses.replace(state, step=state.step - 1))
        return ascended(before.objective, update)[-1].total_samples

    def climbing(self, state: TrainState) -> tuple[Update, TrainState]:
        """What the next step updates, and the state with the objective that it climbs: early, one of fewer samples."""
        if self.early is None or not self.early.has(int(state.step), self.steps_per_epoch):
            return self.update, state
        return self.early.update(self.update), self.early.state(state)

    def on_device(self) -> PyTree:
        """The images as the program takes them; black and white already, if they are to be drawn once."""
        images = jax.tree.map(jnp.asarray, self.images)
        if self.binarize == "fixed":
            images = binarize(images, "fixed", TrainingKeys(self.key).fixed_binarisation).astype(bool)
        mesh = mesh_of(self.devices)
        return images if mesh is None else everywhere(images, mesh)

    def advance(self, state: TrainState, images: PyTree, num_steps: int) -> TrainState:
        """The state after `num_steps` more steps, or after the last step of the epoch if that comes first.

        Raises:
            NonFiniteLossError: the loss of a step was not finite, or the parameters are not.
        """
        rule = "none" if self.binarize == "fixed" else self.binarize
        stop, key, mesh = self.stop(int(state.step), num_steps), self.key, mesh_of(self.devices)
        update, climbing = self.climbing(state)
        if mesh is not None:
            climbing, stop, key = everywhere((climbing, stop, key), mesh)
        fixed = (update, self.recipe, self.batch_size, rule)
        own: dict[str, Any] = {"optimizer": self.optimizer, "kl_weight": self.kl_weight}
        with matrix_precision(self.precision):
            after, finite = run_steps(climbing, images, key, stop, *fixed, **own, mesh=mesh)
        after = in_form_of(after if mesh is None else at_home(after), state)
        self.check_finite(after, bool(finite))
        return after

    def stop(self, step: int, num_steps: int) -> Array:
        """Where `num_steps` more steps from `step` end: at the end of the epoch at the latest."""
        return jnp.asarray(min(step + num_steps, (step // self.steps_per_epoch + 1) * self.steps_per_epoch))

    def chunks(self, state: TrainState, total_steps: int, seconds: float | None = None) -> Iterator[TrainState]:
        """The state after each chunk of steps, of about so many seconds, and after each epoch, up to `total_steps`.

        Without `seconds`, after each epoch only.
        """
        return in_chunks(self, state, total_steps, seconds)

    def check_finite(self, state: TrainState, parameters_are: bool) -> None:
        """Raises NonFiniteLossError where the last step went wrong."""
        step = int(state.step)
        slot = (step - 1) % self.steps_per_epoch
        bounds = np.asarray(state.bounds)[: slot + 1].reshape(slot + 1, -1)
        if parameters_are and np.isfinite(bounds[-1]).all():
            return
        finite = [row for row in bounds[:-1] if np.isfinite(row).all()]
        before = f"the last finite bound was {finite[-1][-1]:.4f}, a step before" if finite else "it was the first"
        what = "parameters that are not" if np.isfinite(bounds[-1]).all() else f"a bound of {bounds[-1][-1]}"
        raise NonFiniteLossError(
            f"Expected a finite loss; got {what} at step {step} (epoch {(step - 1) // self.steps_per_epoch + 1}); "
            f"{before} of the epoch. Lower the learning rate, or look for extreme values in the data."
        )


def in_chunks(trainer: Any, state: Any, total_steps: int, seconds: float | None = None) -> Iterator[Any]:
    """The chunks of a `Trainer`, or of whatever advances a state as it does."""
    images, chunk = trainer.on_device(), trainer.steps_per_epoch if seconds is None else 1
    while int(state.step) < total_steps:
        started, first = time.monotonic(), int(state.step)
        state = trainer.advance(state, images, min(chunk, total_steps - first))
        rate = (int(state.step) - first) / max(1e-9, time.monotonic() - started)  # of a coarse clock
        # At most twice as long as the last, since the first of all is mostly compilation.
        if seconds is not None:
            chunk = max(1, min(2 * chunk, int(seconds * rate)))
        yield state
