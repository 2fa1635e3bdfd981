"""Binary latent variables: expectations by enumerating every tuple of samples, through the loss that users call."""

import functools
import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.models.bernoulli_latent import BernoulliLatent
from iwax.objectives import OVIS, RWS, TVO, VIMCO
from iwax.weights import log_mean_exp

pytestmark = pytest.mark.usefixtures("x64")

X = jnp.array([1.0, 0.0, 1.0, 1.0])


class Listed(eqx.Module):
    """A posterior whose draws are given."""

    base: eqx.Module
    z: jax.Array
    has_rsample = False

    def sample(self, key, sample_shape):
        return self.z

    def log_prob(self, z):
        return self.base.log_prob(z)


class Enumerated(eqx.Module):
    """A model whose data are tuples of samples: "example" n draws the n-th tuple."""

    base: BernoulliLatent
    generative = property(lambda self: self.base.generative)
    inference = property(lambda self: self.base.inference)

    def posterior(self, z):
        data = jnp.broadcast_to(X, (z.shape[1], 4))
        return Listed(self.base.posterior(data), z)

    def log_joint(self, z_as_data, z):
        return self.base.log_joint(jnp.broadcast_to(X, (z.shape[1], 4)), z)


@functools.cache
def make_model():
    model = BernoulliLatent(4, 3, key=jax.random.key(0))
    return Enumerated(jax.tree.map(lambda leaf: 1.5 * leaf.astype(float) + 0.1, model))


def tuples(num_samples):
    """All tuples of samples, (num_samples, 8^num_samples, 3)."""
    states = list(itertools.product([0.0, 1.0], repeat=3))
    return jnp.array(list(itertools.product(states, repeat=num_samples))).transpose(1, 0, 2)


def expected_gradient(objective):
    """The estimator's expectation, over all tuples with their probabilities."""
    z = tuples(objective.total_samples)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(model):
        probability = jax.lax.stop_gradient(jnp.exp(jnp.sum(model.posterior(z).log_prob(z), axis=0)))
        return -jnp.sum(probability * iwax.per_example_loss(model, objective, z, jax.random.key(0)))

    return gradient(make_model())


@functools.cache
def exact_gradient(bound, num_samples=2):
    """The gradient of the expected bound, by differentiating the enumeration itself."""
    z = tuples(num_samples)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(model):
        log_q = model.posterior(z).log_prob(z)
        return jnp.sum(jnp.exp(jnp.sum(log_q, axis=0)) * bound(model.log_joint(z, z) - log_q))

    return gradient(make_model())


def assert_close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), a, b)


@pytest.mark.parametrize(
    "objective",
    [
        VIMCO(num_samples=2),
        VIMCO(num_samples=2, baseline="arithmetic"),
        OVIS(num_samples=2),
        OVIS(num_samples=2, num_auxiliary=1),
        VIMCO(num_samples=3),
        OVIS(num_samples=3),
    ],
)
def test_score_functions_are_unbiased(objective):
    assert_close(expected_gradient(objective), exact_gradient(log_mean_exp, objective.num_samples))


class ForgetsTheWeight(VIMCO):
    """Negative control: the -w~ that comes from log q inside the weights is forgotten."""

    def all_coefficients(self, log_w):
        a, b, c = super().all_coefficients(log_w)
        return iwax.objectives.Coefficients(a, b, c - a)


@pytest.mark.parametrize("objective", [ForgetsTheWeight(num_samples=2), OVIS(num_samples=2, gamma=1.0)])
def test_biased_score_functions_are_noticed(objective):
    wrong, right = expected_gradient(objective), exact_gradient(log_mean_exp)
    assert_close(wrong.generative, right.generative)
    with pytest.raises(AssertionError):
        assert_close(wrong.inference, right.inference)


@functools.cache
def wake_phi():
    """E[sum_k w~_k grad log q(z_k | x)], K = 2."""
    z = tuples(2)

    @eqx.filter_jit
    def gradient(model):
        log_q = model.posterior(z).log_prob(z)
        weight = jnp.exp(jnp.sum(log_q, axis=0)) * jax.nn.softmax(model.log_joint(z, z) - log_q, axis=0)
        return eqx.filter_grad(lambda model: jnp.sum(weight * model.posterior(z).log_prob(z)))(model)

    return gradient(make_model()).inference


def test_wake_sleep_climbs_its_two_targets():
    grad = expected_gradient(RWS(num_samples=2))
    assert_close(grad.generative, exact_gradient(log_mean_exp).generative)
    assert_close(grad.inference, wake_phi())


@pytest.mark.parametrize("gamma", [0.25, 0.75, 1.0])
def test_between_its_two_forms_ovis_is_as_far_off_the_bound_as_its_target_says(gamma):
    """By gamma E[sum_k w~_k grad log q]: neither by nothing nor, but for gamma = 1, by all of it."""
    objective = OVIS(num_samples=2, gamma=gamma)
    wrong, right = expected_gradient(objective).inference, exact_gradient(log_mean_exp).inference

    def with_extra(factor):
        return jax.tree.map(lambda bound, extra: bound + factor * extra, right, wake_phi())

    factor = re.search(r"but its gradient plus ([0-9.]* ?)E\[sum_s u_s grad log q\(z_s \| x\)\]$", objective.target)[1]
    assert_close(wrong, with_extra(float(factor or 1)))
    for other in {0.0, 1.0} - {gamma}:
        with pytest.raises(AssertionError):
            assert_close(wrong, with_extra(other))


def test_one_interval_of_thermodynamic_integration_is_the_elbo():
    grad = expected_gradient(TVO(num_samples=2, num_intervals=1))
    assert_close(grad, exact_gradient(lambda log_w: jnp.mean(log_w, axis=0)))


@pytest.mark.parametrize("name", iwax.OBJECTIVES)
def test_what_needs_reparameterization_refuses_by_name(name):
    model, x = BernoulliLatent(4, 3, key=jax.random.key(0)), X[None]
    for gradient in iwax.OBJECTIVES[name].gradients:
        objective = iwax.OBJECTIVES[name](num_samples=4, gradient=gradient)
        if gradient == "score-function":
            assert jnp.isfinite(eqx.filter_jit(iwax.loss)(model, objective, x, jax.random.key(0)))
        elif name not in ("gdreg", "elbo-analytic"):
            with pytest.raises(ValueError, match=f"reparameterized samples for gradient='{gradient}'; got Bernoulli"):
                iwax.loss(model, objective, x, jax.random.key(0))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gdreg", "Expected a model whose prior has from_noise and to_noise for GDReG; got BernoulliLatent"),
        ("elbo-analytic", "Expected a posterior of one diagonal Gaussian layer for AnalyticELBO; got Bernoulli"),
    ],
)
def test_what_needs_gaussians_refuses_by_name(name, message):
    model = BernoulliLatent(4, 3, key=jax.random.key(0))
    with pytest.raises(ValueError, match=message):
        iwax.loss(model, iwax.OBJECTIVES[name](), X[None], jax.random.key(0))
