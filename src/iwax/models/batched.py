"""Lifting a model of single examples to batches."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

__all__ = ["batched"]


def batched(model: Any) -> "BatchedModel":
    """The same model for a batch of examples, from one written for a single example.

    The methods are mapped over the first axis of x, and over the second axis of z, after that of the samples. Networks
    are not: a posterior that holds one keeps a single copy, to be frozen as a whole.

    Arguments:
        model: its `posterior(x)` and `log_joint(x, z)` take x (*event) and z (samples, *event).
    """
    return BatchedModel(model)


class BatchedModel(eqx.Module):
    """What `batched` returns."""

    model: Any

    @property
    def generative(self) -> PyTree:
        return self.model.generative

    @property
    def inference(self) -> PyTree:
        return self.model.inference

    def posterior(self, x: PyTree) -> "_BatchedPosterior":
        own_leaves = {id(leaf) for leaf in jax.tree.leaves(self.model)}
        shared = []

        def per_example(x: PyTree) -> PyTree:
            posterior = self.model.posterior(x)
            depends_on_x, rest = eqx.partition(
                posterior, lambda leaf: eqx.is_array(leaf) and id(leaf) not in own_leaves
            )
            shared.append(rest)
            return depends_on_x

        return _BatchedPosterior(jax.vmap(per_example)(x), shared[0])

    def log_joint(self, x: PyTree, z: PyTree) -> Float[Array, "samples batch"]:
        """log p(x, z) in nats."""
        return jax.vmap(self.model.log_joint, in_axes=(0, 1), out_axes=1)(x, z)


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
