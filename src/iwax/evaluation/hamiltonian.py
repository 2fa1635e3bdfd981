"""Hamiltonian Monte Carlo at given temperatures: steps that leave a density between two others invariant.

The step itself is blackjax's. Step sizes come from a pilot run and are then constants: adapted along the way, they
would depend on the chain, and its steps leave nothing invariant.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from iwax.extras import check_installed

__all__ = ["hamiltonian_step", "pilot_step_sizes", "walk"]

ACCEPTANCE = 0.65  # aimed at by the step sizes (Wu et al., 2017)
GAIN = 0.2  # change of the pilot's log step size per unit of acceptance too much
JITTER = 0.2  # relative, of each step size, lest a trajectory be a whole period


def hamiltonian_step(log_terms: Callable, variances: Float[Array, " size"], leapfrog_steps: int) -> Callable:
    """A step of all chains that leaves exp(a + t b) invariant: (z, t, step size, key) -> (z, acceptance).

    Arguments:
        log_terms: z (size,) -> (a, b).
        variances: the inverse mass matrix.
        leapfrog_steps: gradients per step.

    Raises:
        MissingExtraError: blackjax is not installed.
    """
    check_installed("blackjax", "Hamiltonian Monte Carlo")
    from blackjax.mcmc import hmc

    kernel = hmc.build_kernel()

    def move(z: Array, t: Array, step_size: Array, key: Array) -> tuple[Array, Array]:
        def log_density(z: Array) -> Array:
            a, b = log_terms(z)
            return a + t * b

        def of_chain(z: Array, key: Array) -> tuple[Array, Array]:
            size_key, key = jax.random.split(key)
            size = step_size * jax.random.uniform(size_key, minval=1 - JITTER, maxval=1 + JITTER)
            state = hmc.init(z, log_density)
            state, info = kernel(key, state, log_density, size, variances, leapfrog_steps)
            return state.position, info.acceptance_rate

        return jax.vmap(of_chain)(z, jax.random.split(key, len(z)))

    return move


def pilot_step_sizes(
    step: Callable, z: Float[Array, "chains size"], key: Array, t: Float[Array, " pilot"]
) -> Float[Array, " pilot"]:
    """Step sizes at the temperatures `t`, in the order of which chains move from z, accepted as often as wished."""

    def adapt(carry: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        z, log_size = carry
        z, acceptance = step(z, at[0], jnp.exp(log_size), at[1])
        return (z, log_size + GAIN * (jnp.mean(acceptance) - ACCEPTANCE)), jnp.exp(log_size)

    guess = -0.25 * jnp.log(jnp.asarray(z.shape[1], z.dtype))  # for a standard normal, up to a constant
    return jax.lax.scan(adapt, (z, guess), (t, jax.random.split(key, len(t))))[1]


def walk(
    step: Callable,
    measure: Callable,
    z: Float[Array, "chains size"],
    key: Array,
    t: Float[Array, " inner"],
    step_sizes: Float[Array, " inner"],
) -> tuple[Float[Array, "times chains"], Float[Array, " inner"]]:
    """`measure(z)` of each chain before each step and after the last, and the mean acceptance of each step."""

    def move(z: Array, at: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        measured = jax.vmap(measure)(z)
        z, acceptance = step(z, *at)
        return z, (measured, jnp.mean(acceptance))

    z, (measured, acceptance) = jax.lax.scan(move, z, (t, step_sizes, jax.random.split(key, len(t))))
    return jnp.concatenate([measured, jax.vmap(measure)(z)[None]]), acceptance
