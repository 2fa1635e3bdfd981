"""Where bits per dimension mean something: for discrete data, of which p is a probability."""

import numpy as np

__all__ = ["is_discrete"]


def is_discrete(x: np.ndarray, stored: np.dtype | type, rule: str, real_valued: bool | None) -> bool:
    """Whether p(x) of examples is a probability, at most 1, so that -log p counts bits, whatever the units of x.

    A density changes with the units of x, may be negative in bits, and cannot be compared with a probability.

    Arguments:
        x: examples as they are judged.
        stored: their type before they were binarised.
        rule: by which they were.
        real_valued: whether p(x | z) is a density of real values; None where the model does not say, and then values
            of 0 and 1, or counts, are taken for discrete.

    >>> black_and_white = np.array([[0.0, 1.0]])
    >>> is_discrete(black_and_white, np.uint8, "fixed", False), is_discrete(black_and_white, np.uint8, "fixed", True)
    (True, False)
    """
    if real_valued:
        return False
    if rule == "none" and np.issubdtype(stored, np.integer):
        return True
    return bool(np.isin(x, (0.0, 1.0)).all())
