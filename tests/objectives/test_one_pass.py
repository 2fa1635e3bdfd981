"""One backward pass for two sets of coefficients, where one of them underflows."""

import jax.numpy as jnp
import numpy as np

import iwax
from iwax.objectives.autodiff import one_pass

FAR = 150.0  # nats between two groups: e^-150 is no float32


def test_both_coefficients_are_carried_to_rounding():
    a, b = jnp.array([0.0, 1e-30, 0.25, 0.75, 0.0]), jnp.array([0.5, 0.25, 0.25, 0.0, 0.0])
    carried, ratio = one_pass(a, b)
    np.testing.assert_allclose(carried * ratio, b, rtol=1e-6)
    np.testing.assert_allclose(carried, a, rtol=1e-6, atol=2.0**-60)
    assert np.isfinite(ratio).all()


def test_a_group_without_weight_still_trains_the_inference_network():
    """The first is e^-150 of the second: none of IWAE(M K)'s weight, and half of MIWAE(M, K)'s."""
    log_w = jnp.array([0.0, -1.0, FAR, FAR - 2.0])
    objective = iwax.PIWAE(num_groups=2, num_samples=2)
    a, b, _ = objective.coefficients(log_w)
    assert np.all(np.asarray(a)[:2] == 0)
    carried, ratio = one_pass(a, b)
    first, second = (np.exp([0, -d]) / (1 + np.exp(-d)) / 2 for d in (1.0, 2.0))
    np.testing.assert_allclose(carried * ratio, [*first, *second], rtol=1e-5)
