"""Tables of numbers, .csv and .parquet: a row is an example, a column one of its values."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from iwax.checks import nearest
from iwax.errors import IwaxError
from iwax.extras import check_installed
from iwax.numpy_files import FOREIGN

DELIMITERS = ",;\t"
INDEX = ("", "__index_level_0__")  # how pandas calls the numbers of the rows
FEW = 8  # names that a message lists
FILL = "Fill what is missing, or choose other columns (columns=, --columns)."


def read_table(path: Path, columns: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """The numbers (N, D) of a table, float64, of the `columns` in that order or of all; and what must be said.

    Columns have the names of the header; where a .csv has none, they are "0", "1" and so on. The numbers of the rows
    that pandas writes are left out, with a notice. Raises ValueError for a column that is not there or has no numbers.
    """
    return (_read_csv if path.suffix.lower() == ".csv" else _read_parquet)(path, columns)


def _read_csv(path: Path, columns: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    delimiter = _delimiter(path)
    rows = list(islice(_rows(path, delimiter), 2))
    if not rows:
        raise IwaxError(f"Expected {path} to hold a table of numbers; got an empty file. Check the path.")
    first, notices = rows[0], []
    numbered = [str(i) for i in range(len(first))]
    has_header = not all(map(_is_number, first)) or (len(first) > 1 and first == numbered)
    names = first if has_header else numbered
    if has_header and first == numbered:
        notices.append(f"The first row of {path}, 0 to {len(first) - 1}, is its header.")
    if len(rows) == has_header:
        raise IwaxError(f"Expected {path} to hold at least one example; got a header alone. Check the file.")
    example = rows[has_header]
    text = [name for name, cell in zip(names, example, strict=False) if not _is_number(cell)]
    chosen, said = _choose(path, names, text, columns)
    with _text(path) as file:
        lines = _lines(file, delimiter, len(names))
        if has_header:
            next(csv.reader(lines, delimiter=delimiter))
        try:
            values = np.loadtxt(lines, delimiter=delimiter, usecols=chosen, ndmin=2, quotechar='"', comments=None)
        except ValueError as error:
            raise _bad_cell(path, delimiter, names, chosen) or IwaxError(
                f"Expected {path} to hold a table of numbers; got {error}. {FILL}"
            ) from error
    return values, notices + said


def _read_parquet(path: Path, columns: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
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
    return np.stack(filled, axis=1), said


def _choose(
    path: Path, names: Sequence[str], text: Sequence[str], columns: Sequence[str] | None
) -> tuple[list[int], list[str]]:
    """Which columns are read, by number; and the notice of those that only number the rows.

    Arguments:
        names: of all columns.
        text: of those that hold no numbers.
        columns: the names of those that are asked for.
    """
    notices = []
    if columns is None:
        index = [name for name in names if name in INDEX]
        columns = [name for name in names if name not in INDEX]
        if index:
            notices.append(f"Left out the column of {path} without a name, which numbers the rows.")
    for name in columns:
        if names.count(name) != 1:
            what = "no such" if name not in names else f"{names.count(name)} of that name"
            raise IwaxError(
                f"Expected columns of {path} to be some of {_few(names)}; got {name!r}, {what}.{nearest(name, names)}"
            )
    if no_numbers := [name for name in columns if name in text]:
        rest = ",".join(name for name in columns if name not in text)
        raise IwaxError(
            f"Expected the columns of {path} to hold numbers; got something else in {_few(no_numbers)}. Choose others"
            + (f", such as --columns {rest}." if rest and len(rest) < 80 else " (columns=, --columns).")
        )
    return [names.index(name) for name in columns], notices


def _bad_cell(path: Path, delimiter: str, names: Sequence[str], chosen: Sequence[int]) -> IwaxError | None:
    """What to raise for the first row that has another length, or a cell that is no number."""
    for line, row in enumerate(_rows(path, delimiter)):
        if len(row) != len(names):
            return IwaxError(
                f"Expected every row of {path} to have {len(names)} cells, as its first; got {len(row)} in row "
                f"{line + 1}. Correct the file."
            )
        for i in chosen:
            if line and not _is_number(row[i]):
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


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
