"""The contract between a model and everything else, and the three operations that rest on it.

A model is a pair of densities: the generative p(x, z) and the inference density q(z | x). It is a pytree with the
methods of `Model`; its posterior has those of `Posterior`. `x` and `z` may be pytrees; every leaf of z is
(S, *batch, *event), and *batch may be (). The contract is structural: nothing need be inherited.

What only some uses ask for is optional, and whoever needs it names it:

    model.generative, model.inference      `GroupedModel`: the parameters of p and of q, two sub-trees, for optimisers
                                           by group, signal-to-noise and counts
    model.prior, model.likelihood(z)       `FactorizedModel`: p(x, z) = p(z) p(x | z), for samples, reconstructions,
                                           SSIM, the analytic divergence, annealing from the prior
    posterior.sample_and_log_prob(key, sample_shape)    both at once, sharing work, as flows do
    posterior.has_rsample                  False: its samples are not reparameterized, so no path estimator takes it
    posterior.from_noise(noise)            draws from standard normal numbers, for dependent sampling
    posterior.mean                         of a layer, for reconstructions and active units
    posterior(x, key), log_joint(x, z, key)    a parameter `key`, None if left out, for networks with dropout: training
                                           gives one, judging none

A model has no state that a step would change, such as the averages of batch normalisation: a bound is of one example,
and must not depend on those beside it. `iwax.check_model` refuses it by name.
"""

from typing import Any, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxError

__all__ = ["FactorizedModel", "GroupedModel", "Model", "Posterior", "checked_log_joint", "draw", "freeze"]

Tree = TypeVar("Tree")


@runtime_checkable
class Posterior(Protocol):
    """An inference density q(z | x) for a batch of x, such as a distribution of NumPyro.

    Optional: sample_and_log_prob, has_rsample, from_noise, mean; see the head of `iwax.models.model`.

    >>> import iwax, jax.numpy as jnp
    >>> isinstance(iwax.LinearGaussian.isotropic(2).posterior(jnp.ones(2)), Posterior)
    True
    """

    def sample(self, key: PRNGKeyArray, sample_shape: Any, /) -> PyTree:
        """Draws, reparameterized if q allows; every leaf is (*sample_shape, *batch, *event)."""

    def log_prob(self, z: Any, /) -> Any:
        """log q(z | x) in nats, summed over the event: (*sample_shape, *batch)."""


@runtime_checkable
class Model(Protocol):
    """A generative density p(x, z) and an inference density q(z | x): what an objective and `iwax.evaluate` need.

    Optional: generative and inference (`GroupedModel`), prior and likelihood (`FactorizedModel`).

    >>> import iwax
    >>> isinstance(iwax.LinearGaussian.isotropic(2), Model), isinstance("a model", Model)
    (True, False)
    """

    def posterior(self, x: Any, /) -> Posterior:
        """q(. | x), a `Posterior`."""

    def log_joint(self, x: Any, z: Any, /) -> Any:
        """log p(x, z) in nats, (S, *batch), for z with a leading sample axis: (S, *batch, *event)."""


@runtime_checkable
class GroupedModel(Model, Protocol):
    """A model whose parameters are in two groups: theta of p(x, z) and phi of q(z | x)."""

    @property
    def generative(self) -> Any:
        """The parameters of p."""

    @property
    def inference(self) -> Any:
        """The parameters of q."""


@runtime_checkable
class FactorizedModel(Model, Protocol):
    """A model that has the two factors of p(x, z) = p(z) p(x | z) apart."""

    @property
    def prior(self) -> Any:
        """p(z): `sample(key, sample_shape)` and `log_prob(z)`."""

    def likelihood(self, z: Any, /) -> Any:
        """p(. | z): `log_prob(x)`, `mean`, and `sample(key, sample_shape)` where images are simulated."""


def freeze(tree: Tree) -> Tree:
    """The same tree, with every floating-point array constant to differentiation.

    A frozen posterior keeps no gradient to its numbers nor to the weights of its conditional networks, yet its
    `log_prob(z)` stays differentiable in z. That is what the path derivative needs for any number of stochastic
    layers; detaching means and scales instead is biased from two layers on (docs/design-notes.md).

    >>> float(jax.grad(lambda mean: mean + freeze(mean))(1.0))
    1.0
    """
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


def draw(posterior: Posterior, key: PRNGKeyArray, num_samples: int) -> tuple[PyTree, Float[Array, "samples ..."]]:
    """`num_samples` draws z and their log q(z | x), (num_samples, *batch), sharing work where the posterior can."""
    if hasattr(posterior, "sample_and_log_prob"):
        return posterior.sample_and_log_prob(key, (num_samples,))
    z = posterior.sample(key, (num_samples,))
    return z, posterior.log_prob(z)


def checked_log_joint(
    model: Model, x: PyTree, z: PyTree, log_q: Array, *, batch: int | None = None
) -> Float[Array, "samples ..."]:
    """log p(x, z), refused where it would only broadcast against log q(z | x).

    And log q itself is, where it has no batch of the size that the caller knows.
    """
    if batch is not None and jnp.shape(log_q)[1:] != (batch,):
        raise IwaxError(
            f"Expected the posterior's log_prob to have shape (samples, batch) = {(*jnp.shape(log_q)[:1], batch)}; "
            f"got {jnp.shape(log_q)}. iwax.check_model says what is wrong."
        )
    log_p = model.log_joint(x, z)
    if jnp.shape(log_p) != jnp.shape(log_q):
        raise IwaxError(
            f"Expected model.log_joint(x, z) to have shape (samples, *batch) = {jnp.shape(log_q)}, that of the "
            f"posterior's log_prob; got {jnp.shape(log_p)}. iwax.check_model says what is wrong."
        )
    return log_p
