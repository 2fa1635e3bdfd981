"""Examples held by other libraries: Hugging Face data sets and PyTorch's. Neither library is imported."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from iwax.data.checks import check_mask
from iwax.data.pictures import channels_last, is_picture, pixels_of, stacked
from iwax.errors import IwaxError, IwaxTypeError

IMAGE_COLUMNS = ("image", "img", "pixel_values", "x", "data", "features")


def as_array(data: Any, column: str | None = None) -> np.ndarray:
    """The examples of `data` as one array (N, height, width), (N, height, width, channels) or (N, D).

    - An array, of any library, stays as it is; only its byte order becomes the machine's. Of a memory map nothing is
      read.
    - A Hugging Face data set (it has `column_names`): `column`, or the first of image, img, pixel_values, x, data and
      features that it has, or its only column.
    - A PyTorch data set (it has `__len__` and `__getitem__`): its items, or the first part of each if they are tuples,
      as (image, label) is.

    Images of PIL become uint8: upright, in colour if one of them has it, transparent parts white, a palette's indices
    its colours. Of examples with three axes the channels become the last, as PyTorch has them first; a single channel
    is dropped. Raises TypeError for anything else, a tuple among it, which might be examples and their mask; ValueError
    for no examples, for masked values, for examples of different shapes, and for no such column.

    >>> as_array([(np.zeros((1, 28, 28)), 7), (np.ones((1, 28, 28)), 3)]).shape
    (2, 28, 28)
    """
    if not hasattr(data, "column_names") and (hasattr(data, "__array__") or hasattr(data, "__array_interface__")):
        return _array(data)
    found = [(_example(item), is_picture(item)) for item in _items(data, column)]
    if not found:
        raise IwaxError("Expected data to hold at least one example; got none.")
    examples = [example for example, _ in found]
    if all(of_picture for _, of_picture in found):
        _check_one_shape({example.shape[:2] for example in examples})
        return stacked(examples, any(example.ndim == 3 for example in examples))
    _check_one_shape({example.shape for example in examples})
    array = np.stack(examples)
    if array.dtype.kind not in "biuf":
        raise IwaxTypeError(f"Expected examples that are numbers; got dtype {array.dtype}. Choose another column.")
    return channels_last(array.astype(array.dtype.newbyteorder("="), copy=False))


def as_numpy(values: Any) -> np.ndarray:
    """An array of any library as NumPy's, without a copy where that can be; of PyTorch its numbers, without gradient.

    bfloat16 stays it, by the type that JAX has for it.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    if isinstance(values, np.ndarray | jax.Array) or not hasattr(values, "__dlpack__"):
        return np.asarray(values)
    try:
        return np.from_dlpack(values)
    except (BufferError, RuntimeError):  # on a device, or of a type that NumPy lacks
        return np.asarray(jnp.from_dlpack(values))


def numbers_of(values: Any) -> np.ndarray:
    """The same of examples: bfloat16 is widened to float32, which has all of its numbers."""
    array = as_numpy(values)
    return array.astype(np.float32) if array.dtype == jnp.bfloat16 else array


def _items(data: Any, column: str | None) -> Any:
    """The examples one by one, without what is beside them."""
    if hasattr(data, "column_names"):
        if isinstance(data.column_names, dict):
            halves = list(data.column_names)
            raise IwaxError(f"Expected one split of a data set; got {', '.join(halves)}. Give data[{halves[0]!r}].")
        return data[_column(list(data.column_names), column)]
    if isinstance(data, tuple):
        raise IwaxTypeError(
            f"Expected data to be one array or data set; got a tuple of {len(data)}, such as examples and their mask "
            "or labels. Give the examples alone; a mask belongs to a model of your own, trained with iwax.loss."
        )
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, str | bytes | dict):
        return (_first(data[i]) for i in range(len(data)))
    if isinstance(data, str | os.PathLike):
        raise IwaxTypeError(
            f"Expected data to be a Dataset, an array, or a data set of Hugging Face or PyTorch; got "
            f"{type(data).__name__}. Load what it names: iwax.data.load({os.fspath(data)!r})."
        )
    raise IwaxTypeError(
        f"Expected data to be a Dataset, an array, or a data set of Hugging Face or PyTorch; got "
        f"{type(data).__name__}. What can only be iterated over, make a list of first."
    )


def _check_one_shape(shapes: set[tuple[int, ...]]) -> None:
    if len(shapes) > 1:
        first, second, *_ = sorted(shapes)
        raise IwaxError(f"Expected examples of one shape; got {first} and {second}. Resize them.")


def _array(data: Any) -> np.ndarray:
    """An array of any library as numpy has it, once nothing of it would be lost."""
    check_mask(data, "data")
    array = numbers_of(data)
    if array.ndim and not array.size:
        raise IwaxError(f"Expected data to hold at least one example; got shape {array.shape}. Check where it is from.")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _example(item: Any) -> np.ndarray:
    """One example as an array; a picture of more than 8 bits by its numbers."""
    check_mask(item, "data")
    if is_picture(item):
        return np.asarray(item) if item.mode[0] in "IF" else pixels_of(item)[0]
    try:
        return numbers_of(item)
    except (ValueError, TypeError, RuntimeError) as error:  # of a list of unlike parts
        parts = ", ".join(type(part).__name__ for part in item) if isinstance(item, list) else type(item).__name__
        raise IwaxTypeError(
            f"Expected each example to be one array of numbers; got {parts}. Give examples alone, or tuples that have "
            "them first, as (image, label)."
        ) from error


def _column(names: list[str], column: str | None) -> str:
    chosen = [name for name in ([column] if column else IMAGE_COLUMNS) if name in names]
    if not chosen and column is None and len(names) == 1:
        chosen = names
    if not chosen:
        raise IwaxError(
            f"Expected a column {column or 'of ' + ', '.join(IMAGE_COLUMNS)}; got {', '.join(names)}. "
            "Choose one by iwax.data.as_array(data, column=...)."
        )
    return chosen[0]


def _first(item: Any) -> Any:
    return item[0] if isinstance(item, tuple) and item else item
