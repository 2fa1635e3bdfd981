"""The differentiation rules on which the surrogate of an objective rests."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from iwax.errors import IwaxTypeError

__all__ = [
    "once_differentiable",
    "one_pass",
    "own_derivatives",
    "scale_cotangents",
    "value_with_gradient_of",
    "weighted_sum",
]

TRACE = 2.0**-60  # below the rounding of float64, and a factor that float32 can undo


@jax.custom_jvp
def weighted_sum(coefficient: Float[Array, "s *b"], term: Float[Array, "s *b"]) -> Float[Array, " *b"]:
    """sum_s coefficient_s term_s, where a coefficient of zero multiplies nothing (not even -inf).

    The coefficients are constants to its derivative, and what they are to the derivative of that. So if they are the
    gradient of a function of the terms, its second derivatives are right.
    """
    return _sum(coefficient, term)


def _sum(coefficient: Array, term: Array) -> Array:
    return jnp.sum(jnp.where(coefficient == 0, 0, coefficient * term), axis=0)


@weighted_sum.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return _sum(*primals), _sum(primals[0], tangents[1])


def once_differentiable(what: str, values: PyTree, inputs: PyTree) -> PyTree:
    """The values, whose derivative may not be differentiated again: not in `inputs`, nor where they themselves vary.

    Raises:
        TypeError: then; `what` says of what.
    """
    return _once_differentiable(what, values, jax.tree.leaves(eqx.filter(inputs, eqx.is_inexact_array)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _once_differentiable(what: str, values: PyTree, inputs: PyTree) -> PyTree:
    return values


@_once_differentiable.defjvp
def _(what: str, primals: tuple[PyTree, PyTree], tangents: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
    one = _one(what, primals)
    return primals[0], jax.tree.map(lambda tangent: tangent * one.astype(tangent.dtype), tangents[0])


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _one(what: str, inputs: PyTree) -> Array:
    """1, which is not to be differentiated."""
    return jnp.ones(())


@_one.defjvp
def _(what: str, primals: tuple[PyTree], tangents: tuple[PyTree]) -> tuple[Array, Array]:
    raise IwaxTypeError(
        f"Expected first derivatives only of {what}, whose gradient is an estimator and no derivative of its value; "
        "got a derivative of its gradient. Use an objective whose has_second_derivatives is true, such as iwax.IWAE "
        "with gradient='reparameterized'."
    )


def own_derivatives(function: Any, log_w: Array) -> Array:
    """d function(log_w)_s / d log_w_s for every s, by forward-mode products in O(S) memory and O(S^2) time."""

    def own_derivative(s: Array) -> Array:
        direction = jnp.zeros_like(log_w).at[s].set(1)
        return jax.jvp(function, (log_w,), (direction,))[1][s]

    return jax.lax.map(own_derivative, jnp.arange(log_w.shape[0]))


@jax.custom_jvp
def value_with_gradient_of(value: Array, surrogate: Array) -> Array:
    """value, with the derivative of value + surrogate: value + J - sg(J) without its inf - inf."""
    return value


@value_with_gradient_of.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[0], tangents[0] + tangents[1]


def one_pass(a: Float[Array, "s *b"], b: Float[Array, "s *b"]) -> tuple[Float[Array, "s *b"], Float[Array, "s *b"]]:
    """a' = a + 2^-60 b and b / a', for a, b >= 0 that each sum to about 1: what one pass needs to carry both.

    Weighted by a', and with b / a' as the factor of `scale_cotangents`, a sum of terms has the gradient of a in what
    the terms depend on themselves and that of b through z. The trace of b keeps the ratio finite where a underflows
    and b does not; it is lost in the rounding of any sum over a.
    """
    a = a + TRACE * b
    return a, jnp.where(a == 0, 0, b / jnp.where(a == 0, 1, a))


@jax.custom_vjp
def _scale_cotangent(leaf: Array, factor: Array) -> Array:
    """The identity, whose cotangent is multiplied by `factor` on the way back."""
    return leaf


_scale_cotangent.defvjp(
    lambda leaf, factor: (leaf, factor),
    lambda factor, cotangent: (cotangent * factor, jnp.zeros_like(factor)),
)


def scale_cotangents(z: PyTree, factor: Float[Array, "samples *batch"]) -> PyTree:
    """z, through which cotangents pass multiplied by each sample's `factor`."""

    def scale(leaf: Array) -> Array:
        spread = factor.reshape(factor.shape + (1,) * (leaf.ndim - factor.ndim))
        return _scale_cotangent(leaf, jnp.broadcast_to(spread, leaf.shape))

    return jax.tree.map(scale, z)
