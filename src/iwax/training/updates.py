"""What one training step updates, and by which objective."""

from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import PyTree

from iwax.errors import IwaxError
from iwax.models import Model
from iwax.objectives import AbstractObjective, check_objective

__all__ = ["UPDATES", "Alternating", "Phase", "Update", "ascended", "phases", "trainable"]

UPDATES = ("joint", "alternating")


class Alternating(eqx.Module):
    """Update the inference network on one objective, then the generative network on another.

    Both see the same minibatch; the second draws new samples of z, through the inference network that the first has
    just changed. Each network has an optimiser of its own.

    Arguments:
        inference: what the inference network ascends.
        generative: what the generative network ascends; its bound is the one reported.

    Reference: PIWAE as the second source report trains it, with MIWAE(10, 10) and IWAE(10). Rainforth et al. (2018),
    arXiv:1802.04537, update both at once from one set of samples: that is `iwax.PIWAE` with `update="joint"`.

    >>> import iwax
    >>> update = Alternating(
    ...     inference=iwax.MIWAE(num_groups=10, num_samples=10), generative=iwax.IWAE(num_samples=10)
    ... )
    """

    inference: AbstractObjective
    generative: AbstractObjective

    def __check_init__(self) -> None:
        for name in ("inference", "generative"):
            objective = getattr(self, name)
            check_objective(objective, name)
            if objective.learned:
                raise IwaxError(
                    f"Expected {name} to be an objective with nothing to learn; got {type(objective).__name__} which "
                    f"learns {', '.join(objective.learned)}. Train it with update='joint'."
                )


Update = str | Alternating
"""What `fit` takes: "joint", or an `Alternating`."""


def ascended(objective: AbstractObjective, update: Update) -> tuple[AbstractObjective, ...]:
    """The objectives that the phases of a step climb, in their order; the bound of the last is the one reported."""
    return (update.inference, update.generative) if isinstance(update, Alternating) else (objective,)


class Phase(NamedTuple):
    """One update within a step: of the parts of the model that `mask` (True or False for each leaf) names."""

    objective: AbstractObjective | None
    """What it ascends; None for the state's own objective, which may have something to learn."""
    mask: PyTree


def trainable(model: Model, objective: AbstractObjective) -> PyTree:
    """True for each leaf of (model, objective) that training may change, and False for the others."""
    learned = jax.tree.map(lambda _: False, objective)
    if objective.learned:
        learned = eqx.tree_at(
            lambda o: [getattr(o, name) for name in objective.learned], learned, replace_fn=lambda _: True
        )
    return jax.tree.map(eqx.is_inexact_array, model), learned


def phases(model: Model, objective: AbstractObjective, update: Update) -> tuple[Phase, ...]:
    """The updates of one step, in their order; their masks are of (model, objective).

    Raises:
        ValueError: an unknown update, or a model without the two groups of parameters.
    """
    everything = trainable(model, objective)
    if update == "joint":
        return (Phase(None, everything),)
    if not isinstance(update, Alternating):
        raise IwaxError(
            f"Expected update to be 'joint' or iwax.Alternating(inference=..., generative=...); got {update!r}."
        )
    nothing = jax.tree.map(lambda _: False, everything)
    return tuple(
        Phase(getattr(update, group), _only(group, everything, nothing)) for group in ("inference", "generative")
    )


def _only(group: str, everything: PyTree, nothing: PyTree) -> PyTree:
    """`everything` within model.<group>, `nothing` elsewhere."""
    if not hasattr(everything[0], group):
        raise IwaxError(
            f"Expected a model with parameter groups `inference` and `generative` for an alternating update; "
            f"got {type(everything[0]).__name__} without `{group}`."
        )
    return eqx.tree_at(lambda tree: getattr(tree[0], group), nothing, getattr(everything[0], group))
