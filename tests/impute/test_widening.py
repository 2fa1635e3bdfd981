"""Spreads that rows held out confirm: too narrow ones are widened to what they should be, right ones are left."""

import equinox as eqx
import jax
import numpy as np
import pytest

from iwax.impute import Column, TableModel
from iwax.impute.model import LEAST_SCALE
from iwax.impute.widening import widening

KINDS = ("continuous", "gaussian", "count", "poisson", "binary")


@pytest.fixture(scope="module", params=[False, True], ids=["by the network", "constant"])
def model(request):
    columns = [Column(f"{kind}{i}", kind, scale=0.5) for kind in KINDS for i in range(2)]
    columns.append(Column("city", "categorical", categories=("a", "b", "c")))
    return TableModel(columns, latent_size=2, hidden_sizes=[8], key=jax.random.key(0), constant_spreads=request.param)


def test_only_spreads_are_widened_whatever_the_order_of_the_kinds(model):
    densities = eqx.filter_jit(lambda model, z: model.densities(z))
    z = jax.random.normal(jax.random.key(1), (5, 2))
    before, after = (densities(one, z) for one in (model, model.widened(0.7)))
    for kind, old, new in zip((*KINDS, "categorical"), before, after, strict=True):
        for name, value in vars(old).items():
            difference = np.asarray(getattr(new, name)) - np.asarray(value)
            if name == "log_scale":
                assert (difference > 0.1).all(), kind
            elif name == "log_size":
                assert (difference < -0.1).all(), kind
            else:
                assert np.allclose(difference, 0, atol=1e-5, equal_nan=True), (kind, name)


def test_spreads_that_are_too_narrow_are_widened_to_those_of_the_rows_held_out_and_right_ones_are_left():
    columns = [Column(name, "gaussian") for name in "abcd"]
    right = TableModel(columns, latent_size=2, hidden_sizes=[8], key=jax.random.key(0))
    z = right.prior.sample(jax.random.key(1), (128,))
    values = np.asarray(right.sample_columns(z, jax.random.key(2)))
    judged = {"values": values, "mask": np.asarray(jax.random.bernoulli(jax.random.key(3), 0.7, values.shape))}
    assert 0.3 < widening(right.widened(-0.5), judged, jax.random.key(4)) < 0.75
    assert widening(right, judged, jax.random.key(4)) < 0.25


def test_constant_spreads_are_those_of_all_z_and_locations_are_not():
    columns = [Column(name, "gaussian") for name in "ab"]
    model = TableModel(columns, latent_size=2, hidden_sizes=[8], key=jax.random.key(0), constant_spreads=True)
    normal = model.widened(0.5).densities(jax.random.normal(jax.random.key(1), (3, 2)))[1]
    assert np.allclose(normal.log_scale, np.log(LEAST_SCALE + np.log1p(np.exp(0.5))), atol=1e-6)
    assert abs(normal.loc[1] - normal.loc[0]).max() > 0.01
