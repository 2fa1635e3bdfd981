"""The contract between a model and everything else, and the three operations that rest on it.

A model is a pair of densities: the generative p(x, z) and the inference density q(z | x). It is a pytree with

    model.posterior(x)       q(. | x): a pytree with `.sample(key, sample_shape)` and `.log_prob(z)`
    model.log_joint(x, z)    log p(x, z) in nats; z has a leading sample axis: (S, *batch)
    model.generative         the parameters of p  }  two sub-trees, for optimisers by group,
    model.inference          the parameters of q  }  signal-to-noise and counts

`x` and `z` may be pytrees; every leaf of z is (S, *batch, *event), and *batch may be (). A posterior that can share
work between sampling and density offers `sample_and_log_prob(key, sample_shape)`.
"""

from typing import Any, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxError

__all__ = ["Model", "Posterior", "checked_log_joint", "draw", "freeze"]

Tree = TypeVar("Tree")


@runtime_checkable
class Posterior(Protocol):
    """An inference density q(z | x) for a batch of x."""

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...]) -> PyTree:
        """Reparameterized draws; every leaf is (*sample_shape, *batch, *event)."""

    def log_prob(self, z: PyTree) -> Float[Array, "..."]:
        """log q(z | x) in nats, summed over the event: (*sample_shape, *batch)."""


@runtime_checkable
class Model(Protocol):
    """A generative density and an inference density; see the head of this module."""

    generative: Any
    inference: Any

    def posterior(self, x: PyTree) -> Posterior:
        """q(. | x)."""

    def log_joint(self, x: PyTree, z: PyTree) -> Float[Array, "..."]:
        """log p(x, z) in nats, (S, *batch)."""


def freeze(tree: Tree) -> Tree:
    """The same tree, with every floating-point array constant to differentiation.

    A frozen posterior keeps no gradient to its numbers nor to the weights of its conditional networks, yet its
    `log_prob(z)` stays differentiable in z. That is what the path derivative needs for any number of stochastic
    layers; detaching means and scales instead is biased from two layers on (docs/design-notes.md).
    """
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


def draw(posterior: Any, key: PRNGKeyArray, num_samples: int) -> tuple[PyTree, Float[Array, "samples ..."]]:
    """`num_samples` draws z and their log q(z | x), (num_samples, *batch), sharing work where the posterior can."""
    if hasattr(posterior, "sample_and_log_prob"):
        return posterior.sample_and_log_prob(key, (num_samples,))
    z = posterior.sample(key, (num_samples,))
    return z, posterior.log_prob(z)


def checked_log_joint(model: Any, x: PyTree, z: PyTree, log_q: Array) -> Float[Array, "samples ..."]:
    """log p(x, z), refused where it would only broadcast against log q(z | x)."""
    log_p = model.log_joint(x, z)
    if jnp.shape(log_p) != jnp.shape(log_q):
        raise IwaxError(
            f"Expected model.log_joint(x, z) to have shape (samples, *batch) = {jnp.shape(log_q)}, that of the "
            f"posterior's log_prob; got {jnp.shape(log_p)}. iwax.check_model says what is wrong."
        )
    return log_p
