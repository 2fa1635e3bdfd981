"""Muon against optax's, against the singular values that it promises, and against Adam for what is no matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iwax.training.muon import muon, orthogonal

RATE = optax.constant_schedule(0.01)


def parameters(seed=0):
    """Two long matrices, one square, a bias, a kernel."""
    rng = np.random.default_rng(seed)
    shapes = {"wide": (5, 17), "tall": (17, 5), "square": (6, 6), "bias": (7,), "kernel": (2, 2, 3)}
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}


def path(optimiser, steps=6):
    """The changes of each step by gradients that are not the same."""
    start = parameters()
    state, changes = optimiser.init(start), []
    update = jax.jit(optimiser.update)
    for seed in range(steps):
        updates, state = update(parameters(seed + 1), state, start)
        changes.append(updates)
    return changes


MATRICES = {"wide", "tall", "square"}


def check_close(changes, expected, names):
    for ours, others in zip(changes, expected, strict=True):
        for name in names:
            np.testing.assert_allclose(ours[name], others[name], rtol=2e-3, atol=2e-6)


def test_matrices_move_as_by_optax():
    """Which corrects the moments for their start, though a matrix keeps but its direction: alike after a while."""
    changes = path(muon(RATE, beta1=0.5), 30)[-4:]
    check_close(changes, path(optax.contrib.muon(RATE, beta=0.5, consistent_rms=0.2), 30)[-4:], MATRICES)
    without = path(optax.contrib.muon(RATE, beta=0.5, consistent_rms=0.2, nesterov=False), 30)[-1]
    assert np.abs(without["square"] - changes[-1]["square"]).max() > 1e-4


def test_what_is_no_matrix_has_adam():
    check_close(path(muon(RATE, beta1=0.9, beta2=0.8)), path(optax.adam(RATE, 0.9, 0.8)), {"bias", "kernel"})


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12), (12, 16)], ids=str)
def test_singular_values_are_brought_near_one_and_singular_vectors_are_left(shape, x64):
    rng, rank = np.random.default_rng(3), min(shape)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0][:, :rank] for n in shape)
    values = np.geomspace(0.01, 2.0, rank)
    after = left.T @ np.asarray(orthogonal(jnp.asarray(left * values @ right.T))) @ right
    assert np.abs(after - np.diag(np.diag(after))).max() < 1e-9
    assert np.diag(after).min() > 0.67
    assert np.diag(after).max() < 1.21
    scaled = np.asarray(orthogonal(jnp.asarray(1e-9 * (left * values @ right.T))))
    np.testing.assert_allclose(left.T @ scaled @ right, after, atol=1e-9)


def test_a_gradient_of_zeros_moves_nothing():
    zeros = jax.tree.map(jnp.zeros_like, parameters())
    optimiser = muon(RATE)
    updates, _ = optimiser.update(zeros, optimiser.init(zeros))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
def test_parameters_of_half_precision_are_moved_as_their_wide_gradients_would_move_them(half):
    narrow = jax.tree.map(lambda leaf: leaf.astype(half), parameters())
    broad = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), narrow)
    optimiser = muon(RATE)
    updates, state = jax.jit(optimiser.update)(narrow, optimiser.init(narrow))
    expected, _ = jax.jit(optimiser.update)(broad, optimiser.init(broad))
    jax.tree.map(np.testing.assert_array_equal, updates, expected)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.moments))
