"""Tables of numbers, .csv and .parquet: a row is an example, a column one of its values."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from iwax.checks import nearest
from iwax.errors import IwaxError
from iwax.extras import check_installed
from iwax.numpy_files import FOREIGN

DELIMITERS = ",;\t"
INDEX = "__index_level_0__"  # how pandas calls the numbers of the rows in .parquet; in .csv they come first, unnamed
FEW = 8  # names that a message lists
FILL = "Fill what is missing (iwax impute), or choose other columns (columns=, --columns)."


class Table(NamedTuple):
    """The numbers of a table (N, D), float64; what must be said of them; and their columns' names, if it has any."""

    values: np.ndarray
    notices: list[str]
    names: list[str] | None


def read_table(path: Path, columns: Sequence[str] | None = None) -> Table:
    """The numbers of a table, of the `columns` in that order or of all.

    Columns have the names of the header; where a .csv has none, they are "0", "1" and so on. The numbers of the rows
    that pandas writes are left out, with a notice. Raises ValueError for a column that is not there or has no numbers.
    """
    table, first_row = (_read_csv if path.suffix.lower() == ".csv" else _read_parquet)(path, columns)
    wrong = np.argwhere(~np.isfinite(table.values))
    if len(wrong):
        row, column = wrong[0]
        name = table.names[column] if table.names else columns[column] if columns else column
        raise IwaxError(
            f"Expected {path} to hold finite numbers; got {len(wrong)} NaN or infinite values, the first in row "
            f"{row + first_row}, column {name}. {FILL}"
        )
    return table


def _read_csv(path: Path, columns: Sequence[str] | None) -> tuple[Table, int]:
    """The table, and in which row of the file its first example is."""
    delimiter = _delimiter(path)
    rows = list(islice(_rows(path, delimiter), 2))
    if not rows:
        raise IwaxError(f"Expected {path} to hold a table of numbers; got an empty file. Check the path.")
    has_header, notices = _header(path, *rows)
    names = rows[0] if has_header else [str(i) for i in range(len(rows[0]))]
    if len(rows) == has_header:
        raise IwaxError(f"Expected {path} to hold at least one example; got a header alone. Check the file.")
    example = rows[has_header]
    text = [name for name, cell in zip(names, example, strict=False) if cell and not _is_number(cell)]
    ends_empty = len(names) > 1 and not any(row[-1] for row in rows)
    chosen, said = _choose(path, names, text, columns, ends_empty)
    with _text(path) as file:
        lines = _lines(file, delimiter, len(names))
        if has_header:
            next(csv.reader(lines, delimiter=delimiter))
        try:
            values = np.loadtxt(lines, delimiter=delimiter, usecols=chosen, ndmin=2, quotechar='"', comments=None)
        except ValueError as error:
            raise _bad_cell(path, delimiter, names, chosen, has_header) or IwaxError(
                f"Expected {path} to hold a table of numbers; got {error}. {FILL}"
            ) from error
    table = Table(values, notices + said, [names[i] for i in chosen] if has_header else None)
    return table, 1 + has_header


def _header(path: Path, first: list[str], second: Sequence[str] = ()) -> tuple[bool, list[str]]:
    """Whether the first row of a .csv names its columns, and what must be said of it.

    It does where it has something else than numbers, or counts the columns from 0, or begins with nothing above
    something: pandas' numbers of the rows.
    """
    filled = [cell for cell in first if cell]
    if not all(map(_is_number, filled)):
        return True, []
    if len(first) > 1 and first == [str(i) for i in range(len(first))]:
        return True, [f"The first row of {path}, 0 to {len(first) - 1}, is its header."]
    if first[0] == "" and (not second or second[0]):
        return True, []
    whole = len(filled) > 1 and len(set(filled)) == len(filled) and all(cell.isdigit() for cell in filled)
    steps = {int(b) - int(a) for a, b in pairwise(filled)} if whole else set()
    if steps == {1} or (whole and not all(map(_is_integer, second))):  # such as 2001, 2002, 2003
        return False, [
            f"The first row of {path}, {filled[0]} to {filled[-1]}, is taken for an example. If it is the header, give "
            "the columns names that are no numbers."
        ]
    return False, []


def _read_parquet(path: Path, columns: Sequence[str] | None) -> tuple[Table, int]:
    check_installed("pyarrow", "files of .parquet")
    import pyarrow
    from pyarrow import parquet, types

    def is_number(kind: Any) -> bool:
        return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)

    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            text = [field.name for field in schema if not is_number(field.type)]
            chosen, said = _choose(path, schema.names, text, columns)
            table = file.read(columns=[schema.names[i] for i in chosen])
    except IwaxError:
        raise
    except (*FOREIGN, pyarrow.ArrowException) as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise IwaxError(f"Expected {path} to be a file of .parquet; got {message}. Save it again.") from error
    try:
        filled = [table.column(schema.names[i]).cast(pyarrow.float64()).to_numpy() for i in chosen]
    except pyarrow.ArrowException as error:
        message = str(error).splitlines()[0]
        raise IwaxError(f"Expected {path} to hold numbers; got {message}. Save it again.") from error
    for i, values in zip(chosen, filled, strict=True):
        if empty := table.column(schema.names[i]).null_count:
            raise IwaxError(
                f"Expected {path} to hold numbers only; got {empty} empty of {len(values)} cells in column "
                f"{schema.names[i]}. {FILL}"
            )
    return Table(np.stack(filled, axis=1), said, [schema.names[i] for i in chosen]), 1


def few(names: Sequence[str]) -> str:
    """Names as a message lists them."""
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def _choose(
    path: Path, names: Sequence[str], text: Sequence[str], columns: Sequence[str] | None, ends_empty: bool = False
) -> tuple[list[int], list[str]]:
    """Which columns are read, by number; and the notices of those that only number the rows, or hold nothing.

    Arguments:
        names: of all columns.
        text: of those that hold no numbers.
        columns: the names of those that are asked for.
        ends_empty: the last column has neither a name nor a first value.
    """
    notices = []
    if columns is None:
        kept = list(names[:-1] if ends_empty else names)
        columns = [name for i, name in enumerate(kept) if name != INDEX and (name or i)]
        if len(columns) < len(kept):
            notices.append(f"Left out the column of {path} without a name, which numbers the rows.")
        if ends_empty:
            notices.append(f"Left out the last column of {path}, which begins empty, as where rows end with a comma.")
    for name in columns:
        if name not in names:
            raise IwaxError(
                f"Expected columns of {path} to be some of {few(names)}; got {name!r}, no such.{nearest(name, names)}"
            )
        if names.count(name) > 1:
            raise IwaxError(
                f"Expected columns of {path} to have names of their own; got {names.count(name)} called {name!r}. "
                "Rename them in the file."
            )
    if no_numbers := [name for name in columns if name in text]:
        rest = ",".join(name for name in columns if name not in text)
        raise IwaxError(
            f"Expected the columns of {path} to hold numbers; got something else in {few(no_numbers)}. Choose others"
            + (f", such as --columns {rest}." if rest and len(rest) < 80 else " (columns=, --columns).")
        )
    return [names.index(name) for name in columns], notices


def _bad_cell(
    path: Path, delimiter: str, names: Sequence[str], chosen: Sequence[int], has_header: bool
) -> IwaxError | None:
    """What to raise for the first row that has another length, or a cell that is no number."""
    for line, row in enumerate(_rows(path, delimiter)):
        if len(row) != len(names):
            return IwaxError(
                f"Expected every row of {path} to have {len(names)} cells, as its first; got {len(row)} in row "
                f"{line + 1}. Correct the file."
            )
        for i in chosen:
            if line >= has_header and not _is_number(row[i]):
                return IwaxError(
                    f"Expected {path} to hold numbers only; got {row[i]!r} in row {line + 1}, column {names[i]}. {FILL}"
                )
    return None


def _rows(path: Path, delimiter: str) -> Iterator[list[str]]:
    """The rows that are not empty, each as its cells without surrounding blanks."""
    with _text(path) as file:
        try:
            for row in csv.reader((line for line in file if line.strip()), delimiter=delimiter):
                yield [cell.strip() for cell in row]
        except (UnicodeDecodeError, csv.Error) as error:
            raise IwaxError(f"Expected {path} to be text in UTF-8; got {error}. Save it again.") from error


def _lines(file: Any, delimiter: str, count: int) -> Iterator[str]:
    """The lines that are not empty; ValueError for one of another number of cells, of which NumPy would drop some."""
    for line in file:
        if line.strip():
            if '"' not in line and line.count(delimiter) != count - 1:
                raise IwaxError(f"{line.count(delimiter) + 1} cells instead of {count}")  # where, `_bad_cell` says
            yield line


def _delimiter(path: Path) -> str:
    """The one that the first line has most of."""
    with _text(path) as file:
        try:
            line = file.readline()
        except UnicodeDecodeError as error:
            raise IwaxError(f"Expected {path} to be text in UTF-8; got {error}. Save it again.") from error
    return max(DELIMITERS, key=line.count)


def _text(path: Path) -> Any:
    """A file as text, without the mark that Windows puts at the beginning."""
    return path.open(newline="", encoding="utf-8-sig")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_integer(cell: str) -> bool:
    return _is_number(cell) and float(cell).is_integer()
