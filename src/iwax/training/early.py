"""Few samples for most of a run, many at its end: what is trained in the early part of a recipe that has one.

A bound of few samples costs a fraction of one of many, and until the rate falls it takes the parameters to much the
same place. Optimiser, schedule and random numbers know nothing of it: a step of the early part is a step of the same
run, by the same objective with fewer samples.
"""

import dataclasses
from typing import Any

import jax

from iwax.errors import IwaxError
from iwax.objectives import AbstractObjective
from iwax.training.updates import Alternating, Update

__all__ = ["EarlyPart", "in_form_of", "with_fewer"]


def with_fewer(objective: AbstractObjective, num_samples: int) -> AbstractObjective:
    """The same objective with so many samples, fewer than it has, all of them taken backward.

    MIWAE(M, K) and PIWAE(M, K) keep their M groups where so many samples can be shared out among them, and are
    IWAE(num_samples) where not; CIWAE is the CIWAE of as many and the same beta. What it learns, it has in common with
    the objective.

    Raises:
        ValueError: no fewer samples than the objective has, or too few for it.

    >>> import iwax
    >>> with_fewer(iwax.IWAE(num_samples=64, backward="resampled", num_resampled=8), 5)
    IWAE(num_samples=5)
    >>> with_fewer(iwax.MIWAE(num_groups=4, num_samples=16), 8)
    MIWAE(num_samples=2, num_groups=4)
    """
    if num_samples >= objective.total_samples:
        raise IwaxError(
            f"Expected early_samples to be fewer than the {objective.total_samples} samples of "
            f"{type(objective).__name__}; got {num_samples}."
        )
    fewer = _with_samples(objective, num_samples)
    for cls in type(objective).__mro__:
        if "__check_init__" in vars(cls):
            cls.__check_init__(fewer)  # type: ignore[attr-defined]
    return fewer


def _with_samples(objective: AbstractObjective, num_samples: int) -> AbstractObjective:
    """The same, unchecked: also of what stands for an objective in the state of an optimiser."""
    groups = getattr(objective, "num_groups", 1)
    groups = groups if num_samples % groups == 0 else 1
    changed = {"num_samples": num_samples // groups, "num_groups": groups, "backward": "all", "num_resampled": None}
    fewer: Any = object.__new__(type(objective))  # its constructor takes other arguments than its fields in places
    for field in dataclasses.fields(objective):
        object.__setattr__(fewer, field.name, changed.get(field.name, getattr(objective, field.name)))
    return fewer


@dataclasses.dataclass(frozen=True)
class EarlyPart:
    """The early part of one run: its first `epochs`, which train an objective of `num_samples` samples."""

    epochs: int
    num_samples: int

    def has(self, step: int, steps_per_epoch: int) -> bool:
        """Whether the step after so many is in it."""
        return step < self.epochs * steps_per_epoch

    def objective(self, objective: AbstractObjective) -> AbstractObjective:
        """What the early part climbs in place of an objective."""
        return with_fewer(objective, self.num_samples)

    def update(self, update: Update) -> Update:
        """What a step of the early part updates, and by which objectives."""
        if not isinstance(update, Alternating):
            return update
        return Alternating(inference=self.objective(update.inference), generative=self.objective(update.generative))

    def state(self, state: Any) -> Any:
        """A state of training, or of several runs, with the objective of the early part; its arrays are the same."""

        def of_few(node: Any) -> Any:
            return _with_samples(node, self.num_samples) if isinstance(node, AbstractObjective) else node

        # The state of an optimiser has the form of what it updates, the objective in it.
        return jax.tree.map(of_few, state, is_leaf=lambda node: isinstance(node, AbstractObjective))


def in_form_of(state: Any, other: Any) -> Any:
    """The arrays of a state in the form of another: with the objective of the end, after a step of the early part."""
    return jax.tree.unflatten(jax.tree.structure(other), jax.tree.leaves(state))
