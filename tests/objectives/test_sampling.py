"""Antithetic and scrambled Sobol draws: right where they are valid, refused by name where they are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import iwax
from iwax.objectives import GDReG
from iwax.objectives.sampling import draw_dependent

pytestmark = pytest.mark.slow  # every estimator's core is proven in the other files

X = jnp.ones((300, 3))
MODEL = iwax.LinearGaussian.isotropic(3)
SAMPLINGS = ("antithetic", "sobol")


def noise(sampling, num_samples, seed=0):
    posterior = MODEL.posterior(X)
    z, log_q = draw_dependent(posterior, jax.random.key(seed), num_samples, sampling)
    np.testing.assert_allclose(log_q, posterior.log_prob(z), rtol=1e-5)
    return np.asarray(posterior.to_noise(z))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_draw_alone_is_from_the_posterior(sampling):
    for draw in noise(sampling, 4):
        assert scipy.stats.kstest(draw.ravel(), "norm").pvalue > 1e-3


def test_antithetic_pairs_are_opposite():
    e = noise("antithetic", 6)
    np.testing.assert_allclose(e[0::2], -e[1::2], atol=1e-6)
    assert abs(np.corrcoef(e[0].ravel(), e[2].ravel())[0, 1]) < 0.2


def test_sobol_points_fill_each_axis_evenly():
    """One of 2^n points in each of 2^n equal cells, in every dimension, each example scrambled afresh."""
    cells = np.floor(scipy.stats.norm.cdf(noise("sobol", 16)) * 16)
    np.testing.assert_array_equal(np.sort(cells, axis=0), np.broadcast_to(np.arange(16)[:, None, None], cells.shape))
    assert len(np.unique(cells[:, :, 0], axis=1).T) > 100  # of 300 examples
    assert not np.array_equal(cells, np.floor(scipy.stats.norm.cdf(noise("sobol", 16, seed=1)) * 16))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_weights_keep_their_mean(sampling):
    """E[mean w] = p(x) for any joint law of the draws, so the bound stays one. Sobol points reduce its noise."""

    def estimates(sampling):
        losses = iwax.per_example_loss(MODEL, iwax.IWAE(num_samples=8, sampling=sampling), X, jax.random.key(5))
        return np.exp(-np.asarray(losses, float) - float(MODEL.log_evidence(X[0])))

    ratio = estimates(sampling)
    assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / np.sqrt(len(ratio))
    if sampling == "sobol":
        assert ratio.std() < 0.7 * estimates("independent").std()


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(
    "make",
    [
        lambda **o: iwax.ELBO(num_samples=8, gradient="sticking-the-landing", **o),
        lambda **o: iwax.CIWAE(num_samples=8, **o),
        lambda **o: iwax.PIWAE(num_groups=8, num_samples=1, gradient="doubly-reparameterized", **o),
    ],
)
def test_several_layers(sampling, make):
    model = iwax.VAE(5, [3, 2], [[4], [4]], key=jax.random.key(0))
    assert jnp.isfinite(iwax.loss(model, make(sampling=sampling), jnp.ones((2, 5)), jax.random.key(1)))


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("name", iwax.OBJECTIVES)
def test_what_needs_independent_samples_refuses_by_name(name, sampling):
    objective = iwax.OBJECTIVES[name]
    for gradient in objective.gradients:
        if gradient == "reparameterized" and name != "jvi":
            assert not objective(num_samples=8, gradient=gradient, sampling=sampling).needs_independence
        elif name not in ("elbo", "elbo-analytic"):
            with pytest.raises(ValueError, match=f"sampling='independent' for {objective.__name__} with gradient="):
                objective(num_samples=8, gradient=gradient, sampling=sampling)
    with pytest.raises(ValueError, match="derived for independent samples and biased for others; got 'sobol'"):
        GDReG(num_samples=8, sampling="sobol")
    with pytest.raises(ValueError, match="sampling='independent' for CIWAE"):
        iwax.CIWAE(num_samples=7, beta_rule="unconstrained", sampling="sobol")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"num_samples": 4, "sampling": "halton"},
            "Expected sampling to be one of independent, antithetic, sobol; got",
        ),
        ({"num_samples": 5, "sampling": "antithetic"}, "Expected an even number of samples for antithetic.*; got 5"),
        ({"num_samples": 6, "sampling": "sobol"}, "Expected a power of two of samples for Sobol sampling; got 6"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        iwax.IWAE(**options)


def test_a_posterior_without_noise_is_refused():
    model = iwax.batched(MODEL)
    with pytest.raises(ValueError, match="Expected a posterior with a from_noise method for sampling='sobol'; got"):
        iwax.loss(model, iwax.IWAE(num_samples=4, sampling="sobol"), X, jax.random.key(0))
