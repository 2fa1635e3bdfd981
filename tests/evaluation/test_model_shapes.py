"""Densities that lose the batch, and arguments of other shapes: refused, where numbers of them would be wrong."""

import json
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import iwax
from iwax.evaluation import (
    anneal,
    estimator_curves,
    implicit_log_density,
    implicit_posterior,
    reconstruct,
    unit_divergences,
    unit_variances,
)
from iwax.models import DiagonalNormal

G = np.array([[1.0, -0.5], [0.3, 0.8], [0.2, 0.4]])
KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (5, 3))


class LosesTheBatch:
    """q(z | x), whose log_prob is summed over the batch."""

    def __init__(self, inner):
        self.inner, self.sample = inner, inner.sample

    def log_prob(self, z):
        return self.inner.log_prob(z).sum(-1)


class Linear(eqx.Module):
    """x | z ~ N(G z, 1), whose log p(x, z) is put together by `combined` from the two logs, each (samples, batch)."""

    generative: jax.Array
    inference: jax.Array
    combined: object = eqx.field(static=True)
    loses_batch: bool = eqx.field(static=True, default=False)

    @property
    def prior(self):
        return DiagonalNormal(jnp.zeros(2), jnp.zeros(2))

    def posterior(self, x):
        inner = DiagonalNormal(x @ self.inference.T, jnp.full((*x.shape[:-1], 2), -0.3))
        return LosesTheBatch(inner) if self.loses_batch else inner

    def log_joint(self, x, z):
        log_x = jnp.sum(-0.5 * (x - z @ self.generative.T) ** 2 - 0.5 * jnp.log(2 * jnp.pi), axis=-1)
        return self.combined(self.prior.log_prob(z), log_x)


def linear(combined, loses_batch=False):
    return Linear(jnp.asarray(G, jnp.float32), jnp.asarray(0.3 * G.T, jnp.float32), combined, loses_batch)


def right(log_z, log_x):
    return log_z + log_x


WRONG = {
    "summed over the batch": lambda log_z, log_x: jnp.sum(log_z + log_x, axis=-1),
    "summed over all": lambda log_z, log_x: jnp.sum(log_z + log_x),
    "turned": lambda log_z, log_x: (log_z + log_x).T,
}
JUDGES = {
    "evaluate": lambda model: iwax.evaluate(model, X, KEY, num_samples=64, binarize="none"),
    "log_likelihood": lambda model: iwax.log_likelihood(model, X, KEY, num_samples=64),
    "estimator_curves": lambda model: estimator_curves(model, X, KEY, num_samples=64, sizes=(2,)),
    "implicit_posterior": lambda model: implicit_posterior(model, X, KEY, num_samples=4, num_draws=3),
    "implicit_log_density": lambda model: implicit_log_density(model, X, jnp.zeros((4, 5, 2)), KEY, num_samples=3),
    "fit": lambda model: iwax.fit(
        model, iwax.IWAE(num_samples=3), np.asarray(X), key=KEY, epochs=1, batch_size=5, binarize="none"
    ),
}


def test_the_right_one_has_the_evidence_of_the_normal_that_it_is():
    found = iwax.evaluate(linear(right), X, KEY, num_samples=6400, binarize="none")
    exact = multivariate_normal(np.zeros(3), G @ G.T + np.eye(3)).logpdf(X)
    assert found.log_likelihood == pytest.approx(exact, abs=0.1)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("judge", JUDGES)
def test_a_log_joint_of_another_shape_is_refused_wherever_it_is_used(judge, wrong):
    """It broadcasts against log q; what came of it was another model's numbers, without a word."""
    with pytest.raises(ValueError, match=r"Expected model.log_joint\(x, z\) to have shape \(samples, \*batch\) = "):
        JUDGES[judge](linear(WRONG[wrong]))


@pytest.mark.parametrize("wrong", ["summed over the batch", "summed over all"])
def test_annealing_refuses_it_too(wrong):
    with pytest.raises(
        ValueError, match=r"Expected model.log_joint\(x, z\) to have shape \(samples, \*batch\) = \(1, 1\)"
    ):
        anneal(linear(WRONG[wrong]), X, KEY, num_distributions=3, num_chains=2, leapfrog_steps=1)


def test_densities_that_both_lose_the_batch_are_refused_where_the_batch_is_known():
    """They agree with each other, and the bound is one of all examples together."""
    model = linear(WRONG["summed over the batch"], loses_batch=True)
    for judge in ("evaluate", "log_likelihood", "estimator_curves"):
        with pytest.raises(
            ValueError, match=r"Expected the posterior's log_prob to have shape \(samples, batch\) = \("
        ):
            JUDGES[judge](model)
    with pytest.raises(ValueError, match=r"to keep the batch, a bound of each of 5 examples; got bounds of shape \(\)"):
        JUDGES["fit"](model)
    problems = iwax.check_model(model, X, KEY).problems
    message = (
        "Expected posterior.log_prob(z) of shape (7, *batch), (7, 5) for this x; got (7,). It must sum over the event"
    )
    assert problems[-1].startswith(message)


def test_log_weights_that_lie_the_other_way():
    log_w = np.random.default_rng(0).normal(size=(640, 10))
    message = r"to have at least 64 samples, one block of IWAE-64; got 10 of 640 examples. .* pass log_w.T.$"
    with pytest.raises(ValueError, match=message):
        iwax.judge_log_weights(log_w.T)
    with pytest.raises(ValueError, match=r"one block of IWAE-64; got 32 of 10 examples.$"):
        iwax.judge_log_weights(log_w[:32])


def test_annealing_wants_a_draw_of_z_for_each_example():
    model = linear(right)
    options = {"num_distributions": 3, "num_chains": 2, "leapfrog_steps": 1}
    assert anneal(model, X, KEY, z=jnp.zeros((5, 2)), **options).bound.shape == (5,)
    with pytest.raises(ValueError, match=r"Expected z to hold a draw for each of 5 examples; got shape \(2, 2\)"):
        anneal(model, X, KEY, z=jnp.zeros((2, 2)), **options)
    with pytest.raises(ValueError, match="Expected x to hold at least one example"):
        anneal(model, X[:0], KEY, **options)


PROGRAM = """
import json, jax, iwax, numpy as np
from iwax.evaluation import anneal, estimator_curves, implicit_posterior, simulate, ssim, unit_variances

model, x, key = iwax.LinearGaussian.isotropic(2), np.zeros((4, 2), np.float32), jax.random.key(0)
images = np.random.default_rng(0).random((2, 12, 12))

class Bare:
    pass

def sizes(given):
    found = iwax.evaluate(model, x, key, num_samples=64, iwae_samples=given, binarize="none").summary()
    return type(found["iwae_samples"]).__name__, found["iwae_samples"]

calls = {
    "one": lambda: sizes(32), "numpy": lambda: sizes(np.int64(32)), "list": lambda: sizes([np.int32(32)]),
    "array": lambda: sizes(np.array([32])), "float": lambda: sizes(64.0), "text": lambda: sizes("64"),
    "zero": lambda: sizes((0,)), "none": lambda: sizes([]),
    "ssim": lambda: ssim(images, images).tolist(), "ssim of one": lambda: ssim(images[0], images[0]).tolist(),
    "ssim of vectors": lambda: ssim(images.reshape(2, 144), images.reshape(2, 144)).tolist(),
    "ssim of others": lambda: ssim(images, images[:1]).tolist(),
    "anneal": lambda: anneal(model, x, 3, num_distributions=3), "simulate": lambda: simulate(model, 3, 3),
    "units": lambda: unit_variances(model, x, 3), "implicit": lambda: implicit_posterior(model, x, 3, num_samples=2),
    "estimators": lambda: estimator_curves(model, x, 3, num_samples=64, sizes=(2,)),
    "bare": lambda: simulate(Bare(), 3, key),
}
answers = {}
for name, call in calls.items():
    try:
        answers[name] = call()
    except Exception as error:
        answers[name] = f"{type(error).__name__}: {error}"
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """In a process of its own, as a user has it: here every call is checked by its annotations before it begins."""
    folder = tmp_path_factory.mktemp("asked")
    asked = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(asked.stdout)


def test_a_block_size_is_any_integer(answers):
    for given in ("one", "numpy", "list", "array"):
        assert answers[given] == ["int", 32]
    for given, shown in (("float", "64.0"), ("text", "'64'"), ("zero", "0")):
        assert answers[given] == f"IwaxError: Expected iwae_samples to be an integer of at least 1; got {shown}."
    assert answers["none"] == "IwaxError: Expected iwae_samples to be at least one number of samples; got none."


def test_ssim_is_of_images(answers):
    """Of one image it gave a number for each of its rows, and of vectors one in a single dimension."""
    assert answers["ssim"] == [1.0, 1.0]
    for given in ("ssim of one", "ssim of vectors"):
        assert answers[given].startswith(
            "IwaxError: Expected images of shape (N, height, width) or (N, height, width, c"
        )
    shapes = "of images, (2, 12, 12); got (1, 12, 12)."
    assert answers["ssim of others"] == f"IwaxError: Expected others to have the shape {shapes}"


@pytest.mark.parametrize("call", ["anneal", "simulate", "units", "implicit", "estimators"])
def test_a_seed_is_no_key(answers, call):
    message = "IwaxTypeError: Expected key to be a key of JAX, such as jax.random.key(3); got 3."
    assert answers[call] == message


def test_data_are_simulated_of_models_with_a_likelihood(answers):
    message = "Expected a model with `prior` and `likelihood` for simulated data; got Bare."
    assert answers["bare"] == f"IwaxTypeError: {message}"


@pytest.mark.parametrize(
    "judge",
    [
        lambda model, x: iwax.log_likelihood(model, x, KEY, num_samples=64),
        lambda model, x: estimator_curves(model, x, KEY, num_samples=64, sizes=(2,)),
        lambda model, x: unit_variances(model, x, KEY),
        lambda model, x: unit_divergences(model, x, KEY),
        lambda model, x: reconstruct(model, x, KEY),
    ],
    ids=["log_likelihood", "estimator_curves", "unit_variances", "unit_divergences", "reconstruct"],
)
def test_no_examples_at_all(judge):
    model = iwax.ARCHITECTURES["one-layer"](key=KEY, data_size=3)
    with pytest.raises(ValueError, match=r"^Expected x to hold at least one example; got none\.$"):
        judge(model, jnp.zeros((0, 3)))
