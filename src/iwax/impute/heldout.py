"""How wrong are imputations? Observed values are hidden from training, imputed, and compared."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from iwax.checks import is_number
from iwax.errors import IwaxError
from iwax.impute.columns import CODED
from iwax.impute.fitting import FittedTable, Table, observed, without
from iwax.keys import stream

__all__ = ["ColumnError", "hide", "measure"]

MOST_ROWS = 2000  # with a hidden value that are imputed to measure errors


@dataclasses.dataclass(frozen=True)
class ColumnError:
    """The error of imputing the hidden values of one column.

    Attributes:
        name, kind: of the column.
        count: how many values were hidden and imputed.
        error: root-mean-square error in standard deviations of the column's observed values; for "binary" and
            "categorical" the fraction that is wrong.
        se: its standard error over the hidden values.
        baseline: the error of the mean of the column, or of its most frequent value.
        coverage: fraction of the hidden values within the 90 % interval; NaN for "binary" and "categorical".
        truth, imputed: the hidden values and what was imputed for them.
    """

    name: str
    kind: str
    count: int
    error: float
    se: float
    baseline: float
    coverage: float
    truth: np.ndarray
    imputed: np.ndarray


def hide(table: Table, fraction: float, key: PRNGKeyArray) -> np.ndarray:
    """Which observed values to hide, (rows, columns): each with probability `fraction`.

    In each column at least two values stay, and all that are the only one of their category.
    """
    if not (is_number(fraction) and 0 <= fraction < 1):
        raise IwaxError(f"Expected held_out to be at least 0 and below 1; got {fraction!r}.")
    seen = observed(table)
    uniform = np.asarray(jax.random.uniform(stream(key, "held-out values"), seen.shape))
    hidden = seen & (uniform < fraction)
    for j, values in enumerate(table):
        kept = [value for value, is_kept in zip(values, seen[:, j] & ~hidden[:, j], strict=True) if is_kept]
        if len(set(kept)) < 2 or (values.dtype.kind == "O" and set(kept) != set(values[seen[:, j]])):
            hidden[:, j] = False
    return hidden


def measure(
    fitted: FittedTable,
    table: Table,
    hidden: np.ndarray,
    key: PRNGKeyArray,
    *,
    num_samples: int = 1000,
    on_batch: Callable[[int], None] | None = None,
) -> list[ColumnError]:
    """The errors of imputing what was hidden, column by column, where something was; over at most 2,000 rows.

    Arguments:
        fitted: a model that was trained without the hidden values.
        table: with them.
        hidden: (rows, columns), as `hide` chose.
        key, num_samples, on_batch: as for `FittedTable.impute`.
    """
    rows = np.flatnonzero(hidden.any(axis=1))[:MOST_ROWS]
    if not len(rows):
        return []
    hidden_rows = hidden[rows]
    shown = [without(values[rows], hidden_rows[:, j]) for j, values in enumerate(table)]
    found = fitted.impute(shown, key, num_samples=num_samples, on_batch=on_batch)
    errors = []
    for j, column in enumerate(fitted.columns):
        own = hidden_rows[:, j]
        if own.any():
            kept = table[j][observed(table)[:, j] & ~hidden[:, j]]
            ends = found.lower[j][own], found.upper[j][own]
            errors.append(_error(column, table[j][rows][own], found.completed[j][own], ends, kept))
    return errors


def _error(
    column: Any, truth: np.ndarray, imputed: np.ndarray, ends: Sequence[np.ndarray], kept: np.ndarray
) -> ColumnError:
    if column.kind in CODED:
        values, counts = np.unique(kept.astype(str), return_counts=True)
        wrong = (truth.astype(str) != imputed.astype(str)).astype(float)
        baseline, coverage = float(np.mean(truth.astype(str) != values[counts.argmax()])), float("nan")
        error, se = float(wrong.mean()), float(wrong.std() / len(wrong) ** 0.5)
    else:
        truth, imputed, kept = (np.asarray(values, np.float64) for values in (truth, imputed, kept))
        squares, sd = (truth - imputed) ** 2, kept.std()
        error = float(np.sqrt(squares.mean()) / sd)
        se = float(squares.std() / len(squares) ** 0.5 / (2 * max(np.sqrt(squares.mean()), 1e-300)) / sd)
        baseline = float(np.sqrt(np.mean((truth - kept.mean()) ** 2)) / sd)
        coverage = float(np.mean((ends[0].astype(np.float64) <= truth) & (truth <= ends[1].astype(np.float64))))
    return ColumnError(column.name, column.kind, len(truth), error, se, baseline, coverage, truth, imputed)
