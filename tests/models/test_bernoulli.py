"""The Bernoulli layer's density and derivatives beside double precision, whatever size takes logarithms together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iwax.models.distributions import Bernoulli

SIZES = [784, 128, 48, 13, 1]  # 14, 16, 6 and no factors of a product


def drawn(size):
    """Logits of all kinds, five rows, and the greatest and zeros; values that are black, white or grey."""
    rng = np.random.default_rng(size)
    logits = rng.normal(size=(5, size)) * np.array([[0.1], [1], [5], [20], [60]])
    extreme = [np.full(size, 150.0), np.full(size, -150.0), np.zeros(size)]
    values = np.where(rng.random((8, size)) < 0.2, rng.random((8, size)), rng.random((8, size)) < 0.3)
    return np.concatenate([logits, extreme]).astype(np.float32), values.astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_the_density_is_that_of_double_precision(size):
    logits, values = drawn(size)
    exact = values * logits.astype(float) - np.logaddexp(0, logits.astype(float))
    found = Bernoulli(jnp.asarray(logits)).log_prob(jnp.asarray(values))
    assert found.dtype == jnp.float32
    scale = np.abs(exact).sum(axis=-1) + np.abs(values * logits).sum(axis=-1)
    np.testing.assert_array_less(np.abs(found - exact.sum(axis=-1)), 1e-6 * scale + 6e-8 * size)


@pytest.mark.parametrize("size", SIZES)
def test_so_are_its_derivatives(size):
    logits, values = drawn(size)
    mean = 1 / (1 + np.exp(-logits.astype(float)))

    def log_prob(row, value):
        return Bernoulli(row).log_prob(value)

    gradient = jax.vmap(jax.grad(log_prob))(logits, values)
    np.testing.assert_allclose(gradient, values - mean, atol=2e-7)
    ones = jnp.ones(size)
    forward = jax.vmap(lambda row, value: jax.jvp(lambda r: log_prob(r, value), (row,), (ones,))[1])(logits, values)
    np.testing.assert_allclose(forward, (values - mean).sum(axis=-1), rtol=1e-5, atol=1e-4)
    bent = jax.vmap(jax.grad(lambda row, value: jax.grad(log_prob)(row, value).sum()))(logits, values)
    np.testing.assert_allclose(bent, -mean * (1 - mean), atol=2e-7)


@pytest.mark.parametrize("size", [784, 1600, 16000])
def test_no_product_of_factors_overflows(size):
    """Of logits at zero every factor is two."""
    found = Bernoulli(jnp.zeros(size)).log_prob(jnp.zeros(size))
    assert float(found) == pytest.approx(-size * np.log(2), rel=1e-6)
