"""A weight on the KL part of the log-weights, as it is raised from 0 to 1 at the beginning of training (KL warm-up).

With lambda the weight, an objective's gradient is that of its bound L of the tempered log-weights

    log w_lambda = log p(x | z) + lambda (log p(z) - log q(z | x)),        z ~ q(. | x)

so that the ELBO becomes E_q[log p(x | z)] - lambda KL(q || p), the beta-VAE's, and IWAE becomes log (1/K) sum w_lambda.
The samples are those of q as it is. What is reported stays L of the log-weights as they are, lambda = 1, a bound on
log p(x) throughout: only its gradient is another one. lambda is no option of the objective; CIWAE's beta, which mixes
two bounds, is another thing.

Estimators. With u = dL/dlog w_lambda the derivative in phi of L is sum_s u_s (path derivative of log w_lambda) - lambda
sum_s u_s grad log q(z_s). The second sum has the mean of sum_s (du_s/dlog w_s) (path derivative), so that the
doubly-reparameterized path coefficient is u - lambda du_s/dlog w_s. Sticking the landing drops the second sum.

References: Bowman et al., "Generating Sentences from a Continuous Space" (2015), arXiv:1511.06349, and Sonderby et al.,
"Ladder Variational Autoencoders" (2016), arXiv:1602.02282 (warm-up); Higgins et al., "beta-VAE" (2017).
"""

from typing import Any, cast

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxError
from iwax.models import FactorizedModel, Model, Posterior
from iwax.objectives.coefficients import Coefficients

__all__ = ["TemperedModel", "TemperedPosterior", "Weight", "check_kl_weight", "tempered_path"]

Weight = int | float | Float[Array, ""]


class TemperedModel(eqx.Module):
    """A model with log p(x | z) + lambda log p(z) in place of log p(x, z)."""

    model: Model
    weight: Weight

    def posterior(self, x: PyTree) -> Any:
        return TemperedPosterior(self.model.posterior(x), self.weight)

    def log_joint(self, x: PyTree, z: PyTree) -> Float[Array, "samples *batch"]:
        return self.model.log_joint(x, z) - (1 - self.weight) * self._log_prior(z)

    def tempered(self, log_w: Array, z: PyTree, log_q: Array) -> Float[Array, "samples *batch"]:
        """log w_lambda of the log-weights as they are."""
        return log_w - (1 - self.weight) * (self._log_prior(z) - log_q)

    def _log_prior(self, z: PyTree) -> Array:
        return cast(FactorizedModel, self.model).prior.log_prob(z)


class TemperedPosterior(eqx.Module):
    """lambda log q(z | x) in place of log q(z | x); its samples are those of q."""

    posterior: Posterior
    weight: Weight

    def sample(self, key: PRNGKeyArray, sample_shape: Any) -> PyTree:
        return self.posterior.sample(key, sample_shape)

    def log_prob(self, z: PyTree) -> Float[Array, "samples *batch"]:
        return self.weight * self.posterior.log_prob(z)


def tempered_path(
    coefficients: Coefficients, fraction: Array | None, weight: Weight
) -> tuple[Coefficients, Array | None]:
    """Doubly-reparameterized coefficients, and their share of u where it is known, for tempered log-weights."""
    u, path, score = coefficients
    share = None if fraction is None else 1 + weight * (fraction - 1)
    return Coefficients(u, u + weight * (path - u), score), share


def check_kl_weight(model: Model, objective: Any) -> None:
    """Raise ValueError unless log p(x, z) can be split, and the objective's estimator is right for the weight."""
    if not objective.takes_kl_weight:
        learned = f", which learns {', '.join(objective.learned)}" if objective.learned else ""
        raise IwaxError(
            f"Expected an objective with a reparameterized gradient of a bound of log-weights for kl_weight; got "
            f"{type(objective).__name__} with gradient={objective.gradient!r}{learned}. Use ELBO, IWAE or MIWAE."
        )
    if not hasattr(getattr(model, "prior", None), "log_prob"):
        raise IwaxError(
            f"Expected a model whose `prior` has log_prob for kl_weight, so that log p(x, z) can be split; got "
            f"{type(model).__name__} without. Give it one, or leave kl_weight out."
        )
