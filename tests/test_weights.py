"""Functions of log-weights: exact cases and extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from iwax.weights import effective_sample_size, log_mean_exp, normalised_weights

SIZES = (1, 2, 7, 30)  # each a program of its own
log_weights = arrays(np.float32, st.sampled_from(SIZES), elements=st.floats(-1000, 1000, width=32))


@settings(deadline=None)
@given(log_weights)
def test_log_mean_exp_lies_in_its_envelope(log_w):
    """max - log K <= log mean exp <= max."""
    value = float(log_mean_exp(jnp.asarray(log_w)))
    slack = 1e-3
    assert log_w.max() - np.log(len(log_w)) - slack <= value <= log_w.max() + slack


@settings(deadline=None)
@given(log_weights)
def test_effective_sample_size_is_between_one_and_all(log_w):
    assert 1 - 1e-3 <= float(effective_sample_size(jnp.asarray(log_w))) <= len(log_w) * (1 + 1e-3)


def test_one_weight_of_zero_is_harmless():
    log_w = jnp.array([-jnp.inf, 0.0, 0.0])
    assert float(log_mean_exp(log_w)) == pytest.approx(np.log(2 / 3))
    assert normalised_weights(log_w).tolist() == [0.0, 0.5, 0.5]
    assert jax.grad(log_mean_exp)(log_w).tolist() == [0.0, 0.5, 0.5]


def test_all_weights_of_zero_give_minus_infinity():
    assert float(log_mean_exp(jnp.full(3, -jnp.inf))) == -jnp.inf


def test_nan_is_not_swallowed():
    assert jnp.isnan(log_mean_exp(jnp.array([jnp.nan, 0.0])))
