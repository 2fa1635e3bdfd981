"""The IWAE bound with the generalised doubly-reparameterized gradient, for learned and conditional priors."""

from typing import cast

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxError
from iwax.models import FactorizedModel, Model, checked_log_joint, freeze
from iwax.objectives.autodiff import weighted_sum
from iwax.objectives.objective import DOUBLY_REPARAMETERIZED, AbstractObjective
from iwax.weights import log_mean_exp, normalised_weights

__all__ = ["GDReG"]


class GDReG(AbstractObjective):
    """The IWAE bound, the prior's gradient doubly reparameterized too: log (1/K) sum_k w_k.

    The gradient in the inference parameters is that of IWAE with "doubly-reparameterized". That in the parameters of
    the prior p(z) (in a hierarchy, p(z_1 | z_2) ...) is carried by z as well: with z = T(e) the prior's own
    reparameterization of the same draw,

        sum_k [w~_k d/dz log p(x | z_k) - w~_k^2 d/dz log w_k] dT(e_k)/dtheta

    instead of sum_k w~_k grad log p(z_k). It has the same expectation, and no noise where q is the posterior. It costs
    two more passes through the generative network, and does nothing for a prior without parameters.

    The model needs `prior`, with `from_noise` and `to_noise`; the built-in ones have it.

    Raises:
        ValueError: from the loss, if the model has no such prior.

    Reference: Bauer and Mnih, "Generalized Doubly Reparameterized Gradient Estimators" (2021), arXiv:2101.11046.

    >>> GDReG(num_samples=8).gradient
    'doubly-reparameterized'
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)
    gradient: str = eqx.field(static=True, kw_only=True, default=DOUBLY_REPARAMETERIZED)

    gradients = (DOUBLY_REPARAMETERIZED,)

    @property
    def beyond_log_weights(self) -> str:
        return "the prior's own reparameterization; use IWAE with gradient='doubly-reparameterized'"

    @property
    def has_second_derivatives(self) -> bool:
        return False

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return log_mean_exp(log_w)

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        return normalised_weights(log_w)

    def estimate(
        self, model: Model, x: PyTree, key: PRNGKeyArray
    ) -> tuple[Float[Array, " *batch"], Float[Array, " *batch"]]:
        if not hasattr(getattr(model, "prior", None), "to_noise"):
            raise IwaxError(
                f"Expected a model whose prior has from_noise and to_noise for GDReG; got {type(model).__name__}. "
                "Use IWAE."
            )
        factorized, posterior = cast(FactorizedModel, model), model.posterior(x)
        z, log_q = self.draw(posterior, key)
        log_w = jax.lax.stop_gradient(checked_log_joint(model, x, z, log_q) - log_q)
        w = normalised_weights(log_w)
        constant = freeze(z)
        by_prior, _ = factorized.prior.from_noise(freeze(factorized.prior.to_noise(constant)))
        frozen, frozen_posterior = freeze(factorized), freeze(posterior)

        def frozen_log_w(z: PyTree) -> Array:
            return frozen.log_joint(x, z) - frozen_posterior.log_prob(z)

        def log_likelihood(model: Model, z: PyTree) -> Array:  # which need have no likelihood of its own
            return model.log_joint(x, z) - cast(FactorizedModel, model).prior.log_prob(z)

        surrogate = weighted_sum(w, log_likelihood(factorized, constant) + log_likelihood(frozen, by_prior))
        surrogate += weighted_sum(w**2, frozen_log_w(z) - frozen_log_w(by_prior))
        return self.bound(log_w), surrogate
