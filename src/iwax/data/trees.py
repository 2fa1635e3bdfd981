"""Examples as a pytree of arrays: x with a mask, x with labels, several views. Every leaf has the examples first."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from iwax.data.adapters import as_array, numbers_of
from iwax.data.checks import check_images, check_mask, check_rule
from iwax.errors import IwaxError, IwaxTypeError

__all__ = ["as_examples", "check_examples", "is_tree", "num_examples"]


def is_tree(data: Any) -> bool:
    """Whether `data` is several arrays in one value: a dictionary, or a registered class such as an equinox Module.

    Lists are examples, and plain tuples are refused by `as_array`, since (examples, labels) is how others hand over
    what a model is not to see; name the parts, `{"values": x, "mask": mask}`.
    """
    if hasattr(data, "column_names") or (isinstance(data, list | tuple) and not hasattr(data, "_fields")):
        return False
    leaves = jax.tree.leaves(data)
    return not (len(leaves) == 1 and leaves[0] is data)


def as_examples(data: Any) -> Any:
    """One array as `as_array` has it, or a pytree of them (N, *event) as NumPy's."""
    if not is_tree(data):
        return as_array(data)
    if not jax.tree.leaves(data):
        raise IwaxError(f"Expected data to hold at least one array; got {data!r}.")
    return jax.tree.map(_leaf, data)


def num_examples(data: Any) -> int:
    """N, of an array or a pytree of arrays (N, *event)."""
    return len(jax.tree.leaves(data)[0])


def check_examples(data: Any, rule: str, name: str = "examples") -> None:
    """Raise ValueError or TypeError unless `data` can be trained on under `rule`: an array, or a pytree of arrays.

    The leaves of a pytree reach the model as they are (masks stay truth values, labels integers), so that `rule` must
    be "none"; each has the same N >= 1 examples, and floats are finite.
    """
    if not is_tree(data):
        return check_images(data, rule, name)
    check_rule(rule)
    if rule != "none":
        raise IwaxError(
            f"Expected binarize to be 'none' for a pytree of arrays, which reaches the model as it is; got {rule!r}. "
            "Binarise what is grey yourself."
        )
    leaves = jax.tree_util.tree_flatten_with_path(data)[0]
    sizes = {jax.tree_util.keystr(path): leaf.shape[0] for path, leaf in leaves}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise IwaxError(
            f"Expected every array of {name} to hold the same number of examples, at least one; got "
            f"{', '.join(f'{size} in {path}' for path, size in sizes.items())}."
        )
    for path, leaf in leaves:
        if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
            raise IwaxError(
                f"Expected {name}{jax.tree_util.keystr(path)} to be finite; got "
                f"{int(np.sum(~np.isfinite(leaf)))} NaN or infinite values. Fill what is missing, and say so in a mask."
            )


def _leaf(leaf: Any) -> np.ndarray:
    check_mask(leaf)
    array = numbers_of(leaf)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise IwaxTypeError(
            f"Expected every leaf of the data to be an array of numbers (N, ...); got {type(leaf).__name__} of shape "
            f"{array.shape} and type {array.dtype}."
        )
    return array
