"""A table in, a model of it out, and from that its missing values: what the estimator and the command share."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from iwax.checks import check_positive_integer, is_number
from iwax.data import hold_out
from iwax.errors import IwaxError
from iwax.impute.columns import CODED, COUNTS, Column, encode, fit_columns, is_missing
from iwax.impute.imputation import RowImputations, imputation_batches
from iwax.impute.model import TableModel
from iwax.impute.result import TableImputation
from iwax.impute.settings import Settings
from iwax.impute.widening import widening
from iwax.keys import stream
from iwax.objectives import IWAE
from iwax.training import fit

__all__ = ["MOST_TABLES", "FittedTable", "fit_table"]

MOST_TABLES = 10_000  # drawn at once, of all rows
INTERVAL_DRAWS = 200  # at least
BEYOND = 5  # draws on either side of an interval: what lies outside is counted by as many
Table = Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class FittedTable:
    """A trained model of a table."""

    columns: tuple[Column, ...]
    model: TableModel
    records: list[dict[str, Any]]
    """Of the epochs of training; where rows were held out, of the first one, which chose how long the second is."""
    selected: dict[str, Any] | None = None
    """The record of the epoch that gave rows held out the highest bound, as long as which all rows were trained on."""
    wider: float = 0.0
    """What those rows added to the spreads, as `TableModel.widened` has it."""

    def impute(
        self,
        table: Table,
        key: PRNGKeyArray,
        *,
        num_samples: int = 1000,
        multiple: int = 0,
        level: float = 0.9,
        on_batch: Callable[[int], None] | None = None,
    ) -> TableImputation:
        """The missing values of a table with the same columns.

        Arguments:
            table: one array (rows,) a column, as for `fit_table`.
            key: seed of everything that is drawn.
            num_samples: k importance samples for each row.
            multiple: how many completed tables to draw.
            level: probability between `lower` and `upper`, at most 0.999: quantiles of 200 draws, and above 0.95 of as
                many more as leave five beyond each, 10,000 for 0.999.
            on_batch: called with the number of rows done, now and then.

        Raises:
            IwaxError: a level that no interval of draws has, values that a column does not have, or that are so far
                from those of training that no sample has a density.
        """
        check_positive_integer("multiple", multiple, least=0, most=MOST_TABLES)
        if not (is_number(level) and 0 < level < 1):
            raise IwaxError(f"Expected level to lie between 0 and 1; got {level!r}.")
        needed = math.ceil(2 * BEYOND / (1 - level) - 1e-6)  # rounding of 1 - level
        if needed > MOST_TABLES:
            raise IwaxError(
                f"Expected level to be at most {1 - 2 * BEYOND / MOST_TABLES:g}, of which {MOST_TABLES:,} draws leave "
                f"{BEYOND} on either side; got {level!r}, which needs {needed:,}. Choose a lower one."
            )
        x = encode(self.columns, table)
        draws = max(multiple, INTERVAL_DRAWS, needed)
        parts = []
        for rows, found in imputation_batches(
            self.model, x, key, num_samples=num_samples, num_draws=draws, on_batch=on_batch
        ):
            own = {name: leaf[rows] for name, leaf in x.items()}
            self._check_density(table, own, found, rows.start)
            parts.append(self._in_values([values[rows] for values in table], own, found, multiple, level))
        return TableImputation.joined(parts)

    def _check_density(self, table: Table, x: dict[str, np.ndarray], found: RowImputations, start: int) -> None:
        """Raises IwaxError for a row with missing values of whose samples none has a density: nothing weighs them."""
        without_one = ~np.isfinite(found.log_likelihood) & ~x["mask"].all(axis=1)
        for row in np.flatnonzero(without_one):
            j = int(np.abs(x["values"][row]).argmax())
            raise IwaxError(
                f"Expected what row {start + row} shows to have a density under the model; got none, with "
                f"{table[j][start + row]} in column {self.columns[j].name!r}. Make it missing if it is wrong, or train "
                "on a table that has such values."
            )

    def _in_values(
        self, table: Table, x: dict[str, np.ndarray], found: RowImputations, multiple: int, level: float
    ) -> TableImputation:
        """What is found for some rows, in the values of the table."""
        filled: dict[str, list[np.ndarray]] = {name: [] for name in ("completed", "mc_error", "lower", "upper")}
        many: list[list[np.ndarray]] = [[] for _ in range(multiple)]
        log_p = found.log_likelihood.copy()
        for j, (column, slot) in enumerate(zip(self.columns, self.model.slots, strict=True)):
            seen, draws = x["mask"][:, j], found.draws[:, :, j]
            mean, error = _point(column, found.mean[:, slot], found.mc_error[:, slot])
            mean, error = _within_reach(column, draws, mean, error)
            ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=1, method="inverted_cdf")
            for name, values in {
                "completed": mean,
                "lower": column.decode(ends[0]),
                "upper": column.decode(ends[1]),
            }.items():
                filled[name].append(_merged(table[j], seen, values))
            filled["mc_error"].append(np.where(seen, np.nan, error))
            for i in range(multiple):
                many[i].append(_merged(table[j], seen, column.decode(draws[:, i])))
            log_p += np.where(seen, column.log_jacobian(x["values"][:, j].astype(np.float64)), 0)
        incomplete = np.asarray(~x["mask"].all(axis=1))
        return TableImputation(
            tuple(column.name for column in self.columns),
            **filled,
            multiple=many,
            log_likelihood=log_p,
            ess=found.ess,
            khat=found.khat,
            incomplete=incomplete,
        )


def fit_table(
    names: Sequence[str],
    table: Table,
    settings: Settings,
    key: PRNGKeyArray,
    *,
    hidden: np.ndarray | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> FittedTable:
    """Train a model of a table on its observed values, by the importance-weighted bound of each row's.

    Arguments:
        names: of the columns.
        table: one array (rows,) a column: floats with NaN, or objects with None or NaN, where nothing is known.
        settings: how.
        key: seed of everything random.
        hidden: (rows, columns), true where an observed value is kept from training, statistics included; kinds and
            categories are those of the whole table.
        on_epoch: called with the record of each epoch; where rows are held out, of those of the second training, too.

    Raises:
        IwaxError: a table or a column that is invalid.
    """
    rows = len(table[0]) if len(table) else 0
    if rows < 2:
        raise IwaxError(f"Expected at least two rows; got n_samples = {rows}.")
    shown = table if hidden is None else [without(values, hidden[:, j]) for j, values in enumerate(table)]
    columns = _columns(names, table, shown, settings.kinds)
    if settings.missingness != "ignorable":  # of which only normal densities have the noise
        columns = tuple(dataclasses.replace(c, kind="gaussian") if c.kind == "continuous" else c for c in columns)
    keys = jax.random.split(key)
    model = TableModel(
        columns,
        latent_size=settings.latent_size,
        hidden_sizes=settings.hidden_sizes,
        key=keys[0],
        missingness=settings.missingness,
        constant_spreads=settings.has_constant_spreads(rows, len(columns)),
    )
    return _trained(columns, model, encode(columns, shown), settings, keys[1], on_epoch)


def _columns(names: Sequence[str], table: Table, shown: Table, kinds: Any) -> tuple[Column, ...]:
    """Kinds and categories of the whole table, which is what will be imputed; statistics of what is shown."""
    return tuple(
        column if column.kind in CODED else fit_columns([column.name], [values], column.kind)[0]
        for column, values in zip(fit_columns(names, table, kinds), shown, strict=True)
    )


def _trained(
    columns: tuple[Column, ...],
    model: TableModel,
    x: PyTree,
    settings: Settings,
    key: PRNGKeyArray,
    on_epoch: Callable[[dict[str, Any]], None] | None,
) -> FittedTable:
    """The model after training; where rows are held out, after one on all rows as long as those found best."""
    rows = len(x["mask"])
    objective = IWAE(num_samples=settings.num_samples, gradient="doubly-reparameterized")
    train = functools.partial(fit, model, objective, x, key=key, binarize="none")
    first = train(on_epoch=on_epoch, **settings.training(rows))
    if first.selected is None:
        return FittedTable(columns, cast(TableModel, first.model), first.records)
    held_out = hold_out(x, settings.judged(rows))[1]
    wider = widening(cast(TableModel, first.model), held_out, stream(key, "spreads"))
    recipe = settings.recipe(rows, settings.epochs_on_all(rows, int(first.selected["epoch"])))
    second = train(on_epoch=on_epoch, recipe=recipe)
    return FittedTable(columns, cast(TableModel, second.model).widened(wider), first.records, first.selected, wider)


def without(values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Values (rows,) with those that are hidden missing."""
    if values.dtype.kind != "O":
        return np.where(hidden, np.nan, values.astype(np.float64))
    values = values.copy()
    values[hidden] = None
    return values


def _point(column: Column, mean: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One value for each row, and the Monte-Carlo error of its mean or probability."""
    if column.kind == "categorical":
        best = mean.argmax(axis=1)
        return column.decode(best), np.take_along_axis(error, best[:, None], axis=1)[:, 0]
    mean, error = mean[:, 0].astype(np.float64), error[:, 0].astype(np.float64)
    if column.kind == "binary":
        return column.decode(mean > 0.5), error
    if column.kind in COUNTS:
        return np.rint(mean), error
    if column.kind == "positive":
        return mean * np.exp(column.shift), error * np.exp(column.shift)
    return column.decode(mean), error * column.scale


def _within_reach(
    column: Column, draws: np.ndarray, mean: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means and errors (rows,); medians where the mean of a long tail is no number or above all draws (rows, draws).

    The mean of a log-normal value grows with exp(variance / 2): with large spreads it is that of values that are never
    seen, and averaging over z makes it larger still. Pareto k-hat judges w, and not w m.
    """
    if column.kind != "positive":
        return mean, error
    beyond = (mean > column.decode(draws.max(axis=1))) | ~np.isfinite(error)
    return np.where(beyond, column.decode(np.median(draws, axis=1)), mean), np.where(beyond, np.inf, error)


def _merged(values: np.ndarray, seen: np.ndarray, imputed: np.ndarray) -> np.ndarray:
    """What was observed, and what was imputed elsewhere; text or truth values where all that is given is missing."""
    if values.dtype.kind == "O" or isinstance(imputed[0], str | bool):
        merged = values.astype(object)
        merged[~seen] = imputed[~seen]
        return merged
    return np.where(seen, values, np.asarray(imputed, np.float64))


def observed(table: Table) -> np.ndarray:
    """Where values are observed, (rows, columns)."""
    return np.stack([~is_missing(values) for values in table], axis=1)
