"""Claims The claims of studies against the records, by the pairs of numbers that each of them orders."""

import itertools
from collections.abc import Sequence
from typing import cast

from iwax.experiments import Cell, Claim, Published, Record, Study
from iwax.report.cell_runs import Found, counting, find_all
from iwax.report.cells import OPEN, count, number
from iwax.report.format import counted
from iwax.report.tables import Datum, Sheet

__all__ = ["outcome", "verdicts"]

NOTE = (
    "Each claim orders pairs of numbers: in which it does not hold, and in how many of those compared it does. Runs of "
    "ours are compared after as many epochs each: how many pairs have runs of unequal length alone, and how many have "
    "none. One run says little where another seed would say otherwise: in brackets, the standard deviation over seeds "
    "where there are several runs, and the error over test images, most of which two runs share in log p, and in "
    "−KL(Q‖P) less."
)

Side = Cell | Published
Value = Found | Published


def verdicts(studies: Sequence[Study], records: Sequence[Record]) -> Sheet | None:
    """A line for each claim; None if there is none."""
    of_scale = counting(records)
    rows = tuple(_row(study, claim, of_scale) for study in studies for claim in study.claims)
    columns = ("study", "claim", "fails in", "holds", "unequal", "open")
    return Sheet("verdicts", "Claims", columns, rows, (NOTE,), labels=3) if rows else None


def outcome(sheet: Sheet) -> str:
    """How many of the claims of that table hold wherever their numbers could be compared, in words."""
    where, holds = sheet.columns.index("fails in"), sheet.columns.index("holds")
    compared = [row for row in sheet.rows if row[holds].kind != "open"]
    failed = sum(bool(row[where].text) for row in compared)
    parts = [f"{len(compared) - failed} of {counted(len(compared), 'claim')} hold in every pair of numbers compared"]
    parts += [f"{failed} {'fails' if failed == 1 else 'fail'} somewhere"] if failed else []
    left = len(sheet.rows) - len(compared)
    parts += [f"{left} cannot be compared yet"] if left else []
    return "; ".join(parts) + "."


def _row(study: Study, claim: Claim, records: Sequence[Record]) -> tuple[Datum, ...]:
    found = [(pair, [_values(study, side, records) for side in pair]) for pair in claim.pairs]
    there = [(pair, both) for pair, both in found if all(both)]
    compared = [(pair, values) for pair, (these, those) in there if (values := _of_one_length(these, those))]
    failed = [(pair, values) for pair, values in compared if not _holds(pair, values, claim.slack)]
    held = len(compared) - len(failed)
    verdict = Datum(f"{held} of {len(compared)}", held / len(compared)) if compared else OPEN
    where = Datum("; ".join(itertools.starmap(_against, failed)))
    unequal, missing = len(there) - len(compared), len(found) - len(there)
    return Datum(study.name), Datum(claim.text), where, verdict, count(unequal), count(missing)


def _values(study: Study, side: Side, records: Sequence[Record]) -> Sequence[Value]:
    """What there is for one side of a pair, the first of it first."""
    return [side] if isinstance(side, Published) else find_all(study, side, records)


def _of_one_length(these: Sequence[Value], those: Sequence[Value]) -> tuple[Value, Value] | None:
    """The first two numbers of runs of as many epochs; a published number goes with any."""
    pairs = itertools.product(these, those)
    return next((pair for pair in pairs if len({one.epochs for one in pair if isinstance(one, Found)}) == 1), None)


def _holds(pair: tuple[Side, Side], values: tuple[Value, Value], slack: float) -> bool:
    """Whether the first is no worse: lower is better for negative log-likelihoods, higher for bounds."""
    tolerance = slack + sum(side.tolerance or 0.0 for side in pair if isinstance(side, Published))
    this, that = (cast(float, value.value) for value in values)
    gain = this - that
    return (-gain if _cell(pair).metric == "nll" else gain) >= -tolerance


def _against(pair: tuple[Side, Side], values: tuple[Value, Value]) -> str:
    """Where, and which numbers: "1 layer, k = 5, mnist IWAE, 160 epochs: 85.71 (...) against 85.54"."""
    cell = _cell(pair)
    epochs = next(value.epochs for value in values if isinstance(value, Found))
    this, that = (number(value.value, cell.metric).text + _errors(value) for value in values)
    return f"{cell.row}, {cell.column}, {counted(epochs, 'epoch')}: {this} against {that}"


def _errors(value: Value) -> str:
    """How many runs of ours made a number, and how sure it is."""
    if isinstance(value, Published):
        return ""
    runs = len(value.records)
    parts = [f"{runs} run{'s' * (runs > 1)}"]
    errors = {"seeds": value.spread, "images": value.error("data_error")}
    parts += [f"± {error:.2f} over {kind}" for kind, error in errors.items() if error is not None]
    return f" ({', '.join(parts)})"


def _cell(pair: tuple[Side, Side]) -> Cell:
    return next(side for side in pair if isinstance(side, Cell))
