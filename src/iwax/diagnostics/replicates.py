"""Replicates of a gradient, as training would take it, streamed from the device in bounded memory."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.errors import IwaxError
from iwax.models import Model
from iwax.objectives import AbstractObjective, loss

__all__ = ["GROUPS", "group_size", "num_examples_of", "parameter_group", "stream_gradients"]

GROUPS = ("generative", "inference")
NUMBERS = 1 << 22  # of gradients on the host at a time: 32 MB in double precision
BATCH = 32  # replicates in one call of the device, at most


def stream_gradients(
    model: Model, objective: AbstractObjective, x: PyTree, key: PRNGKeyArray, num_replicates: int, chunk: int
) -> Iterator[dict[str, np.ndarray]]:
    """Gradients of both groups, uphill: two arrays (batch, parameters) at a time, the last batch perhaps smaller."""
    size = sum(group_size(parameter_group(model, name)) for name in GROUPS)
    batch = max(1, min(BATCH, num_replicates // 2, NUMBERS // max(1, size)))
    x = jax.tree.map(jnp.asarray, x)
    for start in range(0, num_replicates, batch):
        numbers = jnp.arange(start, start + batch)  # as many each time, so that one program serves
        gradients = _replicates(model, objective, x, key, numbers, chunk)
        wanted = min(batch, num_replicates - start)
        yield {name: np.asarray(part)[:wanted] for name, part in zip(GROUPS, gradients, strict=True)}


@eqx.filter_jit
def _replicates(
    model: Model, objective: AbstractObjective, x: PyTree, key: PRNGKeyArray, numbers: Array, chunk: int
) -> tuple[Array, Array]:
    """Replicates of the gradient of minus the loss by number, (batch, parameters) for each group."""
    n = num_examples_of(x)
    whole, rest = divmod(n, chunk)
    chunks = jax.tree.map(lambda leaf: leaf[: whole * chunk].reshape(whole, chunk, *leaf.shape[1:]), x)

    def part(x: PyTree, key: PRNGKeyArray, number: Array) -> tuple[Array, ...]:
        _, gradients = eqx.filter_value_and_grad(loss)(model, objective, x, jax.random.fold_in(key, number))
        return tuple(-num_examples_of(x) / n * _flat(getattr(gradients, name)) for name in GROUPS)

    def replicate(number: Array) -> tuple[Array, ...]:
        own = jax.random.fold_in(key, number)
        zeros = tuple(jnp.zeros(s.shape, s.dtype) for s in jax.eval_shape(part, x, own, number))

        def step(total: tuple, inputs: tuple) -> tuple[tuple, None]:
            return jax.tree.map(jnp.add, total, part(inputs[0], own, inputs[1])), None

        total, _ = jax.lax.scan(step, zeros, (chunks, jnp.arange(whole)))
        if not rest:
            return total
        last = jax.tree.map(lambda leaf: leaf[whole * chunk :], x)
        return jax.tree.map(jnp.add, total, part(last, own, jnp.asarray(whole)))

    return jax.lax.map(replicate, numbers)


def _flat(tree: PyTree) -> Array:
    leaves = jax.tree.leaves(tree)
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]) if leaves else jnp.zeros(0)


def parameter_group(model: Model, name: str) -> PyTree:
    """The floating-point arrays of one group of parameters."""
    if not hasattr(model, name):
        raise IwaxError(
            f"Expected a model with parameter groups `generative` and `inference`; got {type(model).__name__} without "
            f"`{name}`."
        )
    return eqx.filter(getattr(model, name), eqx.is_inexact_array)


def group_size(group: PyTree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(group))


def num_examples_of(x: PyTree) -> int:
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(x)}
    if len(sizes) != 1 or sizes <= {(), (0,)}:
        raise IwaxError(f"Expected x to hold one or more examples along its first axis; got sizes {sorted(sizes)}.")
    return sizes.pop()[0]
