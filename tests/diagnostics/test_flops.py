"""Counts of arithmetic against counts by hand: encode once, and backward by weight and by input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

import iwax
from iwax.diagnostics.flops import count_flop, evaluation_flop, training_flop, update_flop
from iwax.training.muon import muon
from iwax.training.soap import soap

# Multiply-adds of the one-layer model: 784-200-200-(50, 50) and 50-200-200-784.
ENCODER = 784 * 200 + 200 * 200 + 2 * 200 * 50
DECODER = 50 * 200 + 200 * 200 + 200 * 784
BATCH = 4
IMAGES = jax.ShapeDtypeStruct((BATCH, 784), jnp.float32)


@pytest.fixture(scope="module")
def model():
    return iwax.ARCHITECTURES["one-layer"](key=jax.random.key(0))


def by_hand(samples):
    """Forward; by weight, the same again; by input, without the first layer, whose input is the data."""
    forward = ENCODER + samples * DECODER
    by_input = (ENCODER - 784 * 200) + samples * DECODER
    return 2 * BATCH * (2 * forward + by_input)


@pytest.mark.parametrize("samples", [1, 5, 50])
def test_training_steps_against_counts_by_hand(model, samples):
    assert training_flop(model, iwax.IWAE(num_samples=samples), IMAGES) == by_hand(samples)
    assert training_flop(model, iwax.ELBO(num_samples=samples), IMAGES) == by_hand(samples)


def test_encoding_every_sample_would_be_seen(model):
    """Negative control: a program that repeats the images encodes each of them K times."""

    def wasteful(model, x, key):
        repeated = jnp.repeat(x, 5, axis=0)
        return iwax.loss(model, iwax.IWAE(num_samples=1), repeated, key)

    flop = count_flop(eqx.filter_value_and_grad(wasteful), model, IMAGES, jax.random.key(0))
    assert flop == 5 * by_hand(1)
    assert flop > by_hand(5)


def test_the_alternating_update_costs_110_samples(model):
    """MIWAE(10, 10) for the inference network, then IWAE(10) for the generative one: 110 samples forward, and
    backward by weight through the one network that each trains."""
    update = iwax.Alternating(inference=iwax.MIWAE(num_groups=10, num_samples=10), generative=iwax.IWAE(num_samples=10))
    first = (ENCODER + 100 * DECODER) + ENCODER + (ENCODER - 784 * 200) + 100 * DECODER
    # Nothing flows into z from there: by input only above the layer that takes z.
    second = (ENCODER + 10 * DECODER) + 10 * DECODER + 10 * (DECODER - 50 * 200)
    objective = iwax.PIWAE(num_groups=10, num_samples=10)
    assert training_flop(model, objective, IMAGES, update) == 2 * BATCH * (first + second)


def test_what_is_computed_twice_in_the_text_of_a_program_counts_once(model):
    """PIWAE passes through the decoder once forward and once backward, as IWAE does; its text has more."""
    forward = ENCODER + 64 * DECODER
    backward = 2 * ENCODER - 784 * 200 + 64 * 2 * DECODER
    objective = iwax.PIWAE(num_groups=8, num_samples=8)
    assert training_flop(model, objective, IMAGES) == 2 * BATCH * (forward + backward)


def test_evaluation_encodes_once(model):
    assert evaluation_flop(model, IMAGES, 5000) == 2 * BATCH * (ENCODER + 5000 * DECODER)


def test_what_an_optimiser_adds():
    """SOAP on a (7, 3) matrix: into the bases and back; every tenth step C, D, C P, D Q, and M from basis to basis.

    Muon's three turns are of three products each, or of a long matrix four products of short sides after the first.
    """
    weight = jnp.ones((7, 3))
    turn = 7 * 7 * 3 + 7 * 3 * 3
    tenth = turn + (7**3 + 3**3) + 2 * turn
    assert update_flop(soap(optax.constant_schedule(1e-3)), weight) == 2 * (2 * turn) + 2 * tenth // 10
    assert update_flop(optax.adam(1e-3), weight) == 0
    square, long = 6 * 6 * 6, 6 * 6 * 20
    assert update_flop(muon(optax.constant_schedule(1e-3)), jnp.ones((6, 6))) == 2 * 3 * 3 * square
    assert update_flop(muon(optax.constant_schedule(1e-3)), jnp.ones((20, 6))) == 2 * (2 * long + (1 + 2 * 4) * square)


def test_loops_choices_and_convolutions():
    a = jnp.ones((3, 3))

    def loop(a):
        return jax.lax.scan(lambda carry, _: (carry @ a, None), a, None, length=7)[0]

    assert count_flop(loop, a) == 7 * 2 * 27
    assert count_flop(lambda a: jax.lax.cond(a[0, 0] > 0, lambda a: a @ a @ a, lambda a: a @ a, a), a) == 2 * 2 * 27
    image, kernel = jnp.ones((1, 2, 8, 8)), jnp.ones((5, 2, 3, 3))
    convolved = count_flop(lambda x, k: jax.lax.conv(x, k, (1, 1), "VALID"), image, kernel)
    assert convolved == 2 * (5 * 6 * 6) * (2 * 3 * 3)
    with pytest.raises(ValueError, match=r"Expected loops around matrix products to turn a known number of times"):
        count_flop(lambda a: jax.lax.while_loop(lambda a: a[0, 0] < 9, lambda a: a @ a, a), a)
