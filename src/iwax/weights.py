"""Functions of log-weights alone.

`log_w` holds log w_s = log p(x, z_s) - log q(z_s | x), in nats, for samples s along one axis (the first, by
default). Nothing here knows of models, objectives or random numbers.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = [
    "effective_number",
    "effective_sample_size",
    "leave_one_out_log_sum_exp",
    "leave_one_out_sum",
    "log_mean_exp",
    "normalised_weights",
    "renyi_bound",
]


def log_mean_exp(log_w: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """log (1/K) sum_k exp(log w_k), without overflow: the log of the importance-sampling estimate of p(x).

    Weights that are all zero (log w = -inf) give -inf; a NaN stays a NaN.

    >>> float(log_mean_exp(jnp.array([0.0, -jnp.inf])))  # log(1/2)
    -0.6931471824645996
    """
    return jax.nn.logsumexp(log_w, axis=axis) - jnp.log(jnp.asarray(log_w.shape[axis], log_w.dtype))


def normalised_weights(log_w: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """The self-normalised weights w~_k = w_k / sum_j w_j, which sum to one along `axis`.

    >>> normalised_weights(jnp.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return jax.nn.softmax(log_w, axis=axis)


def effective_sample_size(log_w: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """1 / sum_k w~_k^2, between 1 (one weight dominates) and K (all weights are equal).

    Reference: Kong, "A note on importance sampling using standardized weights" (1992).

    >>> float(effective_sample_size(jnp.zeros(4)))
    4.0
    """
    return effective_number(normalised_weights(log_w, axis), axis)


def effective_number(weights: Any, axis: int = 0) -> Any:
    """1 / sum_k w~_k^2 of weights that sum to one along `axis`, NumPy's or JAX's; see `effective_sample_size`.

    >>> float(effective_number(jnp.array([0.5, 0.5, 0.0])))
    2.0
    """
    return 1.0 / (weights**2).sum(axis=axis)


def leave_one_out_sum(values: Float[Array, "samples ..."]) -> Float[Array, "samples ..."]:
    """sum_{j != k} values_j for every k, along the first axis.

    What comes before k and what comes after it are added; nothing is subtracted, so that one infinite value makes no
    NaN and one large value hides no small ones.

    >>> leave_one_out_sum(jnp.array([1.0, 2.0, -jnp.inf])).tolist()
    [-inf, -inf, 3.0]
    """
    before, after = _exclusive_scans(jnp.add, values, 0.0)
    return before + after


def leave_one_out_log_sum_exp(log_w: Float[Array, "samples ..."]) -> Float[Array, "samples ..."]:
    """log sum_{j != k} w_j for every k, along the first axis, in O(K) and without subtraction.

    The usual shortcut, log sum + log(1 - w~_k), is -inf as soon as one weight dominates; this is not.

    >>> leave_one_out_log_sum_exp(jnp.array([0.0, -800.0, -800.0])).tolist()[0]  # -800 + log 2
    -799.3068237304688
    """
    before, after = _exclusive_scans(jnp.logaddexp, log_w, -jnp.inf)
    return jnp.logaddexp(before, after)


def _exclusive_scans(combine: Callable, values: Array, neutral: float) -> tuple[Array, Array]:
    """All that comes before each entry of the first axis, and all that comes after it, combined."""
    edge = jnp.full_like(values[:1], neutral)
    before = jax.lax.associative_scan(combine, jnp.concatenate([edge, values[:-1]]))
    after = jax.lax.associative_scan(combine, jnp.concatenate([values[1:], edge]), reverse=True)
    return before, after


def renyi_bound(
    log_w: Float[Array, "samples ..."], alpha: float | Float[Array, ""], axis: int = 0
) -> Float[Array, "..."]:
    """The Renyi bound (1 / (1 - alpha)) log (1/K) sum_k w_k^(1 - alpha), in nats, for any real alpha.

    Never increasing in alpha: the IWAE bound at 0, the mean log-weight (ELBO) at 1, where it is continuous to rounding.
    Below 0 its exact value is an upper bound on log p(x), but this estimate of it lies below that in expectation, so
    that it promises nothing.

    Reference: Li and Turner, "Renyi Divergence Variational Inference" (2016), arXiv:1602.02311.

    >>> log_w = jnp.array([0.0, -2.0])
    >>> [round(float(renyi_bound(log_w, alpha)), 4) for alpha in (-1.0, 0.0, 1.0)]
    [-0.3375, -0.5662, -1.0]
    """
    power = 1 - jnp.asarray(alpha, log_w.dtype)
    mean = jnp.mean(log_w, axis=axis)
    spread = power * (log_w - jnp.expand_dims(mean, axis))
    # Where all powers are near one, shifting by the mean keeps the accuracy that division by a small power would lose.
    near = jnp.all(jnp.abs(spread) < 1, axis=axis)
    safe_power = jnp.where(power == 0, 1, power)
    small = jnp.where(jnp.expand_dims(near, axis), spread, 0)
    by_mean = mean + jnp.where(power == 0, 0, jnp.log1p(jnp.mean(jnp.expm1(small), axis=axis)) / safe_power)
    by_max = log_mean_exp(safe_power * log_w, axis=axis) / safe_power
    return jnp.where(near | (power == 0), by_mean, by_max)
