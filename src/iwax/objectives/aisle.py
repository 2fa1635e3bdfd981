"""AISLE: IWAE for the generative network, a chosen divergence from the posterior for the inference network."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from iwax.checks import check_choice
from iwax.objectives.coefficients import Coefficients
from iwax.objectives.objective import DOUBLY_REPARAMETERIZED, SCORE_FUNCTION, Objective
from iwax.weights import log_mean_exp, normalised_weights

__all__ = ["AISLE"]


class AISLE(Objective):
    """The IWAE bound for theta, a divergence from p(z|x) to q for phi: log (1/K) sum_k w_k.

    Each choice is an estimator known by another name:

    - divergence "kl", "doubly-reparameterized": path coefficient w~, that of IWAE with sticking the landing, whose
      bias for the bound's gradient is thereby explained: it is another objective's gradient.
    - divergence "kl", "score-function": the wake-phi update of reweighted wake-sleep, with the same limit.
    - divergence "chi-square", "doubly-reparameterized": 2 K w~^2, that of the doubly-reparameterized IWAE times 2 K,
      a factor that an optimiser like Adam does not see.
    - divergence "chi-square", "score-function": K w~^2 times the score.

    All are self-normalised, with a bias of order 1/K for the divergence's gradient.

    Arguments:
        divergence: "kl", KL(p(z|x) || q), or "chi-square", chi^2(p(z|x) || q); phi descends it.

    Reference: Finke and Thiery, "On importance-weighted autoencoders" (2019), arXiv:1907.10477.

    >>> AISLE(num_samples=2, divergence="chi-square").coefficients(jnp.zeros(2)).path.tolist()
    [1.0, 1.0]
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)
    divergence: str = eqx.field(
        static=True,
        kw_only=True,
        default="kl",
        metadata={"help": "What phi descends: kl or chi-square.", "label": "{}"},
    )
    gradient: str = eqx.field(static=True, kw_only=True, default=DOUBLY_REPARAMETERIZED)

    gradients = (DOUBLY_REPARAMETERIZED, SCORE_FUNCTION)
    divergences = ("kl", "chi-square")

    def __check_init__(self) -> None:
        check_choice("divergence", self.divergence, self.divergences)

    @property
    def is_unbiased(self) -> bool:
        return False

    @property
    def target(self) -> str:
        divergence = "KL" if self.divergence == "kl" else "chi^2"
        return f"theta: the bound; phi: -{divergence}(p(z|x) || q(z|x)), self-normalised (bias of order 1/K)"

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return log_mean_exp(log_w)

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        if self.divergence == "kl":
            return jnp.ones_like(log_w)
        return 2 * self.num_samples * normalised_weights(log_w)

    def all_coefficients(self, log_w: Float[Array, "samples *batch"]) -> Coefficients:
        if self.gradient == DOUBLY_REPARAMETERIZED:
            return super().all_coefficients(log_w)
        w = normalised_weights(log_w)
        return Coefficients(w, jnp.zeros_like(w), -w if self.divergence == "kl" else -self.num_samples * w**2)
