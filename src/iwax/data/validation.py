"""Validation examples: some of those for training, drawn by a rule that never changes, or the part that files have."""

from __future__ import annotations

from typing import Any

import jax

from iwax.data.splits import drawn_at_random
from iwax.data.trees import num_examples
from iwax.errors import IwaxError

__all__ = ["VALIDATION_PART", "as_validation", "hold_out"]

VALIDATION_PART = "val"
"""What the validation part that files have is called where one chooses."""

FORM = f"a part of the training examples (0.1), a number of them (500), or '{VALIDATION_PART}', the data's own part"


def as_validation(text: str | int | float) -> str | int | float:
    """What a text says of validation: a part in (0, 1) as a float, a number as an integer, or `VALIDATION_PART`.

    >>> as_validation("0.1"), as_validation("500"), as_validation("val")
    (0.1, 500, 'val')
    """
    if text == VALIDATION_PART:
        return text
    try:
        value = int(text) if isinstance(text, str) and text.strip().isdigit() else float(text)
    except (TypeError, ValueError):
        value = 0
    if isinstance(text, int) and not isinstance(text, bool):
        value = text
    if isinstance(text, bool) or not (0 < value < 1 or (isinstance(value, int) and value >= 1)):
        raise IwaxError(f"Expected validation to be {FORM}; got {text!r}.")
    return value


def hold_out(examples: Any, wanted: int | float) -> tuple[Any, Any]:
    """(for training, for validation) of an array or a pytree of arrays (N, ...); both keep the order.

    The same examples whatever the seed of the run, so that runs that differ in it are judged on the same ones.

    Arguments:
        wanted: a part of the examples, in (0, 1), or a number of them.

    Raises:
        ValueError: none would be left to train on.
    """
    total = num_examples(examples)
    count = wanted if isinstance(wanted, int) else max(1, round(wanted * total))
    if count >= total:
        raise IwaxError(
            f"Expected validation to leave some of the {total} training examples; got {wanted!r}. Ask for fewer."
        )
    held_out = drawn_at_random(total, count, seed=0)
    return jax.tree.map(lambda leaf: leaf[~held_out], examples), jax.tree.map(lambda leaf: leaf[held_out], examples)
