"""SOAP: Adam in the eigenbasis of the gradient's second moments, along the shorter side of each weight matrix.

A weight matrix W (m, n) with m >= n and gradient G_t (for m < n, all of it transposed):

    every `period` steps    C = s C + (1 - s) G_t' G_t        the second moments of G's rows, (n, n)
                            Q = orthonormal basis of C Q       towards C's eigenvectors; exactly those at first
    each step, Adam on      G~ = G_t Q
                            M = beta1 M + (1 - beta1) G~,      V = beta2 V + (1 - beta2) G~^2,
                            W = W - rate M^ / (sqrt(V^) + epsilon) Q'

M turns along with Q. Vectors, such as biases, have Adam itself. Compared with the paper, one side of each matrix is
turned and not both (its section on efficiency), which costs two products of the size of a forward pass each step,
whatever the batch; and C is updated only when Q is.

Reference: Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson and Kakade, "SOAP: Improving and Stabilizing
Shampoo using Adam" (2024), arXiv:2409.11321.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

__all__ = ["soap"]

SHARE = 0.8  # s: of the old second moments at each update


class Moments(NamedTuple):
    """Of one parameter: M and V in turned coordinates; C and Q are empty, (0, 0), for what is no matrix."""

    first: Array
    second: Array
    covariance: Float[Array, "n n"]
    basis: Float[Array, "n n"]


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
    period: int = 10,
) -> optax.GradientTransformation:
    """SOAP as the module's docstring has it.

    Arguments:
        learning_rate: step number from 0 -> rate.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: what keeps the denominator from zero, in units of the gradient.
        period: steps from one basis to the next.

    >>> optimiser = soap(optax.constant_schedule(0.1))
    >>> weight = jnp.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> updates, _ = optimiser.update(weight, optimiser.init(weight))
    >>> bool(jnp.allclose(updates, jnp.array([[-0.1, 0], [0, -0.1], [0, 0]])))  # as far in either direction
    True
    """

    def init(parameters: PyTree) -> SoapState:
        return SoapState(jnp.zeros([], jnp.int32), tuple(map(_start, jax.tree.leaves(parameters))))

    def update(gradient: PyTree, state: SoapState, parameters: PyTree = None) -> tuple[PyTree, SoapState]:
        step = state.step + 1
        corrections = 1 - beta1**step, 1 - beta2**step
        rate = learning_rate(state.step)
        gradients, tree = jax.tree.flatten(gradient)
        moved, kept = [], []
        for g, moments in zip(gradients, state.moments, strict=True):
            turned, moments = _turn(_upright(g), moments, step, period)
            first = beta1 * moments.first + (1 - beta1) * turned
            second = beta2 * moments.second + (1 - beta2) * turned**2
            change = -rate * (first / corrections[0]) / (jnp.sqrt(second / corrections[1]) + epsilon)
            if g.ndim == 2:
                change = change @ moments.basis.T
            moved.append(change if change.shape == g.shape else change.T)
            kept.append(moments._replace(first=first, second=second))
        return jax.tree.unflatten(tree, moved), SoapState(step, tuple(kept))

    return optax.GradientTransformation(init, update)


def _upright(matrix: Array) -> Array:
    """The longer side first; what is no matrix, as it is."""
    return matrix.T if matrix.ndim == 2 and matrix.shape[0] < matrix.shape[1] else matrix


def _start(parameter: Array) -> Moments:
    zeros = jnp.zeros_like(_upright(parameter))
    size = zeros.shape[1] if zeros.ndim == 2 else 0
    return Moments(zeros, zeros, jnp.zeros((size, size), zeros.dtype), jnp.eye(size, dtype=zeros.dtype))


def _turn(gradient: Array, moments: Moments, step: Array, period: int) -> tuple[Array, Moments]:
    """The gradient in the basis, which is renewed first if it is time; M along with it."""
    if gradient.ndim != 2:
        return gradient, moments

    def begin(moments: Moments) -> Moments:
        covariance = gradient.T @ gradient
        # The largest first: what is to follow turns the first columns towards the largest.
        return moments._replace(covariance=covariance, basis=jnp.linalg.eigh(covariance)[1][:, ::-1])

    def renew(moments: Moments) -> Moments:
        covariance = SHARE * moments.covariance + (1 - SHARE) * (gradient.T @ gradient)
        basis = jnp.linalg.qr(covariance @ moments.basis)[0]
        return moments._replace(first=moments.first @ (moments.basis.T @ basis), covariance=covariance, basis=basis)

    choice = jnp.where(step == 1, 1, jnp.where(step % period == 0, 2, 0))
    moments = jax.lax.switch(choice, (lambda moments: moments, begin, renew), moments)
    return gradient @ moments.basis, moments
