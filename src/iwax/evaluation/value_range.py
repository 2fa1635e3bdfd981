"""The range of data: what SSIM is relative to, and what is black and what is white in a picture."""

import jax
import numpy as np

from iwax.data import Dataset
from iwax.errors import IwaxError
from iwax.evaluation.evaluate import test_examples

__all__ = ["range_of", "value_range"]


def value_range(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value of images: 0 and 1 where all lie between, else those that occur.

    Raises:
        ValueError: a single value that is not between 0 and 1, or one that is not finite.

    >>> value_range(np.array([0.25, 0.5])), value_range(np.array([-1.0, 0.5]))
    ((0.0, 1.0), (-1.0, 0.5))
    """
    low, high = float(np.min(values)), float(np.max(values))
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if not low < high < np.inf or low == -np.inf:
        raise IwaxError(f"Expected images with a range, finite values of which two differ; got {low:g} to {high:g}.")
    return low, high


def range_of(data: Dataset, rule: str) -> tuple[float, float]:
    """`value_range` of all test images as they are judged, binarised by `rule`: the same however many are looked at."""
    if rule != "none":
        return 0.0, 1.0
    return value_range(test_examples(data, rule, jax.random.key(0)))
