"""Evaluation against closed forms; what chunks and batches may change; errors that are errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.evaluate import unit_variances
from iwax.streaming import Tally

KEY = jax.random.key(0)


def toy(size=20, variance=2 / 3, num_examples=40):
    model = iwax.LinearGaussian.isotropic(size, variance=variance)
    return model, model.sample(jax.random.key(1), num_examples)


def test_log_likelihood_is_the_evidence_within_its_error():
    """z-scores of 40 examples against the closed form; 2 % more weight than there is must fail."""
    model, x = toy()
    result = iwax.evaluate(model, x, KEY, num_samples=6400, binarize="none")
    z = (result.log_likelihood - result.bias - np.asarray(model.log_evidence(x))) / result.mc_error
    assert abs(z.mean()) < 4 / np.sqrt(40)
    assert 0.5 < z.std() < 1.5
    wrong = (result.log_likelihood + 0.02 - np.asarray(model.log_evidence(x))) / result.mc_error
    assert abs(wrong.mean()) > 4 / np.sqrt(40)


def test_the_monte_carlo_error_is_the_closed_form():
    """Var(log p^) = gamma_2 / k, gamma_2 = 0.90672 for the toy in 20 dimensions; bias is minus half of it."""
    model, x = toy()
    result = iwax.evaluate(model, x, KEY, num_samples=6400, binarize="none")
    expected = 0.90672 / 6400
    assert np.mean(result.mc_error**2) == pytest.approx(expected, rel=0.1)
    np.testing.assert_allclose(result.bias, -(result.mc_error**2) / 2)
    assert np.mean(result.ess) / 6400 == pytest.approx(1 / 1.90672, rel=0.05)


def test_iwae_64_and_kl_are_those_of_blocks_of_64():
    """L_64 - log p(x) = -0.0073 +- 0.0005 for the toy (estimators.md 9.1)."""
    model, x = toy(num_examples=200)
    result = iwax.evaluate(model, x, KEY, num_samples=6400, binarize="none")
    gap = result.iwae - np.asarray(model.log_evidence(x))
    assert gap.mean() == pytest.approx(-0.0073, abs=4 * gap.std() / np.sqrt(200) + 5e-4)
    np.testing.assert_array_equal(result.neg_kl, result.iwae - result.log_likelihood)
    assert (result.neg_kl <= 0).all()
    assert (result.neg_kl < 0).mean() > 0.99


def test_kl_is_not_positive_even_at_the_exact_posterior():
    """All weights equal: rounding must not make a positive entry."""
    model, x = toy(variance=0.5)
    result = iwax.evaluate(model, x, KEY, num_samples=640, binarize="none")
    assert (result.neg_kl <= 0).all()
    np.testing.assert_allclose(result.log_likelihood, model.log_evidence(x), rtol=1e-5)


@pytest.mark.parametrize("rows", [64, 200, 1000, 100_000])
def test_the_size_of_chunks_and_batches_changes_rounding_only(rows):
    model, x = toy(size=3, num_examples=7)
    reference = iwax.log_likelihood(model, x, KEY, num_samples=1000)
    np.testing.assert_allclose(iwax.log_likelihood(model, x, KEY, num_samples=1000, rows=rows), reference, atol=1e-4)
    other_draws = iwax.log_likelihood(model, x, jax.random.key(9), num_samples=1000)
    assert np.abs(other_draws - reference).max() > 1e-3  # negative control


@pytest.mark.parametrize("rows", [64, 1000])
def test_in_double_precision_rounding_is_tiny(rows, x64):
    model, x = toy(size=3, num_examples=7)
    reference = iwax.log_likelihood(model, x, KEY, num_samples=1000, rows=10_000)
    np.testing.assert_allclose(iwax.log_likelihood(model, x, KEY, num_samples=1000, rows=rows), reference, rtol=1e-10)


def test_examples_keep_their_draws_whatever_stands_beside_them():
    model, x = toy(size=3, num_examples=7)
    all_of_them = iwax.log_likelihood(model, x, KEY, num_samples=100)
    np.testing.assert_allclose(iwax.log_likelihood(model, x[:3], KEY, num_samples=100), all_of_them[:3], atol=1e-5)


def test_few_samples_are_exactly_as_many():
    """k = 1: the log-weight itself, which no block of 64 may leak into."""
    model, x = toy(size=3, num_examples=2000)
    log_w = iwax.log_likelihood(model, x, KEY, num_samples=1)
    gap = log_w - np.asarray(model.elbo(x))
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap))
    assert gap.std() > 0.1


def test_streaming_equals_one_shot():
    log_w = np.random.default_rng(0).normal(scale=30, size=(5, 640))
    log_w[0, :64] = -np.inf
    log_w[1] = -np.inf
    tally = Tally(5, 640)
    for start in range(0, 640, 128):
        tally.add(slice(0, 5), log_w[:, start : start + 128])
    expected = np.logaddexp.reduce(log_w, axis=1) - np.log(640)
    np.testing.assert_allclose(tally.log_mean, expected, rtol=1e-12)
    weights = np.exp(log_w[2:] - np.logaddexp.reduce(log_w[2:], axis=1, keepdims=True))
    np.testing.assert_allclose(tally.relative_variance[2:], (weights**2).sum(axis=1) - 1 / 640, rtol=1e-10)


def test_unit_variances_of_the_linear_gaussian_model():
    """Var_x(E_q[z | x]) = A Cov(x) A^T = 1/2 for the toy; a single-sample estimate would add q's own 2/3."""
    model, x = toy(size=4, num_examples=4000)
    (variances,) = unit_variances(model, x, KEY)
    np.testing.assert_allclose(variances, 0.5, atol=0.06)
    assert abs(variances.mean() + 2 / 3 - 0.5) > 0.06


def test_active_units_by_layer():
    model = iwax.VAE(12, [4, 3], [[6], [5]], key=KEY)
    x = (jax.random.uniform(KEY, (50, 12)) < 0.4).astype(float)
    result = iwax.evaluate(model, x, KEY, num_samples=64)
    assert [len(layer) for layer in result.unit_variances] == [4, 3]
    assert len(result.active_units) == 2
    assert all(0 <= count <= size for count, size in zip(result.active_units, (4, 3), strict=True))


def test_summary_holds_every_error_apart():
    model, x = toy(num_examples=10)
    result = iwax.evaluate(model, x, KEY, num_samples=200, binarize="none")
    summary = result.summary()
    assert summary["num_samples"] == 192  # 64 floor(200 / 64)
    assert summary["log_p_mc_error"] == pytest.approx(np.sqrt((result.mc_error**2).sum()) / 10)
    assert summary["log_p_test_error"] == pytest.approx(result.log_likelihood.std(ddof=1) / np.sqrt(10))
    assert summary["neg_kl"] == pytest.approx(summary["iwae_64"] - summary["log_p"])
    assert len(summary["test_hash"]) == 64


def test_test_images_are_binarised_once_from_the_seed():
    images = np.full((20, 12), 0.5, np.float32)
    model = iwax.VAE(12, [4], [[6]], key=KEY)
    hashes = [iwax.evaluate(model, images, jax.random.key(s), num_samples=64).test_hash for s in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 63}, "Expected num_samples to be at least 64, one block of IWAE-64; got 63"),
        ({"num_samples": 0}, "Expected num_samples to be an integer of at least 1; got 0"),
        ({"binarize": "sometimes"}, "sometimes"),
        ({}, "in|range|between"),  # the toy's real values cannot be binarised
    ],
)
def test_bad_arguments(arguments, message):
    model, x = toy(size=2, num_examples=3)
    with pytest.raises(ValueError, match=message):
        iwax.evaluate(model, 10 * jnp.asarray(x), KEY, **arguments)
