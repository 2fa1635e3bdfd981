"""The oracle's closed forms, against published constants, quadrature and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax

pytestmark = pytest.mark.usefixtures("x64")


def scalar():
    """The one-dimensional example of estimators.md 9.2."""
    one = jnp.ones(1)
    return iwax.LinearGaussian(
        0.3 * one, jnp.eye(1), 0 * one, 0 * one, jnp.zeros((1, 1)), -0.2 * one, jnp.log(0.9 * one)
    )


def general():
    """Three latents, four data, nothing isotropic."""
    k = jax.random.split(jax.random.key(0), 5)
    return iwax.LinearGaussian(
        jax.random.normal(k[0], (3,)),
        jax.random.normal(k[1], (4, 3)),
        jax.random.normal(k[2], (4,)),
        0.3 * jax.random.normal(k[3], (4,)),
        0.2 * jax.random.normal(k[4], (3, 4)),
        jnp.array([0.1, -0.2, 0.3]),
        jnp.array([-0.5, -0.4, -0.6]),
    )


def test_published_constants_in_one_dimension():
    model, x = scalar(), jnp.array([1.1])
    assert float(model.log_evidence(x)) == pytest.approx(-1.4255121235, abs=1e-9)
    assert float(model.elbo(x)) == pytest.approx(-2.3042990489, abs=1e-9)


@pytest.mark.parametrize(("shift", "elbo", "second"), [(0.0, -0.456513, 0.90672), (0.1, -0.656513, None)])
def test_published_constants_in_twenty_dimensions(shift, elbo, second):
    """Gaps to log p(x) of estimators.md 9.1: |delta|^2 = 20 shift^2."""
    model = iwax.LinearGaussian.isotropic(20)
    offset = model.inference.offset - shift
    model = iwax.LinearGaussian(
        *jax.tree.leaves(model.generative), model.inference.weight, offset, model.inference.log_scale
    )
    x = jnp.ones(20)
    assert float(model.elbo(x) - model.log_evidence(x)) == pytest.approx(elbo, abs=1e-6)
    chi_square = float(jnp.expm1(model.log_weight_moment(x, 2.0)))
    assert chi_square == pytest.approx(0.90672 if second else 1.90672 * np.exp(1.2 * 0.2) - 1, rel=1e-5)
    third = float(jnp.exp(model.log_weight_moment(x, 3.0)))
    if second:
        assert third == pytest.approx(5.4684, rel=1e-4)


@pytest.mark.slow
def test_the_evidence_is_joint_over_posterior():
    """log p(x) = log p(x, z) - log p(z | x) at any z, for a model with nothing isotropic."""
    model, x, z = general(), jnp.array([0.5, -1.0, 2.0, 0.3]), jnp.array([0.7, -0.1, 1.2])
    mean, precision = model.exact_posterior(x)
    gap = z - mean
    log_posterior = 0.5 * (jnp.linalg.slogdet(precision)[1] - gap @ precision @ gap - 3 * jnp.log(2 * jnp.pi))
    assert float(model.log_joint(x, z[None])[0] - log_posterior) == pytest.approx(
        float(model.log_evidence(x)), abs=1e-10
    )


@pytest.mark.slow
def test_the_elbo_and_the_second_moment_by_sampling():
    """Within 4.5 standard errors of a million draws; the second moment from q's own weights."""
    model, x = general(), jnp.array([0.5, -1.0, 2.0, 0.3])
    posterior = model.posterior(x)
    z = posterior.sample(jax.random.key(1), (1_000_000,))
    log_w = model.log_joint(x, z) - posterior.log_prob(z)
    error = log_w.std() / 1000
    assert abs(log_w.mean() - model.elbo(x)) < 4.5 * error
    assert abs(log_w.mean() - model.elbo(x) - 10 * error) > 4.5 * error  # negative control
    # The half-order moment has light tails, which makes the comparison a fair one.
    ratio = jnp.exp(0.5 * (log_w - model.log_evidence(x)))
    assert abs(ratio.mean() - jnp.exp(model.log_weight_moment(x, 0.5))) < 4.5 * ratio.std() / 1000


def test_a_moment_that_diverges_is_infinite():
    model = iwax.LinearGaussian.isotropic(2, variance=0.1)  # q is narrower than half the posterior: no second moment
    assert float(model.log_weight_moment(jnp.ones(2), 2.0)) == float("inf")


def test_data_come_from_the_model():
    model = general()
    x = model.sample(jax.random.key(2), 200_000)
    weight, g = model.generative.weight, model.generative
    covariance = weight @ weight.T + jnp.diag(jnp.exp(2 * g.log_noise))
    np.testing.assert_allclose(x.mean(axis=0), weight @ g.prior_mean + g.offset, atol=0.05)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.15)
