"""Intensities in [0, 1] to black and white, and the checks that images must pass before."""

from __future__ import annotations

import difflib
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

BINARIZATIONS = ("dynamic", "fixed", "threshold", "none")

_REMEDY = "Pass binarize='none' for real-valued data with a Gaussian likelihood"


def intensities(images: Shaped[Array | np.ndarray, "*batch"]) -> Float[Array, "*batch"]:
    """Images (...) as float32: uint8 divided by 255, bool as 0 and 1, floats as they are.

    Values are not looked at, so that it can be traced: `check_images` does that, once, outside.
    """
    images = jnp.asarray(images)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255
    if images.dtype == jnp.bool_ or jnp.issubdtype(images.dtype, jnp.floating):
        return images.astype(jnp.float32)
    raise TypeError(f"Expected images of dtype uint8, bool or float; got {images.dtype}. Convert them with .astype.")


def binarize(
    images: Shaped[Array | np.ndarray, "*batch"],
    rule: str,
    key: Array | None = None,
) -> Float[Array, "*batch"]:
    """Images (...) made black and white by `rule`, as float32 of the same shape; can be traced.

    - "dynamic": each pixel is 1 with probability its intensity; meant for a new key at each visit.
    - "fixed": the same draw; meant to be done once, with a key from the seed of the run.
    - "threshold": 1 where the intensity is at least 0.5; needs no key.
    - "none": the intensities; needs no key.

    For uint8 the probability is that of 16 random bits below round(65536 v / 255): exact at v = 0 and 255, within
    2^-17 of v / 255 elsewhere. For floats it is that of a 23-bit uniform number below the intensity.
    """
    check_rule(rule)
    if rule == "none":
        return intensities(images)
    if rule == "threshold":
        return (intensities(images) >= 0.5).astype(jnp.float32)
    if key is None:
        raise TypeError(f"Expected key to be a PRNG key for binarize={rule!r}; got None. Pass jax.random.key(seed).")
    images = jnp.asarray(images)
    if images.dtype == jnp.uint8:
        bits = jax.random.bits(key, images.shape, jnp.uint16).astype(jnp.int32)
        return (bits < (images.astype(jnp.int32) * 65536 + 127) // 255).astype(jnp.float32)
    return (jax.random.uniform(key, images.shape) < intensities(images)).astype(jnp.float32)


def check_rule(rule: str) -> None:
    """Raise ValueError unless `rule` is one of BINARIZATIONS."""
    if rule not in BINARIZATIONS:
        near = difflib.get_close_matches(str(rule), BINARIZATIONS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Choose one of these."
        raise ValueError(f"Expected binarize to be one of {', '.join(BINARIZATIONS)}; got {rule!r}. {hint}")


def check_images(array: np.ndarray, rule: str, name: str = "images") -> None:
    """Raise ValueError or TypeError unless `array` can be trained on under `rule`.

    (N, ...) with N >= 1, of uint8, bool or float; floats finite, and within [0, 1] unless `rule` is "none".
    """
    check_rule(rule)
    array = np.asarray(array)
    kind_ok = array.dtype == np.uint8 or array.dtype == np.bool_ or np.issubdtype(array.dtype, np.floating)
    if not kind_ok:
        raise TypeError(f"Expected {name} of dtype uint8, bool or float; got {array.dtype}. Convert with .astype.")
    if array.ndim < 2:
        raise ValueError(f"Expected {name} of shape (N, height, width) or (N, D); got {array.shape}. Reshape them.")
    if array.size == 0:
        raise ValueError(f"Expected {name} to hold at least one example; got shape {array.shape}. Check the file.")
    if not np.issubdtype(array.dtype, np.floating):
        return
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int(array.size - np.isfinite(array).sum())
        raise ValueError(f"Expected {name} to be finite; got {count} NaN or infinite values. Remove or replace them.")
    if rule != "none" and (low < 0 or high > 1):
        raise ValueError(f"Expected {name} in [0, 1] for binarize={rule!r}; got [{low:g}, {high:g}]. {_REMEDY}.")


def test_set_hash(images: np.ndarray | Array) -> str:
    """SHA-256 of test images as evaluated: of the packed bits if all are 0 or 1, else of the float32 values."""
    values = np.asarray(images, dtype=np.float32)
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    content = np.packbits(values.astype(bool).reshape(len(values), -1), axis=1) if binary else values
    return hashlib.sha256(np.ascontiguousarray(content).tobytes()).hexdigest()


test_set_hash.__test__ = False  # type: ignore[attr-defined]  # or pytest would collect it as a test
