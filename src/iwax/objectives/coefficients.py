"""The constants of a gradient estimator, one of each per sample, and how a few samples stand for all of them.

`objective` says what the coefficients mean and computes them; here they are only numbers, (S, *batch) each. Where
coefficients are equal they are one and the same array, and stay one: the surrogate saves passes by it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

__all__ = ["Coefficients", "resample", "spread", "take_samples"]


class Coefficients(NamedTuple):
    """The three constants of a gradient estimator, each (S, *batch)."""

    generative: Float[Array, "samples ..."]
    """a: multiplies the gradient of log p(x, z_s) in the generative parameters."""
    path: Float[Array, "samples ..."]
    """b: multiplies the derivative of log w_s along z_s, inside which all parameters are constant."""
    score: Float[Array, "samples ..."]
    """c: multiplies the gradient of -log q(z_s | x) at fixed z_s."""


def resample(every: Coefficients, key: PRNGKeyArray, number: int) -> tuple[Int[Array, "drawn *batch"], Coefficients]:
    """Which samples go backward, (M, *batch), and their coefficients, each (M, *batch), with the same expected sums.

    Samples are drawn in proportion to the largest of their coefficients, by which these are divided.
    """
    size = jnp.max(jnp.abs(jnp.stack(every)), axis=0)
    chosen = _systematic(key, size, number)
    expected = number * size / jnp.sum(size, axis=0)  # how often a sample is drawn
    return chosen, _map_distinct(lambda one: take_samples(one, chosen) / take_samples(expected, chosen), every)


def spread(drawn: Coefficients, chosen: Int[Array, "drawn *batch"], num_samples: int) -> Coefficients:
    """The coefficients of those drawn, (M, *batch), over all samples, (S, *batch): zero for those not drawn."""
    places = jax.nn.one_hot(chosen, num_samples, dtype=drawn.generative.dtype, axis=0)  # (S, M, *batch)
    return _map_distinct(lambda one: jnp.sum(places * one, axis=1), drawn)


def take_samples(leaf: Array, chosen: Int[Array, "drawn *batch"]) -> Array:
    """The chosen samples of an array (S, *batch, *event)."""
    return jnp.take_along_axis(leaf, chosen.reshape(chosen.shape + (1,) * (leaf.ndim - chosen.ndim)), axis=0)


def _systematic(key: PRNGKeyArray, size: Float[Array, "samples *batch"], number: int) -> Int[Array, "drawn *batch"]:
    """Systematic resampling: each sample as often as its share of the sizes, but for rounding."""
    ends = jnp.cumsum(size, axis=0)
    ends = ends / ends[-1]
    first = 1 - jax.random.uniform(key, size.shape[1:], size.dtype)  # above 0, so that no share of 0 is drawn
    steps = jnp.arange(number, dtype=size.dtype).reshape(-1, *[1] * first.ndim)
    return jnp.sum(ends < ((steps + first) / number)[:, None], axis=1)


def _map_distinct(function: Callable[[Array], Array], coefficients: Coefficients) -> Coefficients:
    """Each mapped, and what was one array stays one."""
    mapped = {id(one): function(one) for one in coefficients}
    return Coefficients(*(mapped[id(one)] for one in coefficients))
