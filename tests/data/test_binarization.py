import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from iwax.data import BINARIZATIONS, binarize, intensities, rule_again, test_set_hash

DRAWS = 20_000
LEVELS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], DRAWS, axis=1)
INNER = slice(1, 255)  # 0 and 255 are certain and tested apart
LIMIT = norm.isf(1e-6 / 2 / 254)  # family-wise level 1e-6


def z_scores(drawn: np.ndarray) -> np.ndarray:
    """Of the share of ones at each inner grey level against v / 255."""
    p = np.arange(256)[INNER] / 255
    return (np.asarray(drawn).mean(axis=1)[INNER] - p) / np.sqrt(p * (1 - p) / DRAWS)


@pytest.mark.parametrize("images", [LEVELS, LEVELS.astype(np.float32) / 255], ids=["uint8", "float"])
def test_pixels_are_one_with_probability_their_intensity(images):
    drawn = binarize(images, "dynamic", jax.random.key(0))
    assert drawn.dtype == jnp.float32
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert (drawn[0].max(), drawn[255].min()) == (0, 1)
    assert np.abs(z_scores(drawn)).max() < LIMIT


def test_the_z_test_would_notice_eight_random_bits():
    """The negative control: probability v / 256, which a comparison with a random uint8 gives."""
    bits = jax.random.bits(jax.random.key(0), LEVELS.shape, jnp.uint8)
    assert np.abs(z_scores(bits < LEVELS)).max() > LIMIT


def test_probabilities_of_uint8_are_within_half_a_bit(monkeypatch):
    every = jnp.arange(65_536, dtype=jnp.uint16)
    monkeypatch.setattr(jax.random, "bits", lambda key, shape, dtype: jnp.broadcast_to(every, shape))
    levels = np.array([0, 1, 2, 127, 128, 254, 255], np.uint8)
    drawn = binarize(np.repeat(levels[:, None], 65_536, axis=1), "dynamic", jax.random.key(0))
    error = np.asarray(drawn, np.float64).mean(axis=1) - levels / 255
    assert np.abs(error).max() <= 2.0**-17
    assert error[0] == error[-1] == 0


def test_keys_decide_the_draw():
    one, same, other = (binarize(LEVELS, "dynamic", jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    p = np.arange(256)[INNER] / 255
    agree = p**2 + (1 - p) ** 2  # of two independent draws
    share = np.asarray(one == other).mean(axis=1)[INNER]
    z = (share - agree) / np.sqrt(agree * (1 - agree) / DRAWS)
    assert np.abs(z).max() < LIMIT
    z_of_same = (1 - agree) / np.sqrt(agree * (1 - agree) / DRAWS)
    assert np.abs(z_of_same).max() > LIMIT  # the negative control: one key for both


def test_fixed_is_the_dynamic_draw_of_its_key():
    key = jax.random.key(3)
    np.testing.assert_array_equal(binarize(LEVELS, "fixed", key), binarize(LEVELS, "dynamic", key))


def test_threshold_and_none_need_no_key():
    images = np.array([[0, 127, 128, 255]], np.uint8)
    assert binarize(images, "threshold").tolist() == [[0, 0, 1, 1]]
    np.testing.assert_allclose(binarize(images, "intensities"), images / 255, rtol=1e-7)
    assert binarize(np.array([[0.4999, 0.5]]), "threshold").tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16, np.int64, bool, np.float16, np.float32])
def test_none_changes_no_value_of_any_kind(dtype):
    """The control: what "none" did to counts of uint8 up to now, and "intensities" still does."""
    values = np.array([[0, 1, 7, 200]]).clip(max=1 if dtype is bool else 200).astype(dtype)
    found = binarize(values, "none")
    assert found.dtype == jnp.float32
    assert found.tolist() == values.astype(float).tolist()
    if dtype is np.uint8:
        assert binarize(values, "intensities").tolist() != found.tolist()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("rule", ["none", "intensities"])
def test_float64_stays_float64_under_x64(rule):
    third = np.array([[1 / 3]])
    assert binarize(third, rule).dtype == jnp.float64
    assert float(binarize(third, rule)[0, 0]) == 1 / 3 != float(np.float32(1 / 3))
    assert binarize(third, "dynamic", jax.random.key(0)).dtype == jnp.float32  # 0 and 1 are exact


def test_real_values_pass_through_as_float32():
    images = np.array([[-3.5, 7.25]])
    assert binarize(images, "none").tolist() == images.tolist()
    assert binarize(images, "none").dtype == jnp.float32


def test_raw_keys_are_accepted():
    raw, typed = jax.random.PRNGKey(0), jax.random.key(0)
    np.testing.assert_array_equal(binarize(LEVELS, "dynamic", raw), binarize(LEVELS, "dynamic", typed))


@pytest.mark.parametrize("rule", BINARIZATIONS)
def test_inside_a_compiled_scan(rule):
    images = LEVELS[:, :8].reshape(4, -1, 4)
    keys = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    def epoch(batches, keys):
        return jax.lax.scan(lambda carry, batch: (carry, binarize(batch[0], rule, batch[1])), 0, (batches, keys))[1]

    expected = [binarize(batch, rule, key) for batch, key in zip(images, keys, strict=True)]
    np.testing.assert_allclose(epoch(images, keys), expected, rtol=1e-6)


@pytest.mark.parametrize("rule", BINARIZATIONS)
def test_black_and_white_stays_as_it_is(rule):
    images = np.random.default_rng(0).random((50, 9)) < 0.5
    white = np.uint8(1 if rule == "none" else 255)  # "none" leaves the numbers as they are
    for same in (images, images.astype(np.float32), images.astype(np.uint8) * white):
        np.testing.assert_array_equal(binarize(same, rule, jax.random.key(0)), images)


def test_errors():
    images = np.zeros((1, 2), np.uint8)
    with pytest.raises(ValueError, match=r"Expected binarize to be one of .*; got 'fix'"):
        binarize(images, "fix", jax.random.key(0))
    with pytest.raises(TypeError, match=r"Expected key to be a PRNG key for binarize='dynamic'; got None\. Pass jax"):
        binarize(images, "dynamic")
    with pytest.raises(TypeError, match=r"Expected examples of dtype uint8, bool or float; got int32"):
        intensities(images.astype(np.int32))


def test_hash_of_a_test_set():
    images = np.zeros((2, 3, 3), np.float32)
    images[1, 0, 0] = 1
    packed = np.packbits(images.reshape(2, 9).astype(bool), axis=1).tobytes()
    assert test_set_hash(images) == hashlib.sha256(packed).hexdigest() == test_set_hash(jnp.asarray(images))
    assert test_set_hash(images) == test_set_hash(images.astype(bool)) == test_set_hash(images.reshape(2, 9))
    assert test_set_hash(1 - images) != test_set_hash(images)
    grey = images / 2
    assert test_set_hash(grey) == hashlib.sha256(grey.tobytes()).hexdigest()


@pytest.mark.parametrize("rule", BINARIZATIONS)
def test_what_was_binarised_once_stays_as_it_is_by_the_rule_for_a_second_time(rule):
    once = binarize(np.array([0, 1, 7, 128, 200, 255], np.uint8), rule, jax.random.key(0))
    again = binarize(once, rule_again(rule), jax.random.key(1))
    np.testing.assert_array_equal(again, once)
    assert again.dtype == once.dtype
