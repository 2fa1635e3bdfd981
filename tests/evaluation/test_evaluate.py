"""Evaluation against closed forms; what chunks and batches may change; errors that are errors."""

import sys
import tracemalloc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import iwax
from iwax.evaluation.evaluate import evaluate_batches, gather, samples_in_blocks
from iwax.evaluation.streaming import ROWS, Tally, _log_weights, chunk_shape, log_weights
from iwax.keys import EvaluationKeys
from iwax.models.distributions import DiagonalNormal

KEY = jax.random.key(0)


def toy(size=20, variance=2 / 3, num_examples=40):
    model = iwax.LinearGaussian.isotropic(size, variance=variance)
    return model, model.sample(jax.random.key(1), num_examples)


N = 100


@pytest.fixture(scope="module")
def judged():
    """The toy, N examples of it, and what 6400 samples say of them."""
    model, x = toy(num_examples=N)
    return model, x, iwax.evaluate(model, x, KEY, num_samples=6400, binarize="none")


def test_log_likelihood_is_the_evidence_within_its_error(judged):
    """z-scores of N examples against the closed form; 2 % more weight than there is must fail."""
    model, x, result = judged
    z = (result.log_likelihood - result.bias - np.asarray(model.log_evidence(x))) / result.mc_error
    assert abs(z.mean()) < 4 / np.sqrt(N)
    assert 0.5 < z.std() < 1.5
    wrong = (result.log_likelihood + 0.02 - np.asarray(model.log_evidence(x))) / result.mc_error
    assert abs(wrong.mean()) > 4 / np.sqrt(N)


def test_the_monte_carlo_error_is_the_closed_form(judged):
    """Var(log p^) = gamma_2 / k, gamma_2 = 0.90672 for the toy in 20 dimensions; bias is minus half of it."""
    _, _, result = judged
    expected = 0.90672 / 6400
    assert np.mean(result.mc_error**2) == pytest.approx(expected, rel=0.1)
    np.testing.assert_allclose(result.bias, -(result.mc_error**2) / 2)
    assert np.mean(result.ess) / 6400 == pytest.approx(1 / 1.90672, rel=0.05)


def test_iwae_64_and_kl_are_those_of_blocks_of_64(judged):
    """L_64 - log p(x) = -0.0073 +- 0.0005 for the toy (estimators.md 9.1)."""
    model, x, result = judged
    gap = result.iwae - np.asarray(model.log_evidence(x))
    assert gap.mean() == pytest.approx(-0.0073, abs=4 * gap.std() / np.sqrt(N) + 5e-4)
    np.testing.assert_array_equal(result.neg_kl, result.iwae - result.log_likelihood)
    assert (result.neg_kl <= 0).all()
    assert (result.neg_kl < 0).mean() > 0.99


def test_kl_is_not_positive_even_at_the_exact_posterior():
    """All weights equal: rounding must not make a positive entry."""
    model, x = toy(variance=0.5)
    result = iwax.evaluate(model, x, KEY, num_samples=640, binarize="none")
    assert (result.neg_kl <= 0).all()
    np.testing.assert_allclose(result.log_likelihood, model.log_evidence(x), rtol=1e-5)


@pytest.mark.parametrize("rows", [64, pytest.param(200, marks=pytest.mark.slow), 1000, 100_000])
def test_the_size_of_chunks_and_batches_changes_rounding_only(rows):
    model, x = toy(size=3, num_examples=7)
    reference = iwax.log_likelihood(model, x, KEY, num_samples=1000)
    np.testing.assert_allclose(iwax.log_likelihood(model, x, KEY, num_samples=1000, rows=rows), reference, atol=1e-4)
    other_draws = iwax.log_likelihood(model, x, jax.random.key(9), num_samples=1000)
    assert np.abs(other_draws - reference).max() > 1e-3  # negative control


@pytest.mark.slow
@pytest.mark.parametrize("rows", [64, pytest.param(1000, marks=pytest.mark.slow)])
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
        tally.add(log_w[:, start : start + 128])
    expected = np.logaddexp.reduce(log_w, axis=1) - np.log(640)
    np.testing.assert_allclose(tally.log_mean, expected, rtol=1e-12)
    weights = np.exp(log_w[2:] - np.logaddexp.reduce(log_w[2:], axis=1, keepdims=True))
    np.testing.assert_allclose(tally.relative_variance[2:], (weights**2).sum(axis=1) - 1 / 640, rtol=1e-10)


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


def test_one_block_has_no_kl():
    """IWAE-64 from 64 samples is log p itself: their difference was told as -KL = 0 ± 0 of any model."""
    model, x = toy(num_examples=4)
    one, two = (iwax.evaluate(model, x, KEY, num_samples=k, binarize="none") for k in (64, 128))
    assert (one.summary()["neg_kl"], one.summary()["neg_kl_test_error"]) == (None, None)
    assert two.summary()["neg_kl"] < 0 < two.summary()["neg_kl_test_error"]
    (line,) = (line for line in str(one).splitlines() if line.startswith("-KL"))
    assert "none" in line
    assert "draw more" in line
    assert "none" not in str(two)


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


def test_bounds_of_any_block_size_come_from_the_same_samples():
    """IWAE-K of blocks that chunks cut in two, against all log-weights at once."""
    model, x = toy(size=3, num_examples=3)
    result = iwax.evaluate(model, x, KEY, num_samples=1100, iwae_samples=(50, 7, 1), binarize="none", rows=300)
    assert result.num_samples == 1050
    assert result.iwae_samples == 50
    log_w = log_weights(model, x, EvaluationKeys(KEY).samples, num_samples=1050)
    for size in (50, 7, 1):
        expected = (logsumexp(log_w.reshape(3, -1, size), axis=2) - np.log(size)).mean(axis=1)
        np.testing.assert_allclose(result.bounds[size], expected, rtol=1e-6)
    np.testing.assert_allclose(result.elbo, result.bounds[1], rtol=1e-12)
    assert (result.bounds[7] - result.bounds[50] < 0).all()  # negative control: they differ
    assert set(result.summary()) >= {"iwae_50", "iwae_7", "iwae_1", "elbo", "reconstruction", "kl"}


def test_the_elbo_and_its_parts_are_the_closed_forms(judged):
    """z-scores over N examples; the KL by its closed form for Gaussians. A nat more in 100 must fail."""
    model, x, result = judged
    z = (result.elbo - np.asarray(model.elbo(x))) / result.elbo_error
    assert abs(z.mean()) < 4 / np.sqrt(N)
    assert 0.7 < z.std() < 1.4
    assert abs(((result.elbo - 0.01 - np.asarray(model.elbo(x))) / result.elbo_error).mean()) > 4 / np.sqrt(N)
    kl = 0.5 * np.sum(np.asarray(x / 2) ** 2 + 2 / 3 - 1 - np.log(2 / 3), axis=1)
    gap = result.kl - kl
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(N)
    assert abs(gap.std() / N**0.5) < 0.02
    np.testing.assert_allclose(result.reconstruction, result.elbo + result.kl)


class Bare(eqx.Module):
    """A model of two numbers with a label as a pytree, and neither prior nor likelihood: log w = N(-s^2/2, s^2)."""

    sigma: float = 0.8

    def posterior(self, x):
        zeros = jnp.zeros_like(x["value"])
        return DiagonalNormal(zeros, zeros)

    def log_joint(self, x, z):
        log_prior = jnp.sum(-0.5 * z**2 - 0.5 * jnp.log(2 * jnp.pi), axis=-1)
        return log_prior + self.sigma * z[..., 0] - self.sigma**2 / 2 + x["label"]


def test_log_normal_weights_of_a_model_whose_data_are_a_pytree():
    """log p(x) = the label, ELBO = label - s^2/2, ESS/k -> exp(-s^2) (estimators.md 9.5)."""
    x = {"value": jnp.zeros((20, 2)), "label": jnp.arange(20.0)}
    batches = list(evaluate_batches(Bare(), x, KEY, num_samples=6400))
    values = {name: np.concatenate([batch[name] for _, batch in batches]) for name in batches[0][1]}
    z = (values["log_likelihood"] - np.arange(20)) / values["mc_error"]
    assert abs(z.mean()) < 4 / np.sqrt(20)
    assert abs(z + 0.1 / values["mc_error"]).mean() > 4 / np.sqrt(20)  # a tenth of a nat must fail
    assert values["ess"].mean() / 6400 == pytest.approx(np.exp(-(0.8**2)), rel=0.03)
    assert (values["elbo"] - np.arange(20)).mean() == pytest.approx(-0.32, abs=4 * 0.8 / np.sqrt(20 * 6400))
    assert "kl" not in values
    result = gather(values, (64,), (), 6400, "")
    assert result.reconstruction is None
    assert "prior" in result.notes[0]
    assert "reconstruction" not in result.summary()
    np.testing.assert_allclose(iwax.log_likelihood(Bare(), x, KEY, num_samples=6400), values["log_likelihood"])


@pytest.mark.slow
def test_effective_sample_size_where_the_means_differ_too():
    """ESS/k -> 0.4126 for |delta|^2 = 0.2 in 20 dimensions (estimators.md 9.1); for delta = 0 it is 0.5245."""
    model, _ = toy()
    shifted = eqx.tree_at(lambda m: m.inference.offset, model, jnp.full(20, 0.1))
    x = model.sample(KEY, 20)
    values = [batch["ess"] for _, batch in evaluate_batches(shifted, np.asarray(x), KEY, num_samples=19_200)]
    assert np.concatenate(values).mean() / 19_200 == pytest.approx(0.4126, rel=0.03)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_samples():
    """On the device by what the compiler allots; on the host by what numpy allocates. All at once must fail."""
    model = iwax.VAE(12, [3], [[4]], key=KEY)
    x = np.zeros((2, 12), np.float32)

    def on_device(num_samples):
        batch, blocks = chunk_shape(2, num_samples, ROWS)
        arrays, rest = eqx.partition(model, eqx.is_array)
        leaves, structure = jax.tree.flatten(rest)
        chunk, static = (x[:batch], jnp.arange(batch), jnp.arange(blocks), KEY), {"rest": (*leaves,), "split": True}
        sizes = _log_weights.lower(arrays, *chunk, structure=structure, **static).compile().memory_analysis()
        return sizes.temp_size_in_bytes + sizes.output_size_in_bytes

    def on_host(function, num_samples):
        for _ in range(4):  # compiled and imported; the calls after that fill caches, too
            function(num_samples)
        tracemalloc.start()
        function(num_samples)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    def streamed(num_samples):
        return iwax.log_likelihood(model, x, KEY, num_samples=num_samples)

    def with_khat(num_samples):  # whose tail is 3 sqrt(k) weights
        return list(evaluate_batches(model, x, KEY, num_samples=num_samples - num_samples % 64))

    assert on_device(50_000) < 1.25 * on_device(5_000)  # the last chunk of 5,000 is a little smaller
    assert on_host(streamed, 50_000) < 1.25 * on_host(streamed, 5_000)
    assert on_host(with_khat, 50_000) < 1e6  # bytes
    at_once = [on_host(lambda n: log_weights(model, x, KEY, num_samples=n), n) for n in (5_000, 50_000)]
    assert at_once[1] > 5 * at_once[0]


def test_without_arviz_stats_nothing_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    model, x = toy(size=2, num_examples=3)
    result = iwax.evaluate(model, x, KEY, num_samples=640, binarize="none")
    assert np.isfinite(result.khat).all()
    assert result.notes == ()


@pytest.mark.parametrize(
    ("num_samples", "sizes", "message"),
    [
        (640, (50, 64), "common multiple of at most num_samples=640; got 50, 64, with 1600"),
        (640, (0,), "Expected iwae_samples to be an integer of at least 1; got 0"),
        (640, (), "Expected iwae_samples to be at least one number of samples; got none"),
        (640, (64, 1000), "Expected num_samples to be at least 1000, one block of IWAE-1000; got 640"),
    ],
)
def test_bad_block_sizes(num_samples, sizes, message):
    with pytest.raises(ValueError, match=message):
        samples_in_blocks(num_samples, sizes)
