"""The rules for beta, on problems whose best beta is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.experiments.learned_beta import Moments, minimum_mean_square_beta, train


def moments_of(elbo, iwae):
    def mean(a, b):
        return jnp.mean(jnp.sum(a * b, axis=1))

    return Moments(elbo.mean(axis=0), iwae.mean(axis=0), mean(elbo, elbo), mean(iwae, iwae), mean(elbo, iwae))


def test_the_least_mean_square_is_found():
    """Against a search over beta, for a noisy IWAE gradient and a biased, calmer and correlated ELBO gradient."""
    noise = jax.random.normal(jax.random.key(0), (2, 5000, 4))
    iwae = 1.0 + 2 * noise[0]
    elbo = 1.5 + 0.5 * noise[1] + 0.3 * noise[0]
    found = minimum_mean_square_beta(moments_of(elbo, iwae))
    betas = np.linspace(0, 1, 1001)
    errors = [float(jnp.mean(jnp.sum((b * elbo + (1 - b) * iwae - iwae.mean(axis=0)) ** 2, axis=1))) for b in betas]
    assert float(found) == pytest.approx(betas[int(np.argmin(errors))], abs=2e-3)
    assert minimum_mean_square_beta(moments_of(elbo, jnp.ones_like(iwae))) == 0  # a clean gradient needs no help


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "direction"),
    [
        ("ascend", -1),
        pytest.param("descend", 1, marks=pytest.mark.slow),
        pytest.param("fixed", 0, marks=pytest.mark.slow),
        pytest.param("mean-square", None, marks=pytest.mark.slow),
        ("held-out", None),
    ],
)
def test_where_each_rule_goes(rule, direction):
    model = iwax.LinearGaussian.isotropic(3)
    data = model.sample(jax.random.key(0), 60)
    options = {"num_steps": 40, "num_samples": 8, "learning_rate": 0.0}
    trained, betas = train(model, data[:40], data[40:], rule=rule, beta=0.5, key=jax.random.key(1), **options)
    assert betas.shape == (40,)
    assert ((betas >= 0) & (betas <= 1)).all()
    if direction is not None:
        np.testing.assert_array_equal(jnp.sign(jnp.diff(betas)), direction)
    jax.tree.map(np.testing.assert_array_equal, trained, model)


def test_an_unknown_rule_raises():
    model = iwax.LinearGaussian.isotropic(1)
    with pytest.raises(ValueError, match=r"Expected rule to be one of fixed, .*; got 'up'"):
        train(model, jnp.ones((2, 1)), jnp.ones((2, 1)), rule="up", beta=0.5, key=jax.random.key(0), num_steps=1)
