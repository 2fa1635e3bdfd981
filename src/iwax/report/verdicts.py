"""Claims: the claims of studies against the records, by the pairs of numbers that each of them orders."""

import itertools
from collections import Counter
from collections.abc import Sequence

from iwax.experiments import Cell, Claim, Published, Record, Study
from iwax.report.cell_runs import counting
from iwax.report.cells import count, number
from iwax.report.claims import Compared, compared, published_claim
from iwax.report.format import counted, signed
from iwax.report.paired import Difference, Pairing
from iwax.report.tables import Datum, Sheet

__all__ = ["claim_sheets", "outcome", "verdicts"]

LEFT_OUT = ("unequal", "no run")
NOTE = (
    "A claim orders pairs of numbers. Of each pair the difference is taken, positive where the claim is right, with "
    "its standard error: paired over the seeds that both have, and paired over the test images where the numbers of "
    "each image are kept beside the records (those made before 2026-11-29 have none). With fewer than three seeds the "
    "error over seeds is that of two runs which are not paired, by the standard deviation over seeds of all cells of "
    "the data set together (where recipes are studied, of cells of the same recipe and length, or it is not known); "
    "against a published number it is that of ours and the printed one. A pair holds or fails "
    "where the difference, and what the claim allows, is beyond its 95 % interval, by Student's t over seeds, and is "
    "open within it. A claim holds where every pair compared does, fails where one fails, and is open otherwise. "
    "Numbers that a claim joins are compared after as many epochs each: pairs of other lengths alone are left out, as "
    "unequal. A run that was trained with a biased backward pass is no run here."
)
COLUMNS = ("study", "claim", "verdict", "difference ± error, of the least sure pair", "holds", "fails", "open")
PAIR_COLUMNS = (
    "study",
    "claim",
    "pair",
    "epochs",
    "ours",
    "against",
    "difference",
    "± seeds",
    "± images",
    "error by",
    "verdict",
)


def verdicts(studies: Sequence[Study], records: Sequence[Record], pairing: Pairing | None = None) -> Sheet | None:
    """A line for each claim, the last of a study that ours is as good as what was published; None if there is none."""
    return claim_sheets(studies, records, pairing)[0]


def claim_sheets(
    studies: Sequence[Study], records: Sequence[Record], pairing: Pairing | None = None
) -> tuple[Sheet | None, Sheet | None]:
    """That table, and one with a line for each pair that was compared: both numbers, their difference, its errors."""
    pairing, of_scale = pairing or Pairing(studies, records), counting(records)
    judged = [
        (study, claim, compared(study, claim, of_scale, pairing))
        for study in studies
        for claim in (*study.claims, *filter(None, [published_claim(study)]))
    ]
    rows = tuple(itertools.starmap(_row, judged))
    lines = tuple(
        _line(study, claim, pair) for study, claim, pairs in judged for pair in pairs if pair.difference is not None
    )
    claims = Sheet("verdicts", "Claims", (*COLUMNS, *LEFT_OUT), rows, (NOTE,), labels=4)
    by_pair = Sheet("claim-pairs", "Claims, pair by pair", PAIR_COLUMNS, lines, labels=3)
    return claims if rows else None, by_pair if lines else None


def outcome(sheet: Sheet) -> str:
    """How many of the claims of that table hold, fail and are open, in words."""
    where = sheet.columns.index("verdict")
    found = Counter(row[where].text for row in sheet.rows)
    parts = [f"{found['holds']} of {counted(len(sheet.rows), 'claim')} hold in every pair of numbers compared"]
    parts += [f"{found['fails']} {'fails' if found['fails'] == 1 else 'fail'} somewhere"] if found["fails"] else []
    parts += [f"{found['open']} cannot be told yet"] if found["open"] else []
    return "; ".join(parts) + "."


def _row(study: Study, claim: Claim, pairs: Sequence[Compared]) -> tuple[Datum, ...]:
    counts = Counter(pair.verdict for pair in pairs)
    verdict = "fails" if counts["fails"] else "open" if counts["open"] or not counts["holds"] else "holds"
    named = Datum(verdict, ("fails", "open", "holds").index(verdict), kind="open" if verdict == "open" else "")
    numbers = [count(counts[name]) for name in ("holds", "fails", "open", *LEFT_OUT)]
    return Datum(study.name), Datum(claim.text), named, Datum(_least_sure(pairs)), *numbers


def _least_sure(pairs: Sequence[Compared]) -> str:
    """The pair that speaks the least for the claim, in units of its error: "log p, IWAE, 160 epochs: +0.31 ± 0.04"."""
    known = [(pair, pair.difference) for pair in pairs if pair.difference is not None]
    if not known:
        return ""
    pair, difference = min(known, key=lambda item: (item[1].gain + item[0].tolerance) / (item[1].margin or 1.0))
    allowed = f", {pair.tolerance:g} allowed" if pair.tolerance else ""
    return f"{_place(pair)}, {counted(pair.epochs, 'epoch')}: {_with_error(difference)} ({difference.words}{allowed})"


def _with_error(difference: Difference) -> str:
    error = difference.error
    return signed(difference.gain) + (" ± not known" if error is None else f" ± {error:.2f}")


def _place(pair: Compared) -> str:
    """Which cell, against what: a source, or as much of another cell as is another."""
    first, second = (_side(side, pair.cell) for side in pair.pair)
    return f"{first} against {second}"


def _side(side: Cell | Published, first: Cell) -> str:
    if isinstance(side, Published):
        return side.source
    parts = [(side.row, first.row), (side.column, first.column)]
    named = [own for own, of_first in parts if side == first or own != of_first]
    return ", ".join(named) or side.config.model  # of tables whose rows and columns are called alike


def _line(study: Study, claim: Claim, pair: Compared) -> tuple[Datum, ...]:
    assert pair.values is not None
    assert pair.difference is not None
    difference = pair.difference
    errors = [Datum("—") if e is None else Datum(f"{e:.2f}", e) for e in (difference.of_seeds, difference.of_images)]
    return (
        *(Datum(study.name), Datum(claim.text), Datum(_place(pair))),
        count(pair.epochs),
        *(number(value.value, pair.cell.metric) for value in pair.values),
        Datum(signed(difference.gain), difference.gain),
        *errors,
        Datum(difference.words),
        Datum(pair.verdict),
    )
