"""Exact expectations of the loss that users call, by Gauss-Hermite quadrature over the posterior's noise.

The noise travels as part of x: an "example" is an observation together with one node of the quadrature grid, and its
posterior "draws" the samples of that node. So `iwax.per_example_loss` runs unchanged, and the weighted sum over the
batch is its expectation, without sampling error.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import iwax

LOG_TWO_PI = np.log(2 * np.pi)


def log_normal(value, mean, log_scale):
    return -0.5 * ((value - mean) * jnp.exp(-log_scale)) ** 2 - log_scale - 0.5 * LOG_TWO_PI


def grid(num_nodes, num_dimensions):
    """Nodes (N, D) and weights (N,) of the standard normal distribution in D dimensions."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
    weights = weights / weights.sum()
    mesh = np.meshgrid(*[nodes] * num_dimensions, indexing="ij")
    log_weight = sum(np.meshgrid(*[np.log(weights)] * num_dimensions, indexing="ij"))
    return np.stack([m.ravel() for m in mesh], axis=-1), np.exp(log_weight.ravel())


def expectation(model, objective, num_nodes, num_noises=1):
    """E[bound] and the expected gradient of the estimator, by ascent; exact up to the quadrature."""
    nodes, weights = grid(num_nodes, objective.total_samples * num_noises)
    noise = jnp.asarray(nodes.reshape(len(nodes), objective.total_samples, num_noises))

    @eqx.filter_value_and_grad
    def expected_loss(model):
        return jnp.sum(weights * iwax.per_example_loss(model, objective, noise, jax.random.key(0)))

    loss, gradient = eqx.filter_jit(expected_loss)(model)
    return -float(loss), jax.tree.map(lambda leaf: -float(leaf), gradient)


class ScalarPosterior(eqx.Module):
    b: jax.Array
    rho: jax.Array
    noise: jax.Array

    def sample(self, key, sample_shape):
        assert sample_shape == (self.noise.shape[1],)
        return self.b + jnp.exp(self.rho) * self.noise[..., 0].T

    def from_noise(self, noise):
        """Dependent draws: the signs of the noise that is passed, the size of this node's first."""
        z = self.b + jnp.exp(self.rho) * (jnp.sign(noise / noise[:1]) * self.noise[:, 0])[..., 0]
        return z, self.log_prob(z)

    def log_prob(self, z):
        return log_normal(z, self.b, self.rho)


class ScalarPrior(eqx.Module):
    mu: jax.Array

    def log_prob(self, z):
        return log_normal(z, self.mu, 0.0)

    def from_noise(self, noise):
        return self.mu + noise, log_normal(noise, 0.0, 0.0)

    def to_noise(self, z):
        return z - self.mu


class ScalarModel(eqx.Module):
    """p(z) = N(mu, 1), p(x|z) = N(z, 1), q = N(b, exp(rho)^2) at x = 1.1: estimators.md 9.2."""

    generative: dict
    inference: dict

    def __init__(self):
        self.generative = {"mu": jnp.asarray(0.3)}
        self.inference = {"b": jnp.asarray(-0.2), "rho": jnp.log(0.9)}

    def posterior(self, x):
        return ScalarPosterior(**self.inference, noise=x)

    @property
    def prior(self):
        return ScalarPrior(self.generative["mu"])

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + log_normal(1.1, z, 0.0)


class TwoLayerPosterior(eqx.Module):
    first: dict
    second: dict
    noise: jax.Array
    detached: bool = eqx.field(static=True, default=False)

    def conditional(self, z1):
        mean = self.second["a"] * z1 + self.second["c"]
        log_scale = -0.2 + self.second["r"] * z1
        return mean, log_scale

    def sample(self, key, sample_shape):
        noise1, noise2 = self.noise[..., 0].T, self.noise[..., 1].T
        z1 = self.first["b1"] + jnp.exp(self.first["l"]) * noise1
        mean, log_scale = self.conditional(z1)
        return z1, mean + jnp.exp(log_scale) * noise2

    def log_prob(self, z):
        z1, z2 = z
        mean, log_scale = self.conditional(jax.lax.stop_gradient(z1) if self.detached else z1)
        return log_normal(z1, self.first["b1"], self.first["l"]) + log_normal(z2, mean, log_scale)


class TwoLayerPrior(eqx.Module):
    """p(z2) p(z1 | z2), of which the second is learned."""

    weight: jax.Array
    offset: jax.Array

    def conditional(self, z2):
        return self.weight * z2 + self.offset

    def log_prob(self, z):
        return log_normal(z[1], 0.0, 0.0) + log_normal(z[0], self.conditional(z[1]), jnp.log(0.8))

    def from_noise(self, noise):
        z = (self.conditional(noise[1]) + 0.8 * noise[0], noise[1])
        return z, self.log_prob(z)

    def to_noise(self, z):
        return (z[0] - self.conditional(z[1])) / 0.8, z[1]


class TwoLayerModel(eqx.Module):
    """The two-layer example of estimators.md 9.3; `detached` is the mistake of freezing mu and sigma."""

    generative: dict
    inference: dict
    detached: bool = eqx.field(static=True)

    def __init__(self, detached=False):
        self.generative = {"weight": jnp.asarray(0.7), "offset": jnp.asarray(0.2)}
        first = {"b1": jnp.asarray(0.4), "l": jnp.asarray(-0.3)}
        second = {"a": jnp.asarray(0.6), "c": jnp.asarray(-0.3), "r": jnp.asarray(0.25)}
        self.inference = {"first": first, "second": second}
        self.detached = detached

    def posterior(self, x):
        return TwoLayerPosterior(**self.inference, noise=x, detached=self.detached)

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + log_normal(0.9, z[0], jnp.log(0.6))

    @property
    def prior(self):
        return TwoLayerPrior(**self.generative)


def flat(gradient):
    """{"b1": ..., "l": ...}: the leaves of the inference parameters by name."""
    leaves = jax.tree_util.tree_flatten_with_path(gradient.inference)[0]
    return {path[-1].key: float(leaf) for path, leaf in leaves}
