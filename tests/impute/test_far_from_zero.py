"""The spread of a column that is far from zero, and the error of its mean, where float32 has few digits left of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iwax.impute import impute_rows
from iwax.models import DiagonalNormal


class Shifted(eqx.Module):
    """z ~ N(0, 1) whatever is observed, so that all weights are one; a column of mean `offset` + z and variance 1."""

    offset: float

    def posterior(self, x):
        nothing = jnp.zeros((*x["values"].shape[:-1], 1))
        return DiagonalNormal(nothing, nothing)

    def log_joint(self, x, z):
        return self.posterior(x).log_prob(z)

    def moments(self, z):
        return self.offset + z, jnp.ones_like(z)

    def sample_columns(self, z, key):
        return self.offset + z


@pytest.mark.parametrize("offset", [0.0, 1000.0, -9000.0, 1e5])
def test_spread_and_error_do_not_depend_on_where_a_column_lies(offset):
    """Second moments about zero gave 0 for a standard deviation of 1.4 at 9,000, and five times the error."""
    rows, k = 20, 4096
    x = {"values": np.zeros((rows, 1), np.float32), "mask": np.zeros((rows, 1), bool)}
    found = impute_rows(Shifted(offset), x, jax.random.key(0), num_samples=k)
    np.testing.assert_allclose(found.sd, 2**0.5, rtol=0.06)
    np.testing.assert_allclose(found.mc_error, 1 / k**0.5, rtol=0.06)
    assert abs((found.mean - offset) / found.mc_error).max() < 5 + abs(offset) * 1e-7 * k**0.5
