"""The compiled inside of training: many steps of one epoch as a single program.

The data stay on the device as they are stored (uint8); shuffling, binarisation, noise and updates happen inside one
loop. Every random number is keyed by (seed, epoch) or (seed, step), and the step to stop at is an argument of the
program, so how a run is cut into chunks changes nothing, bit for bit.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.data import binarize, is_tree, num_examples
from iwax.errors import IwaxError
from iwax.keys import TrainingKeys
from iwax.models import Model
from iwax.objectives import AbstractObjective, in_training, per_example_loss, value_with_gradient_of
from iwax.training.devices import shared_out
from iwax.training.recipe import Optimizer, Recipe
from iwax.training.updates import Phase, Update, phases, trainable

__all__ = ["TrainState", "num_parts", "run_steps", "start", "steps"]


PAIRS = 1600  # of an image and a sample: their 784 logits are 5 MB


class TrainState(eqx.Module):
    """All that changes during training.

    `opt_state` holds one state for each phase of a step; `bounds` the mean bound of each step of the current epoch, in
    nats: (steps,), or (steps, 2) where inference and generative network climb different bounds, in that order.
    """

    model: Model
    objective: AbstractObjective
    opt_state: tuple[PyTree, ...]
    step: Array
    bounds: Array


def start(
    model: Model,
    objective: AbstractObjective,
    update: Update,
    recipe: Recipe,
    num_steps: int,
    optimizer: Optimizer | None = None,
) -> TrainState:
    """The state before the first step, for epochs of `num_steps` steps."""
    model, objective = jax.tree.map(_strongly_typed, (model, objective))
    plan = phases(model, objective, update)
    optimiser = recipe.optimiser(num_steps, optimizer)
    opt_state = tuple(optimiser.init(eqx.filter((model, objective), phase.mask)) for phase in plan)
    num_bounds = sum(2 if hasattr(phase.objective or objective, "inference_bound") else 1 for phase in plan)
    shape = (num_steps,) if num_bounds == 1 else (num_steps, num_bounds)
    return TrainState(model, objective, opt_state, jnp.zeros([], int), jnp.zeros(shape))


def steps(
    state: TrainState,
    images: PyTree,
    key: PRNGKeyArray,
    stop: Array,
    update: Update,
    recipe: Recipe,
    batch_size: int,
    binarize_rule: str,
    stop_early: bool = True,
    optimizer: Optimizer | None = None,
    kl_weight: int | float | Callable[[Any], Any] | None = None,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Array]:
    """Steps of one epoch until `stop`, or until a bound is no longer finite; and whether the parameters still are.

    Without `stop_early` it goes on to `stop` whatever the bounds. `run_steps` is this as one compiled program. The
    devices of `mesh` share every minibatch.
    """
    own = TrainingKeys(key)
    count = num_examples(images)
    num_steps = count // batch_size
    order = _order(recipe, own.shuffling(state.step // num_steps), count)
    plan, optimiser = phases(state.model, state.objective, update), recipe.optimiser(num_steps, optimizer)
    keys = own.steps(state.step - state.step % num_steps + jnp.arange(num_steps))  # outside the loop: many at once
    words, impl = jax.random.key_data(keys), jax.random.key_impl(keys)  # as numbers, each of which the loop takes once
    parameters, fixed = eqx.partition((state.model, state.objective), trainable(state.model, state.objective))

    def minibatch(slot: Array) -> PyTree:
        batch = jax.lax.dynamic_slice_in_dim(order, slot * batch_size, batch_size)
        if is_tree(images):
            return shared_out(jax.tree.map(lambda leaf: leaf[batch], images), mesh)
        chosen = shared_out(images[batch], mesh)
        return shared_out(binarize(chosen, binarize_rule, jax.random.wrap_key_data(words[slot, 0], impl=impl)), mesh)

    def go_on(carry: tuple) -> Array:
        _, _, step, _, finite, _ = carry
        return (step < stop) & finite if stop_early else step < stop

    def one_step(carry: tuple) -> tuple:
        parameters, opt_state, step, bounds, _, x = carry
        slot = step % num_steps
        key = jax.random.wrap_key_data(words[slot, 1], impl=impl)
        weight = kl_weight(step) if callable(kl_weight) else kl_weight
        given = (parameters, opt_state, fixed, x, key, weight)
        parameters, opt_state, losses = _update(plan, recipe, optimiser, *given, mesh)
        value = losses[0] if len(losses) == 1 else jnp.stack(losses)
        # The next minibatch needs none of this, so it is made at the same time, on whatever core is free.
        x = minibatch((slot + 1) % num_steps)
        return parameters, opt_state, step + 1, bounds.at[slot].set(-value), jnp.all(jnp.isfinite(value)), x

    first = minibatch(state.step % num_steps)
    carry = (parameters, state.opt_state, state.step, state.bounds, jnp.asarray(True), first)
    after, opt_state, step, bounds, _, _ = jax.lax.while_loop(go_on, one_step, carry)
    # A model may hold infinities from the start, as masks do.
    lost = jax.tree.map(_lost, after, parameters)
    model, objective = eqx.combine(after, fixed)
    return TrainState(model, objective, opt_state, step, bounds), ~jnp.any(jnp.stack(jax.tree.leaves(lost)))


run_steps = eqx.filter_jit(steps, donate="none")


def _strongly_typed(leaf: Any) -> Any:
    """The same array without JAX's weak type, which the first step would take away: and the program compile twice."""
    return jnp.asarray(leaf, leaf.dtype) if eqx.is_inexact_array(leaf) else leaf


def _lost(new: Array, old: Array) -> Array:
    """Whether something that was finite is no longer."""
    return jnp.any(jnp.isfinite(old) & ~jnp.isfinite(new))


def _order(recipe: Recipe, key: PRNGKeyArray, num_images: int) -> Array:
    """The order in which an epoch visits the images."""
    return jax.random.permutation(key, num_images) if recipe.shuffle == "epoch" else jnp.arange(num_images)


def _update(
    plan: tuple[Phase, ...],
    recipe: Recipe,
    optimiser: optax.GradientTransformation,
    parameters: PyTree,
    opt_state: tuple[PyTree, ...],
    fixed: PyTree,
    x: PyTree,
    key: PRNGKeyArray,
    weight: Array | int | float | None = None,
    mesh: Mesh | None = None,
) -> tuple[PyTree, tuple[PyTree, ...], tuple[Array, ...]]:
    """One step: the phases after one another, on one minibatch. Parameters, optimisers and losses."""
    states, losses = list(opt_state), []
    for i, phase in enumerate(plan):
        phase_key = key if len(plan) == 1 else jax.random.fold_in(key, i)
        values, gradient, own = _gradient(phase, recipe, parameters, fixed, x, phase_key, weight, mesh)
        if recipe.gradient_scale == "sum":
            gradient = jax.tree.map(lambda g: num_examples(x) * g, gradient)
        changes, states[i] = optimiser.update(gradient, states[i], own)
        changes = _once_there(gradient, changes)
        parameters = eqx.combine(optax.apply_updates(own, changes), parameters)
        losses += values
    return parameters, tuple(states), tuple(losses)


def _once_there(gradient: PyTree, changes: PyTree) -> PyTree:
    """The same changes, as a CPU's compiler sees it only after the whole gradient.

    It updates parameters in place; where the gradient of the layer below might still read a weight, it copies it first,
    in every step. So each change waits for a zero that depends on all of the gradient: no number is below -inf.
    """
    if jax.default_backend() != "cpu":
        return changes
    below = [jnp.ravel(leaf)[:1] < -jnp.inf for leaf in jax.tree.leaves(gradient)]
    nothing = jnp.any(jnp.concatenate([jnp.zeros(0, bool), *below]))  # a phase may have no parameters
    return jax.tree.map(lambda change: change + nothing.astype(change.dtype), changes)


def _gradient(
    phase: Phase,
    recipe: Recipe,
    parameters: PyTree,
    fixed: PyTree,
    x: PyTree,
    key: PRNGKeyArray,
    weight: Array | int | float | None = None,
    mesh: Mesh | None = None,
) -> tuple[list[Array], PyTree, PyTree]:
    """The mean losses of a phase (the last is its own), its gradient in its own parameters, and those parameters."""
    own, others = eqx.partition(parameters, phase.mask)

    def losses_of(own: PyTree, x: PyTree, key: PRNGKeyArray) -> tuple[Array, list[Array]]:
        model, objective = eqx.combine(own, others, fixed)
        return _losses(model, phase.objective or objective, x, key, weight)

    def of_part(x: PyTree, key: PRNGKeyArray) -> tuple[list[Array], PyTree]:
        (_, losses), gradient = jax.value_and_grad(losses_of, has_aux=True)(own, x, key)
        return losses, gradient

    objective = phase.objective or eqx.combine(parameters, fixed)[1]
    parts = recipe.parts or num_parts(num_examples(x), objective.total_samples)
    if parts == 1:
        return *of_part(x, key), own
    in_parts = shared_out(jax.tree.map(lambda leaf: leaf.reshape(parts, -1, *leaf.shape[1:]), x), mesh, axis=1)
    split = in_parts, jax.random.split(key, parts)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of_part, x, key))
    total, _ = jax.lax.scan(lambda sum_, part: (jax.tree.map(jnp.add, sum_, of_part(*part)), None), nothing, split)
    return *jax.tree.map(lambda leaf: leaf / parts, total), own


def _losses(
    model: Model, objective: Any, x: PyTree, key: PRNGKeyArray, weight: Array | int | float | None = None
) -> tuple[Array, list[Array]]:
    """The mean loss, and the losses to record, of the same samples: that of the inference network, if it has one."""
    if not hasattr(objective, "inference_bound"):
        value = _mean(per_example_loss(model, objective, x, key, kl_weight=weight), x)
        return value, [value]
    log_w, surrogate = objective.weigh(in_training(model, objective, key), x, key, weight)
    value = -_mean(value_with_gradient_of(objective.bound(log_w), surrogate), x)
    return value, [-jnp.mean(objective.inference_bound(log_w)), value]


def _mean(bounds: Array, x: PyTree) -> Array:
    """Their mean over the batch, which a model must not have summed over: that would be another bound."""
    if jnp.shape(bounds) != (num_examples(x),):
        raise IwaxError(
            f"Expected log_prob of the posterior and model.log_joint to keep the batch, a bound of each of "
            f"{num_examples(x)} examples; got bounds of shape {jnp.shape(bounds)}. iwax.check_model says what is wrong."
        )
    return jnp.mean(bounds)


def num_parts(batch_size: int, num_samples: int) -> int:
    """Into how many equal parts a minibatch goes through the networks where its recipe does not say: as many as keep
    one in a CPU's cache, on every device, since each part has a key of its own.

    >>> num_parts(20, 50), num_parts(250, 50)  # 1,000 pairs of an image and a sample; ten times 1,250
    (1, 10)
    """
    fitting = [n for n in range(1, batch_size + 1) if batch_size % n == 0 and batch_size // n * num_samples <= PAIRS]
    return fitting[0] if fitting and batch_size // fitting[0] * num_samples >= PAIRS // 4 else 1
