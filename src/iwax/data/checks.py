"""The checks that arrays and binarisation rules must pass before anything is trained on them."""

from __future__ import annotations

import difflib

import numpy as np

BINARIZATIONS = ("dynamic", "fixed", "threshold", "none")


def check_rule(rule: str) -> None:
    """Raise ValueError unless `rule` is one of BINARIZATIONS."""
    if rule not in BINARIZATIONS:
        near = difflib.get_close_matches(str(rule), BINARIZATIONS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Choose one of these."
        raise ValueError(f"Expected binarize to be one of {', '.join(BINARIZATIONS)}; got {rule!r}. {hint}")


def check_images(array: np.ndarray, rule: str, name: str = "images") -> None:
    """Raise ValueError or TypeError unless `array` can be trained on under `rule`.

    (N, height, width) or (N, D) with N >= 1, of uint8, bool or float; floats finite, and within [0, 1] unless
    `rule` is "none".
    """
    check_rule(rule)
    array = np.asarray(array)
    if not (array.dtype in (np.uint8, np.bool_) or np.issubdtype(array.dtype, np.floating)):
        raise TypeError(f"Expected {name} of dtype uint8, bool or float; got {array.dtype}. Convert with .astype.")
    if array.ndim not in (2, 3):
        raise ValueError(f"Expected {name} of shape (N, height, width) or (N, D); got {array.shape}. Reshape them.")
    if array.size == 0:
        raise ValueError(f"Expected {name} to hold at least one example; got shape {array.shape}. Check the file.")
    if np.issubdtype(array.dtype, np.floating):
        _check_values(array, rule, name)


def _check_values(array: np.ndarray, rule: str, name: str) -> None:
    low, high = float(array.min()), float(array.max())  # NaN if there is one
    if not np.isfinite([low, high]).all():
        count = array.size - int(np.isfinite(array).sum())
        raise ValueError(f"Expected {name} to be finite; got {count} NaN or infinite values. Remove or replace them.")
    if rule != "none" and (low < 0 or high > 1):
        raise ValueError(
            f"Expected {name} in [0, 1] for binarize={rule!r}; got [{low:g}, {high:g}]. "
            "Rescale them, or pass binarize='none' for real-valued data with a Gaussian likelihood."
        )
