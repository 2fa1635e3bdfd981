"""Training: whole stretches of an epoch as one compiled program.

The data stay on the device as they are stored (uint8); shuffling, binarisation, noise and updates happen inside one
loop. Every random number is keyed by (seed, epoch) or (seed, step), and the number of steps is an argument of the
program, so how a run is cut into stretches changes nothing, bit for bit.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.data import Dataset, binarize, check_images
from iwax.objectives.objective import Objective, check_positive_integer, loss
from iwax.protocols import Protocol, get_protocol

__all__ = ["FitResult", "NonFiniteLossError", "TrainState", "Trainer", "fit"]


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite; training stopped."""


class TrainState(eqx.Module):
    """All that changes during training. `bounds` holds the mean bound of each step of the current epoch, in nats."""

    model: Any
    objective: Objective
    opt_state: PyTree
    step: Array
    bounds: Array


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What `fit` returns: the trained model and objective (a learned beta lives there), and a record per epoch."""

    model: Any
    objective: Objective
    opt_state: PyTree
    records: list[dict[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainer:
    """One training run: its compiled step and its data, without its state.

    Arguments:
        images: training data, (N, *event), as stored; binarised anew at each visit where `binarize` is "dynamic".
        key: seed of the whole run.
    """

    images: np.ndarray
    protocol: Protocol
    key: PRNGKeyArray
    batch_size: int
    binarize: str = "dynamic"

    def __post_init__(self) -> None:
        check_positive_integer("batch_size", self.batch_size)
        check_images(self.images, self.binarize)
        if self.batch_size > len(self.images):
            raise ValueError(
                f"Expected batch_size to be at most the number of training examples, {len(self.images)}; "
                f"got {self.batch_size}."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch; what is left over is another handful of examples each time."""
        return len(self.images) // self.batch_size

    def start(self, model: Any, objective: Objective) -> TrainState:
        """The state before the first step."""
        opt_state = self.protocol.optimiser(self.steps_per_epoch).init(_split(model, objective)[0])
        return TrainState(model, objective, opt_state, jnp.asarray(0), jnp.full(self.steps_per_epoch, jnp.nan))

    def record(self, state: TrainState) -> dict[str, float]:
        """The record of the epoch that `state` has just finished; bounds in nats, averaged over its steps."""
        step = int(state.step)
        learning_rate = self.protocol.learning_rate(self.steps_per_epoch)(step - 1)
        record = {
            "epoch": step // self.steps_per_epoch,
            "step": step,
            "bound": float(np.mean(np.asarray(state.bounds, np.float64))),
            "learning_rate": float(learning_rate),
        }
        return record | {name: float(getattr(state.objective, name)) for name in state.objective.reported}

    def advance(self, state: TrainState, images: Array, num_steps: int) -> TrainState:
        """The state after `num_steps` more steps, or after the last step of the epoch if that comes first.

        Raises:
            NonFiniteLossError: the loss of a step was not finite.
        """
        stop = min(int(state.step) + num_steps, (int(state.step) // self.steps_per_epoch + 1) * self.steps_per_epoch)
        after = _run(state, images, self.key, jnp.asarray(stop), self.protocol, self.batch_size, self.binarize)
        self._check_finite(after)
        return after

    def _check_finite(self, state: TrainState) -> None:
        last = (int(state.step) - 1) % self.steps_per_epoch
        bounds = np.asarray(state.bounds)[: last + 1]
        if np.isfinite(bounds[-1]):
            return
        before = (
            f"the last finite bound was {bounds[-2]:.4f}, a step before" if last else "it was the first of an epoch"
        )
        raise NonFiniteLossError(
            f"Expected a finite loss; got a bound of {bounds[-1]} at step {int(state.step)} "
            f"(epoch {int(state.step - 1) // self.steps_per_epoch + 1}); {before}. Lower the learning rate, or look "
            "for extreme values in the data."
        )


def fit(
    model: Any,
    objective: Objective,
    data: Dataset | np.ndarray | Array,
    *,
    protocol: str | Protocol,
    key: PRNGKeyArray,
    epochs: int | None = None,
    batch_size: int | None = None,
    binarize: str = "dynamic",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> FitResult:
    """Train `model` by ascending `objective`, both of them if the objective has something to learn.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        objective: the bound and its gradient estimator.
        data: a `Dataset`, of which the training half is used, or an array (N, *event).
        protocol: the recipe, by name or value.
        key: seed of everything random: shuffling, binarisation, samples of z.
        epochs: passes over the data; the whole schedule of the protocol if left out, else it is cut off there.
        batch_size: the protocol's if left out.
        binarize: "dynamic" (anew at each visit), "fixed", "threshold" or "none".
        on_epoch: called with the record of each epoch.

    Returns:
        The trained model and objective, the optimiser's state, and a record per epoch: epoch, step, mean bound in nats,
        learning rate, and beta where there is one.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite.

    >>> import iwax, jax
    >>> x = iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 100)
    >>> result = iwax.fit(iwax.LinearGaussian.isotropic(2), iwax.IWAE(num_samples=8), x, protocol="burda-paper",
    ...                   key=jax.random.key(1), epochs=2, binarize="none")
    >>> len(result.records)
    2
    """
    protocol = get_protocol(protocol)
    epochs = protocol.epochs if epochs is None else epochs
    check_positive_integer("epochs", epochs)
    images = np.asarray(data.train if isinstance(data, Dataset) else data)
    trainer = Trainer(
        images=images, protocol=protocol, key=key, batch_size=batch_size or protocol.batch_size, binarize=binarize
    )
    records = []
    for state in run_epochs(trainer, trainer.start(model, objective), epochs):
        records.append(trainer.record(state))
        if on_epoch is not None:
            on_epoch(records[-1])
    return FitResult(state.model, state.objective, state.opt_state, records)


def run_epochs(trainer: Trainer, state: TrainState, epochs: int) -> Iterator[TrainState]:
    """The state after each epoch, up to `epochs` in all."""
    images = jnp.asarray(trainer.images)
    while int(state.step) < epochs * trainer.steps_per_epoch:
        state = trainer.advance(state, images, trainer.steps_per_epoch)
        yield state


def _split(model: Any, objective: Objective) -> tuple[PyTree, PyTree]:
    """(what training changes, the rest) of (model, objective)."""
    learned = jax.tree.map(lambda _: False, objective)
    if objective.learned:
        learned = eqx.tree_at(
            lambda o: [getattr(o, name) for name in objective.learned], learned, replace_fn=lambda _: True
        )
    trained = (jax.tree.map(eqx.is_inexact_array, model), learned)
    return eqx.partition((model, objective), trained)


@eqx.filter_jit(donate="none")
def _run(
    state: TrainState,
    images: Array,
    key: PRNGKeyArray,
    stop: Array,
    protocol: Protocol,
    batch_size: int,
    binarize_rule: str,
) -> TrainState:
    """Steps of one epoch until `stop`, or until the bound is no longer finite."""
    shuffle_key, step_key = jax.random.split(key)
    num_steps = len(images) // batch_size
    order = jax.random.permutation(jax.random.fold_in(shuffle_key, state.step // num_steps), len(images))
    parameters, fixed = _split(state.model, state.objective)
    update = protocol.optimiser(num_steps).update

    def batch_loss(parameters: PyTree, x: Array, key: PRNGKeyArray) -> Array:
        model, objective = eqx.combine(parameters, fixed)
        return loss(model, objective, x, key)

    def go_on(carry: tuple) -> Array:
        _, _, step, _, finite = carry
        return (step < stop) & finite

    def one_step(carry: tuple) -> tuple:
        parameters, opt_state, step, bounds, _ = carry
        slot = step % num_steps
        binarize_key, sample_key = jax.random.split(jax.random.fold_in(step_key, step))
        batch = jax.lax.dynamic_slice_in_dim(order, slot * batch_size, batch_size)
        x = binarize(images[batch], binarize_rule, binarize_key)
        value, gradient = jax.value_and_grad(batch_loss)(parameters, x, sample_key)
        updates, opt_state = update(gradient, opt_state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        return parameters, opt_state, step + 1, bounds.at[slot].set(-value), jnp.isfinite(value)

    carry = (parameters, state.opt_state, state.step, state.bounds, jnp.asarray(True))
    parameters, opt_state, step, bounds, _ = jax.lax.while_loop(go_on, one_step, carry)
    model, objective = eqx.combine(parameters, fixed)
    return TrainState(model, objective, opt_state, step, bounds)
