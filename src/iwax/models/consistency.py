"""Does a posterior's density belong to its draws? Two identities of mean zero, tested on the draws.

    E_q[d/dphi log q(z | x)] = 0                                      along random directions of the parameters
    E_q[v . grad_z log q] = 0,   E_q[v . (z - c) grad_z log q] = -sum v    for random v, where z is any real number

The second pair is Stein's. The first needs a support that does not depend on the parameters. A constant that the
density lacks changes no gradient, and is not found.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.models.model import Model, Posterior

__all__ = ["inconsistency"]

NUM_SAMPLES = 1000
LIMIT = 7.0  # standard errors; of some dozens of statistics, none is beyond it by chance
DIRECTIONS = 3
FAR = 1e3


def inconsistency(model: Model, x: PyTree, key: PRNGKeyArray) -> str | None:
    """What shows that `log_prob` of the model's posterior is not the density of its `sample`; None if nothing does.

    >>> import iwax
    >>> inconsistency(iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2)), jax.random.key(0))
    """
    for name, statistic in _statistics(model, x, key):
        worst = float(statistic)
        if not worst < LIMIT:
            return f"the mean of {name} over {NUM_SAMPLES} draws, zero in theory, is {worst:.0f} standard errors off"
    return None


@eqx.filter_jit  # one program: step by step, every operation of the model would be compiled for itself
def _statistics(model: Model, x: PyTree, key: PRNGKeyArray) -> list[tuple[str, Array]]:
    """Names, and how many standard errors the worst mean is from zero."""
    keys = jax.random.split(key, 1 + DIRECTIONS)
    posterior = model.posterior(x)
    z = posterior.sample(keys[0], (NUM_SAMPLES,))

    def worst(statistics: Any) -> Any:
        each = [jax.tree.map(_standard_errors, statistics(key)) for key in keys[1:]]
        return jax.tree.map(lambda *errors: jnp.max(jnp.stack(errors)), *each)

    found = [("d log q(z | x) / d phi", worst(lambda key: _score(model, x, z, key)))]
    if _has_real_support(posterior, z):
        flat, linear = worst(lambda key: _stein(posterior, z, key))
        holds = _is_finite_far_away(posterior, z)
        found.append(("v . grad_z log q(z | x)", jnp.where(holds, flat, 0.0)))
        found.append(("v . (z - c) grad_z log q(z | x) + sum v", jnp.where(holds, linear, 0.0)))
    return found


def _score(model: Model, x: PyTree, z: PyTree, key: PRNGKeyArray) -> Array:
    """The derivative of log q(z | x) along a random direction of all parameters, z fixed: (samples, *batch)."""
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)

    def log_q(parameters: Any) -> Array:
        return eqx.combine(parameters, rest).posterior(x).log_prob(z)

    return jax.jvp(log_q, (parameters,), (_normals(parameters, key),))[1]


def _stein(posterior: Posterior, z: PyTree, key: PRNGKeyArray) -> tuple[Array, Array]:
    """Stein's two statistics for one random v of each draw's shape: (samples, *batch) each."""
    log_q, pullback = jax.vjp(posterior.log_prob, z)
    (slope,) = pullback(jnp.ones_like(log_q))
    v = _normals(jax.tree.map(lambda leaf: leaf[0], z), key)

    def summed(function: Any) -> Array:
        values = jax.tree.map(function, v, z, slope)
        return sum(leaf.reshape(*log_q.shape, -1).sum(axis=-1) for leaf in jax.tree.leaves(values))

    flat = summed(lambda v, z, slope: v * slope)
    return flat, summed(lambda v, z, slope: v * ((z - z.mean(axis=0)) * slope + 1))


def _has_real_support(posterior: Posterior, z: PyTree) -> bool:
    """Whether the density is smooth and positive everywhere, as far as it says."""
    floating = all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(z))
    support = repr(getattr(posterior, "support", "real")).lower()  # numpyro's: Real(), IndependentConstraint(Real(), 1)
    return floating and getattr(posterior, "has_rsample", True) and "real" in support


def _is_finite_far_away(posterior: Posterior, z: PyTree) -> Array:
    """Whether the density is positive there, too, where it has not said that it need not be."""
    sides = [posterior.log_prob(jax.tree.map(lambda leaf, far=far: leaf[:2] + far, z)) for far in (-FAR, FAR)]
    return jnp.all(jnp.isfinite(jnp.stack(sides)))


def _normals(tree: PyTree, key: PRNGKeyArray) -> PyTree:
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(key, leaf.shape, leaf.dtype) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def _standard_errors(statistic: Array) -> Array:
    """How many standard errors the mean over draws is from zero, at the worst example; rounding aside."""
    error = statistic.std(axis=0) / NUM_SAMPLES**0.5
    rounding = 1e-6 * (1e-6 + jnp.abs(statistic).max(axis=0))
    return jnp.max(jnp.abs(statistic.mean(axis=0)) / (error + rounding))
