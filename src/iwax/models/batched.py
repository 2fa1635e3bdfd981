"""Lifting a model of single examples to batches."""

from collections.abc import Callable
from typing import Any, cast

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.models.model import FactorizedModel, GroupedModel, Model

__all__ = ["batched"]


def batched(model: Model) -> "BatchedModel":
    """The same model for a batch of examples, from one written for a single example.

    The methods are mapped over the first axis of x, and over the second axis of z, after that of the samples. Networks
    are not: a posterior that holds one keeps a single copy, to be frozen as a whole.

    So the methods see one example x (*event), yet z with its axis of samples: (samples, *event). A network that is
    written for one z is mapped over that axis by `jax.vmap(network)(z)`; without, a matrix product of `eqx.nn.Linear`
    fails, or mixes samples where their number is that of the units. `iwax.check_model` names this mistake. Where
    `posterior` or `log_joint` takes a `key` (dropout), each example gets its own.

    Its `prior` and `likelihood(z)` come along where it has them: the prior as it is, so that `prior.log_prob(z)` must
    take any leading axes; the likelihood mapped as above, or untouched for draws from the prior, (samples, *event).

    Arguments:
        model: its `posterior(x)`, `log_joint(x, z)` and `likelihood(z)` take x (*event) and z (samples, *event).

    >>> import iwax, jax, jax.numpy as jnp
    >>> model = batched(iwax.LinearGaussian.isotropic(2))
    >>> model.posterior(jnp.ones((3, 2))).sample(jax.random.key(0), (5,)).shape  # of samples, of examples, of one z
    (5, 3, 2)
    """
    return BatchedModel(model)


class BatchedModel(eqx.Module):
    """What `batched` returns."""

    model: Model

    @property
    def generative(self) -> PyTree:
        return cast(GroupedModel, self.model).generative

    @property
    def inference(self) -> PyTree:
        return cast(GroupedModel, self.model).inference

    @property
    def prior(self) -> Any:
        return cast(FactorizedModel, self.model).prior  # AttributeError where there is none, as of the model itself

    @property
    def likelihood(self) -> Callable[[PyTree], Any]:
        single = cast(FactorizedModel, self.model).likelihood

        def likelihood(z: PyTree) -> Any:
            return single(z) if self._has_no_batch(z) else _BatchedLikelihood(*self._mapped(single, z, 1))

        return likelihood

    @property
    def lifted(self) -> Model:
        """The model of single examples, which says whether its methods take a key."""
        return self.model

    def posterior(self, x: PyTree, key: PRNGKeyArray | None = None) -> "_BatchedPosterior":
        return _BatchedPosterior(*self._mapped(self.model.posterior, x, 0, key))

    def log_joint(self, x: PyTree, z: PyTree, key: PRNGKeyArray | None = None) -> Float[Array, "samples batch"]:
        """log p(x, z) in nats."""
        if key is None:
            return jax.vmap(self.model.log_joint, in_axes=(0, 1), out_axes=1)(x, z)
        keyed = cast(Any, self.model.log_joint)
        keys = jax.random.split(key, len(jax.tree.leaves(x)[0]))
        return jax.vmap(lambda x, z, key: keyed(x, z, key=key), in_axes=(0, 1, 0), out_axes=1)(x, z, keys)

    def _mapped(
        self, density: Callable[..., Any], argument: PyTree, axis: int, key: PRNGKeyArray | None = None
    ) -> tuple[Any, Any]:
        """The density of each example, apart from what it shares with the model: its networks."""
        own_leaves = {id(leaf) for leaf in jax.tree.leaves(self.model)}
        shared = []

        def per_example(argument: PyTree, **given: PRNGKeyArray) -> PyTree:
            varying, rest = eqx.partition(
                density(argument, **given), lambda leaf: eqx.is_array(leaf) and id(leaf) not in own_leaves
            )
            shared.append(rest)
            return varying

        if key is None:
            return jax.vmap(per_example, in_axes=axis)(argument), shared[0]
        keys = jax.random.split(key, len(jax.tree.leaves(argument)[0]))
        return jax.vmap(lambda x, key: per_example(x, key=key))(argument, keys), shared[0]

    def _has_no_batch(self, z: PyTree) -> bool:
        """Whether z is (samples, *event), as drawn from the prior."""
        if not hasattr(self.model, "prior"):
            return False
        drawn = jax.eval_shape(lambda key: self.prior.sample(key, (1,)), jax.random.key(0))
        return jax.tree.leaves(z)[0].ndim == jax.tree.leaves(drawn)[0].ndim


class _BatchedPosterior(eqx.Module):
    """The posteriors of a batch: the arrays that depend on x have the batch axis, the model's own have not."""

    per_example: Any
    shared: Any

    @property
    def has_rsample(self) -> bool:
        return getattr(eqx.combine(self.per_example, self.shared), "has_rsample", True)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> PyTree:
        """Draws for every example, (*sample_shape, batch, *event)."""

        def sample(per_example: Any, key: PRNGKeyArray) -> PyTree:
            return eqx.combine(per_example, self.shared).sample(key, sample_shape)

        num_examples = jax.tree.leaves(self.per_example)[0].shape[0]
        return jax.vmap(sample, out_axes=len(sample_shape))(self.per_example, jax.random.split(key, num_examples))

    def log_prob(self, z: PyTree) -> Float[Array, "samples batch"]:
        """log q(z | x) in nats for z of (samples, batch, *event)."""

        def log_prob(per_example: Any, z: PyTree) -> Array:
            return eqx.combine(per_example, self.shared).log_prob(z)

        return jax.vmap(log_prob, in_axes=(0, 1), out_axes=1)(self.per_example, z)


class _BatchedLikelihood(eqx.Module):
    """p(x | z) for z of (samples, batch, *event); the arrays that depend on z have the batch axis first."""

    per_example: Any
    shared: Any

    @property
    def mean(self) -> Float[Array, "samples batch *event"]:
        return self._map(lambda density: density.mean)

    def sample(self, key: PRNGKeyArray) -> PyTree:
        """One draw for each z, (samples, batch, *event)."""
        keys = jax.random.split(key, jax.tree.leaves(self.per_example)[0].shape[0])
        return self._map(lambda density, key: density.sample(key), keys)

    def log_prob(self, x: PyTree) -> Float[Array, "samples batch"]:
        """log p(x | z) in nats for x of (batch, *event)."""
        return self._map(lambda density, x: density.log_prob(x), x)

    def _map(self, of: Callable[..., Any], *arguments: Any) -> Any:
        def per_example(density: Any, *arguments: Any) -> Any:
            return of(eqx.combine(density, self.shared), *arguments)

        return jax.vmap(per_example, out_axes=1)(self.per_example, *arguments)
