"""Examples as pytrees of arrays: x with a mask or a label goes through loss, fit and evaluate as one array does."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.training import get_recipe

RECIPE = dataclasses.replace(
    get_recipe("burda-paper"), shuffle="once", held_out=4, batch_size=12, parts=3, gradient_scale="sum"
)


class OfValues(eqx.Module):
    """A model of arrays as a model of {"values", "mask"}, which insists that the mask stays one of truth values."""

    inner: iwax.LinearGaussian

    @property
    def generative(self):
        return self.inner.generative

    @property
    def inference(self):
        return self.inner.inference

    @property
    def prior(self):
        return self.inner.prior

    def posterior(self, x):
        assert x["mask"].dtype == bool
        return self.inner.posterior(x["values"])

    def log_joint(self, x, z):
        return self.inner.log_joint(x["values"], z)


class Pair(NamedTuple):
    values: jax.Array
    labels: jax.Array


@pytest.fixture(scope="module")
def model():
    return iwax.LinearGaussian.isotropic(2)


@pytest.fixture(scope="module")
def x(model):
    return np.asarray(model.sample(jax.random.key(0), 40))


def masked(x):
    return {"mask": np.ones(x.shape, bool), "values": x}


def test_a_pytree_trains_to_the_bits_of_its_array(model, x):
    def fitted(model, data):
        options = {"recipe": RECIPE, "key": jax.random.key(1), "epochs": 2, "binarize": "none"}
        return iwax.fit(model, iwax.IWAE(num_samples=4), data, **options)

    alone, tree = fitted(model, x), fitted(OfValues(model), masked(x))
    assert alone.records == tree.records
    assert all(map(np.array_equal, jax.tree.leaves(alone.model), jax.tree.leaves(tree.model)))
    moved = map(np.array_equal, jax.tree.leaves(alone.model), jax.tree.leaves(model))
    assert not all(moved)  # it has trained at all


def test_a_pytree_is_judged_as_its_array_is(model, x):
    options = {"num_samples": 128, "binarize": "none"}
    alone = iwax.evaluate(model, x, jax.random.key(2), **options)
    tree = iwax.evaluate(OfValues(model), masked(x), jax.random.key(2), **options)
    for name in ("log_likelihood", "khat", "elbo", "iwae"):
        assert np.array_equal(getattr(alone, name), getattr(tree, name)), name
    assert np.array_equal(alone.unit_variances[0], tree.unit_variances[0])
    other = iwax.evaluate(OfValues(model), masked(x) | {"mask": x > 0}, jax.random.key(2), **options)
    assert len({alone.test_hash, tree.test_hash, other.test_hash}) == 3  # the mask is part of what was judged


@pytest.mark.slow
def test_loss_takes_a_pytree_and_so_does_check_model(model, x):
    x, key = jax.tree.map(jnp.asarray, masked(x)), jax.random.key(3)
    objective = iwax.IWAE(num_samples=4)
    assert iwax.loss(OfValues(model), objective, x, key) == iwax.loss(model, objective, x["values"], key)
    assert iwax.check_model(OfValues(model), x, key).ok


def test_named_tuples_are_pytrees_and_plain_tuples_and_lists_are_not():
    part = np.zeros((3, 2))
    assert iwax.data.is_tree(Pair(part, part))
    assert iwax.data.is_tree({"values": part})
    assert not any(map(iwax.data.is_tree, (part, [part, part], (part, part))))


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ({"values": np.zeros((3, 2))}, {}, "Expected binarize to be 'none' for a pytree of arrays"),
        (
            {"values": np.zeros((3, 2)), "mask": np.ones((4, 2))},
            {"binarize": "none"},
            r"Expected every array of examples to hold the same number of examples, at least one; got 4 in \[",
        ),
        (
            {"values": np.full((3, 2), np.nan)},
            {"binarize": "none"},
            r"Expected examples\['values'\] to be finite; got 6 NaN",
        ),
        (
            {"values": np.array(["a"])},
            {"binarize": "none"},
            "Expected every leaf of the data to be an array of num",
        ),
        ({}, {"binarize": "none"}, "Expected data to hold at least one array"),
    ],
)
def test_what_is_no_pytree_of_examples_is_refused_in_one_line(model, data, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        iwax.data.check_examples(iwax.data.as_examples(data), options.get("binarize", "dynamic"))
    with pytest.raises((ValueError, TypeError), match="Expected"):
        iwax.fit(model, iwax.ELBO(), data, recipe="demo", key=jax.random.key(0), **options)
