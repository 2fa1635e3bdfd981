"""Gradients of far more than the usual norm, clipped: what one extreme image does to a step is limited.

With g_t the gradient of step t = 1, 2, ..., and |g| its norm over all parameters:

    c_t = min(1, factor u_{t-1} / |g_t|)                  c_1 = 1
    u_t = mean of |c_s g_s| over s <= t, with weights decay^(t - s)
    g_t is replaced by c_t g_t

An optimiser that divides by the root of a running second moment takes an outlier for what is usual from then on: at
decays beta1 = beta2 = b it moves every parameter by sqrt(1 - b) of the rate in the outlier's direction, and goes on
moving them so for 1 / (1 - sqrt(b)) steps. In a hierarchy of latent variables, where p(z_1 | z_2) can be narrow, one
image in a million has a loss a million times the mean.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

__all__ = ["clip_outliers"]


class NormState(NamedTuple):
    """The number of gradients seen, and the weighted sum of their norms."""

    step: Array
    total: Float[Array, ""]


def clip_outliers(factor: float, decay: float = 0.99) -> optax.GradientTransformation:
    """Clipping as the module's docstring has it, to be chained before an optimiser.

    Arguments:
        factor: how many times the usual norm a gradient may have.
        decay: of the weight of a norm, by step.

    >>> clip = clip_outliers(10.0)
    >>> _, state = clip.update(jnp.array([3.0, 4.0]), clip.init(jnp.zeros(2)))
    >>> gradient, _ = clip.update(jnp.array([3e6, 4e6]), state)
    >>> [round(float(g), 3) for g in gradient]
    [30.0, 40.0]
    """

    def init(parameters: PyTree) -> NormState:
        return NormState(jnp.zeros([], jnp.int32), jnp.zeros([]))

    def update(gradient: PyTree, state: NormState, parameters: PyTree = None) -> tuple[PyTree, NormState]:
        norm = optax.tree.norm(gradient)
        weights = (1 - decay**state.step) / (1 - decay)  # of the norms in the total
        most = jnp.where(state.total == 0, jnp.inf, factor * state.total / weights)  # of no usual norm yet
        share = jnp.where(norm > most, most / norm, 1.0)
        clipped = jax.tree.map(lambda g: share * g, gradient)
        return clipped, NormState(state.step + 1, decay * state.total + share * norm)

    return optax.GradientTransformation(init, update)
