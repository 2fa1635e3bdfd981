"""Data on their way to the model: the same values on every path, a likelihood that fits them, from any folder."""

import math

import jax
import numpy as np
import pytest

import iwax
from iwax.experiments.identity import non_default_fields
from iwax.judging.evaluate import evaluate_run
from iwax.runs.config import RunConfig
from iwax.runs.launch import new_run, resume_run
from iwax.runs.resolution import resolve

KEY = jax.random.key(0)
COUNTS = np.array([[3, 1], [0, 5]], np.uint8)
TINY = {"objective": "elbo", "num_samples": 1, "protocol": "burda-paper", "batch_size": 10, "epochs": 2}


def exact(x):
    """log p(x) under the isotropic model: x ~ N(0, W W' + I), by numpy alone."""
    model = iwax.LinearGaussian.isotropic(2)
    weight, noise = np.asarray(model.generative.weight, float), np.exp(np.asarray(model.generative.log_noise, float))
    covariance = weight @ weight.T + np.diag(noise**2)
    x = np.asarray(x, float) - np.asarray(model.generative.offset) - weight @ np.asarray(model.generative.prior_mean)
    square = np.einsum("ni,ij,nj->n", x, np.linalg.inv(covariance), x)
    return -0.5 * (square + np.linalg.slogdet(2 * math.pi * covariance)[1])


@pytest.mark.slow
def test_none_leaves_counts_as_they_are_on_every_path():
    """The control: counts divided by 255, whose log p is nats away."""
    model, k = iwax.LinearGaussian.isotropic(2), 20_000
    judged = iwax.evaluate(model, COUNTS, KEY, num_samples=k, binarize="none").log_likelihood
    found = iwax.log_likelihood(model, COUNTS.astype(np.float32), KEY, num_samples=k)
    np.testing.assert_allclose(judged, exact(COUNTS), atol=0.1)
    np.testing.assert_allclose(found, exact(COUNTS), atol=0.1)
    assert np.abs(exact(COUNTS / 255) - exact(COUNTS)).min() > 1
    options = {"recipe": "burda-paper", "key": KEY, "epochs": 1, "batch_size": 2, "binarize": "none"}
    as_counts, as_floats, divided = (
        iwax.fit(model, iwax.ELBO(), x, **options).records
        for x in (COUNTS, COUNTS.astype(np.float32), COUNTS.astype(np.float32) / 255)
    )
    assert as_counts == as_floats != divided


@pytest.mark.parametrize("rule", ["dynamic", "fixed", "threshold"])
def test_a_gaussian_is_fitted_to_no_black_and_white(rule):
    """The control: the same call with real values trains."""
    model, x = iwax.VAE(4, [2], [[3]], key=KEY, likelihood="gaussian"), np.full((10, 4), 0.3, np.float32)
    options = {"recipe": "burda-paper", "key": KEY, "epochs": 1, "batch_size": 5}
    with pytest.raises(ValueError, match="for a likelihood of real values, such as a Gaussian; got"):
        iwax.fit(model, iwax.ELBO(), x, binarize=rule, **options)
    with pytest.raises(ValueError, match="for a likelihood of real values, such as a Gaussian; got"):
        resolve(RunConfig(likelihood="gaussian", binarize=rule))
    assert iwax.fit(model, iwax.ELBO(), x, binarize="none", **options).records


def test_the_default_rule_follows_the_likelihood_and_is_asked_for_by_value():
    assert resolve(RunConfig()).binarize == "dynamic"
    assert resolve(RunConfig(likelihood="gaussian")).binarize == "intensities"
    own = RunConfig(likelihood="gaussian", dataset="/x.npy")
    assert resolve(own).binarize == "none"
    # As records had it before there was such a default.
    assert non_default_fields(own) == {"likelihood": "gaussian", "dataset": "/x.npy", "binarize": "none"}
    assert non_default_fields(RunConfig(binarize="dynamic")) == {}


@pytest.mark.slow
def test_a_run_on_relative_paths_goes_on_and_is_judged_from_another_folder(tmp_path, monkeypatch):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir(), away.mkdir()
    monkeypatch.chdir(home)
    np.save("x.npy", np.random.default_rng(0).random((40, 4)))
    first = new_run(RunConfig(dataset="./x.npy", **TINY), home / "first")
    second = new_run(RunConfig(dataset="x.npy", init_from="first", **TINY), home / "second")
    resume_run(first.path, options={"dataset": "./x.npy"})
    monkeypatch.chdir(away)
    assert second.config().init_from == str(home / "first")
    resume_run(second.path)
    assert evaluate_run(first.path, num_samples=64)["num_examples"] == 4
    (home / "x.npy").rename(away / "x.npy")
    assert evaluate_run(second.path, num_samples=64, data_dir=str(away))["num_examples"] == 4
    with pytest.raises(ValueError, match=r"the data of this run to be at .*x\.npy.*; .*Name by --data where x\.npy is"):
        evaluate_run(first.path, num_samples=64, recompute=True)
    with pytest.raises(ValueError, match=rf"; there is nothing, nor at {home / 'none'}\. Name by --data"):
        evaluate_run(first.path, num_samples=64, recompute=True, data_dir=home / "none")
