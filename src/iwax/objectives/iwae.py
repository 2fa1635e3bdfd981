"""The importance weighted autoencoder's bound."""

import equinox as eqx
from jaxtyping import Array, Float

from iwax.objectives.objective import Objective
from iwax.weights import log_mean_exp, normalised_weights

__all__ = ["IWAE"]


class IWAE(Objective):
    """The log of the mean of K weights: log (1/K) sum_k w_k.

    A lower bound on log p(x) in expectation, tighter with every K, equal to the ELBO at K = 1. The
    doubly-reparameterized gradient is unbiased. Sticking the landing is **biased** for it from K = 2 on: its
    expectation is the bound's gradient plus the wake-phi update of reweighted wake-sleep.

    References: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519; Tucker,
    Lawson, Gu and Maddison, "Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives" (2018),
    arXiv:1810.04152.

    >>> import jax.numpy as jnp
    >>> float(IWAE(num_samples=2).bound(jnp.array([0.0, -jnp.inf])))  # log(1/2)
    -0.6931471824645996
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return log_mean_exp(log_w)

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        return normalised_weights(log_w)
