"""From examples as stored to the numbers a model sees: black and white, intensities in [0, 1], or as they are."""

from __future__ import annotations

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Shaped

from iwax.data.checks import check_rule
from iwax.errors import IwaxTypeError
from iwax.threefry import written_out


def intensities(images: Shaped[Array | np.ndarray, "*batch"]) -> Float[Array, "*batch"]:
    """Images (...) as floats: uint8 divided by 255, others `as_they_are`.

    Values are not looked at, so that it can be traced: `check_images` does that, once, outside.
    """
    images = jnp.asarray(images)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255
    if images.dtype == jnp.bool_ or jnp.issubdtype(images.dtype, jnp.floating):
        return as_they_are(images)
    raise IwaxTypeError(
        f"Expected examples of dtype uint8, bool or float; got {images.dtype}. Divide them by their largest possible "
        "value."
    )


def as_they_are(values: Shaped[Array | np.ndarray, "*batch"]) -> Float[Array, "*batch"]:
    """Values (...) as floats, none of them changed: counts stay counts, and float64 stays it under x64.

    float32 otherwise, of which integers up to 2^24 are; `check_images` refuses larger ones.
    """
    values = jnp.asarray(values)
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def binarize(
    images: Shaped[Array | np.ndarray, "*batch"],
    rule: str,
    key: Array | None = None,
) -> Float[Array, "*batch"]:
    """Examples (...) as a model sees them by `rule`, floats of the same shape; can be traced.

    - "dynamic": each pixel is 1 with probability its intensity; meant for a new key at each visit.
    - "fixed": the same draw; meant to be done once, with a key from the seed of the run.
    - "threshold": 1 where the intensity is at least 0.5; needs no key.
    - "intensities": grey values in [0, 1], uint8 divided by 255; needs no key.
    - "none": the values as they are, whatever they are (`as_they_are`): uint8 are counts; needs no key.

    For uint8 the probability is that of 16 random bits below round(65536 v / 255): exact at v = 0 and 255, within
    2^-17 of v / 255 elsewhere. For floats it is that of a 23-bit uniform number below the intensity.
    Raises ValueError for an unknown rule, TypeError for a dtype that is no image's and for a key that is missing.

    >>> import jax, numpy as np
    >>> images = np.full((1, 28, 28), 51, np.uint8)  # intensity 0.2
    >>> float(binarize(images, "dynamic", jax.random.key(0)).sum())
    164.0
    >>> float(binarize(images, "threshold").sum())
    0.0
    """
    check_rule(rule)
    if rule == "none":
        return as_they_are(images)
    if rule == "intensities":
        return intensities(images)
    if rule == "threshold":
        return (intensities(images) >= 0.5).astype(jnp.float32)
    if key is None:
        raise IwaxTypeError(
            f"Expected key to be a PRNG key for binarize={rule!r}; got None. Pass jax.random.key(seed)."
        )
    images, key = jnp.asarray(images), written_out(key)
    if images.dtype == jnp.uint8:
        bits = jax.random.bits(key, images.shape, jnp.uint16).astype(jnp.int32)
        return (bits < (images.astype(jnp.int32) * 65536 + 127) // 255).astype(jnp.float32)
    return (jax.random.uniform(key, images.shape, jnp.float32) < intensities(images).astype(jnp.float32)).astype(
        jnp.float32
    )


def rule_again(rule: str) -> str:
    """The rule of `binarize` by which examples that were binarised by `rule` stay as they are.

    >>> rule_again("threshold"), rule_again("intensities")
    ('fixed', 'intensities')
    """
    check_rule(rule)
    return rule if rule in ("intensities", "none") else "fixed"


def test_set_hash(images: PyTree) -> str:
    """SHA-256 of test images as evaluated: of the packed bits if all are 0 or 1, else of the values in float32.

    In float64 those of float64, as are evaluated under x64 only. Of a pytree of arrays: of the hashes of its leaves.
    """
    leaves = jax.tree.leaves(images)
    if len(leaves) != 1 or leaves[0] is not images:
        return hashlib.sha256("".join(map(test_set_hash, leaves)).encode()).hexdigest()
    values = np.asarray(images)
    values = values if values.dtype == np.float64 else values.astype(np.float32)
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    content = np.packbits(values.astype(bool).reshape(len(values), -1), axis=1) if binary else values
    return hashlib.sha256(np.ascontiguousarray(content).tobytes()).hexdigest()


test_set_hash.__test__ = False  # type: ignore[attr-defined]  # or pytest would collect it as a test
