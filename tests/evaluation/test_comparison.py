"""Two models on the same examples: paired errors, intervals, and what may not be compared."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from iwax.evaluation import compare_evaluations, judge_log_weights

N, K = 60, 64


def evaluations(better=0.5, n=N, k=K, seed=0, **options):
    """Two models of examples that differ by 20 nats among each other, and by `better` between the models."""
    rng = np.random.default_rng(seed)
    log_p = rng.normal(-90, 20, n)
    of = [rng.normal(log_p + shift, 0.5, (k, n)) for shift in (better + rng.normal(0, 0.2, n), 0)]
    return [judge_log_weights(log_w, **options) for log_w in of]


def test_the_difference_is_paired_and_its_intervals_are_those_of_textbooks():
    first, second = evaluations()
    found = compare_evaluations(first, second, resamples=20_000)
    d = first.log_likelihood - second.log_likelihood
    low, high = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    assert found.t_interval == pytest.approx((low, high), rel=1e-12)
    assert found.difference == pytest.approx(d.sum() / N, rel=1e-12)
    assert found.error == pytest.approx(d.std(ddof=1) / math.sqrt(N), rel=1e-12)
    textbook = stats.bootstrap((d,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert found.bootstrap_interval == pytest.approx((textbook.low, textbook.high), abs=0.1 * found.error)
    unpaired = math.hypot(first.summary()["log_p_test_error"], second.summary()["log_p_test_error"])
    assert found.error < unpaired / 20  # what not pairing would cost: the negative control
    assert abs(found.difference - 0.5) < 4 * found.error
    assert found.difference_mc_error < found.error


def test_the_monte_carlo_error_is_what_redrawing_changes():
    """Of the same examples and models with other draws, 40 times."""
    rng = np.random.default_rng(0)
    found = [
        compare_evaluations(*(judge_log_weights(rng.normal(0, 0.5, (K, 20))) for _ in range(2)), resamples=1)
        for _ in range(40)
    ]
    spread = np.std([one.difference for one in found], ddof=1)
    assert np.mean([one.difference_mc_error for one in found]) == pytest.approx(spread, rel=0.4)


def test_examples_prefer_one_model_beyond_their_monte_carlo_error_only():
    first, second = evaluations(n=3)
    shifted = dataclasses.replace(second, log_likelihood=first.log_likelihood + np.array([5.0, -5.0, 1e-3]))
    found = compare_evaluations(first, shifted)
    assert found.prefer == (1, 1, 1)
    assert compare_evaluations(shifted, first).prefer == (1, 1, 1)
    assert "1 prefer the first, 1 the second, 1 neither" in str(found)


def test_biases_by_the_jackknife_are_taken_off_both():
    first, second = evaluations()
    found = compare_evaluations(first, second)
    expected = np.mean(first.log_likelihood - first.jackknife_bias - second.log_likelihood + second.jackknife_bias)
    assert found.difference_jackknife == pytest.approx(expected, rel=1e-12)


def test_other_examples_are_refused_and_unknown_ones_noted():
    x = np.random.default_rng(0).normal(size=(N, 2))
    first, second = evaluations(examples=x)
    assert compare_evaluations(first, second).notes == ()
    (other, _) = evaluations(examples=x + 1)
    with pytest.raises(ValueError, match=f"same examples; got those of SHA-256 {first.test_hash[:16]} and "):
        compare_evaluations(first, other)
    (unknown, _) = evaluations()
    assert "Nothing says that both" in compare_evaluations(first, unknown).notes[0]
    with pytest.raises(ValueError, match="got 60 and 3 of them"):
        compare_evaluations(first, evaluations(n=3)[0])
    (more, _) = evaluations(k=128, examples=x)
    assert "rests on 64 and 128 samples" in compare_evaluations(first, more).notes[0]


def test_what_is_not_finite_is_none_in_a_summary():
    first, second = evaluations(n=4)
    gone = dataclasses.replace(first, log_likelihood=np.array([-np.inf, 0, 0, 0]))
    summary = compare_evaluations(gone, second).summary()
    assert (summary["difference"], summary["error"], summary["t_interval"]) == (None, None, [None, None])
    single = compare_evaluations(*evaluations(n=1)).summary()
    assert single["difference"] is not None
    assert single["error"] is None
    heavy = [judge_log_weights(np.random.default_rng(i).normal(0, 6, (640, 5))) for i in range(2)]
    assert compare_evaluations(*heavy).summary()["khat_above_0.7"] == 1
