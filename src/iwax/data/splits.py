"""A part of all examples for testing, drawn by a rule that is written down and never changes."""

from __future__ import annotations

import numpy as np

from iwax.errors import IwaxError

GIVEN = "given"
"""The split of data whose files hold training and test examples apart."""
DEFAULT_SPLIT = "test_fraction=0.1,seed=0"


def split_at_random(array: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray, str]:
    """(train, test, the rule in full) of an array (N, ...); both keep the array's order."""
    fraction, seed = _parse(rule)
    count = min(max(1, round(fraction * len(array))), len(array) - 1)
    if count < 1:
        raise IwaxError(f"Expected at least 2 examples to split; got {len(array)}. Give `train` and `test` yourself.")
    held_out = drawn_at_random(len(array), count, seed)
    return array[~held_out], array[held_out], f"test_fraction={fraction:g},seed={seed}"


def positions(rule: str, counts: dict[str, int], part: str) -> np.ndarray:
    """Where each example of a part stood: in all examples, if they were split by `rule`; else in the part itself.

    Arguments:
        rule: the split of a data set as it is written down, such as "test_fraction=0.1,seed=0" or "given".
        counts: of the examples of each part.
        part: "train", "validation" or "test".

    >>> positions("given", {"train": 3, "test": 2}, "test")
    array([0, 1])
    >>> whole = np.arange(20)
    >>> _, test, rule = split_at_random(whole, "test_fraction=0.2,seed=3")
    >>> bool((positions(rule, {"train": 16, "test": 4}, "test") == test).all())
    True
    """
    if not rule.startswith("test_fraction") or part == "validation":
        return np.arange(counts[part])
    train, test, _ = split_at_random(np.arange(counts["train"] + counts["test"]), rule)
    return test if part == "test" else train


def drawn_at_random(total: int, count: int, seed: int) -> np.ndarray:
    """True for `count` of `total` examples, drawn without replacement."""
    drawn = np.zeros(total, bool)
    # RandomState, because its stream is frozen for good and so the split is too.
    drawn[np.random.RandomState(seed).permutation(total)[:count]] = True
    return drawn


def _parse(rule: str) -> tuple[float, int]:
    given = dict(part.partition("=")[::2] for part in rule.split(","))
    values = {"test_fraction": "0.1", "seed": "0"} | given
    try:
        fraction, seed = float(values["test_fraction"]), int(values["seed"])
    except ValueError:
        fraction, seed = 0.0, 0
    if len(values) > 2 or not (0 < fraction < 1 and 0 <= seed < 2**32):
        raise IwaxError(
            f"Expected split of the form {DEFAULT_SPLIT!r}, fraction in (0, 1), seed in [0, 2^32); got {rule!r}. "
            "Leave it out for that default."
        )
    return fraction, seed
