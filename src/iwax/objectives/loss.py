"""An objective as a loss: the scalar, or one number an example, that any training loop can differentiate."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.objectives.autodiff import value_with_gradient_of
from iwax.objectives.objective import Objective

__all__ = ["loss", "per_example_loss"]


def per_example_loss(model: Any, objective: Objective, x: PyTree, key: PRNGKeyArray) -> Float[Array, " *batch"]:
    """Minus the bound of each example in nats, (*batch); its gradient is that of `objective`'s estimator.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        objective: the bound and estimator.
        x: a batch of data, (*batch, *event).
        key: for the samples of z.
    """
    value, surrogate = objective.estimate(model, x, key)
    return -value_with_gradient_of(value, surrogate)


def loss(model: Any, objective: Objective, x: PyTree, key: PRNGKeyArray) -> Float[Array, ""]:
    """Minus the mean bound over the batch, in nats: a scalar for any training loop.

    The value is the bound itself, never the surrogate, whichever gradient estimator the objective uses.

    >>> import equinox as eqx, iwax, jax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x, key = jax.numpy.ones((3, 2)), jax.random.key(0)
    >>> value, gradient = eqx.filter_value_and_grad(iwax.loss)(model, iwax.IWAE(num_samples=8), x, key)
    """
    return jnp.mean(per_example_loss(model, objective, x, key))
