"""SOAP: Adam in the eigenbases of the gradient's second moments, on each side of a weight matrix that is not too long.

A weight matrix W (m, n) with gradient G_t:

    every `preconditioning_frequency` steps
                            C = s C + (1 - s) G_t G_t'         the second moments of G's columns, (m, m)
                            D = s D + (1 - s) G_t' G_t         and of its rows, (n, n)
                            P, Q = orthonormal bases of C P, D Q   towards their eigenvectors; exactly those at first
    each step, Adam on      G~ = P' G_t Q
                            M = beta1 M + (1 - beta1) G~,      V = beta2 V + (1 - beta2) G~^2,
                            W = W - rate P [M^ / (sqrt(V^) + epsilon)] Q'   each entry of [] within -1 and 1

M rotates along with P and Q. V cannot, and where a basis has just rotated it may be far too small for M; so the entries
are kept within -1 and 1. Those of what was never rotated are so in any case if beta1 = beta2, as M^ and V^ are then
means of G~ and of G~^2 with the same weights. A side longer than `max_dimension` is not rotated, nor are vectors, such
as biases, nor what has three axes or more, such as kernels of convolutions; what is rotated on no side has Adam itself.
Compared with the paper, C and D are updated only when the bases are.

For parameters of half precision all of this, the change included, is single precision.

Reference: Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson and Kakade, "SOAP: Improving and Stabilizing
Shampoo using Adam" (2024), arXiv:2409.11321.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from iwax.training.optimisers import ratio, wide

__all__ = ["soap"]

SHARE = 0.8  # s: of the old second moments at each update


class Side(NamedTuple):
    """C and P, or D and Q."""

    covariance: Float[Array, "n n"]
    basis: Float[Array, "n n"]


class Moments(NamedTuple):
    """Of one parameter: M and V in rotated coordinates, and its two sides; None for what is not rotated."""

    first: Array
    second: Array
    sides: tuple[Side | None, Side | None]


class SoapState(NamedTuple):
    """The number of gradients seen, and what is kept of them, one for each parameter."""

    step: Array
    moments: tuple[Moments, ...]


def soap(
    learning_rate: optax.Schedule,
    *,
    beta1: float = 0.95,
    beta2: float = 0.95,
    epsilon: float = 1e-8,
    preconditioning_frequency: int = 10,
    max_dimension: int = 512,
) -> optax.GradientTransformation:
    """SOAP as the module's docstring has it.

    Arguments:
        learning_rate: step number from 0 -> rate.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: what keeps the denominator from zero, in units of the gradient.
        preconditioning_frequency: steps from one pair of bases to the next.
        max_dimension: sides of a matrix up to this are rotated, each for two products with the matrix in every step.

    >>> optimiser = soap(optax.constant_schedule(0.1))
    >>> weight = jnp.array([[3.0, 0.0], [0.0, 1.0]])
    >>> updates, _ = optimiser.update(weight, optimiser.init(weight))
    >>> bool(jnp.allclose(updates, jnp.array([[-0.1, 0], [0, -0.1]])))  # as far in either direction
    True
    """

    def init(parameters: PyTree) -> SoapState:
        started = tuple(_start(parameter, max_dimension) for parameter in jax.tree.leaves(parameters))
        return SoapState(jnp.zeros([], jnp.int32), started)

    def update(gradient: PyTree, state: SoapState, parameters: PyTree = None) -> tuple[PyTree, SoapState]:
        step = state.step + 1
        corrections = 1 - beta1**step, 1 - beta2**step
        rate = learning_rate(state.step)
        gradients, tree = jax.tree.flatten(gradient)
        moved, kept = [], []
        for g, moments in zip(map(wide, gradients), state.moments, strict=True):
            moments = _renewed(moments, g, step, preconditioning_frequency)
            rotated = _rotate(g, moments.sides)
            first = beta1 * moments.first + (1 - beta1) * rotated
            second = beta2 * moments.second + (1 - beta2) * rotated**2
            change = ratio(first, second, corrections, epsilon)
            if moments.sides != (None, None):
                change = _rotate_back(change.clip(-1, 1), moments.sides)
            moved.append(-rate * change)
            kept.append(Moments(first, second, moments.sides))
        return jax.tree.unflatten(tree, moved), SoapState(step, tuple(kept))

    return optax.GradientTransformation(init, update)


def _start(parameter: Array, max_dimension: int) -> Moments:
    zeros = jnp.zeros_like(wide(parameter))
    lengths = parameter.shape if parameter.ndim == 2 else (max_dimension + 1, max_dimension + 1)
    rows, columns = (
        Side(jnp.zeros((n, n), zeros.dtype), jnp.eye(n, dtype=zeros.dtype)) if n <= max_dimension else None
        for n in lengths
    )
    return Moments(zeros, zeros, (rows, columns))


def _renewed(moments: Moments, gradient: Array, step: Array, preconditioning_frequency: int) -> Moments:
    """With new bases if it is time, and M in them."""
    if moments.sides == (None, None):
        return moments

    def renew(basis: Callable[[Side, Array], Side], moments: Moments) -> Moments:
        rows, columns = moments.sides
        sides = (
            None if rows is None else basis(rows, gradient @ gradient.T),
            None if columns is None else basis(columns, gradient.T @ gradient),
        )
        return moments._replace(first=_rotate(_rotate_back(moments.first, moments.sides), sides), sides=sides)

    choice = jnp.where(step == 1, 1, jnp.where(step % preconditioning_frequency == 0, 2, 0))
    kinds = (lambda moments: moments, functools.partial(renew, _begin), functools.partial(renew, _follow))
    return jax.lax.switch(choice, kinds, moments)


def _begin(side: Side, product: Array) -> Side:
    # The largest first: what follows turns the first columns towards the largest.
    return Side(product, jnp.linalg.eigh(product)[1][:, ::-1])


def _follow(side: Side, product: Array) -> Side:
    covariance = SHARE * side.covariance + (1 - SHARE) * product
    return Side(covariance, jnp.linalg.qr(covariance @ side.basis)[0])


def _rotate(matrix: Array, sides: tuple[Side | None, Side | None]) -> Array:
    rows, columns = sides
    matrix = matrix if rows is None else rows.basis.T @ matrix
    return matrix if columns is None else matrix @ columns.basis


def _rotate_back(matrix: Array, sides: tuple[Side | None, Side | None]) -> Array:
    rows, columns = sides
    matrix = matrix if rows is None else rows.basis @ matrix
    return matrix if columns is None else matrix @ columns.basis.T
