"""Does it hold? The claims of studies against the records, by the pairs of numbers that each of them orders."""

import itertools
from collections.abc import Sequence
from typing import Any

from iwax.experiments.records import Record
from iwax.experiments.study import Cell, Claim, Published, Study
from iwax.report.cells import OPEN, count, number
from iwax.report.found import counting, find_all
from iwax.report.tables import Datum, Sheet

__all__ = ["verdicts"]

NOTE = (
    "Each claim orders pairs of numbers: in which it does not hold, in how many of those whose runs are there it does, "
    "and how many are open. Runs of ours are compared after as many epochs each."
)

Side = Cell | Published


def verdicts(studies: Sequence[Study], records: Sequence[Record]) -> Sheet | None:
    """A line for each claim; None if there is none."""
    of_scale = counting(records)
    rows = tuple(_row(study, claim, of_scale) for study in studies for claim in study.claims)
    columns = ("study", "claim", "not in", "holds", "open")
    return Sheet("verdicts", "Does it hold?", columns, rows, (NOTE,), labels=3) if rows else None


def _row(study: Study, claim: Claim, records: Sequence[Record]) -> tuple[Datum, ...]:
    compared, failed = 0, list[str]()
    for pair in claim.pairs:
        if (found := _values(study, pair, records)) is None:
            continue
        epochs, values = found
        compared += 1
        if not _holds(pair, values, claim.slack):
            failed.append(_against(pair, values, epochs))
    held = compared - len(failed)
    verdict = Datum(f"{held} of {compared}", held / compared) if compared else OPEN
    left = count(len(claim.pairs) - compared)
    return Datum(study.name), Datum(claim.text), Datum("; ".join(failed)), verdict, left


def _values(study: Study, pair: tuple[Side, Side], records: Sequence[Record]) -> tuple[int, tuple[float, float]] | None:
    """The epochs and both numbers, those of runs after as many epochs; None if they are not there."""
    for (epochs, this), (others, that) in itertools.product(*(_numbers(study, side, records) for side in pair)):
        if epochs == others or epochs is None or others is None:
            return epochs or others or 0, (this, that)
    return None


def _numbers(study: Study, side: Side, records: Sequence[Record]) -> list[tuple[int | None, Any]]:
    """Each number with the epochs after which it is reached, None if that is no matter."""
    if isinstance(side, Published):
        return [(None, side.value)]
    return [(found.epochs, found.value) for found in find_all(study, side, records)]


def _holds(pair: tuple[Side, Side], values: tuple[float, float], slack: float) -> bool:
    """Whether the first is no worse: lower is better for negative log-likelihoods, higher for bounds."""
    tolerance = slack + sum(side.tolerance or 0.0 for side in pair if isinstance(side, Published))
    gain = values[0] - values[1]
    return (-gain if _cell(pair).metric == "nll" else gain) >= -tolerance


def _against(pair: tuple[Side, Side], values: tuple[float, float], epochs: int) -> str:
    """Where, and which numbers: "1 layer, k = 5, mnist IWAE, 160 epochs: 85.71 against 85.54"."""
    cell = _cell(pair)
    this, that = (number(value, cell.metric).text for value in values)
    return f"{cell.row}, {cell.column}, {epochs:,} epochs: {this} against {that}"


def _cell(pair: tuple[Side, Side]) -> Cell:
    return next(side for side in pair if isinstance(side, Cell))
