"""The importance weighted Renyi bound, between the IWAE bound and the ELBO."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from iwax.errors import IwaxError
from iwax.objectives.objective import Objective
from iwax.weights import normalised_weights, renyi_bound

__all__ = ["VRIWAE"]


def _checked_alpha(alpha: float | Array) -> Array:
    if isinstance(alpha, int | float) and not 0 <= alpha <= 1:
        raise IwaxError(
            f"Expected alpha to be between 0 (IWAE) and 1 (ELBO); got {alpha!r}. iwax.weights.renyi_bound takes any."
        )
    return jnp.asarray(alpha, dtype=float)


class VRIWAE(Objective):
    """The log of a power mean of K weights: (1 / (1 - alpha)) log (1/K) sum_k w_k^(1 - alpha).

    alpha = 0 is IWAE(K), alpha = 1 (the limit) the ELBO with K samples; at K = 1 it is the ELBO whatever alpha. It
    grows with K towards the Renyi bound of order alpha, and falls with alpha on the same samples. Its weights are those
    of IWAE, tempered: v = softmax((1 - alpha) log w). Sticking the landing is biased from K = 2 on.

    Arguments:
        alpha: order, from 0 to 1; an array that training does not change.

    References: Daudel, Benton, Shi and Doucet, "Alpha-divergence Variational Inference Meets Importance Weighted
    Auto-Encoders: Methodology and Asymptotics" (2023), arXiv:2210.06226; Li and Turner, "Renyi Divergence Variational
    Inference" (2016), arXiv:1602.02311.

    >>> round(float(VRIWAE(num_samples=2, alpha=0.5).bound(jnp.array([0.0, -2.0]))), 4)
    -0.7598
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=64)
    alpha: Float[Array, "..."] = eqx.field(
        kw_only=True,
        default=0.5,
        metadata={"help": "Order, from 0 (IWAE) towards 1 (ELBO).", "label": "α {}"},
        converter=_checked_alpha,
    )

    reported = ("alpha",)

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return renyi_bound(log_w, self.alpha)

    def weight(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        power = 1 - self.alpha.astype(log_w.dtype)
        return normalised_weights(jnp.where(power == 0, 0, power * log_w))

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        alpha = self.alpha.astype(log_w.dtype)
        return alpha + (1 - alpha) * self.weight(log_w)
