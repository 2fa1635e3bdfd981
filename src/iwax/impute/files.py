"""Tables as files: CSV by the standard library, Parquet by pyarrow."""

import csv
import dataclasses
import datetime
import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iwax.errors import IwaxError
from iwax.extras import check_installed
from iwax.files import write_whole
from iwax.impute.columns import is_missing
from iwax.impute.frames import DATES, Frame, filled_in
from iwax.numpy_files import FOREIGN

__all__ = ["Sheet"]

NOTHING = {"", "na", "n/a", "nan", "null", "none", "?"}  # what stands for a missing value, case ignored
DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}( .*)?")  # 31.12.2020, 12/31/20, besides what ISO 8601 has
NUMBER = "imputation"  # the column that numbers completed tables
DIGITS = 6  # of imputed numbers


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table read from a file, which can be written with its missing values filled.

    Attributes:
        names: of the columns.
        table: one array (rows,) each, floats with NaN or objects with None.
        texts: of a CSV file, its cells as they stand, row by row; what was observed is written as it was read.
        cells, types: of a Parquet file, those of its columns; written again, types where they hold what was imputed.
    """

    names: list[str]
    table: list[np.ndarray]
    texts: list[list[str]] | None = None
    cells: list[list[Any]] | None = None
    types: list[Any] | None = None

    @classmethod
    def read(cls, path: Path, *, drop: Sequence[str] = (), header: bool = True, text: Sequence[str] = ()) -> "Sheet":
        """A .csv or .parquet file; without a header the columns are x0, x1, ...

        Numbers and text in one column of a .csv are a slip of whoever wrote it, but in those that `text` names.

        Raises:
            IwaxError: a file of another kind, or one that holds no table.
        """
        if path.suffix.lower() == ".parquet":
            names, table, cells, types = _parquet(path)
            sheet = cls(names, table, cells=cells, types=types)
        elif path.suffix.lower() == ".csv":
            sheet = _csv(path, header, drop, text)
        else:
            raise IwaxError(f"Expected a table to be a .csv or .parquet file; got {path}.")
        if unknown := [name for name in drop if name not in sheet.names]:
            raise IwaxError(f"Expected columns to drop among {', '.join(sheet.names)}; got {unknown[0]!r}.")
        if not set(sheet.names) - set(drop):
            raise IwaxError(f"Expected a column to be left of {', '.join(sheet.names)}; got all of them to drop.")
        return sheet._only([j for j, name in enumerate(sheet.names) if name not in drop])

    def write(self, path: Path, table: Sequence[np.ndarray]) -> None:
        """The table with its missing values filled from `table`, as .csv or .parquet."""
        self._write(path, [(None, table)])

    def write_multiple(self, path: Path, tables: Sequence[Sequence[np.ndarray]]) -> None:
        """Several completed tables below one another; a first column `imputation` counts them from 1.

        Raises:
            IwaxError: a table that has a column of that name.
        """
        self.check_numbered()
        self._write(path, [(number, table) for number, table in enumerate(tables, 1)])

    def check_numbered(self) -> None:
        """Raises IwaxError where a column has the name of the one that numbers completed tables."""
        if NUMBER in self.names:
            raise IwaxError(
                f"Expected no column to be called {NUMBER!r}, as the one that numbers the tables of --multiple is; got "
                f"it among {', '.join(self.names)}. Rename it, or leave it out: --drop {NUMBER}."
            )

    def _only(self, kept: list[int]) -> "Sheet":
        texts = None if self.texts is None else [[row[j] for j in kept] for row in self.texts]
        cells, types = (own and [own[j] for j in kept] for own in (self.cells, self.types))
        return Sheet([self.names[j] for j in kept], [self.table[j] for j in kept], texts, cells, types)

    def _write(self, path: Path, tables: list[tuple[int | None, Sequence[np.ndarray]]]) -> None:
        numbered = tables[0][0] is not None
        names = [NUMBER, *self.names] if numbered else self.names
        if path.suffix.lower() == ".parquet":
            columns = [self._filled(j, [table[j] for _, table in tables]) for j in range(len(self.names))]
            first = [np.repeat([number for number, _ in tables], len(self.table[0])).tolist()] if numbered else []
            types = self.types or [None] * len(columns)
            _write_parquet(path, names, [*first, *columns], [None, *types] if numbered else types)
            return
        missing = [is_missing(values) for values in self.table]
        as_text = [_writer(values) for values in self.table]
        file = io.StringIO(newline="")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for number, table in tables:
            for i in range(len(table[0])):
                row = [
                    as_text[j](values[i]) if missing[j][i] else self._cell(i, j, values[i])
                    for j, values in enumerate(table)
                ]
                writer.writerow([number, *row] if numbered else row)
        write_whole(path, file.getvalue())

    def _filled(self, j: int, several: Sequence[np.ndarray]) -> list[Any]:
        """A column of several completed tables below one another, what was observed as it was read."""
        if self.cells is None:
            return np.concatenate(several).tolist()
        cells, missing = self.cells[j], is_missing(self.table[j])
        return [cell for values in several for cell in filled_in(cells, missing, values)]

    def _cell(self, i: int, j: int, value: Any) -> Any:
        """What was observed, as it was read."""
        if self.texts is not None:
            return self.texts[i][j]
        return value if self.cells is None else self.cells[j][i]


def _writer(values: np.ndarray) -> Callable[[Any], Any]:
    """How what is imputed in a column (rows,) is written.

    Numbers to 6 digits, counted from the size of their spread where they are farther from zero than that; in full where
    they are whole or were observed, as counts and categories are.
    """
    observed = values[~is_missing(values)]
    if values.dtype.kind != "f" or not len(observed):
        return lambda value: value
    known = set(observed.tolist())
    spread = float(np.subtract(*np.quantile(observed, [0.75, 0.25])) or observed.std() or 1)

    def text(value: float) -> str:
        if value in known or float(value).is_integer():
            return repr(float(value)).removesuffix(".0")
        return format(value, f".{int(min(17, DIGITS + math.log10(max(1, abs(value) / spread))))}g")

    return text


def _csv(path: Path, header: bool, drop: Sequence[str], text: Sequence[str]) -> Sheet:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = _without_blank(list(csv.reader(file)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise IwaxError(f"Expected {path} to be a readable CSV file; got {error}.") from error
    if not rows:
        raise IwaxError(f"Expected {path} to hold a table; got nothing.")
    names = [name.strip() for name in rows[0]] if header else [f"x{j}" for j in range(len(rows[0]))]
    texts = rows[1:] if header else rows
    if len(names) == 1 and (others := [mark for mark in ";\t|" if mark in rows[0][0]]):
        raise IwaxError(f"Expected the cells of {path} to be separated by commas; got {others[0]!r} in {rows[0][0]!r}.")
    if header and all(_number(name) is not None for name in names):
        raise IwaxError(f"Expected the first line of {path} to name its columns; got numbers. Give --no-header.")
    if repeated := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise IwaxError(f"Expected columns of {path} to have names of their own; got {repeated!r} twice.")
    for number, row in enumerate(texts):
        if len(row) != len(names):
            raise IwaxError(
                f"Expected every row of {path} to have {len(names)} cells; got {len(row)} in row {number + 1}."
            )
    if not texts:
        raise IwaxError(f"Expected {path} to hold rows; got its first line only.")
    columns = [
        np.empty(0) if name in drop else _column(f"{name!r} of {path}", name, [row[j] for row in texts], name in text)
        for j, name in enumerate(names)
    ]
    return Sheet(names, columns, texts)


def _without_blank(rows: list[list[str]]) -> list[list[str]]:
    """Without blank lines, which in a table of one column are cells, below its first."""
    first = next((i for i, row in enumerate(rows) if row), len(rows))
    if first < len(rows) and len(rows[first]) == 1:
        return [row or [""] for row in rows[first:]]
    return [row for row in rows if row]


def _column(what: str, name: str, cells: list[str], is_text: bool) -> np.ndarray:
    """Numbers if all cells are, that are not missing; text if none is."""
    known = [cell.strip().lower() not in NOTHING for cell in cells]
    numbers = [_number(cell) if is_known else math.nan for cell, is_known in zip(cells, known, strict=True)]
    if all(number is not None for number in numbers):
        return np.array(numbers, np.float64)
    given = [cell.strip() for cell, is_known in zip(cells, known, strict=True) if is_known]
    if all(map(_is_date, given)):
        raise IwaxError(f"Expected column {what} to hold numbers or text; got dates, such as {given[0]}. {DATES}")
    words = [cell for cell in given if _number(cell) is None]
    if len(words) < len(given) and not is_text:
        raise IwaxError(
            f"Expected column {what} to hold numbers or text; got both, such as {words[0]!r} among numbers. Correct "
            f"it, or say that it is text: --kind {name}=categorical."
        )
    return np.array([cell.strip() if is_known else None for cell, is_known in zip(cells, known, strict=True)], object)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _is_date(cell: str) -> bool:
    if DATE.fullmatch(cell):
        return True
    try:
        datetime.datetime.fromisoformat(cell)
    except ValueError:
        return False
    return True


def _pyarrow() -> Any:
    check_installed("pyarrow", "Parquet files")
    import pyarrow.parquet

    return pyarrow


def _parquet(path: Path) -> tuple[list[str], list[np.ndarray], list[list[Any]], list[Any]]:
    pyarrow = _pyarrow()
    try:
        read = pyarrow.parquet.read_table(path)
        names, cells = list(read.column_names), [column.to_pylist() for column in read.columns]  # text is decoded here
    except (*FOREIGN, pyarrow.ArrowException) as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise IwaxError(f"Expected {path} to be a readable Parquet file; got {message}.") from error
    columns = []
    for name, own in zip(names, cells, strict=True):
        values = np.empty((len(own), 1), object)
        values[:, 0] = own
        columns += Frame.of(values, [name]).table
    return names, columns, cells, list(read.schema.types)


def _write_parquet(path: Path, names: Sequence[str], columns: Sequence[list[Any]], types: Sequence[Any]) -> None:
    pyarrow = _pyarrow()

    def column(values: list[Any], wanted: Any) -> Any:
        found = pyarrow.array(values)
        try:
            return found if wanted is None else found.cast(wanted)
        except pyarrow.ArrowException:  # means of integers are none
            return found

    table = pyarrow.table({n: column(v, t) for n, v, t in zip(names, columns, types, strict=True)})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    write_whole(path, buffer.getvalue())
