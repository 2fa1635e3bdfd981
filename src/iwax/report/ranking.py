"""The order of methods in a table's rows, ours beside that of each source; in words, as notes below the table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from iwax.experiments import Cell, Record, Study, Table
from iwax.report.cell_runs import counting, find_all
from iwax.report.format import counted, nats

__all__ = ["orders"]


def orders(study: Study, table: Table, records: Sequence[Record]) -> list[str]:
    """A sentence for each row of a table of methods in which two or more have runs of as many epochs.

    Of several lengths the one counts that the most methods have, then the longest.
    """
    if not table.ranked:
        return []
    rows: dict[str, list[Cell]] = defaultdict(list)
    for cell in table.cells:
        rows[cell.row].append(cell)
    of_scale = counting(records)
    return [line for row, cells in rows.items() if (line := _line(study, row, cells, of_scale))]


def _line(study: Study, row: str, cells: Sequence[Cell], records: Sequence[Record]) -> str:
    ours: dict[int, dict[str, float]] = defaultdict(dict)
    theirs: dict[str, dict[str, float]] = defaultdict(dict)
    for cell in cells:
        for found in find_all(study, cell, records):
            ours[found.epochs].setdefault(cell.column, found.value)
        for one in cell.published:
            assert not isinstance(one.value, tuple)
            theirs[one.source][cell.column] = one.value
    epochs, values = max(ours.items(), key=lambda item: (len(item[1]), item[0]), default=(0, {}))
    if len(values) < 2:
        return ""
    ranked = ", ".join(f"{name} {nats(values[name])}" for name in _highest_first(values))
    others = [f"{source}: {', '.join(_highest_first(printed))}" for source, printed in theirs.items()]
    return f"{row}, highest first, after {counted(epochs, 'epoch')} each: {'. '.join([ranked, *others])}."


def _highest_first(values: Mapping[str, float]) -> list[str]:
    return sorted(values, key=lambda name: values[name], reverse=True)
