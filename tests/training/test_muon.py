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


def polynomial_of_singular_values(matrix):
    """By a singular value decomposition, of singular values whose eighth powers sum to one."""
    left, values, right = np.linalg.svd(np.asarray(matrix, float), full_matrices=False)
    values = values / np.sum(values**8) ** (1 / 8)
    for _ in range(3):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ np.diag(values) @ right


@pytest.mark.parametrize(("name", "longer"), [("wide", 17), ("tall", 17), ("square", 6)])
def test_a_matrix_moves_by_the_polynomial_of_its_momentum_one_step_ahead(name, longer):
    momentum = 0.0
    for seed, change in enumerate(path(muon(RATE, beta1=0.9)), start=1):
        gradient = np.asarray(parameters(seed)[name], float)
        momentum = 0.9 * momentum + 0.1 * gradient
        expected = polynomial_of_singular_values(0.9 * momentum + 0.1 * gradient)
        np.testing.assert_allclose(change[name], -0.01 * 0.2 * longer**0.5 * expected, atol=3e-6)
        behind = -0.01 * 0.2 * longer**0.5 * polynomial_of_singular_values(momentum)
        assert seed == 1 or np.abs(change[name] - behind).max() > 1e-4


def test_its_steps_are_near_those_of_optax():
    """Which takes five turns from Frobenius' norm: other singular values near one, along the same singular vectors."""
    changes = path(muon(RATE, beta1=0.5), 30)[-1]
    others = path(optax.contrib.muon(RATE, beta=0.5, consistent_rms=0.2), 30)[-1]
    for name in ("wide", "tall", "square"):
        ours, theirs = (np.linalg.svd(c[name]) for c in (changes, others))
        cosine = np.sum(changes[name] * others[name]) / np.linalg.norm(changes[name]) / np.linalg.norm(others[name])
        assert cosine > 0.95
        assert 0.8 < ours.S.mean() / theirs.S.mean() < 1.25


def test_what_is_no_matrix_has_adam():
    for ours, adams in zip(path(muon(RATE, beta1=0.9, beta2=0.8)), path(optax.adam(RATE, 0.9, 0.8)), strict=True):
        for name in ("bias", "kernel"):
            np.testing.assert_allclose(ours[name], adams[name], rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12), (12, 16)], ids=str)
def test_singular_values_are_brought_near_one_and_singular_vectors_are_left(shape, x64):
    rng, rank = np.random.default_rng(3), min(shape)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0][:, :rank] for n in shape)
    values = np.geomspace(0.05, 2.0, rank)
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
