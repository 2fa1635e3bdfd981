"""Muon: momentum whose singular values are all brought near one, so that every direction of a weight matrix moves.

A weight matrix W (m, n) with gradient G_t:

    M = beta1 M + (1 - beta1) G_t
    X = beta1 M + (1 - beta1) G_t                    one step ahead, as of Nesterov
    X = X / |(X X')^4|^(1/8)                         its largest singular value is now at most 1, and not far below
    three times  X = a X + b (X X') X + c (X X')^2 X
    W = W - rate 0.2 sqrt(max(m, n)) X

With a, b, c = 3.4445, -4.7750, 2.0315 the polynomial takes singular values above 0.018 to within 0.67 and 1.21 and
leaves the singular vectors. An orthogonal X has entries of root mean square 1 / sqrt(max(m, n)), and Adam's steps are
of about 0.2; so one rate is for both, and what is no matrix, such as biases or kernels of convolutions, has Adam.

The norm, where |.| is the trace, is Schatten's of order eight. The authors divide by that of order two, Frobenius',
under which the singular values of a matrix of many alike are far below 1, and need two turns more to come up again.

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

from iwax.training.optimisers import Decay, ratio, wide

__all__ = ["muon"]

COEFFICIENTS = 3.4445, -4.7750, 2.0315
TURNS = 3
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
    [0.721, 1.093]
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
                change = ratio(first, second, corrections, epsilon)
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
    kind = jnp.finfo(matrix.dtype)
    x = matrix / jnp.maximum(jnp.linalg.norm(matrix), kind.tiny)  # so that no power of it leaves the range of its type
    square = x @ x.T
    fourth = square @ square
    scale = jnp.maximum(jnp.linalg.norm(fourth) ** 0.5, kind.eps)  # below it for zeros only
    x, square, fourth = x / scale**0.5, square / scale, fourth / scale**2
    if 2 * matrix.shape[0] <= matrix.shape[1]:
        return _factor(square, fourth) @ x
    for _ in range(TURNS - 1):
        x = _polynomial(square, fourth) @ x
        square = x @ x.T
        fourth = square @ square
    return _polynomial(square, fourth) @ x


def _polynomial(square: Float[Array, "m m"], fourth: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """What a turn multiplies X by, from X X' and its square."""
    a, b, c = COEFFICIENTS
    return a * jnp.eye(len(square), dtype=square.dtype) + b * square + c * fourth


def _factor(square: Float[Array, "m m"], fourth: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """What all turns multiply X by; for a long X that is fewer products than one by one, as X X' has but short sides.

    X = P X makes S = P S P of S = X X'; all of these are polynomials of the first S, and commute.
    """
    factor = last = _polynomial(square, fourth)
    for _ in range(TURNS - 1):
        square = last @ square @ last
        last = _polynomial(square, square @ square)
        factor = last @ factor
    return factor
