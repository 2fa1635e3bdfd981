"""Active units, and the likelihood without the others, against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.evaluation.evaluate import evaluate_batches
from iwax.evaluation.pruning import prune
from iwax.evaluation.units import single_sample_unit_variances, unit_divergences, unit_variances
from iwax.models.distributions import DiagonalNormal, MarkovChain
from iwax.models.model import draw
from tiny import Bare

KEY = jax.random.key(0)


def test_unit_variances_of_the_linear_gaussian_model():
    """Var_x(E_q[z | x]) = A Cov(x) A^T = 1/2 for the toy; a single-sample estimate would add q's own 2/3."""
    model = iwax.LinearGaussian.isotropic(4)
    (variances,) = unit_variances(model, model.sample(jax.random.key(1), 4000), KEY)
    np.testing.assert_allclose(variances, 0.5, atol=0.06)
    assert abs(variances.mean() + 2 / 3 - 0.5) > 0.06


class Far(eqx.Module):
    """A posterior of spread 0.1, its means at `location` and, with x, at twice that."""

    location: float

    def posterior(self, x):
        loc = jnp.stack([jnp.full(len(x), self.location), x[:, 0] + 2 * self.location], axis=1)
        return DiagonalNormal(loc, jnp.full((len(x), 2), jnp.log(0.1)))

    def log_joint(self, x, z):
        return jnp.zeros(z.shape[:-1])


@pytest.mark.parametrize("location", [0.0, 300.0, 3000.0])
def test_a_mean_that_is_far_away_hides_no_spread(location):
    """In float32 a sum of squares about zero loses it: variances of -13 and +12 have been seen."""
    x = jax.random.normal(KEY, (500, 1))
    (variances,) = unit_variances(Far(location), x, KEY)
    assert variances == pytest.approx([0.0, float(jnp.var(x, ddof=1))], abs=5e-3)


class Linear(eqx.Module):
    """z -> N(scale z W + offset, exp(log_scale)^2)."""

    weight: jax.Array
    log_scale: jax.Array

    def __call__(self, z):
        loc = z @ self.weight
        return DiagonalNormal(loc, jnp.broadcast_to(self.log_scale, loc.shape))


class TwoLayers(eqx.Module):
    """z2 ~ N(0, I), z1 ~ N(z2 B, 0.5), x ~ N(z1 W, 1); q(z1|x) q(z2|z1) linear, too. log p(x) is a Gaussian's."""

    up: Linear
    up_again: Linear
    down: Linear
    out: Linear

    @property
    def prior(self):
        return MarkovChain(DiagonalNormal(jnp.zeros(2), jnp.zeros(2)), (self.down,), top_down=True)

    def likelihood(self, z):
        return self.out(z[0])

    def posterior(self, x):
        return MarkovChain(self.up(x), (self.up_again,))

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x)

    def log_evidence(self, x):
        noise = lambda linear: np.diag(np.exp(2 * np.asarray(linear.log_scale, np.float64)))  # noqa: E731
        b, w = np.asarray(self.down.weight, np.float64), np.asarray(self.out.weight, np.float64)
        covariance = w.T @ (b.T @ b + noise(self.down)) @ w + noise(self.out)
        squared = np.sum(x * np.linalg.solve(covariance, x.T).T, axis=1)
        return -0.5 * (squared + np.linalg.slogdet(2 * np.pi * covariance)[1])


def two_layers():
    return TwoLayers(
        up=Linear(jnp.array([[0.5, 0.2, 0.1], [0.1, -0.4, 0.2]]), jnp.log(jnp.array([0.7, 0.8, 0.7]))),
        up_again=Linear(jnp.array([[0.4, 0.1], [-0.2, 0.3], [0.5, -0.3]]), jnp.log(jnp.array([0.9, 0.9]))),
        down=Linear(jnp.array([[0.6, -0.2, 0.3], [0.1, 0.5, -0.2]]), jnp.log(jnp.full(3, 0.7))),
        out=Linear(jnp.array([[0.9, 0.1], [-0.2, 0.8], [0.3, 0.2]]), jnp.zeros(2)),
    )


def data(num_examples=30):
    return np.asarray(jax.random.normal(jax.random.key(5), (num_examples, 2))) * 1.5


def test_upper_layers_with_and_without_the_noise_of_a_single_sample():
    """E_q[z2 | x] = x U V: its variance; and with one draw of z1, the variance of (x U + noise) V."""
    model, x = two_layers(), data(4000)
    u, v = np.asarray(model.up.weight), np.asarray(model.up_again.weight)
    covariance = np.cov(x.T)
    first = np.diag(u.T @ covariance @ u)
    second = np.diag(v.T @ u.T @ covariance @ u @ v)
    noise = np.diag(v.T @ np.diag(np.exp(2 * np.asarray(model.up.log_scale))) @ v)
    corrected, single = unit_variances(model, x, KEY), single_sample_unit_variances(model, x, KEY)
    np.testing.assert_allclose(corrected[0], first, rtol=0.03)
    np.testing.assert_allclose(single[0], first, rtol=1e-4)
    np.testing.assert_allclose(corrected[1], second, rtol=0.1)
    np.testing.assert_allclose(single[1], second + noise, rtol=0.1)
    assert (noise > second).all()  # so that the two are told apart


def test_divergences_of_both_layers():
    """Normal densities whose means are linear: E[log q - log p] in closed form, for each unit of each layer."""
    model, x = two_layers(), data(4000)
    u, v, b = (np.asarray(linear.weight) for linear in (model.up, model.up_again, model.down))
    q1, q2, p1 = (np.exp(2 * np.asarray(linear.log_scale)) for linear in (model.up, model.up_again, model.down))
    z1 = u.T @ (x.T @ x / len(x)) @ u + np.diag(q1)  # E[z1 z1^T]
    offset = np.eye(3) - v @ b  # z1 less its mean given z2 = z1 V + noise
    squared = np.diag(offset.T @ z1 @ offset) + np.diag(b.T @ np.diag(q2) @ b)
    first = (np.log(p1 / q1) - 1 + squared / p1) / 2
    second = (np.log(1 / q2) - 1 + np.diag(v.T @ z1 @ v) + q2) / 2
    divergences = unit_divergences(model, x, KEY)
    np.testing.assert_allclose(divergences[0], first, atol=0.01)
    np.testing.assert_allclose(divergences[1], second, atol=0.01)


def test_a_unit_that_follows_the_layer_above_varies_and_holds_nothing():
    """z1 = (x, 2 x_1) and z2 = x, nearly; p(z1 | z2) follows: A_u = 4 Var(x_1) of the last, and no information."""
    down = Linear(jnp.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), jnp.log(jnp.array([0.01, 0.01, 0.3])))
    up_again = Linear(jnp.eye(3)[:, :2], jnp.log(jnp.full(2, 0.001)))
    model = TwoLayers(up=down, up_again=up_again, down=down, out=Linear(jnp.ones((3, 2)), jnp.zeros(2)))
    x = data(2000)
    (first, _), (divergences, _) = unit_variances(model, x, KEY), unit_divergences(model, x, KEY)
    np.testing.assert_allclose(first[2], 4 * x[:, 0].var(), rtol=0.01)
    np.testing.assert_allclose(divergences[2], (0.02 / 0.3) ** 2 / 2, atol=0.005)


@pytest.mark.slow
def test_a_dead_unit_is_replaced_without_a_trace():
    """x does not depend on unit 2: drawn from the prior, the ELBO is that of a q which has the prior there."""
    w, zeros = jnp.array([[1.0, 0.0], [0.5, 0.0]]), jnp.zeros(2)

    def model(a, log_scale):
        return iwax.LinearGaussian(zeros, w, zeros, zeros, jnp.array([[0.4, 0.1], a]), zeros, log_scale)

    given = model([0.05, -0.02], jnp.log(jnp.array([0.7, 0.8])))  # what training left of the dead unit
    oracle = model([0.0, 0.0], jnp.log(jnp.array([0.7, 1.0])))
    x = given.sample(KEY, 40)
    pruned = evaluated(prune(given, (np.array([True, False]),)), x)
    z = (pruned["elbo"] - np.asarray(oracle.elbo(x))) / pruned["elbo_error"]
    assert abs(z.mean()) < 4 / np.sqrt(40)
    assert abs(((pruned["elbo"] - np.asarray(given.elbo(x))) / pruned["elbo_error"]).mean()) > 4 / np.sqrt(40)
    gap = pruned["log_likelihood"] - iwax.log_likelihood(given, x, KEY, num_samples=6400)
    assert np.abs(gap).max() < 0.05  # the likelihood barely moves


def evaluated(model, x):
    batches = [batch for _, batch in evaluate_batches(model, x, KEY, num_samples=6400)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


SOME = [([1, 1, 0], [0, 1]), ([0, 0, 0], [0, 0])]
OTHERS = [pytest.param(units, marks=pytest.mark.slow) for units in (([1, 0, 1], [1, 1]), ([1, 1, 1], [1, 1]))]


@pytest.mark.slow
@pytest.mark.parametrize("active", SOME + OTHERS)
def test_pruned_weights_have_the_evidence_as_their_mean(active):
    """For any choice of units of two layers: z-scores of 30 examples against log p(x)."""
    model, x = two_layers(), data()
    pruned = evaluated(prune(model, tuple(np.array(layer, bool) for layer in active)), x)
    z = (pruned["log_likelihood"] + pruned["mc_error"] ** 2 / 2 - model.log_evidence(x)) / pruned["mc_error"]
    assert abs(z.mean()) < 4 / np.sqrt(30)
    assert 0.5 < z.std() < 2


class Wrong(eqx.Module):
    """Replaces z1's last unit, but keeps q's density of all units: the mistake that `prune` avoids."""

    model: TwoLayers

    def posterior(self, x):
        return WrongPosterior(self.model.posterior(x), prune(self.model, NOT_LAST).posterior(x))

    def log_joint(self, x, z):
        return self.model.log_joint(x, z)


class WrongPosterior(eqx.Module):
    full: MarkovChain
    pruned: eqx.Module

    def sample_and_log_prob(self, key, sample_shape):
        z, _ = self.pruned.sample_and_log_prob(key, sample_shape)
        return z, self.full.log_prob(z)

    def sample(self, key, sample_shape):
        return self.pruned.sample(key, sample_shape)

    def log_prob(self, z):
        return self.full.log_prob(z)


NOT_LAST = (np.array([True, True, False]), np.array([True, True]))


def test_weights_with_the_density_of_another_proposal_fail():
    """Negative control of the test above."""
    model, x = two_layers(), data()
    wrong = evaluated(Wrong(model), x)
    z = (wrong["log_likelihood"] + wrong["mc_error"] ** 2 / 2 - model.log_evidence(x)) / wrong["mc_error"]
    assert abs(z.mean()) > 4 / np.sqrt(30) or z.std() > 2


@pytest.mark.slow
def test_a_pruned_model_keeps_the_draws_of_its_active_units():
    model = two_layers()
    whole, _ = draw(model.posterior(jnp.asarray(data(3))), KEY, 5)
    pruned, _ = draw(prune(model, NOT_LAST).posterior(jnp.asarray(data(3))), KEY, 5)
    np.testing.assert_array_equal(pruned[0][..., :2], whole[0][..., :2])
    np.testing.assert_array_equal(pruned[1], whole[1])
    assert (pruned[0][..., 2] != whole[0][..., 2]).all()


class Opaque(eqx.Module):
    """A posterior of which nothing is known but draws."""

    def sample(self, key, sample_shape=()):
        return jax.random.normal(key, (*sample_shape, 1, 2))

    def log_prob(self, z):
        raise NotImplementedError


class OpaqueModel(eqx.Module):
    prior: DiagonalNormal

    def posterior(self, x):
        return Opaque()

    def log_joint(self, x, z):
        raise NotImplementedError


def test_what_cannot_be_pruned_is_named():
    with pytest.raises(TypeError, match="Expected the model to have `prior`"):
        prune(Bare(), (np.ones(2, bool),))
    model = OpaqueModel(DiagonalNormal(jnp.zeros(2), jnp.zeros(2)))
    with pytest.raises(TypeError, match="whose units can be told apart; got Opaque"):
        unit_divergences(model, np.zeros((3, 2)), KEY)
    with pytest.raises(TypeError, match="whose units can be told apart; got Opaque"):
        draw(prune(model, (np.array([True, False]),)).posterior(None), KEY, 4)
    with pytest.raises(TypeError, match="Expected the posterior to have a `mean` for each layer; got Opaque"):
        single_sample_unit_variances(model, np.zeros((3, 2)), KEY)
    with pytest.raises(ValueError, match="Expected active units of 2 stochastic layers; got 1"):
        draw(prune(two_layers(), NOT_LAST[:1]).posterior(jnp.zeros((1, 2))), KEY, 4)
