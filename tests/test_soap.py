"""SOAP against what defines it: Adam where there is nothing to turn, and in whatever basis the problem is given."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iwax.soap import soap

RATE = optax.constant_schedule(0.01)
ADAM = {"b1": 0.95, "b2": 0.95, "eps": 1e-8}


def descend(optimiser, gradient_of, start, steps):
    """The last parameters and the optimiser's state."""

    def step(carry, _):
        parameters, state = carry
        updates, state = optimiser.update(gradient_of(parameters), state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    return jax.lax.scan(step, (start, optimiser.init(start)), None, length=steps)[0]


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


@pytest.mark.parametrize("shape", [(7, 3), (3, 7)])
def test_turning_the_problem_turns_the_path(shape, x64):
    """With the shorter side turned by an orthogonal matrix, each step is the same one turned; Adam's is not."""
    gradient_of, start = quadratic(shape)
    rotation = jnp.linalg.qr(jax.random.normal(jax.random.key(9), (3, 3)))[0]
    turn = (lambda w: w @ rotation) if shape[0] > shape[1] else (lambda w: rotation @ w)
    back = (lambda w: w @ rotation.T) if shape[0] > shape[1] else (lambda w: rotation.T @ w)

    def difference(optimiser):
        end, _ = descend(optimiser, gradient_of, start, 15)
        turned, _ = descend(optimiser, lambda w: turn(gradient_of(back(w))), turn(start), 15)
        return float(jnp.abs(back(turned) - end).max())

    assert difference(soap(RATE, period=4)) < 1e-8
    assert difference(optax.adam(RATE, **ADAM)) > 1e-2


def test_the_basis_stays_orthonormal_and_follows_the_eigenvectors():
    gradient_of, start = quadratic((12, 5))
    _, state = descend(soap(optax.constant_schedule(0.0), period=2), gradient_of, start, 60)
    (moments,) = state.moments
    np.testing.assert_allclose(moments.basis.T @ moments.basis, np.eye(5), atol=1e-5)
    gradient = gradient_of(start)
    diagonal = moments.basis.T @ (gradient.T @ gradient) @ moments.basis
    off = jnp.abs(diagonal - jnp.diag(jnp.diag(diagonal))).max()
    assert off < 1e-4 * jnp.abs(diagonal).max()


def test_the_first_moment_turns_with_the_basis():
    """At rate zero the gradient is constant, and so is its mean, in whatever basis it is kept."""
    gradient_of, start = quadratic((6, 4))
    _, state = descend(soap(optax.constant_schedule(0.0), period=3), gradient_of, start, 9)
    (moments,) = state.moments
    mean = moments.first @ moments.basis.T / (1 - 0.95**9)
    np.testing.assert_allclose(mean, gradient_of(start), rtol=1e-4, atol=1e-4)
