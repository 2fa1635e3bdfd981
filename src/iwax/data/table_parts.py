"""A table for each part of a data set, such as train.csv and test.csv: their columns are joined by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from iwax.data.tables import few, read_table
from iwax.errors import IwaxError


def read_table_parts(
    files: Mapping[str, Path], columns: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], list[str], list[str] | None]:
    """The numbers (N, D) of each part, all with the columns of the first in its order; what must be said; their names.

    Tables without headers are joined by position. Raises ValueError for columns of other names, and for a header in
    one table only.
    """
    tables = {part: read_table(file, columns) for part, file in files.items()}
    first = next(iter(tables))
    found = {}
    for part, (values, _, names) in tables.items():
        order = column_order(tables[first].names, names, f"{files[first]} and {files[part]}")
        found[part] = values if order is None else values[:, order]
    return found, [notice for table in tables.values() for notice in table.notices], tables[first].names


def column_order(wanted: Sequence[str] | None, names: Sequence[str] | None, where: str) -> list[int] | None:
    """Which columns are those `wanted`, by number; None where they are in their order."""
    if names == wanted:
        return None
    if names is None or wanted is None or sorted(names) != sorted(wanted):
        got = " and ".join(few(own) if own else "no header" for own in (wanted, names))
        raise IwaxError(
            f"Expected {where} to have columns of the same names, by which they are joined; got {got}. Name them "
            "alike, or choose those of both (columns=, --columns)."
        )
    return [names.index(name) for name in wanted]
