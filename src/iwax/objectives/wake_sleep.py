"""Reweighted wake-sleep: the generative network by IWAE, the inference network by a divergence of its own."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from iwax.objectives.coefficients import Coefficients
from iwax.objectives.objective import DOUBLY_REPARAMETERIZED, SCORE_FUNCTION, Objective
from iwax.weights import leave_one_out_log_sum_exp, log_mean_exp, normalised_weights

__all__ = ["RWS"]


class RWS(Objective):
    """The IWAE bound for theta, wake-sleep for phi: log (1/K) sum_k w_k.

    theta climbs the bound, as in IWAE (wake-theta). phi does not: it descends KL(p(z|x) || q(z|x)), whose gradient is
    estimated by sum_k w~_k grad log q(z_k | x) (wake-phi), with a bias of order 1/K from normalising the weights; at
    K = 1 it learns nothing. With "score-function" the latent variables may be discrete; with
    "doubly-reparameterized" the same expectation is reached with less noise, by the path coefficient w~ - w~^2.

    References: Bornschein and Bengio, "Reweighted Wake-Sleep" (2014), arXiv:1406.2751; Le, Kosiorek, Siddharth, Teh
    and Wood, "Revisiting Reweighted Wake-Sleep" (2018), arXiv:1805.10469; Tucker, Lawson, Gu and Maddison, "Doubly
    Reparameterized Gradient Estimators for Monte Carlo Objectives" (2018), arXiv:1810.04152.

    >>> a, b, c = RWS(num_samples=2).coefficients(jnp.zeros(2))
    >>> a.tolist(), b.tolist(), c.tolist()
    ([0.5, 0.5], [0.0, 0.0], [-0.5, -0.5])
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)
    gradient: str = eqx.field(static=True, kw_only=True, default=SCORE_FUNCTION)

    gradients = (SCORE_FUNCTION, DOUBLY_REPARAMETERIZED)

    @property
    def is_unbiased(self) -> bool:
        return False

    @property
    def target(self) -> str:
        return "theta: the bound; phi: -KL(p(z|x) || q(z|x)), self-normalised (bias of order 1/K)"

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return log_mean_exp(log_w)

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        # 1 - w~, without cancellation where one weight dominates.
        rest = leave_one_out_log_sum_exp(log_w)
        return jnp.exp(rest - jnp.logaddexp(rest, log_w))

    def all_coefficients(self, log_w: Float[Array, "samples *batch"]) -> Coefficients:
        if self.gradient == DOUBLY_REPARAMETERIZED:
            return super().all_coefficients(log_w)
        w = normalised_weights(log_w)
        return Coefficients(w, jnp.zeros_like(w), -w)
