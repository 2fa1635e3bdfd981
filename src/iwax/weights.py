"""Functions of log-weights alone.

`log_w` holds log w_s = log p(x, z_s) - log q(z_s | x), in nats, for samples s along one axis (the first, by
default). Nothing here knows of models, objectives or random numbers.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["effective_sample_size", "log_mean_exp", "normalised_weights"]


def log_mean_exp(log_w: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """log (1/K) sum_k exp(log w_k), without overflow: the log of the importance-sampling estimate of p(x).

    Weights that are all zero (log w = -inf) give -inf; a NaN stays a NaN.

    >>> float(log_mean_exp(jnp.array([0.0, -jnp.inf])))  # log(1/2)
    -0.6931471824645996
    """
    return jax.nn.logsumexp(log_w, axis=axis) - jnp.log(jnp.asarray(log_w.shape[axis], log_w.dtype))


def normalised_weights(log_w: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """The self-normalised weights w~_k = w_k / sum_j w_j, which sum to one along `axis`."""
    return jax.nn.softmax(log_w, axis=axis)


def effective_sample_size(log_w: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """1 / sum_k w~_k^2, between 1 (one weight dominates) and K (all weights are equal).

    Reference: Kong, "A note on importance sampling using standardized weights" (1992).

    >>> float(effective_sample_size(jnp.zeros(4)))
    4.0
    """
    return 1.0 / jnp.sum(normalised_weights(log_w, axis) ** 2, axis=axis)
