"""A model with binary latent variables, for estimators that need no reparameterization."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from iwax.models.distributions import Bernoulli
from iwax.models.networks import BernoulliBlock

__all__ = ["BernoulliLatent"]


class _Generative(eqx.Module):
    prior_logits: Float[Array, " latent"]
    likelihood: BernoulliBlock


class BernoulliLatent(eqx.Module):
    """p(z) = Bernoulli(prior), p(x | z) and q(z | x) Bernoulli by networks; z holds zeros and ones.

    Its draws cannot be reparameterized: RWS, VIMCO, OVIS and TVO train it, the others refuse it by name.

    Arguments:
        data_size: number of values of one example.
        latent_size: number of binary latent variables; their prior is learned, from 1/2 on.
        hidden_sizes: widths of the inference network's hidden layers; the generative network mirrors them. None make
            a sigmoid belief network of one layer.
        key: for the weights.
        options: `activation` and `init`, as for `iwax.VAE`.

    >>> model = BernoulliLatent(8, 3, key=jax.random.key(0))
    >>> model.posterior(jnp.zeros((2, 8))).sample(jax.random.key(1), (5,)).shape
    (5, 2, 3)
    """

    generative: _Generative
    inference: BernoulliBlock

    def __init__(
        self,
        data_size: int,
        latent_size: int,
        hidden_sizes: Sequence[int] = (),
        *,
        key: PRNGKeyArray,
        **options: Any,
    ) -> None:
        up_key, down_key = jax.random.split(key)
        options = {"init": "glorot", "activation": "tanh", **options}
        self.inference = BernoulliBlock((data_size, *hidden_sizes), latent_size, key=up_key, **options)
        downwards = (latent_size, *reversed(hidden_sizes))
        likelihood = BernoulliBlock(downwards, data_size, key=down_key, **options)
        self.generative = _Generative(jnp.zeros(latent_size), likelihood)

    @property
    def prior(self) -> Bernoulli:
        """p(z)."""
        return Bernoulli(self.generative.prior_logits)

    def likelihood(self, z: Float[Array, "*shape latent"]) -> Bernoulli:
        """p(x | z)."""
        return self.generative.likelihood(z)

    def posterior(self, x: Float[Array, "*batch data"]) -> Bernoulli:
        """q(z | x), whose `has_rsample` is false."""
        return self.inference(x)

    def log_joint(
        self, x: Float[Array, "*batch data"], z: Float[Array, "samples *batch latent"]
    ) -> Float[Array, "samples *batch"]:
        """log p(x, z) in nats."""
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x)
