"""The evidence lower bound, objective of the variational autoencoder."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from iwax.objectives.objective import Objective

__all__ = ["ELBO"]


class ELBO(Objective):
    """The mean of K log-weights: (1/K) sum_k log w_k.

    Its expectation is log p(x) - KL(q(z|x) || p(z|x)) for every K, which only lowers the variance. It is what
    Burda et al. call "VAE" with k samples, and the VAE itself at K = 1. Sticking the landing is unbiased for it, and
    the same as the doubly-reparameterised gradient.

    References: Kingma and Welling, "Auto-Encoding Variational Bayes" (2013), arXiv:1312.6114; Rezende, Mohamed and
    Wierstra, "Stochastic Backpropagation and Approximate Inference in Deep Generative Models" (2014),
    arXiv:1401.4082; Roeder, Wu and Duvenaud, "Sticking the Landing" (2017), arXiv:1703.09194.

    >>> float(ELBO(num_samples=2).bound(jnp.array([-1.0, -3.0])))
    -2.0
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=1)

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return jnp.mean(log_w, axis=0)

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        return jnp.ones_like(log_w)

    @property
    def is_unbiased(self) -> bool:
        return True
