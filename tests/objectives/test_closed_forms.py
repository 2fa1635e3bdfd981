"""z-tests against the closed forms of the linear-Gaussian model at D = 20: estimators.md 8 and 9.1.

Each statistic averages N replicates and the 20 coordinates, which are alike; keys are fixed. |z| < 4.5 in each of some
40 comparisons keeps the chance of one false alarm below 3e-4; every kind has a wrong estimator that must be noticed.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.objectives import JVI, TVO, VRIWAE, AnalyticELBO, GDReG
from iwax.objectives.thermodynamic import thermodynamic_integrand
from iwax.weights import renyi_bound

pytestmark = pytest.mark.slow  # every estimator's core is proven in the other files

D, X, DELTA = 20, 0.6, 0.1  # q's mean lies DELTA below the posterior's in each coordinate
LIMIT = 4.5


def make_model(delta=DELTA):
    model = iwax.LinearGaussian.isotropic(D)
    return eqx.tree_at(lambda model: model.inference.offset, model, jnp.full(D, -delta))


def replicates(objective, num_replicates, seed=0):
    """Values (N,) and gradients in b and mu, each (N, D), by giving every replicate parameters of its own."""
    model, x = make_model(), jnp.full((num_replicates, D), X)

    @eqx.filter_jit
    def run(offset, prior_mean):
        def total(parameters):
            own = eqx.tree_at(lambda m: (m.inference.offset, m.generative.prior_mean), model, parameters)
            losses = iwax.per_example_loss(own, objective, x, jax.random.key(seed))
            return -jnp.sum(losses), -losses

        return jax.grad(total, has_aux=True)((offset, prior_mean))

    (b, mu), values = run(jnp.full_like(x, -DELTA), jnp.zeros_like(x))
    return np.asarray(values, float), np.asarray(b, float), np.asarray(mu, float)


def z_score(sample, expected, tolerance=0.0):
    """(mean - expected) in standard errors; `tolerance` is the standard error of the expected value itself."""
    sample = sample.reshape(len(sample), -1).mean(axis=1)
    return (sample.mean() - expected) / np.hypot(sample.std(ddof=1) / np.sqrt(len(sample)), tolerance)


def exact(function):
    return float(function(make_model(), jnp.full(D, X)))


LOG_Z = exact(lambda model, x: model.log_evidence(x))


@pytest.mark.parametrize(
    ("objective", "variance"),
    [
        (iwax.ELBO(), 8 / 3),
        (iwax.ELBO(gradient="sticking-the-landing"), 1 / 6),
        (iwax.ELBO(gradient="doubly-reparameterized"), 1 / 6),
        (AnalyticELBO(), 2 / 3),
    ],
)
def test_elbo_gradients_have_their_mean_and_variance(objective, variance):
    values, b, mu = replicates(objective, 20_000)
    assert abs(z_score(values, exact(lambda model, x: model.elbo(x)))) < LIMIT
    assert abs(z_score(b, 2 * DELTA)) < LIMIT
    assert abs(z_score(mu, X / 2 - DELTA, tolerance=1e-6)) < LIMIT
    assert np.var(b, axis=0).mean() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize(("gradient", "limit"), [("reparameterized", 0.02), ("doubly-reparameterized", 0.002)])
@pytest.mark.parametrize(("num_samples", "bound", "b_gradient"), [(4, None, 0.0636), (8, -0.0880, None)])
def test_iwae(gradient, limit, num_samples, bound, b_gradient):
    values, b, _ = replicates(iwax.IWAE(num_samples=num_samples, gradient=gradient), 20_000)
    if bound is not None:
        assert abs(z_score(values, LOG_Z + bound, tolerance=5e-4)) < LIMIT
    if b_gradient is not None:
        assert abs(z_score(b, b_gradient, tolerance=2e-4)) < LIMIT
        assert b.mean(axis=1).std() / np.sqrt(len(b)) < limit  # or else agreement would mean nothing


@pytest.mark.parametrize(
    "objective",
    [
        iwax.IWAE(num_samples=4, backward="resampled", gradient="doubly-reparameterized"),
        iwax.IWAE(num_samples=4, backward="resampled"),
        iwax.IWAE(num_samples=4, backward="resampled", num_resampled=3, gradient="doubly-reparameterized"),
        GDReG(num_samples=4),
        iwax.MIWAE(num_groups=2, num_samples=4, gradient="doubly-reparameterized"),
    ],
)
def test_others_with_the_gradient_of_iwae(objective):
    _, b, _ = replicates(objective, 20_000)
    assert abs(z_score(b, 0.0636, tolerance=2e-4)) < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective",
    [iwax.IWAE(num_samples=4, backward="resampled"), GDReG(num_samples=4), iwax.PIWAE(num_groups=2, num_samples=2)],
)
def test_theta_gradients_agree_with_iwae(objective):
    _, _, mu = replicates(objective, 20_000, seed=1)
    _, _, expected = replicates(iwax.IWAE(num_samples=4), 20_000, seed=2)
    error = expected.mean(axis=1).std() / np.sqrt(len(expected))
    assert abs(z_score(mu, expected.mean(), tolerance=error)) < LIMIT


class SumOfWeightedLogWeights(iwax.IWAE):
    """Negative control: the value that other libraries report."""

    def formula(self, log_w):
        return jnp.sum(jax.nn.softmax(log_w, axis=0) * log_w, axis=0)


def test_wrong_estimators_are_noticed():
    _, b, _ = replicates(iwax.IWAE(num_samples=4, gradient="sticking-the-landing"), 20_000)
    assert abs(z_score(b, 0.0636, tolerance=2e-4)) > 2 * LIMIT
    values, _, _ = replicates(SumOfWeightedLogWeights(num_samples=8), 20_000)
    assert abs(z_score(values, LOG_Z - 0.0880, tolerance=5e-4)) > 2 * LIMIT
    _, b, _ = replicates(iwax.MIWAE(num_groups=4, num_samples=2, gradient="doubly-reparameterized"), 20_000)
    assert abs(z_score(b, 0.0636, tolerance=2e-4)) > 2 * LIMIT  # M and K swapped
    _, _, mu = replicates(iwax.MIWAE(num_groups=2, num_samples=2), 20_000, seed=1)
    _, _, expected = replicates(iwax.IWAE(num_samples=4), 20_000, seed=2)
    assert abs(z_score(mu, expected.mean())) > LIMIT  # MIWAE's theta is not PIWAE's


@pytest.mark.parametrize(
    ("delta", "alpha", "gap"), [(0, 0.5, -0.206193), (0, -1.0, 0.322693), (0.1, 0.5, -0.291907), (0.1, -1.0, 0.442693)]
)
def test_the_exact_renyi_bound(delta, alpha, gap, x64):
    model = jax.tree.map(lambda leaf: leaf.astype(float), make_model(delta))
    x = jnp.full(D, X)
    assert float(model.log_weight_moment(x, 1 - alpha)) / (1 - alpha) == pytest.approx(gap, abs=1e-6)


def log_weights(num_samples, num_replicates, seed=3):
    model, x = make_model(), jnp.full((num_replicates, D), X)
    posterior = model.posterior(x)
    z, log_q = posterior.sample_and_log_prob(jax.random.key(seed), (num_samples,))
    return model.log_joint(x, z) - log_q


@pytest.mark.slow
def test_vr_iwae_grows_to_the_renyi_bound():
    """At K = 1 it is the ELBO for every alpha; its gap to the Renyi bound falls as 1/K."""
    values, _, _ = replicates(VRIWAE(num_samples=1, alpha=0.5), 20_000)
    assert abs(z_score(values, LOG_Z - 0.656513)) < LIMIT
    means = [renyi_bound(log_weights(k, 20_000), 0.5).mean() - LOG_Z for k in (1, 4, 16, 64)]
    assert means == sorted(means)
    assert means[-1] == pytest.approx(-0.291907, abs=0.01)


@pytest.mark.slow
def test_the_thermodynamic_sums():
    """Left and right Riemann sums on {0, 1/2, 1}, whose exact values are known, with many samples."""
    log_w = log_weights(4000, 500)
    objective = TVO(num_samples=4000, num_intervals=2, first_point=0.5)
    left = np.asarray(objective.bound(log_w), float)
    right = np.asarray(thermodynamic_integrand(log_w, 0.5) + thermodynamic_integrand(log_w, 1.0), float) / 2
    assert abs(z_score(left, LOG_Z - 0.312295, tolerance=2e-4)) < LIMIT
    assert abs(z_score(right, LOG_Z + 0.279372, tolerance=1e-3)) < LIMIT


def integrand(b, t, s2=2 / 3, v=0.5, m=X / 2):
    """E_pi_t[log w] - log Z of one coordinate, q = N(m + b, s2) and posterior N(m, v): both are known."""
    delta = -b
    r = (1 - t) / s2 + t / v
    posterior_term = (1 / r + delta**2 * (1 - t / (v * r)) ** 2) / (2 * v)
    return -0.5 * jnp.log(v / s2) - posterior_term + (1 / r + delta**2 * (t / (v * r)) ** 2) / (2 * s2)


@pytest.mark.slow
def test_the_thermodynamic_gradient():
    """With many samples, that of the exact left sum in b: all its terms carry a score function."""
    _, b, _ = replicates(TVO(num_samples=200, num_intervals=2, first_point=0.5), 4000)
    expected = jax.grad(lambda b: (integrand(b, 0.0) + integrand(b, 0.5)) / 2)(-DELTA)
    assert abs(z_score(b, float(expected), tolerance=1e-3)) < LIMIT
    only_first = float(jax.grad(integrand)(-DELTA, 0.0))
    assert abs(z_score(b, only_first, tolerance=1e-3)) > LIMIT


def test_the_jackknife_on_two_point_weights(x64):
    """w = 1 with chance 0.2, else 1e-3; K = 8: exact biases, by enumeration. It overestimates."""
    ones = np.arange(9)
    log_w = jnp.where(jnp.arange(8)[:, None] < ones, 0.0, jnp.log(1e-3))
    chance = np.array([float(np.prod([(8 - i) / (i + 1) for i in range(k)])) * 0.2**k * 0.8 ** (8 - k) for k in ones])
    log_evidence = np.log(0.2 + 0.8e-3)
    biases = [float(chance @ np.asarray(JVI(num_samples=8, order=m).bound(log_w))) - log_evidence for m in (0, 1, 2)]
    assert biases == pytest.approx([-0.8352, 0.4157, 0.6215], abs=1e-4)
    np.testing.assert_allclose(JVI(num_samples=8, order=0).bound(log_w), iwax.IWAE(num_samples=8).bound(log_w))
