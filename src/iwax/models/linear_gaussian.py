"""The linear-Gaussian model: everything about it is known in closed form, so it judges all the rest.

p(z) = N(prior_mean, I),   p(x | z) = N(W z + c, diag(noise)^2),   q(z | x) = N(A x + b, diag(scale)^2)
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from iwax.models.distributions import LOG_TWO_PI, DiagonalNormal

__all__ = ["LinearGaussian"]


class _Generative(eqx.Module):
    prior_mean: Float[Array, " latent"]
    weight: Float[Array, "data latent"]
    offset: Float[Array, " data"]
    log_noise: Float[Array, " data"]


class _Inference(eqx.Module):
    weight: Float[Array, "latent data"]
    offset: Float[Array, " latent"]
    log_scale: Float[Array, " latent"]


class LinearGaussian(eqx.Module):
    """A linear-Gaussian model with a diagonal Gaussian inference density, and its closed forms.

    Arguments:
        prior_mean: (latent,).
        weight: W, (data, latent).
        offset: c, (data,).
        log_noise: log of the observation's standard deviations, (data,).
        inference_weight: A, (latent, data).
        inference_offset: b, (latent,).
        log_scale: log of q's standard deviations, (latent,).

    >>> model = LinearGaussian.isotropic(20)
    >>> gap = model.elbo(jnp.ones(20)) - model.log_evidence(jnp.ones(20))
    """

    generative: _Generative
    inference: _Inference
    real_valued: ClassVar[bool] = True

    def __init__(
        self,
        prior_mean: Float[Array, " latent"],
        weight: Float[Array, "data latent"],
        offset: Float[Array, " data"],
        log_noise: Float[Array, " data"],
        inference_weight: Float[Array, "latent data"],
        inference_offset: Float[Array, " latent"],
        log_scale: Float[Array, " latent"],
    ) -> None:
        self.generative = _Generative(prior_mean, weight, offset, log_noise)
        self.inference = _Inference(inference_weight, inference_offset, log_scale)

    @classmethod
    def isotropic(cls, size: int, *, variance: float = 2 / 3) -> "LinearGaussian":
        """The toy of Rainforth et al. (2018) at its optimum: W = I, c = 0, unit noise, q = N(x/2, variance I).

        The exact posterior has variance 1/2.
        """
        zeros, eye = jnp.zeros(size), jnp.eye(size)
        return cls(zeros, eye, zeros, zeros, eye / 2, zeros, jnp.full(size, 0.5 * jnp.log(variance)))

    @property
    def prior(self) -> DiagonalNormal:
        """p(z) = N(prior_mean, I)."""
        return DiagonalNormal(self.generative.prior_mean, jnp.zeros_like(self.generative.prior_mean))

    def likelihood(self, z: Float[Array, "*shape latent"]) -> DiagonalNormal:
        """p(x | z)."""
        loc = z @ self.generative.weight.T + self.generative.offset
        return DiagonalNormal(loc, jnp.broadcast_to(self.generative.log_noise, loc.shape))

    def posterior(self, x: Float[Array, "*batch data"]) -> DiagonalNormal:
        """q(z | x), the approximation; see `exact_posterior`."""
        loc = x @ self.inference.weight.T + self.inference.offset
        return DiagonalNormal(loc, jnp.broadcast_to(self.inference.log_scale, loc.shape))

    def log_joint(
        self, x: Float[Array, "*batch data"], z: Float[Array, "samples *batch latent"]
    ) -> Float[Array, "samples *batch"]:
        """log p(x, z) in nats."""
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x)

    def sample(self, key: PRNGKeyArray, num_examples: int) -> Float[Array, "num_examples data"]:
        """Data drawn from the model."""
        z_key, x_key = jax.random.split(key)
        return self.likelihood(self.prior.sample(z_key, (num_examples,))).sample(x_key)

    def exact_posterior(
        self, x: Float[Array, "*batch data"]
    ) -> tuple[Float[Array, "*batch latent"], Float[Array, "latent latent"]]:
        """Mean and precision matrix of p(z | x)."""
        g = self.generative
        weighted = g.weight.T * jnp.exp(-2 * g.log_noise)
        precision = jnp.eye(g.weight.shape[1]) + weighted @ g.weight
        information = g.prior_mean + (x - g.offset) @ weighted.T
        return jnp.linalg.solve(precision, information[..., None])[..., 0], precision

    def log_evidence(self, x: Float[Array, "*batch data"]) -> Float[Array, " *batch"]:
        """log p(x) = log N(x; W prior_mean + c, W W^T + diag(noise)^2), in nats."""
        g = self.generative
        covariance = g.weight @ g.weight.T + jnp.diag(jnp.exp(2 * g.log_noise))
        residual = x - g.weight @ g.prior_mean - g.offset
        squared = jnp.sum(residual * jnp.linalg.solve(covariance, residual[..., None])[..., 0], axis=-1)
        return -0.5 * (squared + jnp.linalg.slogdet(covariance)[1] + x.shape[-1] * LOG_TWO_PI)

    def elbo(self, x: Float[Array, "*batch data"]) -> Float[Array, " *batch"]:
        """log p(x) - KL(q(z|x) || p(z|x)), in nats."""
        mean, precision = self.exact_posterior(x)
        q = self.posterior(x)
        gap = q.loc - mean
        kl = (
            jnp.einsum("...i,ij,...j->...", gap, precision, gap)
            + jnp.sum(jnp.diag(precision) * jnp.exp(2 * q.log_scale), axis=-1)
            - gap.shape[-1]
            - jnp.linalg.slogdet(precision)[1]
            - 2 * jnp.sum(q.log_scale, axis=-1)
        )
        return self.log_evidence(x) - 0.5 * kl

    def log_weight_moment(self, x: Float[Array, "*batch data"], order: float) -> Float[Array, " *batch"]:
        """log E_q[(w / p(x))^order], w = p(x, z) / q(z|x); infinite where the integral diverges.

        Order 2 gives the chi-square divergence of p(z|x) from q, log(1 + gamma_2), and with it the leading bias
        -gamma_2 / (2K) and variance gamma_2 / K of the IWAE bound.
        """
        mean, precision = self.exact_posterior(x)
        q = self.posterior(x)
        q_precision = jnp.exp(-2 * self.inference.log_scale)
        mixed = (1 - order) * jnp.diag(q_precision) + order * precision
        information = (1 - order) * q_precision * q.loc + order * mean @ precision
        quadratic = (
            (1 - order) * jnp.sum(q_precision * q.loc**2, axis=-1)
            + order * jnp.einsum("...i,ij,...j->...", mean, precision, mean)
            - jnp.sum(information * jnp.linalg.solve(mixed, information[..., None])[..., 0], axis=-1)
        )
        log_determinants = (
            (1 - order) * jnp.sum(jnp.log(q_precision))
            + order * jnp.linalg.slogdet(precision)[1]
            - jnp.linalg.slogdet(mixed)[1]
        )
        finite = jnp.all(jnp.linalg.eigvalsh(mixed) > 0)
        return jnp.where(finite, 0.5 * (log_determinants - quadratic), jnp.inf)
