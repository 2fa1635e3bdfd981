"""The implicit posterior against quadrature and closed forms; uniform resampling, which is wrong, must fail."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import iwax
from iwax.evaluation import implicit as resampling
from iwax.judging import posterior as implicit
from iwax.judging.posterior import (
    implicit_log_density,
    implicit_posterior,
    implicit_run,
    implicit_weights,
    posterior_picture,
)
from iwax.runs.launch import new_run
from tiny import tiny_config, tiny_data

KEY = jax.random.key(0)


def one_dimensional(scale=0.5):
    """p(z) = N(0, 1), p(x | z) = N(z, 1), q = N(x / 2 + 0.3, scale^2): off centre, and too narrow at 0.5."""
    one, zero = jnp.ones((1, 1)), jnp.zeros(1)
    return iwax.LinearGaussian(zero, one, zero, zero, one / 2, zero + 0.3, zero + jnp.log(scale))


@pytest.mark.slow
def test_the_density_integrates_to_one_and_its_elbo_lies_above_the_bound():
    """By quadrature over z, at K = 1, 2, 8: ELBO = L_1 <= L_K <= E_q_IW[log p - log q_IW] <= log p(x)."""
    model, x = one_dimensional(), jnp.array([[0.8]])
    z = jnp.linspace(-6, 7, 2001)[:, None, None]
    log_p, elbo = float(model.log_evidence(x)[0]), float(model.elbo(x)[0])
    posterior = model.posterior(x)
    draws = posterior.sample(KEY, (8 * 4000,))
    log_w = np.asarray(model.log_joint(x, draws) - posterior.log_prob(draws), np.float64)[:, 0]
    previous = elbo - 1e-4
    for k in (1, 2, 8):
        log_density = np.asarray(implicit_log_density(model, x, z, KEY, num_samples=k, num_repeats=2000))[:, 0]
        density = np.exp(log_density)
        assert np.trapezoid(density, z[:, 0, 0]) == pytest.approx(1, abs=0.02)
        gain = np.trapezoid(density * (np.asarray(model.log_joint(x, z))[:, 0] - log_density), z[:, 0, 0])
        sets = logsumexp(log_w.reshape(-1, k), axis=1) - np.log(k)
        error = sets.std() / np.sqrt(len(sets))
        assert gain > sets.mean() - 4 * error - 0.01
        assert previous < gain < log_p + 0.01
        previous = gain
    assert implicit_log_density(model, x, z, KEY, num_samples=1) == pytest.approx(posterior.log_prob(z))


@pytest.mark.slow
@pytest.mark.parametrize("variance", [0.3, 1.0])
def test_draws_tend_to_the_posterior(variance):
    """Mean and variance of q_IW in two dimensions: those of q at K = 1, of p(z | x) (1/2) at K = 500."""
    model = iwax.LinearGaussian.isotropic(2, variance=variance)
    x = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    for k, expected in ((1, variance), (500, 0.5)):
        z = np.asarray(implicit_posterior(model, x, KEY, num_samples=k, num_draws=4000)) - np.asarray(x) / 2
        assert z.shape == (4000, 2, 2)
        assert np.abs(z.mean(axis=0)).max() < 4.5 * np.sqrt(expected / 4000)
        assert z.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / 16_000))


def test_uniform_resampling_is_caught(monkeypatch):
    """A choice that ignores the weights leaves q's variance."""
    model, x = iwax.LinearGaussian.isotropic(2, variance=1.0), jnp.array([[1.0, -2.0], [0.5, 3.0]])
    monkeypatch.setattr(jax.random, "categorical", lambda key, logits, axis: jnp.zeros(logits.shape[1:], int))
    z = np.asarray(implicit_posterior(model, x, KEY, num_samples=501, num_draws=4000)) - np.asarray(x) / 2
    assert abs(z.var() - 0.5) > 5 * 0.5 * np.sqrt(2 / 16_000)


@pytest.mark.slow
def test_density_and_draws_agree():
    """Mean and second moment of draws at K = 3 against quadrature of the density; those of K = 1 must not fit."""
    model, x = one_dimensional(), jnp.array([[0.8]])
    z = jnp.linspace(-6, 7, 2001)[:, None, None]
    draws = np.asarray(implicit_posterior(model, x, KEY, num_samples=3, num_draws=20_000))[:, 0, 0]
    error = draws.std() / np.sqrt(len(draws))
    means = {}
    for k in (1, 3):
        density = np.exp(np.asarray(implicit_log_density(model, x, z, KEY, num_samples=k, num_repeats=4000)))[:, 0]
        means[k] = np.trapezoid(density * z[:, 0, 0], z[:, 0, 0]) / np.trapezoid(density, z[:, 0, 0])
    assert draws.mean() == pytest.approx(means[3], abs=5 * error)
    assert abs(draws.mean() - means[1]) > 5 * error


def test_weights_of_a_pool_are_expected_resampling():
    """Each set's self-normalised weights; K = 1 is q, the whole pool is the posterior."""
    log_w = np.random.default_rng(0).normal(size=10)
    np.testing.assert_allclose(implicit_weights(log_w, 1), 0.1)
    np.testing.assert_allclose(implicit_weights(log_w, 10), np.exp(log_w - logsumexp(log_w)))
    weights = implicit_weights(log_w, 4)
    np.testing.assert_allclose(weights[:4], np.exp(log_w[:4] - logsumexp(log_w[:4])) / 2)
    np.testing.assert_array_equal(weights[8:], 0)
    with pytest.raises(ValueError, match="Expected num_samples to be at most 10, the size of the pool; got 11"):
        implicit_weights(log_w, 11)


@pytest.mark.slow
def test_several_layers_keep_their_draws_together():
    """Layers are resampled with one index: z_2 stays that of its z_1."""
    model = iwax.VAE(12, [3, 2], [[6], [5]], key=KEY)
    x = (jax.random.uniform(KEY, (2, 12)) < 0.4).astype(float)
    z = implicit_posterior(model, x, KEY, num_samples=6, num_draws=1)
    pool = model.posterior(x).sample(jax.random.split(KEY, 1)[0], (6,))  # the choice has a stream of its own
    for example in range(2):
        kept = [np.all(np.isclose(pool[i][:, example], z[i][0, example]), axis=1) for i in range(2)]
        assert kept[0].sum() == 1
        np.testing.assert_array_equal(kept[0], kept[1])


@pytest.mark.slow
def test_picture_of_two_dimensions_is_exact(tmp_path):
    model = iwax.LinearGaussian.isotropic(2, variance=1.0)
    x = jnp.array([[1.0, -2.0]])
    (facts,) = posterior_picture(model, x, KEY, tmp_path / "two.svg", num_samples=[4])
    assert facts["coordinates"] == [0, 1]
    assert facts["exact"]
    assert facts["log_p"] == pytest.approx(float(model.log_evidence(x)[0]), abs=0.01)
    assert facts["bounds"][1] == pytest.approx(float(model.elbo(x)[0]), abs=0.02)
    assert facts["bounds"][1] < facts["bounds"][4] < facts["log_p"]
    chi_square = float(model.log_weight_moment(x, 2.0)[0])
    assert facts["ess"] == pytest.approx(131_072 / np.exp(chi_square), rel=0.02)
    assert (tmp_path / "two.svg").stat().st_size > 1000


def test_picture_takes_the_two_worst_coordinates(tmp_path):
    """q = N(x / 2, s^2) with s^2 of 1/2, the posterior's, but for the second and fourth coordinate."""
    zeros, eye = jnp.zeros(5), jnp.eye(5)
    log_scale = 0.5 * jnp.log(jnp.array([0.5, 1.2, 0.5, 0.2, 0.5]))
    model = iwax.LinearGaussian(zeros, eye, zeros, zeros, eye / 2, zeros, log_scale)
    (facts,) = posterior_picture(model, jnp.ones((1, 5)), KEY, tmp_path / "five.png", num_samples=[4])
    assert facts["coordinates"] == [1, 3]
    assert not facts["exact"]


@pytest.mark.slow
def test_implicit_run(tmp_path, monkeypatch):
    monkeypatch.setattr(implicit, "POOL", 8192)
    run, data = tmp_path / "run", tiny_data()
    new_run(tiny_config(), run, data=data)
    result = implicit_run(run, images=[3, 0], num_samples=[4], data=data)
    assert json.loads((run / "posterior.json").read_text()) == result
    assert [row["image"] for row in result["images"]] == [3, 0]
    for row in result["images"]:
        assert row["bounds"]["1"] < row["bounds"]["4"] < row["log_p"]
    for suffix in ("svg", "pdf"):
        assert (run / "figures" / f"posterior.{suffix}").stat().st_size > 1000
    with pytest.raises(ValueError, match="Expected images to be numbers from 0 to 11; got 12"):
        implicit_run(run, images=[12], data=data)


@pytest.mark.parametrize("function", [implicit_posterior, resampling.implicit_log_density])
def test_bad_numbers(function):
    z = () if function is implicit_posterior else (jnp.zeros((1, 1, 1)),)
    with pytest.raises(ValueError, match="Expected num_samples to be an integer of at least 1; got 0"):
        function(one_dimensional(), jnp.ones((1, 1)), *z, KEY, num_samples=0)
    with pytest.raises(ValueError, match="Expected z of at least two dimensions, to be drawn; got one"):
        posterior_picture(one_dimensional(), jnp.ones((1, 1)), KEY, "never.svg")
