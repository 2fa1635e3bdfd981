"""The order of methods in a table's rows, ours beside that of each source; in words, as notes below the table."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from iwax.experiments import Cell, Record, Study, Table
from iwax.report.cell_runs import Found, counting, find_all
from iwax.report.format import counted, nats
from iwax.report.paired import Pairing

__all__ = ["orders"]


def orders(study: Study, table: Table, records: Sequence[Record], pairing: Pairing | None = None) -> list[str]:
    """A sentence for each row of a table of methods in which two or more have runs of as many epochs.

    Of several lengths the one counts that the most methods have, then the longest. Between two neighbours stands ">"
    where their paired difference is beyond its 95 % interval, and "≈" elsewhere.
    """
    if not table.ranked:
        return []
    rows: dict[str, list[Cell]] = defaultdict(list)
    for cell in table.cells:
        rows[cell.row].append(cell)
    of_scale, pairing = counting(records), pairing or Pairing([study], records)
    return [line for row, cells in rows.items() if (line := _line(study, row, cells, of_scale, pairing))]


def _line(study: Study, row: str, cells: Sequence[Cell], records: Sequence[Record], pairing: Pairing) -> str:
    ours: dict[int, dict[str, Found]] = defaultdict(dict)
    theirs: dict[str, dict[str, float]] = defaultdict(dict)
    for cell in cells:
        for found in find_all(study, cell, records):
            ours[found.epochs].setdefault(cell.column, found)
        for one in cell.published:
            assert not isinstance(one.value, tuple)
            theirs[one.source][cell.column] = one.value
    epochs, values = max(ours.items(), key=lambda item: (len(item[1]), item[0]), default=(0, {}))
    if len(values) < 2:
        return ""
    others = [f"{source}: {', '.join(_highest_first(printed))}" for source, printed in theirs.items()]
    ranked = _with_signs(study, values, pairing)
    return f"{row}, highest first, after {counted(epochs, 'epoch')} each: {'. '.join([ranked, *others])}."


def _with_signs(study: Study, values: Mapping[str, Found], pairing: Pairing) -> str:
    """The methods with their numbers, highest first, and how sure each step of the order is."""
    names = _highest_first({name: found.value for name, found in values.items()})
    text = f"{names[0]} {nats(values[names[0]].value)}"
    for above, name in itertools.pairwise(names):
        difference = pairing.difference(values[above], values[name], values[name].metric, study)
        sure = difference.margin is not None and difference.gain > difference.margin
        text += f" {'>' if sure else '≈'} {name} {nats(values[name].value)}"
    return text


def _highest_first(values: Mapping[str, float]) -> list[str]:
    return sorted(values, key=lambda name: values[name], reverse=True)
