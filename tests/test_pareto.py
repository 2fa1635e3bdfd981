"""k-hat against the tail index that theory gives, and against the library on all weights at once."""

import jax
import numpy as np
import pytest

import iwax
from iwax.pareto import khat_advice, pareto_khat, tail_size
from iwax.streaming import tallies

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


def test_there_is_no_khat_without_a_tail():
    few, equal = np.zeros((1, 3)), np.full((1, 213), -90.0)
    with_zeros = np.where(np.arange(213) < 5, -np.inf, -np.arange(213.0))[None]
    assert np.isnan(pareto_khat(few, 12)).all()
    assert np.isnan(pareto_khat(equal, 5000)).all()
    assert np.isnan(pareto_khat(with_zeros, 5000)).all()
    with pytest.raises(ValueError, match="Expected largest to hold 213 log-weights for 5000 samples; got 3"):
        pareto_khat(few, 5000)


def test_tail_size():
    assert [tail_size(k) for k in (10, 225, 5000, 20_000)] == [2, 45, 212, 424]


def test_advice_says_what_to_do():
    advice = khat_advice(0.123)
    assert all(word in advice for word in ("12.3%", "--num-samples", "posterior", "iwax anneal"))
    assert khat_advice(0.0) is None
    assert khat_advice(float("nan")) is None
