"""A weight on the KL part of log-weights: the gradient of the tempered bound, the bound itself as what is reported."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.objectives import OBJECTIVES, AnalyticELBO, tempering
from iwax.objectives import objective as rules
from iwax.weights import log_mean_exp
from tiny import Bare

K, WEIGHT = 3, 0.3
KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def model():
    return iwax.VAE(4, [2], [[3]], key=jax.random.key(0))


@pytest.fixture(scope="module")
def x():
    return jnp.asarray(np.arange(8).reshape(2, 4) % 3 == 0, float)


def gradient(loss, model, *arguments):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(loss))(
        model, *arguments))])  # fmt: skip


def written_out(formula):
    """Minus the mean of a bound of log p(x | z) + weight (log p(z) - log q(z | x)), from the model's densities."""

    def loss(model, x, weight):
        z, log_q = model.posterior(x).sample_and_log_prob(KEY, (K,))
        log_w = model.likelihood(z).log_prob(x) + weight * (model.prior.log_prob(z) - log_q)
        return -jnp.mean(formula(log_w))

    return loss


@pytest.mark.parametrize(
    ("objective", "formula"),
    [
        (iwax.IWAE(num_samples=K), log_mean_exp),
        pytest.param(iwax.ELBO(num_samples=K), lambda log_w: jnp.mean(log_w, axis=0), marks=pytest.mark.slow),
        pytest.param(
            iwax.CIWAE(num_samples=K, beta=0.25),
            lambda log_w: 0.25 * jnp.mean(log_w, axis=0) + 0.75 * log_mean_exp(log_w),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_gradient_is_that_of_the_tempered_bound(model, x, objective, formula):
    def loss(model, x, weight):
        return iwax.loss(model, objective, x, KEY, kl_weight=weight)

    ours, expected = (gradient(f, model, x, WEIGHT) for f in (loss, written_out(formula)))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    whole = gradient(written_out(formula), model, x, 1.0)
    assert np.abs(whole - expected).max() > 1e-2  # the comparison above could have failed
    np.testing.assert_allclose(gradient(loss, model, x, 1.0), whole, atol=1e-5)


def test_what_is_reported_is_the_bound_of_the_log_weights_as_they_are(model, x):
    objective = iwax.IWAE(num_samples=K)

    @eqx.filter_jit
    def values(model):
        return [iwax.loss(model, objective, x, KEY), iwax.loss(model, objective, x, KEY, kl_weight=WEIGHT)]

    @eqx.filter_jit
    def both(model):
        return [written_out(log_mean_exp)(model, x, weight) for weight in (1.0, WEIGHT)]

    plain, tempered = map(float, values(model))
    assert plain == pytest.approx(tempered, rel=1e-6)
    whole, other = map(float, both(model))
    assert plain == pytest.approx(whole, rel=1e-5)
    assert abs(plain - other) > 1e-2


def z_scores(model, x, name):
    """Of the mean difference of an estimator's gradient from the reparameterized one, by coordinate of the encoder."""

    def mean_loss(model, key, gradient):
        objective = iwax.IWAE(num_samples=K, gradient=gradient)
        return iwax.loss(model, objective, x, key, kl_weight=WEIGHT)

    @eqx.filter_jit
    def differences(model):
        def difference(key):
            one, other = (eqx.filter_grad(mean_loss)(model, key, g).inference for g in (name, "reparameterized"))
            return jnp.concatenate([jnp.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True)])

        return jax.lax.map(difference, jax.random.split(jax.random.key(1), 4000), batch_size=500)

    found = np.asarray(differences(model), np.float64)
    return found.mean(0) / (found.std(0) / np.sqrt(len(found)) + 1e-12)


@pytest.mark.slow
def test_the_doubly_reparameterized_gradient_has_the_mean_of_the_tempered_bound_s(model, x, monkeypatch):
    assert np.abs(z_scores(model, x, "doubly-reparameterized")).max() < 4.5
    monkeypatch.setattr(rules, "tempered_path", lambda coefficients, fraction, weight: (coefficients, fraction))
    assert np.abs(z_scores(model, x, "doubly-reparameterized")).max() > 8  # the coefficients of weight 1


@pytest.mark.slow
def test_the_analytic_divergence_is_weighted(model, x):
    def loss(model, x, weight):
        return iwax.loss(model, AnalyticELBO(num_samples=K), x, KEY, kl_weight=weight)

    def expected(model, x, weight):
        q = model.posterior(x).first
        z, _ = model.posterior(x).sample_and_log_prob(KEY, (K,))
        kl = 0.5 * jnp.sum(q.loc**2 + jnp.exp(2 * q.log_scale) - 1 - 2 * q.log_scale, axis=-1)
        return -jnp.mean(jnp.mean(model.likelihood(z).log_prob(x), axis=0) - weight * kl)

    np.testing.assert_allclose(gradient(loss, model, x, 2.0), gradient(expected, model, x, 2.0), atol=1e-5)


TAKEN = {"elbo", "iwae", "miwae", "ciwae", "piwae", "vr-iwae", "jvi", "elbo-analytic"}


def test_which_objectives_take_a_weight():
    assert {name for name, cls in OBJECTIVES.items() if cls().takes_kl_weight} == TAKEN


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (OBJECTIVES["vimco"](), "got VIMCO with gradient='score-function'"),
        (OBJECTIVES["gdreg"](), "got GDReG with gradient='doubly-reparameterized'"),
        (iwax.PIWAE(gradient="doubly-reparameterized"), "got PIWAE with gradient='doubly-reparameterized'"),
        (iwax.CIWAE(beta_rule="ascend"), "got CIWAE with gradient='reparameterized', which learns beta_parameter"),
    ],
)
def test_objectives_that_cannot_take_one_are_refused_by_name(model, x, objective, message):
    with pytest.raises(ValueError, match=rf"Expected an objective .* for kl_weight; {message}\. Use ELBO, IWAE or MI"):
        iwax.loss(model, objective, x, KEY, kl_weight=WEIGHT)


def test_a_model_without_a_prior_is_refused_by_name(x):
    with pytest.raises(
        ValueError, match=r"Expected a model whose `prior` has log_prob for kl_weight, .*; got Bare with"
    ):
        tempering.check_kl_weight(Bare(), iwax.IWAE())
    tempering.check_kl_weight(iwax.LinearGaussian.isotropic(2), iwax.IWAE())
