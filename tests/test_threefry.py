"""Threefry with its rounds written out: the numbers of JAX's own, and of the paper's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.threefry import _threefry, written_out

SHAPES = [(), (1,), (5,), (3, 4, 5), (0, 2)]
KEYS = [jax.random.key(0), jax.random.key(2**32 - 1), jax.random.fold_in(jax.random.key(3), 9)]
DRAWS = {
    "normal": lambda key, shape: jax.random.normal(key, shape),
    "uniform": lambda key, shape: jax.random.uniform(key, shape),
    "bits": lambda key, shape: jax.random.bits(key, shape),
    "16 bits": lambda key, shape: jax.random.bits(key, shape, jnp.uint16),
    "bernoulli": lambda key, shape: jax.random.bernoulli(key, 0.3, shape),
    "split": lambda key, shape: jax.random.key_data(jax.random.split(key, shape)),
    "folded in": lambda key, shape: jax.random.key_data(jax.random.fold_in(key, len(shape))),
    "child's": lambda key, shape: jax.random.normal(jax.random.split(key)[1], shape),
}


# Salmon et al.'s known answers for twenty rounds of Threefry-2x32: key, counter, and the words that come of them.
@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_the_known_answers(key, counter, words):
    high, low = (jnp.asarray(word, jnp.uint32) for word in counter)
    found = _threefry(jnp.asarray(key, jnp.uint32), low, high)
    assert tuple(int(word) for word in found) == words


@pytest.mark.parametrize("draw", DRAWS)
def test_the_numbers_are_those_of_jax(draw):
    for key in KEYS:
        for shape in SHAPES:
            own, theirs = DRAWS[draw](written_out(key), shape), DRAWS[draw](key, shape)
            assert own.dtype == theirs.dtype
            assert np.array_equal(own, theirs)
    assert not np.array_equal(DRAWS[draw](written_out(KEYS[0]), (40,)), DRAWS[draw](KEYS[1], (40,)))  # the control


def test_of_many_keys_at_once_too():
    keys = jax.random.split(jax.random.key(1), 6)
    own = jax.jit(jax.vmap(lambda key: jax.random.normal(written_out(key), (4,))))(keys)
    assert np.array_equal(own, jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys))


def test_keys_it_does_not_know_come_back_as_they_are():
    raw, other = jax.random.PRNGKey(0), jax.random.key(0, impl="rbg")
    assert written_out(raw) is raw
    assert written_out(other) is other
    once = written_out(jax.random.key(0))
    assert written_out(once) is once


def test_numbers_of_the_older_order_stay_those_of_jax():
    with jax.threefry_partitionable(False):
        key = jax.random.key(0)
        assert written_out(key) is key


@pytest.mark.parametrize("layers", [1, 2])
def test_the_rounds_of_a_draw_stand_once_in_the_program_of_a_gradient(layers):
    """Where its numbers were made again by each operation that needs them, programs compiled twice as long."""
    model = iwax.VAE(6, [3] * layers, [[4]] * layers, key=jax.random.key(0))
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    x = jnp.ones((2, 6))

    def loss(parameters, key):
        return iwax.loss(eqx.combine(parameters, static), iwax.IWAE(num_samples=3), x, key)

    text = jax.jit(jax.grad(loss)).lower(parameters, jax.random.key(1)).compile().as_text()
    one = 23  # exclusive ors of twenty rounds and their key
    keys = 3  # a split of a key is cheap, and may be made where it is used
    assert one * layers <= text.count(" xor(") <= one * (layers + keys)
