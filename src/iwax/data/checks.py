"""The checks that arrays and binarisation rules must pass before anything is trained on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from iwax.checks import check_choice
from iwax.errors import IwaxError, IwaxTypeError

BINARIZATIONS = ("dynamic", "fixed", "threshold", "intensities", "none")
REAL = ("intensities", "none")  # those after which values need not be 0 and 1
SHAPES = "(N, height, width), (N, height, width, channels) or (N, D)"
EXACT = 2**24  # up to which float32 has every integer
ROUNDED = 0.01  # of their range, by how much values may be rounded
NOISE = 1e-12  # of their size, below which the differences of float64 are its own rounding


def check_rule(rule: str) -> None:
    """Raise ValueError unless `rule` is one of BINARIZATIONS."""
    check_choice("binarize", rule, BINARIZATIONS)


def check_images(array: np.ndarray, rule: str, name: str = "examples") -> None:
    """Raise ValueError or TypeError unless `array` can be trained on under `rule`.

    (N, height, width), (N, height, width, channels) or (N, D) with N >= 1, of uint8, bool or float, and under "none" of
    any integers; floats finite, and within [0, 1] unless `rule` is "none"; uint8 from 0 to 255 unless it is, and not
    from 0 to 1.
    """
    check_rule(rule)
    check_mask(array, name)
    array = np.asarray(array)
    floating = np.issubdtype(array.dtype, np.floating)
    if array.ndim == 1 and array.dtype.kind in "biu" and array.size:
        raise IwaxError(
            f"Expected {name} of shape {SHAPES}; got {array.shape}: one integer for each example, from "
            f"{int(array.min())} to {int(array.max())}, as labels are. Give the examples themselves."
        )
    if not (array.dtype in (np.uint8, np.bool_) or floating or (rule == "none" and array.dtype.kind in "iu")):
        advice = "Convert with .astype(float)."
        if array.dtype.kind in "iu":
            advice = (
                "Divide by the largest possible value (of 16 bits 65535) for intensities, as .astype(uint8) would wrap "
                "around; of counts pass binarize='none' (--binarize none)."
            )
        raise IwaxTypeError(
            f"Expected {name} of dtype uint8, bool or float{' or integers' if rule == 'none' else ''}; got "
            f"{array.dtype}. {advice}"
        )
    if array.ndim not in (2, 3, 4):
        raise IwaxError(f"Expected {name} of shape {SHAPES}; got {array.shape}. Reshape them.")
    if array.size == 0:
        raise IwaxError(f"Expected {name} to hold at least one example; got shape {array.shape}. Check the file.")
    if floating:
        _check_values(array, rule, name)
    elif array.dtype.kind in "iu":
        _check_integers(array, rule, name)


def check_varied(array: np.ndarray, name: str = "examples") -> None:
    """Raise ValueError for several examples (N, ...) all of whose numbers are the same: blank images, say."""
    first = array.flat[0]
    if len(array) > 1 and (array[0] == first).all() and all((example == first).all() for example in array):
        raise IwaxError(
            f"Expected {name} to differ somewhere; got {len(array)} examples of shape {array.shape[1:]}, every value "
            f"of them {first}. Check how they were made."
        )


def check_precision(array: np.ndarray, name: str = "examples") -> None:
    """Raise ValueError where float32, in which JAX computes, would round away by what float64 values differ.

    Values such as 1.7e9, 1.7e9 + 1, ... (seconds since 1970) would be one and the same. Of vectors each column is
    looked at by itself. Nothing is refused where JAX computes in float64.
    """
    if array.dtype.kind != "f" or array.dtype.itemsize < 8 or is_x64():
        return
    axis = 0 if array.ndim == 2 else None
    with np.errstate(over="ignore"):
        error = np.atleast_1d(np.abs(array - array.astype(np.float32)).max(axis=axis))
    low, high = np.atleast_1d(array.min(axis=axis)), np.atleast_1d(array.max(axis=axis))
    lost = (error > ROUNDED * (high - low)) & (high - low > NOISE * np.maximum(np.abs(low), np.abs(high)))
    if lost.any():
        i = int(lost.argmax())
        column = f" in column {i} (from 0)" if axis == 0 else ""
        raise IwaxError(
            f"Expected {name} to differ by what float32 can tell, in which JAX computes; got values from {low[i]:.10g} "
            f"to {high[i]:.10g}{column}, rounded by up to {error[i]:.2g}. Subtract an offset, or rescale them."
        )


def is_x64() -> bool:
    """Whether JAX computes in double precision; imported here, as listing data sets does not wait for it."""
    import jax

    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


def check_mask(array: Any, name: str = "examples") -> None:
    """Raise ValueError for a masked array with masked values, since no conversion keeps its mask."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise IwaxError(
            f"Expected {name} without masked values; got {np.ma.count_masked(array)}, whose mask would be lost. "
            "Fill them, or hand values and mask to a model of your own with iwax.loss."
        )


def check_stored(array: np.ndarray, rule: str, name: str = "examples") -> None:
    """Raise ValueError for grey images of a `Dataset`, which has uint8 for them, under "none", which has it for counts.

    What they were taken for before this was said, v / 255, is now "intensities".
    """
    if rule == "none" and np.asarray(array).dtype == np.uint8:
        raise IwaxError(
            f"Expected binarize to be 'intensities' (v / 255) for {name} of grey values (uint8); got 'none', which "
            "leaves values as they are. Pass 'intensities', or counts in another integer type."
        )


def check_likelihood(real_valued: bool | None, array: np.ndarray, rule: str, name: str = "examples") -> None:
    """Raise ValueError unless a likelihood is one of what `rule` makes of `array`.

    A density of real values is none of black and white, nor the other way round. `real_valued` is None where nothing is
    known of the likelihood, and then nothing is refused.
    """
    check_rule(rule)
    if real_valued and rule not in REAL:
        raise IwaxError(
            f"Expected binarize to be one of {', '.join(REAL)} for a likelihood of real values, such as a Gaussian; "
            f"got {rule!r}, which makes {name} 0 and 1. Pass 'none' (as they are) or 'intensities' (grey values / 255)."
        )
    if real_valued is False and rule in REAL:
        array = np.asarray(array)
        high = 255 if rule == "intensities" and array.dtype == np.uint8 else 1
        other = array[(array != 0) & (array != high)]
        if other.size:
            raise IwaxError(
                f"Expected {name} of 0 and 1 for a likelihood of black and white (Bernoulli) and binarize={rule!r}; "
                f"got {other[0] / high:g}. Binarise them ('dynamic', 'fixed' or 'threshold'), or choose a Gaussian "
                "(--likelihood gaussian)."
            )


def _check_values(array: np.ndarray, rule: str, name: str) -> None:
    low, high = float(array.min()), float(array.max())  # NaN if there is one
    if not np.isfinite([low, high]).all():
        wrong = np.argwhere(~np.isfinite(array))
        raise IwaxError(
            f"Expected {name} to be finite; got {len(wrong)} NaN or infinite values, the first at {wrong[0].tolist()}. "
            "Remove or replace them; iwax impute fills those of a table."
        )
    if rule != "none" and (low < 0 or high > 1):
        raise IwaxError(
            f"Expected {name} in [0, 1] for binarize={rule!r}; got [{low:g}, {high:g}]. "
            "Rescale them; or, of real values, pass binarize='none' with a Gaussian likelihood (--binarize none "
            "--likelihood gaussian)."
        )


def _check_integers(array: np.ndarray, rule: str, name: str) -> None:
    low, high = int(array.min()), int(array.max())
    if rule == "none" and max(-low, high) > EXACT:
        raise IwaxError(
            f"Expected {name} of integers up to 2^24, as float32 has them; got {max(-low, high)}. Rescale them."
        )
    if rule != "none" and high == 1:
        raise IwaxError(
            f"Expected {name} of uint8 from 0 to 255 for binarize={rule!r}; got 0 and 1 only, which would be all but "
            "black. Pass binarize='none' (--binarize none), which takes them as they are."
        )
