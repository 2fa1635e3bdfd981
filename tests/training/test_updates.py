"""Alternating updates: which parameters move, by which objective, on which draws."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import iwax
from iwax.training.updates import phases

MODEL = iwax.LinearGaussian.isotropic(2, variance=0.3)
X = np.asarray(iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 20))
INFERENCE, GENERATIVE = iwax.MIWAE(num_groups=3, num_samples=2), iwax.IWAE(num_samples=2)


def fit(update, objective=GENERATIVE, epochs=1, **options):
    options = {"recipe": "tightiwae", "key": jax.random.key(1), "batch_size": 20, "binarize": "none"} | options
    return iwax.fit(MODEL, objective, X, update=update, epochs=epochs, **options)


def test_one_step_is_the_inference_networks_and_then_the_generative_ones():
    fitted = fit(iwax.Alternating(inference=INFERENCE, generative=GENERATIVE))
    # The same by hand: Adam's first step moves each parameter by the rate against the sign of its gradient.
    shuffle_key, step_key = jax.random.split(jax.random.key(1))
    order = jax.random.permutation(jax.random.fold_in(shuffle_key, 0), 20)
    _, sample_key = jax.random.split(jax.random.fold_in(step_key, 0))
    x = jnp.asarray(X)[order]

    @eqx.filter_jit
    def step(part, model, objective, key):
        def loss(own):
            return iwax.loss(eqx.tree_at(part, model, own), objective, x, key)

        value, gradient = jax.value_and_grad(loss)(part(model))
        own = jax.tree.map(lambda p, g: p - 1e-3 * g / (jnp.abs(g) + 1e-8), part(model), gradient)
        return eqx.tree_at(part, model, own), -value

    model, first = step(lambda m: m.inference, MODEL, INFERENCE, jax.random.fold_in(sample_key, 0))
    model, second = step(lambda m: m.generative, model, GENERATIVE, jax.random.fold_in(sample_key, 1))
    for ours, by_hand in zip(jax.tree.leaves(fitted.model), jax.tree.leaves(model), strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=0, atol=1e-6)
    assert fitted.records[0]["inference_bound"] == pytest.approx(float(first), abs=1e-5)
    assert fitted.records[0]["bound"] == pytest.approx(float(second), abs=1e-5)


def test_each_network_has_an_optimiser_of_its_own():
    fitted = fit(iwax.Alternating(inference=INFERENCE, generative=GENERATIVE), epochs=3)
    for state, own, other in zip(
        fitted.opt_state, ("inference", "generative"), ("generative", "inference"), strict=True
    ):
        moments = optax.tree.get(state, "mu")[0]
        assert jax.tree.leaves(getattr(moments, other)) == []
        assert [m.shape for m in jax.tree.leaves(getattr(moments, own))] == [
            p.shape for p in jax.tree.leaves(getattr(MODEL, own))
        ]
        assert int(optax.tree.get_all_with_path(state, "count")[0][1]) == 3


def test_masks_part_the_model_and_leave_nothing_twice():
    inference, generative = phases(MODEL, GENERATIVE, iwax.Alternating(inference=INFERENCE, generative=GENERATIVE))
    count = sum(jax.tree.leaves(inference.mask)), sum(jax.tree.leaves(generative.mask))
    assert count == (3, 4)
    both = jax.tree.map(lambda a, b: a and b, inference.mask, generative.mask)
    assert not any(jax.tree.leaves(both))


def test_a_vaes_parts():
    model = iwax.VAE(6, [3, 2], [[4], [3]], key=jax.random.key(0))
    parts = phases(model, GENERATIVE, iwax.Alternating(inference=INFERENCE, generative=GENERATIVE))
    counts = [sum(leaf.size for leaf in jax.tree.leaves(eqx.filter((model, GENERATIVE), part.mask))) for part in parts]
    assert sum(counts) == model.num_parameters
    assert counts[0] == sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model.inference, eqx.is_array)))


def test_objectives_that_learn_are_refused():
    learning = iwax.CIWAE(num_samples=4, beta_rule="ascend")
    with pytest.raises(ValueError, match=r"Expected generative to be an objective with nothing to learn; got CIWAE wh"):
        iwax.Alternating(inference=INFERENCE, generative=learning)


def test_unknown_updates_are_refused():
    with pytest.raises(ValueError, match=r"Expected update to be 'joint' or iwax\.Alternating.*; got 'turns'"):
        phases(MODEL, GENERATIVE, "turns")


def test_a_model_without_groups_is_refused():
    class Whole(eqx.Module):
        weight: jax.Array

        def posterior(self, x):
            raise NotImplementedError

        def log_joint(self, x, z):
            raise NotImplementedError

    with pytest.raises(ValueError, match=r"Expected a model with parameter groups .* got Whole without `inference`"):
        phases(Whole(jnp.zeros(2)), GENERATIVE, iwax.Alternating(inference=INFERENCE, generative=GENERATIVE))
