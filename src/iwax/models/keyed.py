"""Models whose networks are random while they train, by dropout: they take a `key`, which training gives them.

A key that is given stays the same for a step, so that a model asked twice drops the same units twice. Nobody who judges
gives one; without a key a network must drop nothing. What training ascends is then the bound of a network drawn afresh
at each step, averaged over such networks.
"""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.models.model import Model, Posterior

__all__ = ["KeyedModel", "takes_key", "with_key"]

METHODS = ("posterior", "log_joint")


def takes_key(model: Model) -> tuple[str, ...]:
    """Which of `posterior` and `log_joint` take a key, by a parameter of that name."""
    inner = getattr(model, "lifted", model)  # of `batched`, which passes keys on
    return tuple(name for name in METHODS if _has_key(getattr(inner, name, None)))


def with_key(model: Model, key: PRNGKeyArray) -> Model:
    """The model with this key given to its methods that take one; a model without such is returned as it is."""
    return KeyedModel(model, key) if takes_key(model) else model


class KeyedModel(eqx.Module):
    """A model whose methods are given their keys: one for `posterior`, another for `log_joint`."""

    model: Model
    key: PRNGKeyArray

    def posterior(self, x: PyTree) -> Posterior:
        return self.model.posterior(x, **self._key("posterior"))

    def log_joint(self, x: PyTree, z: PyTree) -> Array:
        return self.model.log_joint(x, z, **self._key("log_joint"))

    def _key(self, method: str) -> dict[str, PRNGKeyArray]:
        if method not in takes_key(self.model):
            return {}
        return {"key": jax.random.fold_in(self.key, METHODS.index(method))}

    def __getattr__(self, name: str) -> Any:
        """The optional members are those of the model; not found before `model` is set, or by a copying program."""
        if name.startswith("__") or name in ("model", "key"):
            raise AttributeError(name)
        return getattr(self.model, name)


def _has_key(method: Callable[..., Any] | None) -> bool:
    if method is None:
        return False
    try:
        return "key" in inspect.signature(method).parameters
    except (TypeError, ValueError):  # no signature, as of some built-in functions
        return False
