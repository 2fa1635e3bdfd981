"""How much each choice matters in a study: the range of log p over its levels, all else equal."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from statistics import fmean, stdev
from typing import Any

from iwax.experiments import Cell, Record, Study
from iwax.report.cell_runs import counting, find_all
from iwax.report.cells import OPEN
from iwax.report.format import objective_name
from iwax.report.tables import Datum, Sheet
from iwax.runs import OBJECTIVE_FIELDS

__all__ = ["FACTORS", "effects", "ranges"]

METHOD = ("objective", *OBJECTIVE_FIELDS)
FACTORS: dict[str, tuple[str, ...]] = {
    "architecture": ("model",),
    "method": METHOD,
    "output bias": ("output_bias",),
    "initial weights": ("init",),
    "Adam's epsilon": ("epsilon",),
    "Adam's beta1": ("beta1",),
}
"""Choice -> the fields of a configuration that make it."""
NONE = Datum("—")
NOTE = (
    "Of two levels, the better less the other, all else equal, with its standard error over the settings of all else, "
    "among which the difference varies by chance and by what else is chosen. Of more levels, best less worst, averaged "
    "over the settings: a range, which is above zero by chance alone. Ours: from runs beyond a smoke test, after as "
    "many epochs each; an architecture is judged with the learning rate that its recipe has for it. Published: from "
    "the first number printed for a cell."
)

Levels = dict[Hashable, dict[Hashable, float]]
"""Setting of all else -> level of the choice -> log p in nats."""
Measure = Callable[[Cell], Sequence[tuple[float, int | None]]]
"""A cell's values, each with the number of epochs after which, where that differs."""


def effects(study: Study, records: Sequence[Record]) -> Sheet | None:
    """A line for each choice that the study's tables vary; None for a study that varies none."""
    of_scale = counting(records)
    cells = [cell for cell in study.cells if cell.metric in ("nll", "log_p") and cell.start is None]

    def ours(cell: Cell) -> list[tuple[float, int | None]]:
        return [(found.value, found.epochs) for found in find_all(study, cell, of_scale)]

    rows = []
    for name, fields in FACTORS.items():
        varied = [len(group) for group in ranges(cells, fields, lambda cell: [(0.0, None)]).values()]
        if varied:
            count = Datum(str(max(varied)), max(varied))
            here, there = (_text(ranges(cells, fields, measure), fields) for measure in (ours, _published))
            rows.append((Datum(name), count, *(here or (OPEN, NONE, NONE)), *(there or (NONE, NONE, NONE))))
    columns = ("choice", "levels", "ours (nats)", "settings", "best", "published (nats)", "settings", "best")
    notes = (*_by_size(rows), NOTE)
    return Sheet(f"{study.name}-effects", "Effect sizes", columns, tuple(rows), notes) if rows else None


def ranges(cells: Sequence[Cell], fields: Sequence[str], measure: Measure) -> Levels:
    """log p by the level of a choice, for each setting of all else in which two levels or more have a value."""
    levels: Levels = defaultdict(dict)
    for cell in cells:
        setting, level = _key(cell, fields)
        for value, epochs in measure(cell):
            levels[setting, epochs].setdefault(level, -value if cell.metric == "nll" else value)
    return {setting: group for setting, group in levels.items() if len(group) > 1}


def _key(cell: Cell, fields: Sequence[str]) -> tuple[Hashable, Hashable]:
    """All else, and the level."""
    values = dataclasses.asdict(cell.config)
    return tuple((k, v) for k, v in values.items() if k not in fields), tuple(values[field] for field in fields)


def _published(cell: Cell) -> list[tuple[float, int | None]]:
    value = cell.published[0].value if cell.published else None
    return [] if value is None or isinstance(value, tuple) else [(value, None)]


def _text(levels: Levels, fields: Sequence[str]) -> tuple[Datum, ...]:
    """The size of a choice, over how many settings, and its best level with in how many it is; () of no settings."""
    if not levels:
        return ()
    best = [max(group, key=lambda level: group[level]) for group in levels.values()]
    size, winner = _ahead(levels) if len(_all(levels)) == 2 else _range(levels, best)
    wins = f" ({best.count(winner)} of {len(best)})" if len(best) > 1 else ""
    return size, Datum(str(len(levels)), len(levels)), Datum(_name(winner, fields) + wins)


def _all(levels: Levels) -> tuple[Hashable, ...]:
    return tuple(dict.fromkeys(level for group in levels.values() for level in group))


def _ahead(levels: Levels) -> tuple[Datum, Hashable]:
    """Of two levels how far the better is ahead on average, ± the standard error over settings; and which it is."""
    first, second = _all(levels)
    ahead = [group[first] - group[second] for group in levels.values()]
    error = f" ± {stdev(ahead) / math.sqrt(len(ahead)):.2f}" if len(ahead) > 1 else ""
    size = abs(fmean(ahead))
    return Datum(f"{size:.2f}{error}", size), first if fmean(ahead) >= 0 else second


def _range(levels: Levels, best: Sequence[Hashable]) -> tuple[Datum, Hashable]:
    """Of more the mean range over settings; and the level that is best in most of them."""
    size = fmean(max(group.values()) - min(group.values()) for group in levels.values())
    return Datum(f"{size:.2f}", size), max(dict.fromkeys(best), key=best.count)


def _by_size(rows: Sequence[tuple[Datum, ...]]) -> list[str]:
    """A sentence where there are choices to compare: which matters most, in our numbers and in those published."""
    orders = []
    for column in (2, 5):
        known = sorted(
            (row for row in rows if isinstance(row[column].key, float)), key=lambda row: -float(row[column].key)
        )
        orders.append(", ".join(f"{row[0].text} {row[column].text}" for row in known) if len(known) > 1 else "")
    ours, published = orders
    return [f"By size, ours: {ours} nats{f'; published: {published}' if published else ''}."] if ours else []


def _name(level: Any, fields: Sequence[str]) -> str:
    return objective_name(dict(zip(fields, level, strict=True))) if fields == METHOD else str(level[0])
