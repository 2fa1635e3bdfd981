"""Dependent draws: antithetic pairs and scrambled Sobol points, each draw alone still from the posterior.

A posterior takes part by a method `from_noise(noise)` that turns standard normal numbers (samples, *batch, size) into
draws z and their log-density. Only what does not need independent draws may use these: a plain reparameterized
gradient does not, the doubly-reparameterized and score-function ones do.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # whose `stats` takes a second to import, when it is first used
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt32

from iwax.errors import IwaxError
from iwax.models import Posterior

__all__ = ["SAMPLINGS", "draw_dependent"]

SAMPLINGS = ("independent", "antithetic", "sobol")


def draw_dependent(
    posterior: Posterior, key: PRNGKeyArray, num_samples: int, sampling: str
) -> tuple[PyTree, Float[Array, "samples ..."]]:
    """`num_samples` dependent draws z and their log q(z | x), (num_samples, *batch).

    Arguments:
        posterior: offers `from_noise`; those of the built-in models with Gaussian layers do.
        sampling: "antithetic" (samples 2 i and 2 i + 1 have opposite noise) or "sobol" (a point set in as many
            dimensions as z has, scrambled afresh for each example).

    References: Wu, Goodman and Ermon, "Differentiable Antithetic Sampling for Variance Reduction in Stochastic
    Variational Inference" (2019), arXiv:1810.02555; Buchholz, Wenzel and Mandt, "Quasi-Monte Carlo Variational
    Inference" (2018), arXiv:1807.01604.
    """
    if not hasattr(posterior, "from_noise"):
        raise IwaxError(
            f"Expected a posterior with a from_noise method for sampling={sampling!r}; got {type(posterior).__name__}. "
            "Use sampling='independent'."
        )
    shape, dtype = _noise_shape(posterior, key)
    if sampling == "antithetic":
        half = jax.random.normal(key, (num_samples // 2, *shape), dtype)
        noise = jnp.stack([half, -half], axis=1).reshape(num_samples, *shape)
    else:
        noise = _sobol_normal(key, num_samples, shape, dtype)
    return posterior.from_noise(noise)


def _noise_shape(posterior: Posterior, key: PRNGKeyArray) -> tuple[tuple[int, ...], Any]:
    """(*batch, number of values in one z) and the type of those, without drawing."""
    z = jax.eval_shape(lambda: posterior.sample(key, (2,)))
    batch = jax.eval_shape(lambda: posterior.log_prob(posterior.sample(key, (2,)))).shape[1:]
    leaves = jax.tree.leaves(z)
    return (*batch, sum(math.prod(leaf.shape[1 + len(batch) :]) for leaf in leaves)), leaves[0].dtype


def _sobol_normal(key: PRNGKeyArray, num_samples: int, shape: tuple[int, ...], dtype: Any) -> Array:
    """Standard normal numbers (num_samples, *shape) that fill the last axis's space evenly for each example."""
    points = scipy.stats.qmc.Sobol(shape[-1], scramble=False).random_base2(num_samples.bit_length() - 1)
    points = np.floor(points * 2**32).astype(np.uint32)
    points = points.reshape(num_samples, *(1,) * (len(shape) - 1), shape[-1])
    scrambled = _scramble(jnp.asarray(points), jax.random.bits(key, (5, *shape), jnp.uint32))
    # As many leading bits as the type holds, at the centre of their cell: never 0 or 1.
    bits = 23 if dtype == jnp.float32 else 32
    uniform = ((scrambled >> (32 - bits)).astype(dtype) + 0.5) / 2**bits
    return jax.scipy.special.ndtri(uniform)


def _scramble(points: UInt32[Array, "samples ..."], seeds: UInt32[Array, "5 ..."]) -> UInt32[Array, "samples ..."]:
    """A nested scrambling, as Owen's: each bit is changed by a random function of the bits above it.

    That keeps the evenness of the points; the random shift makes each of them uniform exactly. The form is that of
    Laine and Karras, "Stratified Sampling for Stochastic Transparency" (2011), with multipliers drawn at random.
    """
    shift, *multipliers = seeds
    x = _reverse_bits(points) + shift
    for multiplier in multipliers:
        x = x ^ (x * (multiplier & jnp.uint32(0xFFFFFFFE)))
    return _reverse_bits(x)


def _reverse_bits(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    for shift, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF)):
        x = ((x >> shift) & jnp.uint32(mask)) | ((x & jnp.uint32(mask)) << shift)
    return (x >> 16) | (x << 16)
