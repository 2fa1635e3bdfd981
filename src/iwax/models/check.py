"""Does a model meet the contract? What is wrong, in words, before training finds out in other ways."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from iwax.models.consistency import inconsistency
from iwax.models.keyed import takes_key, with_key
from iwax.models.model import GroupedModel, Model, freeze

__all__ = ["ModelReport", "check_model"]

MEMBERS = ("posterior", "log_joint", "generative", "inference")
NUM_SAMPLES = 7  # unlike any likely batch size, so that axes in the wrong order show


@dataclasses.dataclass(frozen=True)
class ModelReport:
    """What `check_model` found; print it."""

    model: str
    problems: tuple[str, ...]
    facts: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    def __str__(self) -> str:
        verdict = "meets the contract" if self.ok else f"has {len(self.problems)} problem(s)"
        problems = [f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1)]
        return "\n".join([f"{self.model} {verdict}.", *problems, *[f"  - {fact}" for fact in self.facts]])


class _BrokenError(Exception):
    """A problem after which nothing more can be checked."""


def check_model(model: Any, x: PyTree, key: PRNGKeyArray) -> ModelReport:
    """Check a model against the contract of `iwax.models.model` on a batch of data.

    Shapes, finite values, the posterior being a pytree, gradients that are missing, parameters in neither or both of
    the groups `generative` and `inference`, whether freezing the posterior really freezes it, and whether its
    `log_prob` is the density of its `sample` (but for a constant, which shows in no gradient).

    Arguments:
        model: the model.
        x: a batch of data as the model takes it, (*batch, *event).
        key: for a few samples.

    Returns:
        A report; `report.ok`, `report.problems`, or print it.

    >>> import iwax
    >>> print(check_model(iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2)), jax.random.key(0)))
    LinearGaussian meets the contract.
      - batch shape (3,), samples of shape (2,)
      - 10 generative and 8 inference parameters
    """
    problems: list[str] = []
    facts: list[str] = []
    # Parameters are told apart by identity below, so no two may be one array.
    model = jax.tree.map(lambda leaf: leaf.copy() if eqx.is_inexact_array(leaf) else leaf, model)
    x = jax.tree.map(jnp.asarray, x)
    try:
        own = _check_members(model)
        _check_no_state(own)
        z, log_q = _check_posterior(own, x, key, problems)
        facts.append(f"batch shape {log_q.shape[1:]}, samples of shape {_event_shapes(z, log_q)}")
        _check_joint(own, x, z, log_q, problems)
        if methods := takes_key(own):
            _check_keyed(own, x, z, log_q, key, methods)
            facts.append(f"{' and '.join(methods)} get a key in training, none in judging")
        _check_groups(own, problems)
        facts.append(f"{_size(own.generative):,} generative and {_size(own.inference):,} inference parameters")
        _check_gradients(own, x, z, problems)
        _check_frozen(own, x, z, problems)
        _check_density(own, x, key, problems)
    except _BrokenError as broken:
        problems.append(str(broken))
    return ModelReport(type(model).__name__, tuple(problems), tuple(facts))


def _attempt(what: str, function: Callable, *arguments: Any, hint: str = "") -> Any:
    """The function's value, or the problem of its having none: a user's model may raise anything."""
    try:
        return function(*arguments)
    except Exception as error:
        raise _BrokenError(
            f"Expected {what} to work; got {type(error).__name__}: {str(error).partition(chr(10))[0]}{hint}"
        ) from error


def _hint(model: Model) -> str:
    """The mistake that shapes which do not fit together come of most often."""
    if hasattr(model, "lifted"):
        return (
            f" Within iwax.batched, x is one example, but z has its samples first, ({NUM_SAMPLES}, *event): map a "
            "network that takes one z over them, jax.vmap(network)(z), and sum over the event alone."
        )
    return (
        " x is a batch, (*batch, *event), and z has its samples before that, (samples, *batch, *event); a model that "
        "is written for one example becomes one for batches by iwax.batched(model)."
    )


def _check_no_state(model: Model) -> None:
    """A layer with a state that each step changes makes no density of one example."""
    kinds = (eqx.nn.StatefulLayer, eqx.nn.StateIndex)
    leaves = jax.tree_util.tree_flatten_with_path(model, is_leaf=lambda node: isinstance(node, kinds))[0]
    found = [(jax.tree_util.keystr(path), type(leaf)) for path, leaf in leaves if isinstance(leaf, kinds)]
    if found:
        path, kind = found[0]
        raise _BrokenError(
            f"Expected a model without state; got {kind.__name__} at {path}, whose state each batch would change, so "
            "that a bound depends on the examples beside its own. Use eqx.nn.LayerNorm or eqx.nn.GroupNorm in place of "
            "batch statistics."
        )


def _check_keyed(
    model: GroupedModel, x: PyTree, z: PyTree, log_q: jax.Array, key: PRNGKeyArray, methods: tuple[str, ...]
) -> None:
    """With a key, the methods that take one must give the same shapes as without."""
    keyed = with_key(model, key)
    given = {"posterior": "model.posterior(x, key)", "log_joint": "model.log_joint(x, z, key)"}
    shapes = {
        "posterior": lambda: jnp.shape(keyed.posterior(x).log_prob(z)),
        "log_joint": lambda: jnp.shape(keyed.log_joint(x, z)),
    }
    for method in methods:
        shape = _attempt(given[method], shapes[method])
        if shape != log_q.shape:
            raise _BrokenError(
                f"Expected {given[method]} to be of the same shape as without a key, {log_q.shape}; got {shape}."
            )


def _check_members(model: Any) -> GroupedModel:
    missing = [name for name in MEMBERS if not hasattr(model, name)]
    if missing:
        raise _BrokenError(f"Expected the model to have {', '.join(MEMBERS)}; it has no {', '.join(missing)}.")
    return model


def _check_posterior(model: Model, x: PyTree, key: PRNGKeyArray, problems: list[str]) -> tuple[PyTree, jax.Array]:
    posterior = _attempt("model.posterior(x)", model.posterior, x, hint=_hint(model))
    if isinstance(posterior, tuple) and not hasattr(posterior, "log_prob"):
        raise _BrokenError(
            f"Expected model.posterior(x) to return a density; got a tuple of {len(posterior)}, such as a density and "
            "a state. A model has no state; what a density is made of (mean and scale) belongs into a distribution."
        )
    leaves = jax.tree.leaves(posterior)
    if len(leaves) == 1 and leaves[0] is posterior:
        problems.append(
            f"Expected the posterior to be a pytree, to be frozen; got an opaque {type(posterior).__name__}. "
            "Make it an equinox Module, or use a numpyro distribution."
        )
    z = _attempt("posterior.sample(key, (7,))", posterior.sample, key, (NUM_SAMPLES,), hint=_hint(model))
    log_q = _attempt("posterior.log_prob(z)", posterior.log_prob, z, hint=_hint(model))
    count = jax.tree.leaves(x)[0].shape[:1]
    if jnp.shape(log_q)[1:2] != count:
        raise _BrokenError(
            f"Expected posterior.log_prob(z) of shape (7, *batch), (7, {', '.join(map(str, count))}) for this x; got "
            f"{jnp.shape(log_q)}. It must sum over the event, not over examples.{_hint(model)}"
        )
    for leaf in jax.tree.leaves(z):
        if leaf.shape[: log_q.ndim] != log_q.shape or leaf.shape[0] != NUM_SAMPLES:
            problems.append(
                f"Expected samples of shape (7, *batch, *event) and their log_prob of (7, *batch); got {leaf.shape} "
                f"and {log_q.shape}. log_prob must sum over the event."
            )
    if not jnp.isfinite(log_q).all():
        problems.append("Expected posterior.log_prob(z) to be finite at its own samples; it is not.")
    return z, log_q


def _check_joint(model: GroupedModel, x: PyTree, z: PyTree, log_q: jax.Array, problems: list[str]) -> None:
    # Step by step, or its errors speak of tracing.
    log_p = _attempt("model.log_joint(x, z)", model.log_joint, x, z, hint=_hint(model))
    if jnp.shape(log_p) != log_q.shape:
        raise _BrokenError(
            f"Expected model.log_joint(x, z) to have the shape of posterior.log_prob(z), {log_q.shape}; got "
            f"{jnp.shape(log_p)}. Both must sum over the event, neither over examples.{_hint(model)}"
        )
    if not jnp.isfinite(log_p).all():
        problems.append("Expected model.log_joint(x, z) to be finite at samples of the posterior; it is not.")


def _check_groups(model: GroupedModel, problems: list[str]) -> None:
    own = _parameters(model)
    generative, inference = _parameters(model.generative), _parameters(model.inference)
    neither = [name for leaf, name in own.items() if leaf not in generative and leaf not in inference]
    both = [name for leaf, name in own.items() if leaf in generative and leaf in inference]
    if neither:
        problems.append(f"Expected every parameter in model.generative or .inference; in neither: {_some(neither)}.")
    if both:
        problems.append(f"Expected no parameter in both model.generative and .inference; in both: {_some(both)}.")


def _check_gradients(model: GroupedModel, x: PyTree, z: PyTree, problems: list[str]) -> None:
    """Every generative parameter must move log p(x, z), and every inference parameter log q(z | x)."""
    densities = {
        "generative": ("log_joint(x, z)", lambda model: jnp.sum(model.log_joint(x, z))),
        "inference": ("posterior(x).log_prob(z)", lambda model: jnp.sum(model.posterior(x).log_prob(z))),
    }
    for group, (density, function) in densities.items():
        members = _parameters(getattr(model, group))
        gradient = eqx.filter_jit(eqx.filter_grad(function))(model)
        still = [name for leaf, name in _unmoved(model, gradient).items() if leaf in members]
        if still:
            problems.append(f"Expected {density} to depend on all of model.{group}; no gradient in {_some(still)}.")


def _check_frozen(model: GroupedModel, x: PyTree, z: PyTree, problems: list[str]) -> None:
    """A frozen posterior's density must have no gradient in any parameter: what it holds in a closure would leak."""
    gradient = eqx.filter_jit(eqx.filter_grad(lambda model: jnp.sum(freeze(model.posterior(x)).log_prob(z))))(model)
    still = _unmoved(model, gradient)
    leaking = [name for leaf, name in _parameters(model).items() if leaf not in still]
    if leaking:
        problems.append(
            f"Expected a frozen posterior to have no gradient in parameters; it has one in {_some(leaking)}. "
            "Hold networks as fields of the posterior, not in closures."
        )


def _check_density(model: GroupedModel, x: PyTree, key: PRNGKeyArray, problems: list[str]) -> None:
    found = _attempt("the density of the posterior", inconsistency, model, x, key)
    if found is not None:
        problems.append(f"Expected posterior.log_prob to be the density of what posterior.sample draws; {found}.")


def _parameters(tree: PyTree) -> dict[int, str]:
    """Identity of each floating-point array -> its path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {id(leaf): jax.tree_util.keystr(path) for path, leaf in leaves if eqx.is_inexact_array(leaf)}


def _unmoved(model: GroupedModel, gradient: PyTree) -> dict[int, str]:
    """The parameters whose gradient is zero everywhere."""
    pairs = zip(_parameters(model).items(), jax.tree.leaves(gradient), strict=True)
    return {leaf: name for (leaf, name), derivative in pairs if not np.any(np.asarray(derivative) != 0)}


def _event_shapes(z: PyTree, log_q: jax.Array) -> str:
    return " and ".join(str(leaf.shape[log_q.ndim :]) for leaf in jax.tree.leaves(z))


def _size(tree: PyTree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
