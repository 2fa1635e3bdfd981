"""Tables as others hold them, NumPy, pandas and Polars, as columns and back. None of these libraries is imported."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from iwax.errors import IwaxError, IwaxTypeError

__all__ = ["Frame", "filled_in"]

DATES = "Convert them to numbers, such as days since a day, or drop the column."


@dataclasses.dataclass(frozen=True)
class Frame:
    """The columns of a table, and what it came from.

    Attributes:
        names: of the columns, as text.
        table: one array (rows,) each: floats with NaN, or objects with None.
        source: what it came from.
    """

    names: list[str]
    table: list[np.ndarray]
    source: Any

    @classmethod
    def of(cls, data: Any, names: Sequence[str] | None = None) -> "Frame":
        """The columns of a two-dimensional array, or a data frame of pandas or Polars.

        Raises:
            IwaxError: a column of dates, or of what is neither a number nor text nor a truth value.
        """
        if hasattr(data, "collect"):
            raise IwaxTypeError(
                f"Expected a table to be an array (rows, columns) or a data frame of pandas or Polars; got a "
                f"{type(data).__name__}. Give what its collect() returns."
            )
        if hasattr(data, "columns") and hasattr(data, "__getitem__"):
            labels = list(data.columns)
            if repeated := next((label for i, label in enumerate(labels) if label in labels[:i]), None):
                raise IwaxError(f"Expected columns to have names of their own; got {repeated!r} twice. Rename one.")
            columns = [_of_series(str(label), data[label]) for label in labels]
            return cls([str(label) for label in labels], columns, data)
        if not hasattr(data, "__array__") or np.ndim(data) != 2:
            raise IwaxTypeError(
                f"Expected a table to be an array (rows, columns) or a data frame of pandas or Polars; got "
                f"{type(data).__name__} of {np.ndim(data)} dimensions."
            )
        array = np.asarray(data)
        names = list(names) if names is not None else [f"x{j}" for j in range(array.shape[1])]
        return cls(names, [_checked(name, array[:, j]) for j, name in enumerate(names)], array)

    def with_columns(self, table: Sequence[np.ndarray]) -> Any:
        """The same kind of table with other values; a column that has not changed stays what it was."""
        if hasattr(self.source, "iloc"):
            return self._as_pandas(table)
        if hasattr(self.source, "with_columns"):
            series = self.source.get_columns()
            new = [
                own if own.null_count() == 0 and not _has_nan(own) else _in_polars(own, values)
                for own, values in zip(series, table, strict=True)
            ]
            return self.source.with_columns(new)
        if self.source.dtype.kind == "f" and all(values.dtype.kind == "f" for values in table):
            return np.stack(table, axis=1).astype(self.source.dtype)
        if self.source.dtype.kind in "iub":
            return self.source.copy()  # which has nothing missing
        filled = np.empty(self.source.shape, object)
        for j, values in enumerate(table):
            filled[:, j] = values
        return filled

    def _as_pandas(self, table: Sequence[np.ndarray]) -> Any:
        new = self.source.copy()
        for j, values in enumerate(table):
            own = self.source.iloc[:, j]
            if own.isna().any():
                cells = filled_in(own.astype(object).tolist(), own.isna().to_numpy(), values)
                series = type(own)(cells, index=own.index, name=own.name)
                if series.isin(getattr(own.dtype, "categories", series)).all():  # else pandas makes the others NaN
                    with contextlib.suppress(TypeError, ValueError):  # such as means in a column of integers
                        series = series.astype(own.dtype)
                new[self.source.columns[j]] = series
        return new


def filled_in(cells: Sequence[Any], missing: np.ndarray, values: np.ndarray) -> list[Any]:
    """Cells as they were, as no float holds large integers, and values in place of those that are missing.

    Integers stay integers if what is imputed are whole numbers; else all are floats.
    """
    new = values.tolist()
    known = [cell for cell, is_missing in zip(cells, missing, strict=True) if not is_missing]
    if known and all(type(cell) is int for cell in known):
        if not all(float(value).is_integer() for value, is_missing in zip(new, missing, strict=True) if is_missing):
            return [float(value) for value in new]
        new = [int(value) if is_missing else value for value, is_missing in zip(new, missing, strict=True)]
    return [value if is_missing else cell for cell, is_missing, value in zip(cells, missing, new, strict=True)]


def _in_polars(own: Any, values: np.ndarray) -> Any:
    """A column of Polars with other values, of the type that it had if that holds them, as integers hold no means."""
    missing = own.is_null() | own.is_nan() if _is_float(own) else own.is_null()
    new = type(own)(own.name, filled_in(own.to_list(), missing.to_numpy(), values), strict=False)
    try:
        same = new.cast(own.dtype)
    except Exception:  # of Polars, such as a category that it does not know
        return new
    return same if same.null_count() == 0 and (same.cast(new.dtype) == new).all() else new


def _of_series(name: str, series: Any) -> np.ndarray:
    """A column of pandas or Polars as floats with NaN, or objects with None."""
    kind = str(series.dtype).lower()
    if any(word in kind for word in ("date", "time", "duration", "period")):
        raise IwaxError(f"Expected column {name!r} to hold numbers, text or truth values; got {series.dtype}. {DATES}")
    if hasattr(series, "isna"):  # pandas
        missing = series.isna().to_numpy()
        values = series.astype(object).to_numpy(dtype=object, na_value=None)  # at once, categories become floats
    else:
        missing = series.is_null().to_numpy()
        values = np.array(series.to_list(), object)
    values = values.copy()
    values[missing] = None
    if series.dtype is not None and _is_numeric(kind):
        return np.array([np.nan if value is None else float(value) for value in values], np.float64)
    checked = _checked(name, values)
    return values if kind == "category" else checked  # of pandas; numbers that are categories are no counts


def _is_numeric(kind: str) -> bool:
    return kind.startswith(("int", "uint", "float", "decimal", "double"))


def _is_float(series: Any) -> bool:
    return str(series.dtype).lower().startswith("float")


def _has_nan(series: Any) -> bool:
    return _is_float(series) and bool(series.is_nan().any())


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    """A column of an array as floats with NaN, or objects with None."""
    if values.dtype.kind in "fiu":
        return values.astype(np.float64)
    if values.dtype.kind in "mM":
        raise IwaxError(f"Expected column {name!r} to hold numbers, text or truth values; got {values.dtype}. {DATES}")
    if values.dtype.kind == "b":
        return values.astype(object)
    plain = np.array([None if _is_nothing(value) else value for value in values.tolist()], object)
    known = [value for value in plain if value is not None]
    for value in known:
        if hasattr(value, "isoformat"):
            raise IwaxError(f"Expected column {name!r} to hold numbers, text or truth values; got {value!r}. {DATES}")
        if not isinstance(value, str | int | float | bool | np.generic):
            raise IwaxTypeError(
                f"Expected column {name!r} to hold numbers, text or truth values: an argument must be a string or a "
                f"number; got {type(value).__name__}."
            )
    if known and all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in known):
        return np.array([np.nan if value is None else float(value) for value in plain], np.float64)
    return plain


def _is_nothing(value: Any) -> bool:
    return (
        value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
    )
