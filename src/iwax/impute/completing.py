"""A file of a table in, files of completed tables out: what `iwax impute` does."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError
from iwax.extras import check_installed
from iwax.files import make_folder, write_whole
from iwax.impute.columns import is_missing
from iwax.impute.files import Sheet
from iwax.impute.fitting import MOST_TABLES, FittedTable, fit_table
from iwax.impute.heldout import ColumnError, hide, measure
from iwax.impute.result import TableImputation
from iwax.impute.settings import Settings
from iwax.progress import Progress

__all__ = ["Completion", "complete_file"]


@dataclasses.dataclass(frozen=True)
class Completion:
    """What `complete_file` found and wrote.

    Attributes:
        sheet: the table as it was read.
        fitted: its model.
        imputation: its missing values.
        errors: of held-out values, by column.
        written: the files.
        seconds: by part: "training", "held-out" and "imputation".
    """

    sheet: Sheet
    fitted: FittedTable
    imputation: TableImputation
    errors: list[ColumnError]
    written: list[Path]
    seconds: dict[str, float]

    def summary(self) -> dict[str, Any]:
        """The numbers of it, as JSON has them."""
        missing = [int(np.sum(~np.isnan(error))) for error in self.imputation.mc_error]
        khat = self.imputation.khat[self.imputation.incomplete]
        quantiles = np.nanquantile(khat, [0.05, 0.5, 0.95]) if np.isfinite(khat).any() else np.full(3, np.nan)
        columns = []
        of_column = {error.name: error for error in self.errors}
        for column, count in zip(self.fitted.columns, missing, strict=True):
            row: dict[str, Any] = {"name": column.name, "kind": column.kind, "missing": count}
            if error := of_column.get(column.name):
                names = ("count", "error", "se", "baseline", "coverage")
                row["held_out"] = {name: getattr(error, name) for name in names}
            columns.append(row)
        return {
            "rows": len(self.imputation.khat),
            "incomplete_rows": int(self.imputation.incomplete.sum()),
            "columns": columns,
            "log_p": float(np.mean(self.imputation.log_likelihood)),
            "khat_quantiles": dict(zip(("0.05", "0.5", "0.95"), map(float, quantiles), strict=True)),
            "advice": self.imputation.advice,
            "epochs": len(self.fitted.records),
            "kept_epoch": (self.fitted.selected or self.fitted.records[-1])["epoch"],
            "seconds": self.seconds,
            "written": [str(path) for path in self.written],
        }


def complete_file(
    path: Path,
    out: Path,
    settings: Settings,
    *,
    multiple: int = 0,
    num_samples: int = 1000,
    held_out: float = 0.05,
    seed: int = 0,
    drop: tuple[str, ...] = (),
    header: bool = True,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Completion:
    """Train a model of a table and write the table completed.

    Writes `out`, the table with the mean of each missing value (or its most probable category); OUT-rows.csv, of each
    row log p, effective samples and k-hat; and OUT-multiple.csv, `multiple` tables with the missing values drawn, if
    that is not 0. The suffix .csv or .parquet is that of `out`.

    Arguments:
        path: of the table, .csv or .parquet.
        out: where to write, .csv or .parquet.
        settings: of the model and its training.
        multiple: how many completed tables to draw.
        num_samples: importance samples for each row.
        held_out: fraction of the observed values that training never sees, to measure the errors of imputing them.
        seed: of everything random.
        drop: columns to leave out, such as names of rows.
        header: whether the first line of a .csv names the columns.
        on_progress: called now and then; a step is an epoch of training, or a hundred rows imputed.

    Raises:
        IwaxError: a table that is invalid, or one that misses nothing.
    """
    check_positive_integer("num_samples", num_samples)
    check_positive_integer("multiple", multiple, least=0, most=MOST_TABLES)
    sheet = _read(path, out, drop, header, settings)
    if multiple:
        sheet.check_numbered()
    rows, key = len(sheet.table[0]), jax.random.key(seed)
    epochs, watch = settings.epochs_of(rows), _Watch()
    hidden = hide(sheet.table, held_out, key) if held_out else None
    in_hundreds = -(-rows // 100)
    trainings = 2 if settings.judged(rows) else 1
    total, told = trainings * epochs + in_hundreds, 0

    def of_epoch(record: dict[str, Any]) -> None:
        nonlocal told
        told += 1
        is_second = told > record["epoch"]
        part = "training on all rows" if is_second else f"training {record['epoch']}/{epochs}"
        on_progress(Progress(is_second * epochs + record["epoch"], total, f"{part}, bound {record['bound']:.2f} nats"))

    fitted = fit_table(sheet.names, sheet.table, settings, key, hidden=hidden, on_epoch=of_epoch)
    watch.ends("training")
    errors = [] if hidden is None else measure(fitted, sheet.table, hidden, key, num_samples=num_samples)
    watch.ends("held-out")

    def of_batch(done: int) -> None:
        on_progress(Progress(trainings * epochs + done * in_hundreds // rows, total, f"imputing {done}/{rows} rows"))

    imputation = fitted.impute(
        sheet.table, jax.random.fold_in(key, 1), num_samples=num_samples, multiple=multiple, on_batch=of_batch
    )
    watch.ends("imputation")
    written = _written(sheet, out, imputation)
    return Completion(sheet, fitted, imputation, errors, written, watch.seconds)


def _read(path: Path, out: Path, drop: tuple[str, ...], header: bool, settings: Settings) -> Sheet:
    """The table, once all is known to be well that is told without training."""
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise IwaxError(f"Expected --out to be a .csv or .parquet file; got {out}.")
    if out.resolve() == path.resolve():
        raise IwaxError(f"Expected --out to be another file than the table, which is kept; got {out}.")
    if out.suffix.lower() == ".parquet":
        check_installed("pyarrow", "Parquet files")
    sheet = Sheet.read(path, drop=drop, header=header, text=settings.coded)
    if not any(is_missing(values).any() for values in sheet.table):
        raise IwaxError(f"Expected {path} to miss a value (an empty cell, NA, NaN, null or ?); got a complete table.")
    return sheet


class _Watch:
    """How long each part took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.begin = time.monotonic()

    def ends(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[part], self.begin = round(now - self.begin, 1), now


def _written(sheet: Sheet, out: Path, found: TableImputation) -> list[Path]:
    make_folder(out.parent)
    rows = out.with_name(f"{out.stem}-rows.csv")
    written = [out, rows]
    sheet.write(out, found.completed)
    lines = zip(found.log_likelihood, found.ess, found.khat, strict=True)
    text = "".join(f"{log_p:.6g},{ess:.6g},{khat:.3f}\n" for log_p, ess, khat in lines)
    write_whole(rows, "log_p,effective_samples,khat\n" + text)
    if found.multiple:
        many = out.with_name(f"{out.stem}-multiple{out.suffix}")
        sheet.write_multiple(many, found.multiple)
        written.append(many)
    return written
