"""Errors where weights are worst: what could not be computed counts, and no number is silent."""

import json

import jax
import numpy as np
import pytest

import iwax
from example_modules import load_script
from iwax.cli.judging import evaluation_rows
from iwax.evaluation.evaluate import gather, tally_values
from iwax.evaluation.leave_one_out import jackknife, kept_size
from iwax.evaluation.streaming import Tally
from iwax.judging.plots import trust_plot

KEY = jax.random.key(0)


def tally_of(log_w, chunk=48):
    examples, samples = log_w.shape
    tally = Tally(examples, samples, tail_size=kept_size(samples), block_sizes=(1,))
    for first in range(0, samples, chunk):
        tally.add(log_w[:, first : first + chunk])
    return tally


def evaluation_of(log_w):
    """What `evaluate` makes of given log-weights, (examples, samples)."""
    return gather(tally_values(tally_of(log_w), False), (1,), (), log_w.shape[1], "0" * 64)


def test_a_model_that_is_far_off_is_not_reported_as_sound():
    """D = 200: some 70 nats below log p(x), of which error and bias know nothing; every k-hat used to be NaN."""
    model = iwax.LinearGaussian.isotropic(200, variance=2.0)
    x = model.sample(KEY, 4)
    result = iwax.evaluate(model, x, jax.random.key(1), num_samples=1024, binarize="none")
    summary = result.summary()
    assert np.mean(result.log_likelihood - np.asarray(model.log_evidence(x))) < -60
    assert summary["log_p_mc_error"] < 0.5
    assert summary["khat_above_0.7"] == summary["khat_above_0.5"] == 1.0
    assert "above 0.7 for 100.0%" in summary["advice"]
    assert summary["log_p_jackknife_error"] > 5 * summary["log_p_mc_error"]


def test_examples_without_a_khat_count_as_the_worst():
    """Three sound examples and one whose tail cannot be fitted: it is one in four, and the largest quantile."""
    log_w = np.random.default_rng(0).normal(scale=0.3, size=(4, 1000))
    log_w[3, 5:] = -np.inf
    result = evaluation_of(log_w)
    summary = result.summary()
    assert summary["khat_above_0.7"] == summary["khat_above_0.5"] == 0.25
    assert summary["khat_quantiles"]["1"] is None  # beyond every number
    assert summary["khat_quantiles"]["0.5"] < 0.5
    assert "above 0.7 for 25.0%" in summary["advice"]
    sound = evaluation_of(log_w[:3])  # negative control
    assert sound.advice is None
    assert sound.summary()["khat_above_0.5"] == 0.0


def test_an_unknown_khat_counts_as_the_worst_wherever_it_comes_from():
    result = evaluation_of(np.random.default_rng(0).normal(scale=0.3, size=(4, 1000)))
    result.khat[2] = np.nan  # of a file of before, say
    assert result.khat_above_limit == result.khat_above_half == 0.25
    assert result.summary()["khat_quantiles"]["1"] is None


def test_weights_between_the_limits_are_advised_of():
    """Log-normal with s = 2: k-hat is 0.6 or so, where all that was said was nothing."""
    result = evaluation_of(np.random.default_rng(2).normal(scale=1.9, size=(50, 5000)))
    result.khat[:] = np.minimum(result.khat, 0.69)
    assert result.khat_above_limit == 0
    assert result.summary()["khat_above_0.5"] > 0.5
    assert "too small" in result.advice


@pytest.mark.parametrize("samples", [2, 10, 64, 400])
@pytest.mark.parametrize("spread", [0.1, 2.0, 100.0])
def test_the_jackknife_is_that_of_leaving_out_each_sample(samples, spread):
    log_w = np.random.default_rng(samples).normal(scale=spread, size=(3, samples)) - 1000
    rows = np.arange(samples)
    without = np.stack([np.logaddexp.reduce(log_w[:, rows != i], axis=1) - np.log(samples - 1) for i in rows])
    centred = without - (np.logaddexp.reduce(log_w, axis=1) - np.log(samples))
    expected_bias = (samples - 1) * centred.mean(axis=0)
    expected_error = np.sqrt((samples - 1) / samples * ((centred - centred.mean(axis=0)) ** 2).sum(axis=0))
    for chunk in (7, samples):
        bias, error = jackknife(tally_of(log_w, chunk))
        np.testing.assert_allclose(bias, expected_bias, rtol=1e-3, atol=1e-10)
        np.testing.assert_allclose(error, expected_error, rtol=1e-3)
    delta = np.sqrt(tally_of(log_w).relative_variance)
    assert spread < 100 or expected_error.mean() > 3 * delta.mean()  # negative control: what is printed as Monte Carlo


def test_the_jackknife_is_the_delta_method_for_weights_that_are_near_equal():
    result = evaluation_of(np.random.default_rng(0).normal(scale=0.1, size=(5, 2000)))
    np.testing.assert_allclose(result.jackknife_error, result.mc_error, rtol=1e-2)
    np.testing.assert_allclose(result.jackknife_bias, result.bias, rtol=0.05)
    equal = evaluation_of(np.full((2, 200), -7.0))
    np.testing.assert_allclose([equal.jackknife_bias, equal.jackknife_error], 0, atol=1e-9)


@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan])
def test_an_example_whose_likelihood_is_not_finite_is_never_silent(value):
    """It has no error and the worst k-hat; means over examples are None, not numbers; a note says so."""
    log_w = np.random.default_rng(0).normal(scale=0.3, size=(4, 200))
    log_w[1, slice(None) if value == -np.inf else slice(150, 151)] = value
    result = evaluation_of(log_w)
    summary = result.summary()
    for name in ("mc_error", "jackknife_bias", "jackknife_error", "ess", "elbo_error"):
        assert np.isnan(getattr(result, name)[1]), name
    assert result.khat[1] == np.inf
    assert result.khat_above_limit == 0.25
    for name in ("log_p", "log_p_mc_error", "log_p_bias", "log_p_jackknife", "iwae_1", "neg_kl", "elbo", "ess"):
        assert summary[name] is None, name
    assert summary["ess_quantiles"]["0.05"] < 150 < summary["ess_quantiles"]["0.5"]
    assert "not finite for 1 of 4 examples" in result.notes[-1]
    json.dumps(summary, allow_nan=False)
    assert len(evaluation_rows(summary)) > 8
    assert "not finite" not in " ".join(evaluation_of(log_w[[0, 2, 3]]).notes)  # negative control


def test_one_sample_has_no_error():
    """Its weight is its mean, which is no sign of certainty: an error of 0 was printed."""
    result = evaluation_of(np.random.default_rng(0).normal(size=(4, 1)))
    assert np.isnan(result.mc_error).all()
    assert result.summary()["log_p_mc_error"] is None


def test_few_samples_have_no_khat_and_a_note_says_so():
    result = evaluation_of(np.random.default_rng(0).normal(size=(4, 20)))
    summary = result.summary()
    assert summary["khat_quantiles"] is summary["khat_above_0.7"] is summary["khat_above_0.5"] is None
    assert any("needs 25 samples" in note for note in result.notes)
    assert ["Pareto k-hat", "unknown"] in [row[:2] for row in evaluation_rows(summary)]


def test_the_table_shows_no_monte_carlo_error_without_its_khat():
    log_w = np.random.default_rng(0).normal(scale=3, size=(20, 1000))
    summary = evaluation_of(log_w).summary()
    rows = evaluation_rows(summary)
    middle = f"{summary['khat_quantiles']['0.5']:.2f}"
    log_p = next(i for i, row in enumerate(rows) if row[0] == "log p")
    assert rows[log_p][2].endswith(f"Monte Carlo at k-hat {middle}")
    assert rows[log_p + 1][2].endswith(f"bias at k-hat {middle}")
    assert any(row[0].startswith("  less its bias") and middle in row[2] for row in rows)
    assert {"of examples above 0.5", "of examples above 0.7"} <= {row[2] for row in rows}


def test_the_picture_of_trust_counts_what_could_not_be_computed(tmp_path):
    khat, ess = np.array([0.1, -np.inf, np.inf, np.nan, 1e6]), np.array([90.0, 100, 3, np.nan, 1])
    trust_plot(khat, ess, 100, tmp_path / "trust.svg")
    assert "60% above 0.7" in (tmp_path / "trust.svg").read_text()
    trust_plot(khat[:2], ess[:2], 100, tmp_path / "sound.svg")
    assert "0% above 0.7" in (tmp_path / "sound.svg").read_text()
    trust_plot(np.full(2, np.nan), ess[:2] / 10, 20, tmp_path / "few.svg")  # fewer than 25 samples: k-hat is unknown
    assert "above 0.7" not in (tmp_path / "few.svg").read_text()


def test_coverage_falls_with_khat_and_the_jackknife_holds_up_longer():
    """The script of the table in docs/evaluation.md at toy size, against what must hold at any."""
    page = load_script("coverage_page")
    sizes = {"replications": 40, "examples": 8, "samples": 500}
    sound, bad = (page.coverage(page.CASES[f"log-normal, s = {s}"], **sizes) for s in ("0.5", "3"))
    assert sound[0] < 0.3 < 0.8 < bad[0]  # k-hat
    assert sound[3] > 0.85
    assert sound[5] == pytest.approx(sound[3], abs=0.051)
    assert bad[3] < 0.75
    assert bad[6] > bad[3] + 0.1
    assert bad[2] > 1.3  # the true error over the printed one
    text = (page.PAGE).read_text()
    assert text.count(page.BEGIN) == text.count(page.END) == 1
    assert page.HEAD in text


def test_the_weights_of_the_coverage_table_have_mean_one():
    """E[w] = p(x) = 1, by many samples where the variance is finite."""
    page = load_script("coverage_page")
    for name in ("log-normal, s = 1", "normal in 1, v = 0.7", "normal in 20, v = 0.7"):
        w = np.exp(page.CASES[name](np.random.default_rng(0), (1, 400_000)))
        assert abs(w.mean() - 1) < 4 * w.std() / np.sqrt(w.size)
    w = np.exp(page.log_normal(1)(np.random.default_rng(0), (1, 400_000)) + 0.05)  # negative control
    assert abs(w.mean() - 1) > 4 * w.std() / np.sqrt(w.size)
