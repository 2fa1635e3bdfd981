"""Clipping against its formula, and what it does for an optimiser that normalises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iwax.training.clipping import clip_outliers
from iwax.training.recipes import get_recipe
from iwax.training.soap import soap


def clipped(gradients, **options):
    """What becomes of a sequence of gradients."""
    transformation = clip_outliers(**options)
    state, out = transformation.init(gradients[0]), []
    for gradient in gradients:
        gradient, state = transformation.update(gradient, state)
        out.append(gradient)
    return out


def test_the_formula():
    lengths, decay, factor = [2.0, 3.0, 100.0, 1.0, 50.0], 0.9, 4.0
    expected, seen = [], []
    for length in lengths:
        weights = decay ** np.arange(len(seen))[::-1]
        usual = np.sum(weights * seen) / np.sum(weights) if seen else np.inf
        expected.append(min(length, factor * usual))
        seen.append(expected[-1])
    found = [g[0] for g in clipped([jnp.array([length]) for length in lengths], factor=factor, decay=decay)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert expected != lengths


def test_the_length_is_that_of_all_parameters_and_the_direction_stays():
    usual = {"a": jnp.array([3.0]), "b": jnp.array([[4.0]])}
    _, long = clipped([usual, jax.tree.map(lambda g: -7 * g, usual)], factor=2.0)
    np.testing.assert_allclose([long["a"][0], long["b"][0, 0]], [-6.0, -8.0], rtol=1e-6)


def test_the_first_gradient_that_is_none_clips_nothing():
    """As where the first steps weigh the KL term by nothing: a usual norm of zero would clip all others to zero."""
    none, usual = jnp.zeros(2), jnp.array([3.0, 4.0])
    _, _, second, third, long = clipped([none, none, usual, usual, 100 * usual], factor=2.0, decay=0.5)
    np.testing.assert_array_equal([second, third], [usual, usual])
    # Norms 0, 0, 5, 5, weighed 1/8, 1/4, 1/2, 1: 7.5 of 1.875 is 4, twice that 8.
    np.testing.assert_allclose(long, [4.8, 6.4], rtol=1e-6)


def test_gradients_of_usual_length_are_not_touched():
    gradients = list(jax.random.normal(jax.random.key(0), (50, 30)))
    for before, after in zip(gradients, clipped(gradients, factor=2.0), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("rule", [soap, lambda rate: optax.adam(rate, 0.95, 0.95)], ids=["soap", "adam"])
def test_what_follows_an_outlier_is_not_its_direction(rule):
    """Noise but for one gradient a million times as long: how far the parameters go its way from then on."""
    noise = jax.random.normal(jax.random.key(1), (90, 8, 5)).at[30].multiply(1e6)
    direction = noise[30] / jnp.linalg.norm(noise[30])

    @functools.partial(jax.jit, static_argnums=1)
    def ways(gradients, optimiser):
        def step(state, gradient):
            change, state = optimiser.update(gradient, state, gradient)
            return state, jnp.sum(change * direction)

        return jax.lax.scan(step, optimiser.init(gradients[0]), gradients)[1]

    plain = rule(optax.constant_schedule(1e-2))
    far, near = (-float(ways(noise, o)[30:].sum()) for o in (plain, optax.chain(clip_outliers(5.0), plain)))
    assert far > 2.5 * abs(near)


def test_a_recipe_clips():
    recipe = get_recipe("fast")
    assert recipe.clip == 5.0
    optimiser, gradient = recipe.optimiser(1), jnp.ones((3, 3))
    _, state = optimiser.update(gradient, optimiser.init(gradient), gradient)
    _, after = optimiser.update(1e6 * gradient, state, gradient)
    assert float(after[0].total) == pytest.approx(0.99 * 3.0 + 15.0)
