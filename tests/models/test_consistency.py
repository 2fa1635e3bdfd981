"""Densities that are not those of the draws are found, and those that are, of many kinds, are not."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest

import iwax
from iwax.models.consistency import inconsistency

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (5, 3))


class Pair(eqx.Module):
    """Draws of one distribution and the density of another."""

    drawn: dist.Distribution
    density: dist.Distribution

    @property
    def has_rsample(self):
        return self.drawn.has_rsample

    @property
    def support(self):
        return self.drawn.support

    def sample(self, key, sample_shape):
        return self.drawn.sample(key, sample_shape)

    def log_prob(self, z):
        return self.density.log_prob(z)


class Model(eqx.Module):
    """q(z | x) = the pair that `make` makes of the outputs of a linear map."""

    linear: jax.Array
    make: callable = eqx.field(static=True)

    def posterior(self, x):
        h = jnp.tanh(x @ self.linear)
        return Pair(*(q.to_event(1) for q in self.make(h, 0.3 * h[..., ::-1])))

    def log_joint(self, x, z):
        raise NotImplementedError  # p says nothing of whether q is consistent


def found(make):
    return inconsistency(Model(jax.random.normal(jax.random.key(2), (3, 3)), make), X, KEY)


@pytest.mark.parametrize(
    "right",
    [
        lambda a, b: dist.Normal(a, jnp.exp(b)),
        pytest.param(lambda a, b: dist.StudentT(3.0, a, jnp.exp(b)), marks=pytest.mark.slow),
        pytest.param(lambda a, b: dist.LogNormal(a, jnp.exp(b)), marks=pytest.mark.slow),
        lambda a, b: dist.Beta(jnp.exp(a), jnp.exp(b)),  # does not vanish at the ends of its support
        lambda a, b: dist.Bernoulli(logits=a),
    ],
)
def test_the_right_density(right):
    assert found(lambda a, b: (right(a, b),) * 2) is None


@pytest.mark.parametrize(
    ("wrong", "statistic"),
    [
        (lambda a, b: (dist.Normal(a, jnp.exp(b)), dist.Normal(a + 0.5, jnp.exp(b))), "d log q"),
        (lambda a, b: (dist.Normal(a, 0.8), dist.Normal(a, 1.0)), "grad_z"),
        (lambda a, b: (dist.Normal(a, jnp.exp(b)), dist.Normal(a, jnp.exp(2 * b))), "grad_z"),
        (lambda a, b: (dist.Bernoulli(logits=a), dist.Bernoulli(logits=-a)), "d log q"),
        (lambda a, b: (dist.Beta(jnp.exp(a), 1.0), dist.Beta(jnp.exp(2 * a), 1.0)), "d log q"),
    ],
)
def test_a_wrong_density(wrong, statistic):
    assert statistic in found(wrong)


class ForgottenScale(iwax.LinearGaussian):
    """Forgets the logarithm of the scale in log q, the commonest slip."""

    def posterior(self, x):
        return _Forgotten(super().posterior(x))


class _Forgotten(eqx.Module):
    right: eqx.Module

    def sample(self, key, sample_shape):
        return self.right.sample(key, sample_shape)

    def log_prob(self, z):
        return self.right.log_prob(z) + self.right.log_scale.sum(axis=-1)


@pytest.mark.slow
def test_check_model_says_so():
    report = iwax.check_model(ForgottenScale.isotropic(3), X, KEY)
    (problem,) = report.problems
    assert problem.startswith(
        "Expected posterior.log_prob to be the density of what posterior.sample draws; the mean of"
    )
    assert problem.endswith("standard errors off.")
