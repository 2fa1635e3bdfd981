"""The implicit posterior: what importance weighting makes of q(z | x).

K draws of q, of which one is kept with probability in proportion to its weight w = p(x, z) / q(z | x), have the density

    q_IW(z | x) = E_{z_2..z_K ~ q} [ p(x, z) / ((1/K) (w(z) + w(z_2) + ... + w(z_K))) ],

which integrates to one, is q for K = 1, and tends to p(z | x) as K grows. The IWAE bound L_K of q is a lower bound
on the ELBO of q_IW: L_K <= E_{q_IW}[log p(x, z) - log q_IW(z | x)] <= log p(x).

Reference: Cremer, Morris and Duvenaud, "Reinterpreting Importance-Weighted Autoencoders" (2017), arXiv:1704.02916.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from scipy.special import softmax

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError
from iwax.evaluation.blocks import whole_blocks
from iwax.keys import check_key, stream
from iwax.models import Model, checked_log_joint, draw

__all__ = ["implicit_log_density", "implicit_posterior", "implicit_weights"]


def implicit_posterior(
    model: Model, x: Float[Array, "*batch event"], key: PRNGKeyArray, *, num_samples: int, num_draws: int = 1
) -> PyTree:
    """Draws of q_IW(z | x) by sampling-importance-resampling, every leaf (num_draws, *batch, *event).

    Arguments:
        model: the pair of densities.
        x: examples, (*batch, *event).
        key: seed.
        num_samples: K, draws of q of which one is kept; fresh ones for each draw.
        num_draws: how many.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> implicit_posterior(model, jnp.ones((3, 2)), jax.random.key(0), num_samples=10, num_draws=5).shape
    (5, 3, 2)
    """
    check_key(key)
    check_positive_integer("num_samples", num_samples)
    check_positive_integer("num_draws", num_draws)
    return _resampled(model, x, jax.random.split(key, num_draws), num_samples)


@eqx.filter_jit
def _resampled(model: Model, x: Array, keys: Array, num_samples: int) -> PyTree:
    posterior = model.posterior(x)

    def one(key: Array) -> PyTree:
        z, log_q = draw(posterior, key, num_samples)
        log_w = checked_log_joint(model, x, z, log_q) - log_q
        choice = jax.random.categorical(stream(key, "implicit choice"), log_w, axis=0)

        def chosen(leaf: Array) -> Array:
            index = choice.reshape(1, *choice.shape, *[1] * (leaf.ndim - 1 - choice.ndim))
            return jnp.take_along_axis(leaf, index, axis=0)[0]

        return jax.tree.map(chosen, z)

    return jax.lax.map(one, keys)


def implicit_log_density(
    model: Model, x: Array, z: PyTree, key: PRNGKeyArray, *, num_samples: int, num_repeats: int = 100
) -> Float[Array, "samples ..."]:
    """log q_IW(z | x) in nats, (samples, *batch), its expectation an average over `num_repeats` sets of K - 1 draws.

    The average, not its logarithm, is unbiased. The same sets serve all z, so that the estimate, too, is a function
    of z whose expectation integrates to one.

    Arguments:
        model: the pair of densities.
        x: examples, (*batch, *event).
        z: where, every leaf (samples, *batch, *event).
        key: seed of the other draws.
        num_samples: K.
        num_repeats: sets of other draws; more make it more precise.
    """
    check_key(key)
    check_positive_integer("num_samples", num_samples)
    check_positive_integer("num_repeats", num_repeats)
    posterior = model.posterior(x)
    log_q = posterior.log_prob(z)
    log_joint = checked_log_joint(model, x, z, log_q)
    log_w = log_joint - log_q
    if num_samples == 1:
        return log_joint - log_w

    def term(key: Array) -> Array:
        others, log_q = draw(posterior, key, num_samples - 1)
        log_sum = jax.nn.logsumexp(checked_log_joint(model, x, others, log_q) - log_q, axis=0)
        return jnp.log(num_samples) - jnp.logaddexp(log_w, log_sum)

    terms = jax.lax.map(term, jax.random.split(key, num_repeats))
    return log_joint + jax.nn.logsumexp(terms, axis=0) - jnp.log(num_repeats)


def implicit_weights(log_w: Float[np.ndarray, " pool"], num_samples: int) -> Float[np.ndarray, " pool"]:
    """The probability of each of a pool of draws of q under q_IW, by splitting them into sets of K.

    Within each set of K, the weights normalised, and divided by the number of sets: the expectation over the
    resampling, without its noise. K = 1 is q itself; K as large as the pool is the posterior by importance sampling.
    Draws left over by the division get none.

    >>> implicit_weights(np.log([1.0, 3.0, 2.0, 2.0]), 2).tolist()
    [0.125, 0.375, 0.25, 0.25]
    """
    check_positive_integer("num_samples", num_samples)
    if num_samples > len(log_w):
        raise IwaxError(f"Expected num_samples to be at most {len(log_w)}, the size of the pool; got {num_samples}.")
    sets = len(log_w) // num_samples
    weights = softmax(whole_blocks(np.asarray(log_w, np.float64), num_samples), axis=1) / sets
    return np.concatenate([weights.ravel(), np.zeros(len(log_w) - sets * num_samples)])
