"""Which test examples a finished run is judged on, so that all that judge it agree."""

import numpy as np

from iwax.checks import check_positive_integer
from iwax.data import Dataset
from iwax.errors import IwaxError
from iwax.evaluation.evaluate import test_examples
from iwax.keys import EvaluationKeys

__all__ = ["first_examples"]


def first_examples(
    data: Dataset,
    rule: str,
    *,
    seed: int,
    count: int | None,
    most: int | None = None,
    keys: type[EvaluationKeys] = EvaluationKeys,
) -> np.ndarray:
    """The first `count` test examples, (N, *event) float32, binarised as `iwax evaluate` does.

    Where None is asked for these are the first `most`, or all where there are fewer, or where that is None, too.

    The whole test set is binarised at once and then cut, so that an example is the same for every count.

    Raises:
        ValueError: more than there are.
    """
    x = test_examples(data, rule, keys.of_seed(seed).binarisation)
    if count is None:
        return x[:most]
    check_positive_integer("num_images", count)
    if count > len(x):
        raise IwaxError(f"Expected at most {len(x)} test images, all there are; got {count}.")
    return x[:count]
