"""Signal-to-noise of gradients, against closed forms of the gradient's distribution."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import binom, norm

import iwax
from iwax.diagnostics.moments import Moments
from iwax.models.distributions import DiagonalNormal

LIMIT = 4.5  # of |z|, the greatest of at most a thousand: family-wise level below 1 in 100
SIZE = 1000


class Known(eqx.Module):
    """log p(x, z) = theta . f(z) + const: with one sample the gradient in theta is f(z), of known distribution."""

    generative: jax.Array
    inference: jax.Array
    gradient_of: object = eqx.field(static=True)

    def posterior(self, x):
        loc = jnp.broadcast_to(self.inference, (*x.shape[:-1], self.inference.size))
        return DiagonalNormal(loc, jnp.zeros_like(loc))

    def log_joint(self, x, z):
        return jnp.sum(self.generative * self.gradient_of(z), axis=-1)


def known_snr(gradient_of, size=SIZE, **options):
    model = Known(jnp.zeros(size), jnp.zeros(size), gradient_of)
    return iwax.gradient_snr(model, iwax.ELBO(), jnp.zeros((1, 1)), jax.random.key(0), **options).generative


def normal(snr):
    return lambda z: snr + z


def shifted_exponential(snr):
    """Of standard deviation 1 and mean `snr`, skewness 2 and kurtosis 9."""
    return lambda z: snr - 1 - jax.scipy.stats.norm.logsf(z)


def coverage_z(low, high, truth, level=0.95):
    """How many standard errors too few (negative) or too many of the intervals hold the truth."""
    covered = np.mean((low <= truth) & (truth <= high))
    return (covered - level) / np.sqrt(level * (1 - level) / len(low))


@pytest.mark.slow
@pytest.mark.parametrize(("distribution", "snr"), [(normal, 0.3), (normal, 2.0), (shifted_exponential, -1.0)])
def test_the_interval_covers_the_truth_as_often_as_it_says(distribution, snr):
    """1,000 independent parameters, of which it should cover 95%.

    Negative controls: the formula for normal gradients where they are skewed, and the interval of 80%.
    """
    found = known_snr(distribution(snr), num_replicates=2000)
    low, high = found.interval(0.95)
    assert abs(coverage_z(low, high, abs(snr))) < LIMIT
    width = norm.ppf(0.975) * np.sqrt((1 + found.snr**2 / 2) / 2000)
    as_if_normal = coverage_z(found.snr - width, found.snr + width, abs(snr))
    assert (abs(as_if_normal) > 2 * LIMIT) == (distribution is shifted_exponential)
    narrow = found.interval(0.8)
    assert abs(coverage_z(*narrow, abs(snr))) > 2 * LIMIT  # negative control


def test_without_signal_the_interval_begins_at_zero_at_least_as_often_as_it_says():
    found = known_snr(normal(0.0), num_replicates=100)
    low, _ = found.interval(0.95)
    assert binom.cdf(np.sum(low == 0), SIZE, 0.95) > 1e-4
    assert binom.cdf(np.sum(found.snr - found.snr_error <= 0), SIZE, 0.95) < 1e-4  # negative control: one error


def test_the_error_of_the_mean_snr_is_an_upper_limit():
    """The parameters of this model are independent, so that it is far above the error there is."""
    found = known_snr(normal(1.0), num_replicates=100).summary()
    assert abs(found["snr"] - 1) < found["snr_error"]
    assert found["snr_error"] == pytest.approx(np.sqrt(1.5 / 100), rel=0.05)


@pytest.mark.parametrize("signal", [0.5, 3.0])
def test_the_directional_ratio_is_that_of_a_normal_distribution(signal):
    """g = m + noise in D dimensions: E|g . u| is a folded normal's mean, E[1 / |g_across|] an inverse chi's.

    The given direction is exact; the other is the mean of half the replicates, whose own noise turns it.
    """
    size, length = 6, signal * 6**0.5
    folded = np.sqrt(2 / np.pi) * np.exp(-(length**2) / 2) + length * (1 - 2 * norm.cdf(-length))
    nu = size - 1
    exact = folded * np.exp(gammaln((nu - 1) / 2) - gammaln(nu / 2)) / np.sqrt(2)
    model = Known(jnp.zeros(size), jnp.zeros(size), normal(signal))
    x, objective = jnp.zeros((1, 1)), iwax.ELBO()

    def ratio(direction):
        options = {"num_replicates": 4000, "direction": (direction, np.ones(size))}
        return iwax.gradient_snr(model, objective, x, jax.random.key(1), **options).generative

    found = ratio(np.ones(size))
    assert abs(found.dsnr_along.value - exact) < LIMIT * found.dsnr_along.error
    assert abs(found.dsnr.value - exact) < LIMIT * found.dsnr.error + 1e-3
    across = ratio(np.array([1.0, -1, 1, -1, 1, -1])).dsnr_along  # negative control
    assert abs(across.value - exact) > 2 * LIMIT * across.error


# The linear-Gaussian toy at one sample: with delta = E[z | x] - (A x + b), and averaged over N examples,
# b: mean 2 delta and variance 8/3 / N (total), 2/3 / N (analytic divergence), 1/6 / N (sticking the landing);
# prior mean: mean A x + b - mu and variance 2/3 / N.

ONE_SAMPLE = {
    "total": (iwax.ELBO(), 8 / 3),
    "analytic": (iwax.objectives.AnalyticELBO(), 2 / 3),
    "sticking": (iwax.ELBO(gradient="sticking-the-landing"), 1 / 6),
    "iwae": (iwax.IWAE(num_samples=1), 8 / 3),
    "dreg": (iwax.IWAE(num_samples=1, gradient="doubly-reparameterized"), 1 / 6),
}


def shifted_toy(size=3, num_examples=5):
    """A model whose q is off by another amount at each example, and those examples, far apart."""
    model = iwax.LinearGaussian.isotropic(size)
    shift = jnp.array([0.3, -0.2, 0.1])[:size]
    where = lambda m: (m.inference.offset, m.inference.weight)  # noqa: E731
    model = eqx.tree_at(where, model, (shift, 0.9 * model.inference.weight))
    return model, jnp.arange(1.0, num_examples + 1)[:, None] ** 2 * jnp.ones(size)


def z_scores(found, mean, variance):
    """Of the mean and of the variance of each parameter's gradient, and of its SNR."""
    of_variance = np.sqrt((found.kurtosis - 1) / found.num_replicates) * variance
    z = [(found.mean - mean) / found.mean_error, (found.sd**2 - variance) / of_variance]
    return np.concatenate([*z, (found.snr - np.abs(mean) / np.sqrt(variance)) / found.snr_error])


def only(group, name):
    """The group's result for one of its leaves."""
    trees = ("mean", "mean_error", "sd", "skewness", "kurtosis")
    return dataclasses.replace(group, **{tree: getattr(getattr(group, tree), name) for tree in trees})


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in ("total", "dreg") else [pytest.mark.slow]) for n in ONE_SAMPLE]
)
def test_one_sample_gradients_have_their_closed_form(name):
    """Five examples in chunks of two, two and one: their mean is weighted right.

    Negative controls: the variances of the other estimators, and the mean of the chunks' means.
    """
    objective, variance = ONE_SAMPLE[name]
    model, x = shifted_toy()
    found = iwax.gradient_snr(model, objective, x, jax.random.key(2), num_replicates=1000, rows=2)
    loc = model.posterior(x).loc
    delta = model.exact_posterior(x)[0] - loc
    b, mu = only(found.inference, "offset"), only(found.generative, "prior_mean")
    assert np.abs(z_scores(b, 2 * delta.mean(axis=0), variance / 5)).max() < LIMIT
    if name == "analytic":  # no noise at all
        np.testing.assert_allclose(mu.mean, loc.mean(axis=0), rtol=1e-6)
        np.testing.assert_array_equal(mu.sd, 0)
    else:
        assert np.abs(z_scores(mu, loc.mean(axis=0), 2 / 3 / 5)).max() < LIMIT
    for other in {8 / 3, 2 / 3, 1 / 6} - {variance}:
        assert np.abs(z_scores(b, 2 * delta.mean(axis=0), other / 5)).max() > 2 * LIMIT
    of_chunks = (delta[:2].mean(axis=0) + delta[2:4].mean(axis=0) + delta[4]) / 3
    assert np.abs(z_scores(b, 2 * of_chunks, variance / 5)).max() > 2 * LIMIT


@pytest.mark.slow
def test_many_samples_have_their_limit():
    """K = 256, one example, D = 2, with C = E[w^2] / Z^2: theta has mean (x - mu) / 2 and K Var -> C (0.4 + 0.36 d^2),
    the biased sticking-the-landing gradient of b tends to (3/2) delta instead of the bound's, which vanishes."""
    model, x = shifted_toy(2, 1)
    k, delta = 256, (model.exact_posterior(x)[0] - model.posterior(x).loc)[0]
    c = np.exp(model.log_weight_moment(x, 2.0))[0]
    options = {"num_replicates": 1000, "rows": 256}
    sticking, doubly = (
        iwax.gradient_snr(model, iwax.IWAE(num_samples=k, gradient=gradient), x, jax.random.key(3), **options)
        for gradient in ("sticking-the-landing", "doubly-reparameterized")
    )
    mu = only(sticking.generative, "prior_mean")
    assert np.abs(mu.mean - x[0] / 2).max() < LIMIT * mu.mean_error.max() + 1 / k
    np.testing.assert_allclose(k * mu.sd**2, c * (0.4 + 0.36 * delta**2), rtol=0.15)
    np.testing.assert_allclose(sticking.inference.mean.offset, 1.5 * delta, rtol=0.03)
    expected = 1.2 * c * delta / k  # of the bound: (6/5) C delta / K at leading order
    np.testing.assert_allclose(doubly.inference.mean.offset, expected, rtol=0.1)
    assert np.abs(sticking.inference.mean.offset).min() > 10 * np.abs(expected).max()  # negative control


def test_moments_are_those_of_the_whole_sample():
    """Batches of unequal sizes, against all at once; negative control: without the terms between batches."""
    values = np.random.default_rng(0).gamma(2.0, size=(50, 3)) + np.arange(50)[:, None]
    moments = Moments(3)
    for batch in np.split(values, [1, 4, 30]):
        moments.add(batch)
    deviations = values - values.mean(axis=0)
    sd = values.std(axis=0)
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.sd, values.std(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(moments.skewness, (deviations**3).mean(axis=0) / sd**3, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(moments.kurtosis, (deviations**4).mean(axis=0) / sd**4, rtol=1e-12)
    within = np.mean([batch.var(axis=0) for batch in np.split(values, [1, 4, 30])], axis=0)
    assert (np.abs(moments.sd / np.sqrt(within) - 1) > 0.1).all()


def test_the_mean_of_another_estimator_lends_its_signal():
    """The mean and its error are the other's, the noise is its own, and as the streams are independent no skewness."""
    model, x = shifted_toy(2, 1)
    options = {"num_replicates": 200, "rows": 64}
    plain, doubly = (
        iwax.gradient_snr(model, iwax.IWAE(num_samples=16, gradient=gradient), x, jax.random.key(seed), **options)
        for seed, gradient in enumerate(("reparameterized", "doubly-reparameterized"))
    )
    lent = plain.with_mean_of(doubly)
    b, of_plain, of_doubly = (only(found.inference, "offset") for found in (lent, plain, doubly))
    np.testing.assert_allclose(b.snr, np.abs(of_doubly.mean) / of_plain.sd, rtol=1e-12)
    of_sd = b.snr**2 * (of_plain.kurtosis - 1) / 4 / 200
    np.testing.assert_allclose(b.snr_error**2, (of_doubly.mean_error / of_plain.sd) ** 2 + of_sd, rtol=1e-12)
    assert (b.snr_error < of_plain.snr_error).all()
    assert lent.summary()["num_replicates"] == 200


def test_the_result_has_the_form_of_the_models_groups():
    model = iwax.ARCHITECTURES["one-layer"](key=jax.random.key(0), data_size=4)
    x = jnp.array([[0.0, 1, 0, 0], [0, 1, 1, 0]])  # pixels 0 and 3 are always 0, so are the gradients from them
    batches = []
    found = iwax.gradient_snr(
        model, iwax.IWAE(num_samples=2), x, jax.random.key(1), num_replicates=5,
        on_batch=lambda generative, inference: batches.append((generative.shape, inference.shape)),
    )  # fmt: skip
    for name in ("generative", "inference"):
        parameters = eqx.filter(getattr(model, name), eqx.is_inexact_array)
        for tree in (getattr(found, name).mean, getattr(found, name).snr, getattr(found, name).interval()[1]):
            assert jax.tree.structure(tree) == jax.tree.structure(parameters)
            assert [leaf.shape for leaf in jax.tree.leaves(tree)] == [p.shape for p in jax.tree.leaves(parameters)]
            assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {np.dtype("float64")}
    assert sum(shapes[0][0] for shapes in batches) == 5
    assert found.inference.summary()["without_gradient"] == 2 * 200
    assert found.generative.summary()["without_gradient"] == 0
    assert found.num_examples == 2


def test_what_it_refuses():
    model, x, key = iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2)), jax.random.key(0)
    with pytest.raises(ValueError, match=r"Expected num_replicates to be an integer of at least 4; got 3"):
        iwax.gradient_snr(model, iwax.ELBO(), x, key, num_replicates=3)
    with pytest.raises(ValueError, match=r"Expected x to hold one or more examples along its first axis"):
        iwax.gradient_snr(model, iwax.ELBO(), x[:0], key)
    with pytest.raises(ValueError, match=r"Expected a model with parameter groups .* got Linear without `generative`"):
        iwax.gradient_snr(eqx.nn.Linear(2, 2, key=key), iwax.ELBO(), x, key)
    found = iwax.gradient_snr(model, iwax.ELBO(), x, key, num_replicates=4)
    with pytest.raises(ValueError, match=r"Expected level to be between 0 and 1; got 95\.0"):
        found.inference.interval(95.0)
    with pytest.raises(
        ValueError, match=r"Expected direction to have as many numbers as its group has parameters, 10; got 2"
    ):
        iwax.gradient_snr(model, iwax.ELBO(), x, key, direction=(np.ones(2), np.ones(2)))


def test_the_direction_is_that_of_the_first_half_to_the_replicate(monkeypatch):
    """Whatever the batches: of 66 replicates in batches of 32 it was that of 64, and measured on two."""
    gradients = np.random.default_rng(0).normal([2.0, 1.0, 0.0], size=(66, 3))
    batches = [{name: gradients[i : i + 32] for name in ("generative", "inference")} for i in (0, 32, 64)]
    monkeypatch.setattr("iwax.diagnostics.snr.stream_gradients", lambda *arguments: iter(batches))
    model = iwax.LinearGaussian.isotropic(1)
    sizes = {"generative": 3, "inference": 3}
    monkeypatch.setattr("iwax.diagnostics.snr.group_size", lambda group: 3)
    monkeypatch.setattr("iwax.diagnostics.snr.parameter_group", lambda model, name: np.zeros(sizes[name]))
    found = iwax.gradient_snr(model, iwax.IWAE(num_samples=2), jnp.ones((1, 1)), jax.random.key(0), num_replicates=66)
    direction = gradients[:33].mean(axis=0)
    direction /= np.linalg.norm(direction)
    along = gradients[33:] @ direction
    across = np.linalg.norm(gradients[33:] - along[:, None] * direction, axis=1)
    assert found.inference.dsnr.value == pytest.approx(np.mean(np.abs(along) / across), rel=1e-6)
    assert found.inference.mean == pytest.approx(gradients.mean(axis=0))
