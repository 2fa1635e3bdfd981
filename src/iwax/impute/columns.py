"""The columns of a table: of what kind each is, and how its values become the numbers of a model and back.

    kind         given z                 the model's number for a value v
    continuous   Student-t               (v - mean) / sd
    gaussian     normal                  (v - mean) / sd
    positive     log-normal              (log v - mean of log) / sd of log
    count        negative binomial       v
    poisson      Poisson                 v
    binary       Bernoulli               0 or 1, of two values in their order
    categorical  categorical             0, 1, ..., of the categories in their order

Means and standard deviations are those of the values that are observed in training, and of no others.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from iwax.checks import check_choice
from iwax.errors import IwaxError

__all__ = ["KINDS", "Column", "encode", "fit_columns", "is_missing"]

KINDS = ("continuous", "gaussian", "positive", "count", "poisson", "binary", "categorical")
STANDARDIZED = ("continuous", "gaussian", "positive")
COUNTS = ("count", "poisson")
CODED = ("binary", "categorical")
MOST_CATEGORIES = 50
LARGEST_LOG = float(np.log(np.finfo(np.float64).max))
LARGEST_COUNT = 10_000  # beyond it an integer is measured rather than counted


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table, as it was in training.

    Attributes:
        name: its name.
        kind: one of `KINDS`.
        shift, scale: mean and standard deviation of the observed values; of their logarithms for "positive", and of
            log(1 + v) for counts, where they serve the networks only.
        categories: of "binary" and "categorical", in their order.
    """

    name: str
    kind: str
    shift: float = 0.0
    scale: float = 1.0
    categories: tuple[Any, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers describe its mean: one, or a probability for each category."""
        return len(self.categories) if self.kind == "categorical" else 1

    def encode(self, values: np.ndarray) -> Float[np.ndarray, " rows"]:
        """The model's numbers for values (rows,), NaN where they are missing.

        Raises:
            IwaxError: values that its kind does not have, such as a category that training did not.
        """
        missing = is_missing(values)
        if self.kind in CODED:
            return self._codes(values, missing)
        numbers = _numbers(self.name, values, missing)
        _check_kind(self.name, self.kind, numbers[~missing])
        if self.kind in COUNTS:
            return numbers
        return ((np.log(numbers) if self.kind == "positive" else numbers) - self.shift) / self.scale

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """Values from the model's numbers, of any shape; codes are rounded."""
        if self.kind in CODED:
            return np.array(self.categories, object)[np.asarray(np.rint(numbers), int)]
        if self.kind in COUNTS:
            return np.asarray(numbers, np.float64)
        values = np.asarray(numbers, np.float64) * self.scale + self.shift
        return np.exp(np.minimum(values, LARGEST_LOG)) if self.kind == "positive" else values

    def log_jacobian(self, numbers: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """log |d number / d value| in nats, which turns a density of numbers into one of values."""
        if self.kind == "positive":
            return -np.log(self.scale) - (numbers * self.scale + self.shift)
        return np.full(len(numbers), -np.log(self.scale) if self.kind in STANDARDIZED else 0.0)

    def _codes(self, values: np.ndarray, missing: np.ndarray) -> Float[np.ndarray, " rows"]:
        code = {category: i for i, category in enumerate(self.categories)}
        numbers = np.full(len(values), np.nan)
        for row in np.flatnonzero(~missing):
            if values[row] not in code:
                known = ", ".join(map(repr, self.categories[:6])) + (", ..." if len(self.categories) > 6 else "")
                raise IwaxError(
                    f"Expected values of column {self.name!r} to be among those of training, {known}; got "
                    f"{_plain(values[row])!r} in row {row}. Make it missing, or train on a table that has it."
                )
            numbers[row] = code[values[row]]
        return numbers


def _plain(value: Any) -> Any:
    """A number of NumPy as Python has it, for messages."""
    return value.item() if isinstance(value, np.generic) else value


def is_missing(values: np.ndarray) -> Bool[np.ndarray, " rows"]:
    """Where values (rows,) are None or NaN."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), bool)
    return np.array([value is None or (isinstance(value, float | np.floating) and value != value) for value in values])


def fit_columns(
    names: Sequence[str], table: Sequence[np.ndarray], kinds: str | Mapping[str, str] | None = None
) -> tuple[Column, ...]:
    """The columns of a table: their kinds, as given or as their values suggest, and their statistics.

    Arguments:
        names: of the columns.
        table: one array (rows,) each: floats with NaN, or objects with None or NaN where nothing is known.
        kinds: one of `KINDS` for all columns, or for some by name; others are inferred.

    Raises:
        IwaxError: a column of which nothing is known, that is constant, or that is not of its kind.
    """
    if isinstance(kinds, str):
        kinds = dict.fromkeys(names, kinds)
    kinds = dict(kinds or {})
    if unknown := [name for name in kinds if name not in names]:
        raise IwaxError(f"Expected kinds for columns of the table, {', '.join(names)}; got {unknown[0]!r}.")
    for kind in kinds.values():
        check_choice("kinds", kind, KINDS)
    return tuple(_fit(name, values, kinds.get(name)) for name, values in zip(names, table, strict=True))


def encode(
    columns: Sequence[Column], table: Sequence[np.ndarray]
) -> dict[str, Float[np.ndarray, "rows columns"] | Bool[np.ndarray, "rows columns"]]:
    """{"values", "mask"}, both (rows, columns): the model's x. Values are float32, and 0 where the mask is false."""
    numbers = np.stack([column.encode(values) for column, values in zip(columns, table, strict=True)], axis=1)
    mask = ~np.isnan(numbers)
    with np.errstate(over="ignore"):  # what is beyond float32 is infinite, and has no density
        return {"values": np.where(mask, numbers, 0).astype(np.float32), "mask": mask}


def _fit(name: str, values: np.ndarray, kind: str | None) -> Column:
    missing = is_missing(values)
    known = values[~missing]
    if not len(known):
        raise IwaxError(f"Expected column {name!r} to hold a value; got none, all are missing. Drop it.")
    if values.dtype.kind == "f" and np.isinf(known).any():
        raise IwaxError(f"Expected column {name!r} to be finite or NaN; got an infinity. Make it missing, or clip it.")
    kind = kind or _inferred(name, known)
    if kind in CODED:
        return _coded(name, kind, known)
    numbers = _numbers(name, values, missing)[~missing]
    _check_kind(name, kind, numbers)
    if numbers.min() == numbers.max():
        raise IwaxError(f"Expected column {name!r} to hold at least two values; got only {numbers[0]:g}. Drop it.")
    scaled = np.log1p(numbers) if kind in COUNTS else np.log(numbers) if kind == "positive" else numbers
    with np.errstate(over="ignore"):
        shift, scale = float(scaled.mean()), float(scaled.std()) or 1.0
    if not np.isfinite([shift, scale]).all():
        raise IwaxError(f"Expected column {name!r} to have a finite variance; got {numbers.max():g}. Rescale it.")
    return Column(name, kind, shift, scale)


def _inferred(name: str, known: np.ndarray) -> str:
    """The kind that the values of a column suggest."""
    if known.dtype.kind not in "fiu":
        return "binary" if len({*known.tolist()}) == 2 else "categorical"
    numbers = known.astype(np.float64)
    whole = bool((numbers == np.rint(numbers)).all())
    if len(np.unique(numbers)) == 2 and whole:
        return "binary"
    if whole and numbers.min() >= 0 and numbers.max() <= LARGEST_COUNT:
        return "count"
    if numbers.min() > 0 and numbers.max() > 20 * np.median(numbers) and _skewness(numbers) > 2:
        return "positive"
    return "continuous"


def _skewness(numbers: np.ndarray) -> float:
    centred = numbers - numbers.mean()
    return float(np.mean(centred**3) / (np.mean(centred**2) ** 1.5))


def _coded(name: str, kind: str, known: np.ndarray) -> Column:
    values = {*known.tolist()}
    if len({type(value) for value in values} - {int, float, bool}) > 1 or _mixes_numbers_with_text(values):
        types = ", ".join(sorted({type(value).__name__ for value in values}))
        raise IwaxError(
            f"Expected column {name!r} to hold values of one type; got {types}. "
            "Convert them, or make what is no value missing."
        )
    categories = tuple(sorted(values))
    if len(categories) < 2:
        raise IwaxError(f"Expected column {name!r} to hold at least two values; got only {categories[0]!r}. Drop it.")
    if kind == "binary" and len(categories) > 2:
        raise IwaxError(f"Expected column {name!r} to hold two values for kind 'binary'; got {len(categories)}.")
    if len(categories) > MOST_CATEGORIES:
        raise IwaxError(
            f"Expected column {name!r} to hold at most {MOST_CATEGORIES} categories; got {len(categories)}. Drop it if "
            "it names the rows, or join the rare ones."
        )
    return Column(name, kind, categories=categories)


def _mixes_numbers_with_text(values: set) -> bool:
    texts = sum(isinstance(value, str) for value in values)
    return 0 < texts < len(values)


def _numbers(name: str, values: np.ndarray, missing: np.ndarray) -> Float[np.ndarray, " rows"]:
    """Values as float64, NaN where they are missing."""
    if values.dtype.kind in "fiu":
        return values.astype(np.float64)
    numbers = np.full(len(values), np.nan)
    try:
        numbers[~missing] = values[~missing].astype(np.float64)
    except (TypeError, ValueError):
        wrong = next(value for value in values[~missing] if isinstance(value, str) or not np.isscalar(value))
        raise IwaxError(
            f"Expected column {name!r} to hold numbers, as it did in training or as its kind has it; got {wrong!r}."
        ) from None
    return numbers


def _check_kind(name: str, kind: str, known: np.ndarray) -> None:
    if np.isinf(known).any():
        raise IwaxError(f"Expected column {name!r} to be finite or NaN; got an infinity. Make it missing, or clip it.")
    wrong = np.zeros(len(known), bool)
    if kind == "positive":
        wrong = known <= 0
    elif kind in COUNTS:
        wrong = (known < 0) | (known != np.rint(known))
    if wrong.any():
        what = "positive numbers" if kind == "positive" else "integers from 0 on"
        raise IwaxError(
            f"Expected column {name!r} of kind {kind!r} to hold {what}; got {known[wrong][0]:g}. Choose another kind, "
            "such as 'continuous'."
        )
