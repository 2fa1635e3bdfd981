"""Muon: momentum whose singular values are all brought near one, so that every direction of a weight matrix moves.

A weight matrix W (m, n) with gradient G_t:

    M = beta1 M + (1 - beta1) G_t
    X = beta1 M + (1 - beta1) G_t                    one step ahead, as of Nesterov
    X = X / |X|                                      by Frobenius' norm: singular values of 1 at most
    five times   X = a X + b (X X') X + c (X X')^2 X
    W = W - rate 0.2 sqrt(max(m, n)) X

With a, b, c = 3.4445, -4.7750, 2.0315 the polynomial takes singular values above 0.002 to within 0.67 and 1.21, and
leaves the singular vectors. An orthogonal X has entries of root mean square 1 / sqrt(max(m, n)), and Adam's steps are
of about 0.2; so one rate is for both, and what is no matrix, such as biases or kernels of convolutions, has Adam.

For parameters of half precision all of this, the change included, is single precision.

Reference: Jordan, Jin, Boza, You, Cesista, Newhouse and Bernstein, "Muon: An optimizer for hidden layers in neural
networks" (2024), kellerjordan.github.io/posts/muon; for the size of steps Liu, Su, Yao et al., "Muon is Scalable for
LLM Training" (2025), arXiv:2502.16982.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from iwax.training.optimisers import Decay
from iwax.training.soap import wide

__all__ = ["muon"]

COEFFICIENTS = 3.4445, -4.7750, 2.0315
TURNS = 5
SIZE = 0.2  # root mean square of the entries of a step, in units of the rate


class Moments(NamedTuple):
    """Of one parameter; a matrix has but the first."""

    first: Array
    second: Array | None


class MuonState(NamedTuple):
    """The number of gradients seen, and what is kept of them, one for each parameter."""

    step: Array
    moments: tuple[Moments, ...]


def muon(
    learning_rate: optax.Schedule,
    *,
    beta1: float | Decay = 0.95,
    beta2: float | Decay = 0.95,
    epsilon: float | Float[Array, ""] = 1e-8,
) -> optax.GradientTransformation:
    """Muon as the module's docstring has it.

    Arguments:
        learning_rate: step number from 0 -> rate.
        beta1: decay of the first moment.
        beta2: decay of the second moment, which only what has Adam has.
        epsilon: what keeps Adam's denominator from zero, in units of the gradient.

    >>> optimiser = muon(optax.constant_schedule(0.1))
    >>> weight = jnp.array([[3.0, 0.0], [0.0, 1.0]])
    >>> updates, _ = optimiser.update(weight, optimiser.init(weight))
    >>> [round(float(entry), 3) for entry in -updates.diagonal() / (0.1 * 0.2 * 2**0.5)]
    [0.753, 1.134]
    """

    def init(parameters: PyTree) -> MuonState:
        return MuonState(jnp.zeros([], jnp.int32), tuple(map(_start, jax.tree.leaves(parameters))))

    def update(gradient: PyTree, state: MuonState, parameters: PyTree = None) -> tuple[PyTree, MuonState]:
        step = state.step + 1
        corrections = 1 - beta1**step, 1 - beta2**step
        rate = learning_rate(state.step)
        gradients, tree = jax.tree.flatten(gradient)
        moved, kept = [], []
        for g, (first, second) in zip(map(wide, gradients), state.moments, strict=True):
            first = beta1 * first + (1 - beta1) * g
            if second is None:
                ahead = beta1 * first + (1 - beta1) * g
                change = SIZE * max(g.shape) ** 0.5 * orthogonal(ahead)
            else:
                second = beta2 * second + (1 - beta2) * g**2
                change = (first / corrections[0]) / (jnp.sqrt(second / corrections[1]) + epsilon)
            moved.append(-rate * change)
            kept.append(Moments(first, second))
        return jax.tree.unflatten(tree, moved), MuonState(step, tuple(kept))

    return optax.GradientTransformation(init, update)


def _start(parameter: Array) -> Moments:
    zeros = jnp.zeros_like(wide(parameter))
    return Moments(zeros, None if parameter.ndim == 2 else zeros)


def orthogonal(matrix: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """The matrix with its singular values brought near one, those far below the largest excepted; zeros stay zeros."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    x = matrix / jnp.maximum(jnp.linalg.norm(matrix), jnp.finfo(matrix.dtype).tiny)
    if 2 * matrix.shape[0] <= matrix.shape[1]:
        return _factor(x @ x.T) @ x
    for _ in range(TURNS):
        x = _polynomial(x @ x.T) @ x
    return x


def _polynomial(square: Float[Array, "m m"]) -> Float[Array, "m m"]:
    a, b, c = COEFFICIENTS
    return a * jnp.eye(len(square), dtype=square.dtype) + b * square + c * square @ square


def _factor(square: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """What the turns multiply X by, from S = X X' alone: of a long X that is fewer products, as S has but short sides.

    X = P X makes S = P S P; all of these are polynomials of the first S, in whatever order they are multiplied.
    """
    factor = _polynomial(square)
    last = factor
    for _ in range(TURNS - 1):
        square = last @ square @ last
        last = _polynomial(square)
        factor = last @ factor
    return factor
