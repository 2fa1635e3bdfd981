"""The evidence lower bound, objective of the variational autoencoder, with its divergence sampled or exact."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxError
from iwax.models import DiagonalNormal, MarkovChain, Model, checked_log_joint
from iwax.objectives.objective import REPARAMETERIZED, AbstractObjective, Objective
from iwax.objectives.tempering import Weight

__all__ = ["ELBO", "AnalyticELBO"]


class ELBO(Objective):
    """The mean of K log-weights: (1/K) sum_k log w_k.

    Its expectation is log p(x) - KL(q(z|x) || p(z|x)) for every K, which only lowers the variance. It is what
    Burda et al. call "VAE" with k samples, and the VAE itself at K = 1. Sticking the landing is unbiased for it, and
    the same as the doubly-reparameterized gradient.

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
    def has_constant_weights(self) -> bool:
        return True


class AnalyticELBO(AbstractObjective):
    """The ELBO with its divergence in closed form: (1/K) sum_k log p(x | z_k) - KL(q(z|x) || p(z)).

    The same expectation as `ELBO`, by other noise: often less far from the optimum, but unlike that of sticking the
    landing its gradient does not become noiseless where q is the posterior. For models with one layer of latent
    variables whose prior and posterior are diagonal Gaussians. From log-weights alone, `bound` is that of `ELBO`.

    Raises:
        ValueError: from the loss, if the model has no prior, or either density is not a diagonal Gaussian.

    Reference: Kingma and Welling, "Auto-Encoding Variational Bayes" (2013), arXiv:1312.6114.

    >>> import iwax
    >>> model, x = iwax.LinearGaussian.isotropic(2), jnp.ones((1, 2))
    >>> value = -iwax.loss(model, AnalyticELBO(num_samples=4), x, jax.random.key(0))
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=1)

    gradients = (REPARAMETERIZED,)

    @property
    def has_constant_weights(self) -> bool:
        return True

    @property
    def has_second_derivatives(self) -> bool:
        return True  # the surrogate is the bound

    @property
    def beyond_log_weights(self) -> str:
        return "the densities of prior and posterior: in NumPyro, TraceMeanField_ELBO"

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return jnp.mean(log_w, axis=0)

    @property
    def takes_kl_weight(self) -> bool:
        return True

    def estimate(
        self, model: Model, x: PyTree, key: PRNGKeyArray, kl_weight: Weight | None = None
    ) -> tuple[Float[Array, " *batch"], Float[Array, " *batch"]]:
        if not hasattr(model, "prior"):
            raise IwaxError(f"Expected a model with a prior for AnalyticELBO; got {type(model).__name__}.")
        posterior = model.posterior(x)
        q, p = _only_layer("posterior", posterior), _only_layer("prior", model.prior)
        z, log_q = self.draw(posterior, key)
        log_likelihood = checked_log_joint(model, x, z, log_q) - model.prior.log_prob(z)
        log_ratio = q.log_scale - p.log_scale
        squared = jnp.exp(2 * log_ratio) + ((q.loc - p.loc) * jnp.exp(-p.log_scale)) ** 2
        divergence = jnp.sum(0.5 * (squared - 1) - log_ratio, axis=-1)
        bound = jnp.mean(log_likelihood, axis=0) - divergence
        surrogate = bound if kl_weight is None else jnp.mean(log_likelihood, axis=0) - kl_weight * divergence
        return jax.lax.stop_gradient(bound), surrogate


def _only_layer(name: str, density: Any) -> DiagonalNormal:
    """The density as one diagonal Gaussian, which it must be."""
    if isinstance(density, MarkovChain) and not density.conditionals:
        density = density.first
    if not isinstance(density, DiagonalNormal):
        layers = " of several layers" if isinstance(density, MarkovChain) else ""
        raise IwaxError(
            f"Expected a {name} of one diagonal Gaussian layer for AnalyticELBO; got {type(density).__name__}{layers}. "
            "Use ELBO, which samples the divergence."
        )
    return density
