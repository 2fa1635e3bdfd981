"""SOAP against what defines it: Adam where there is nothing to turn, and in whatever basis the problem is given."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iwax.training.soap import soap

RATE = optax.constant_schedule(0.01)
ADAM = {"b1": 0.95, "b2": 0.95, "eps": 1e-8}


def descend(optimiser, gradient_of, start, steps):
    """The last parameters and the optimiser's state."""

    def step(carry, _):
        parameters, state = carry
        updates, state = optimiser.update(gradient_of(parameters), state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    @jax.jit
    def path(start):
        return jax.lax.scan(step, (start, optimiser.init(start)), None, length=steps)[0]

    return path(start)


def quadratic(shape, seed=0):
    """f(W) = |A W B|^2 / 2 with spread singular values, its gradient, and a start."""
    keys = jax.random.split(jax.random.key(seed), 3)
    a, b = (jax.random.normal(k, (n, n)) * jnp.logspace(0, -1, n) for k, n in zip(keys[:2], shape, strict=True))
    return jax.grad(lambda w: 0.5 * jnp.sum((a @ w @ b) ** 2)), jax.random.normal(keys[2], shape)


def test_vectors_have_adam():
    gradient_of, start = jax.grad(lambda v: jnp.sum(jnp.cosh(v))), jnp.linspace(-2, 3, 6)
    ours, _ = descend(soap(RATE), gradient_of, start, 12)
    adams, _ = descend(optax.adam(RATE, **ADAM), gradient_of, start, 12)
    np.testing.assert_allclose(ours, adams, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "max_dimension"), [((7, 3), 3), pytest.param((3, 7), 3, marks=pytest.mark.slow), ((4, 4), 4)]
)
def test_turning_the_problem_turns_the_path(shape, max_dimension, x64):
    """With sides up to `max_dimension` rotated, each step is the same one rotated; Adam's is not."""
    gradient_of, start = quadratic(shape)
    rows, columns = (
        jnp.linalg.qr(jax.random.normal(jax.random.key(n), (n, n)))[0] if n <= max_dimension else jnp.eye(n)
        for n in shape
    )

    def turn(w):
        return rows @ w @ columns

    def back(w):
        return rows.T @ w @ columns.T

    def difference(optimiser):
        end, _ = descend(optimiser, gradient_of, start, 15)
        turned, _ = descend(optimiser, lambda w: turn(gradient_of(back(w))), turn(start), 15)
        return float(jnp.abs(back(turned) - end).max())

    assert difference(soap(RATE, preconditioning_frequency=4, max_dimension=max_dimension)) < 1e-5
    assert difference(optax.adam(RATE, **ADAM)) > 1e-2
    assert difference(soap(RATE, preconditioning_frequency=4, max_dimension=2)) > 1e-2  # which is Adam


def test_the_bases_stay_orthonormal_and_follow_the_eigenvectors():
    gradient_of, start = quadratic((5, 5))
    _, state = descend(soap(optax.constant_schedule(0.0), preconditioning_frequency=2), gradient_of, start, 60)
    (moments,) = state.moments
    gradient = gradient_of(start)
    for side, product in zip(moments.sides, (gradient @ gradient.T, gradient.T @ gradient), strict=True):
        np.testing.assert_allclose(side.basis.T @ side.basis, np.eye(len(product)), atol=1e-5)
        diagonal = side.basis.T @ product @ side.basis
        off = jnp.abs(diagonal - jnp.diag(jnp.diag(diagonal))).max()
        assert off < 1e-4 * jnp.abs(diagonal).max()


def test_the_first_moment_turns_with_the_basis():
    """At rate zero the gradient is constant, and so is its mean, in whatever basis it is kept."""
    gradient_of, start = quadratic((6, 4))
    _, state = descend(soap(optax.constant_schedule(0.0), preconditioning_frequency=3), gradient_of, start, 9)
    (moments,) = state.moments
    rows, columns = (side.basis for side in moments.sides)
    mean = rows @ moments.first @ columns.T / (1 - 0.95**9)
    np.testing.assert_allclose(mean, gradient_of(start), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
def test_parameters_of_half_precision_are_moved_as_their_wide_gradients_would_move_them(half):
    """The same changes in single precision, and a state in it; gradients whose squares half cannot hold included."""
    optimiser, rng = soap(RATE, preconditioning_frequency=2), np.random.default_rng(0)
    start = {"weight": jnp.asarray(rng.normal(size=(5, 3)), half), "bias": jnp.asarray(rng.normal(size=3), half)}
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), start)
    state, wide_state, moved = optimiser.init(start), optimiser.init(wide), start

    def widened(tree):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)

    narrow_update = jax.jit(optimiser.update)
    wide_update = jax.jit(lambda gradient, state: optimiser.update(widened(gradient), state))
    for size in (1.0, 1e-4, 300.0):  # 9e4 and 1e-8 are no float16
        gradient = jax.tree.map(lambda leaf, size=size: (size * leaf).astype(half), start)
        updates, state = narrow_update(gradient, state, moved)
        expected, wide_state = wide_update(gradient, wide_state)
        jax.tree.map(np.testing.assert_array_equal, updates, expected)
        moved = optax.apply_updates(moved, updates)
    for moments in state.moments:
        assert moments.first.dtype == moments.second.dtype == jnp.float32
        assert bool(jnp.isfinite(moments.second).all())
    assert all(leaf.dtype == half for leaf in jax.tree.leaves(moved))
    assert not np.array_equal(moved["weight"], start["weight"])
