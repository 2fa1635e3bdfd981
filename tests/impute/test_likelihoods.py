"""The densities of each kind of column against SciPy's, and their moments against sums and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from iwax.impute.likelihoods import Binary, Categorical, NegativeBinomial, Normal, Poisson, StudentT

A, B = jnp.array([0.3, -0.5]), jnp.array([0.2, -0.4])
SIZE = np.exp(np.asarray(B))
MEAN = np.exp(np.asarray(A))
CASES = {
    "student": (
        StudentT(A, B, jnp.array([4.0, 7.0])),
        st.t([4.0, 7.0], np.asarray(A), np.exp(np.asarray(B))),
        [0.7, -1.0],
    ),
    "normal": (Normal(A, B, jnp.zeros(2)), st.norm(np.asarray(A), np.exp(np.asarray(B))), [0.7, -1.0]),
    "negative-binomial": (NegativeBinomial(A, B), st.nbinom(SIZE, SIZE / (SIZE + MEAN)), [3.0, 0.0]),
    "poisson": (Poisson(A), st.poisson(MEAN), [3.0, 0.0]),
    "binary": (Binary(A), st.bernoulli(1 / (1 + np.exp(-np.asarray(A)))), [1.0, 0.0]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_density_and_its_moments_are_scipys(name):
    ours, theirs, value = CASES[name]
    log_p = theirs.logpmf(value) if hasattr(theirs.dist, "pmf") else theirs.logpdf(value)
    assert np.allclose(ours.log_prob(jnp.array(value)), log_p, rtol=1e-5, atol=1e-5)
    mean, variance = ours.moments()
    assert np.allclose(mean, theirs.mean(), rtol=1e-5)
    assert np.allclose(variance, theirs.var(), rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_moments_that_are_said(name):
    ours, _, _ = CASES[name]
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (20_000, 2)), ours)
    draws, (mean, variance) = np.asarray(many.sample(jax.random.key(1))), ours.moments()
    assert abs((draws.mean(axis=0) - mean) / (variance / 20_000) ** 0.5).max() < 4.5
    assert np.allclose(draws.var(axis=0), variance, rtol=0.15)


def test_a_positive_column_has_the_moments_of_a_log_normal():
    """exp(s number), s = 0.5: those of SciPy's log-normal in units of the geometric mean."""
    ours = Normal(A, B, jnp.array([0.5, 0.5]))
    theirs = st.lognorm(0.5 * np.exp(np.asarray(B)), scale=np.exp(0.5 * np.asarray(A)))
    assert np.allclose(ours.moments(), (theirs.mean(), theirs.var()), rtol=1e-5)
    assert np.allclose(ours.value(A), theirs.median(), rtol=1e-5)


def test_a_categorical_column_gives_nothing_to_categories_that_it_has_not():
    ours = Categorical(jnp.array([[0.1, 0.7, -jnp.inf], [1.0, 0.0, -1.0]]))
    p = np.exp([0.1, 0.7]) / np.exp([0.1, 0.7]).sum()
    assert np.allclose(ours.log_prob(jnp.array([1.0, 2.0]))[0], np.log(p[1]), rtol=1e-5)
    mean, variance = ours.moments()
    assert np.allclose(mean[:3], [*p, 0], rtol=1e-5)
    assert np.allclose(variance, mean * (1 - mean))
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (1000, 2, 3)), ours)
    assert {*np.asarray(many.sample(jax.random.key(0)))[:, 0].tolist()} == {0.0, 1.0}
