"""An objective as a loss: the scalar, or one number an example, that any training loop can differentiate."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxError
from iwax.keys import check_key, stream
from iwax.models import Model, takes_key, with_key
from iwax.objectives.abstract import check_objective
from iwax.objectives.autodiff import once_differentiable, value_with_gradient_of
from iwax.objectives.objective import AbstractObjective
from iwax.objectives.tempering import Weight, check_kl_weight

__all__ = ["as_differentiable_as", "in_training", "loss", "per_example_loss"]


def per_example_loss(
    model: Model, objective: AbstractObjective, x: PyTree, key: PRNGKeyArray, *, kl_weight: Weight | None = None
) -> Float[Array, " *batch"]:
    """Minus the bound of each example in nats, (*batch); its gradient is that of `objective`'s estimator.

    Where `objective.has_second_derivatives`, higher derivatives are those of the bound on the same noise.

    Arguments:
        model: the pair of densities; see `iwax.models.model`. One whose methods take a key (dropout) is given it.
        objective: the bound and estimator.
        x: a batch of data, (*batch, *event).
        key: for the samples of z.
        kl_weight: lambda of the log-weights log p(x | z) + lambda (log p(z) - log q(z | x)) whose bound the gradient
            climbs; the value is the bound of the log-weights as they are. See `iwax.objectives.tempering`.

    Raises:
        ValueError: a KL weight for a model or an objective that cannot take one.
        TypeError: what is no objective, or no key; from the second derivative, of an objective that has none.

    >>> import iwax, jax
    >>> model, x = iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2))
    >>> per_example_loss(model, iwax.IWAE(num_samples=5), x, jax.random.key(0)).shape
    (3,)
    """
    check_objective(objective)
    check_key(key)
    value, surrogate = _estimate(in_training(model, objective, key), objective, x, key, kl_weight)
    value, surrogate = as_differentiable_as(objective, value, surrogate, (model, objective, x))
    return -value_with_gradient_of(value, surrogate)


def _estimate(model: Model, objective: Any, x: PyTree, key: PRNGKeyArray, kl_weight: Weight | None) -> tuple:
    if kl_weight is None:  # an estimate of one's own need not know of it
        return objective.estimate(model, x, key)
    check_kl_weight(model, objective)
    return objective.estimate(model, x, key, kl_weight)


def in_training(model: Model, objective: AbstractObjective, key: PRNGKeyArray) -> Model:
    """The model as training has it: its methods that take a key are given one, of a stream that nobody else draws from.

    Raises:
        ValueError: an objective that takes some of the samples backward asks log p(x, z) of fewer z than it drew, and
            a network would drop other units there.
    """
    takers = takes_key(model)
    if takers and objective.backward != "all":
        raise IwaxError(
            f"Expected backward='all' for a model whose {' and '.join(takers)} take{'s' * (len(takers) == 1)} a key, "
            f"which would drop other units backward than forward; got {objective.backward!r}. Leave it out."
        )
    return with_key(model, stream(key, "dropout")) if takers else model


def as_differentiable_as(
    objective: AbstractObjective, value: Float[Array, " *batch"], surrogate: Float[Array, " *batch"], inputs: PyTree
) -> tuple[Float[Array, " *batch"], Float[Array, " *batch"]]:
    """The value and surrogate that `estimate` gives of `inputs`, of which a second derivative raises if it has none."""
    if objective.has_second_derivatives:
        return value, surrogate
    words = f"{type(objective).__name__} with gradient={objective.gradient!r}, backward={objective.backward!r}"
    if objective.learned:
        words += f" and {', '.join(objective.learned)} learned"
    return once_differentiable(words, (value, surrogate), inputs)


def loss(
    model: Model, objective: AbstractObjective, x: PyTree, key: PRNGKeyArray, *, kl_weight: Weight | None = None
) -> Float[Array, ""]:
    """Minus the mean bound over the batch, in nats: a scalar for any training loop.

    The value is the bound itself, never the surrogate, whichever gradient estimator the objective uses, and whatever
    the `kl_weight` of `per_example_loss`.

    >>> import equinox as eqx, iwax, jax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x, key = jax.numpy.ones((3, 2)), jax.random.key(0)
    >>> value, gradient = eqx.filter_value_and_grad(iwax.loss)(model, iwax.IWAE(num_samples=8), x, key)
    """
    return jnp.mean(per_example_loss(model, objective, x, key, kl_weight=kl_weight))
