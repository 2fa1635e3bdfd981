"""k-hat against the tail index that theory gives, and against the library on all weights at once."""

import jax
import numpy as np
import pytest

import iwax
from iwax.evaluation.pareto import khat_advice, pareto_khat, tail_size
from iwax.evaluation.streaming import tallies

KEY = jax.random.key(0)


def khat_of(size, ratio, num_samples=20_000):
    """Mean k-hat over examples of Gaussian weights whose proposal has `ratio` times the posterior's variance 1/2."""
    model = iwax.LinearGaussian.isotropic(size, variance=0.5 * ratio)
    x = model.sample(KEY, 12)
    kept = tail_size(num_samples) + 1
    batches = tallies(model, x, KEY, num_samples=num_samples, tail_size=kept)
    return np.mean(np.concatenate([pareto_khat(tally.tail, num_samples) for _, tally in batches]))


def test_khat_is_the_tail_index_of_gaussian_weights():
    """k = 1 - s^2/v (estimators.md 9.1); taking s^2/v for it, or a half whatever the weights, must fail."""
    ratios = np.array([0.7, 0.5, 0.3])
    found = np.array([khat_of(1, ratio) for ratio in ratios])
    np.testing.assert_allclose(found, 1 - ratios, atol=0.15)
    assert np.abs(found - ratios).max() > 0.15
    assert np.abs(found - 0.5).max() > 0.15


def test_a_proposal_wider_than_the_posterior_has_light_tails():
    assert khat_of(1, 1.5) < 0.2


def test_khat_of_a_stream_is_that_of_all_weights():
    """The library's own on every log-weight, of which it wants the negative; with the sign wrong it is another."""
    arrays = pytest.importorskip("arviz_stats.base").array_stats
    log_w = np.random.default_rng(0).normal(scale=2, size=(5, 4992))
    tail = np.random.default_rng(1).permuted(np.sort(log_w)[:, -tail_size(4992) - 1 :], axis=1)
    ours = pareto_khat(tail, 4992)
    np.testing.assert_allclose(ours, arrays.psislw(-log_w)[1], rtol=1e-10)
    assert np.abs(ours - arrays.psislw(log_w)[1]).max() > 0.01
    np.testing.assert_allclose(pareto_khat(tail - 1000, 4992), ours, rtol=1e-6)


def previous_khat(log_w):
    """What stood here before: the library's fit of exp(log w), given up on where the tail's quartile is tiny."""
    arrays = pytest.importorskip("arviz_stats.base").array_stats
    weights = np.exp(np.sort(log_w) - np.max(log_w))
    excess = weights[1:] - weights[0]
    quarter = int(len(excess) / 4 + 0.5) - 1
    return np.nan if excess[quarter] < 1e-12 else arrays._gpdfit(excess)[0]


@pytest.mark.parametrize("num_samples", [25, 100, 640, 5000])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 4.0, 30.0])
def test_khat_is_the_librarys_at_any_spread_that_it_can_hold(spread, num_samples):
    arrays = pytest.importorskip("arviz_stats.base").array_stats
    log_w = np.random.default_rng(3).normal(scale=spread, size=(4, num_samples))
    ours = pareto_khat(np.sort(log_w)[:, -tail_size(num_samples) - 1 :], num_samples)
    np.testing.assert_allclose(ours, arrays.psislw(-log_w)[1], rtol=1e-7, atol=1e-9)


def test_weights_that_differ_by_many_nats_have_a_khat():
    """Exponential log-weights of mean k are Pareto weights of shape k, at any spread; of normal ones, k is large."""
    rng = np.random.default_rng(1)
    exponential, normal = (np.sort(draw(size=(20, 5000)))[:, -213:] for draw in (rng.exponential, rng.normal))
    for shape in (0.6, 6.0, 600.0, 6e5):
        found = pareto_khat(shape * exponential, 5000)
        assert 0.65 < found.mean() / shape < 1.1  # the method of Zhang and Stephens falls short of very large k
    assert (pareto_khat(20 * normal, 5000) > 4).all()  # 6.8 by ArviZ
    assert np.isnan([previous_khat(20 * tail) for tail in normal]).mean() > 0.8  # negative control


def test_what_cannot_be_fitted_is_the_worst():
    """Zeros, infinities and NaN among the largest, and one weight above many equal ones: never NaN, never good."""
    tail = -np.arange(213.0)[None] / 100
    zeros, infinite, unknown = (np.where(np.arange(213) == 7, value, tail) for value in (-np.inf, np.inf, np.nan))
    lone = np.where(np.arange(213) == 7, 900.0, np.zeros((1, 213)))
    for worst in (zeros, infinite, unknown, lone, np.full((1, 213), -np.inf)):
        np.testing.assert_array_equal(pareto_khat(worst, 5000), np.inf)
    assert pareto_khat(tail, 5000) < 0.7
    assert np.isnan(previous_khat(lone[0]))  # negative control: that was dropped from the count


def test_equal_weights_are_the_best():
    """A perfect posterior's, up to rounding, and weights of few values, the largest of which occurs often."""
    equal = np.full((1, 213), -90.0)
    rounded = equal + 7.6e-6 * (np.arange(213) > 150)
    few_values = np.where(np.arange(213) > 150, 3.0, 0.0)[None]
    for best in (equal, rounded, few_values):
        np.testing.assert_array_equal(pareto_khat(best, 5000), -np.inf)
    assert pareto_khat(np.where(np.arange(213) > 210, 3.0, 0.0)[None], 5000) == np.inf  # seen twice: who knows


def test_fewer_than_25_samples_have_no_khat():
    assert np.isnan(pareto_khat(np.zeros((3, 5)), 24)).all()
    assert (pareto_khat(np.zeros((3, 6)), 25) == -np.inf).all()
    with pytest.raises(ValueError, match="Expected largest to hold 213 log-weights for 5000 samples; got 3"):
        pareto_khat(np.zeros((1, 3)), 5000)


def test_tail_size():
    assert [tail_size(k) for k in (10, 225, 5000, 20_000)] == [2, 45, 212, 424]


def test_advice_says_what_to_do():
    advice = khat_advice(0.123, 0.5)
    assert all(word in advice for word in ("above 0.7 for 12.3%", "more samples", "posterior", "iwax anneal"))
    assert khat_advice(0.0) is None
    assert khat_advice(float("nan"), float("nan")) is None


def test_advice_begins_where_errors_are_too_small():
    advice = khat_advice(0.0, 0.25)
    assert "above 0.5 for 25.0%" in advice
    assert "too small" in advice
    assert "jackknife" in advice
