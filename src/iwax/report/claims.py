"""The pairs of numbers that a claim orders, each compared at one length of training, or the reason why it is not."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from iwax.experiments import Cell, Claim, Published, Record, Study
from iwax.report.cell_runs import COUNTING, Found, find_all
from iwax.report.paired import Difference, Pairing

__all__ = ["Compared", "compared", "published_claim"]

Side = Cell | Published
LIKELIHOODS = ("nll", "log_p")


@dataclasses.dataclass(frozen=True)
class Compared:
    """A pair of a claim.

    Attributes:
        pair: the two sides, each a cell or a published number.
        values: what was compared; None where there was nothing.
        difference: of the two; None likewise.
        tolerance: by how many nats the first may be worse.
        verdict: "holds" or "fails", by more than the error; "open" within it; "unequal" where runs are of other
            lengths only, "no run" where there is none.
    """

    pair: tuple[Side, Side]
    verdict: str
    values: tuple[Found | Published, Found | Published] | None = None
    difference: Difference | None = None
    tolerance: float = 0.0

    @property
    def cell(self) -> Cell:
        """The first of the two that is one."""
        return next(_cells(self.pair))

    @property
    def epochs(self) -> int:
        """How long the runs of ours trained."""
        assert self.values is not None
        return next(value.epochs for value in self.values if isinstance(value, Found))


def published_claim(study: Study) -> Claim | None:
    """That ours is at the published value or better, for every likelihood that may be compared; None of none."""
    pairs = tuple(
        (cell, dataclasses.replace(one, tolerance=None))
        for cell in study.cells
        if cell.metric in LIKELIHOODS and not cell.incomparable
        for one in cell.published
    )
    text = "Every likelihood is at the published value or better, within its error"
    return Claim(text, pairs, within_error=True) if pairs else None


def compared(study: Study, claim: Claim, records: Sequence[Record], pairing: Pairing) -> list[Compared]:
    """Every pair of a claim. Cells that pairs join, directly or by others, are compared after as many epochs each."""
    unbiased = tuple(record for record in records if not record.has_biased_backward)
    found = {cell: find_all(study, cell, unbiased) for pair in claim.pairs for cell in _cells(pair)}
    made: dict[int, Compared] = {}
    for joined in _joined(claim):
        epochs = _length([claim.pairs[i] for i in joined], found)
        made |= {i: _one(study, claim, claim.pairs[i], found, epochs, pairing) for i in joined}
    return [made[i] for i in range(len(claim.pairs))]


def _one(
    study: Study,
    claim: Claim,
    pair: tuple[Side, Side],
    found: Mapping[Cell, Sequence[Found]],
    epochs: int | None,
    pairing: Pairing,
) -> Compared:
    cell = next(_cells(pair))
    if not all(found[one] for one in _cells(pair)):
        return Compared(pair, "no run")
    values = [side if isinstance(side, Published) else _of_length(found[side], epochs) for side in pair]
    first, second = values
    if first is None or second is None:
        return Compared(pair, "unequal")
    difference = pairing.difference(first, second, cell.metric, study)
    tolerance = claim.slack + sum(side.tolerance or 0.0 for side in pair if isinstance(side, Published))
    verdict = _verdict(difference.gain + tolerance, difference.margin, within_error=claim.within_error)
    return Compared(pair, verdict, (first, second), difference, tolerance)


def _verdict(gain: float, margin: float | None, *, within_error: bool) -> str:
    """Of what is better by the margin of error or more, worse by more than that, or neither.

    >>> [_verdict(gain, 0.1, within_error=False) for gain in (0.2, 0.0, -0.2)]
    ['holds', 'open', 'fails']
    >>> [_verdict(gain, 0.1, within_error=True) for gain in (0.2, 0.0, -0.2)]
    ['holds', 'holds', 'fails']
    """
    if margin is None:
        return "holds" if within_error and gain >= 0 else "open"
    if gain >= margin:
        return "holds"
    return "fails" if gain < -margin else "holds" if within_error else "open"


def _joined(claim: Claim) -> list[list[int]]:
    """The numbers of the pairs, in groups of those that share cells."""
    groups: list[tuple[set[Cell], list[int]]] = []
    for i, pair in enumerate(claim.pairs):
        cells, numbers = set(_cells(pair)), [i]
        others = []
        for group in groups:
            if group[0] & cells:
                cells, numbers = cells | group[0], group[1] + numbers
            else:
                others.append(group)
        groups = [*others, (cells, numbers)]
    return [sorted(numbers) for _, numbers in groups]


def _length(pairs: Sequence[tuple[Side, Side]], found: Mapping[Cell, Sequence[Found]]) -> int | None:
    """The number of epochs at which most pairs can be compared; then of the largest scale, most seeds, longest."""
    scores: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for epochs in {one.epochs for pair in pairs for cell in _cells(pair) for one in found[cell]}:
        for pair in pairs:
            here = [_of_length(found[cell], epochs) for cell in _cells(pair)]
            known = [one for one in here if one is not None]
            if len(known) == len(here):
                scores[epochs].append(
                    (min(COUNTING.index(one.scale) for one in known), min(len(one.records) for one in known))
                )
    if not scores:
        return None
    return max(scores, key=lambda epochs: (len(scores[epochs]), *map(sum, zip(*scores[epochs], strict=True)), epochs))


def _of_length(found: Sequence[Found], epochs: int | None) -> Found | None:
    return next((one for one in found if one.epochs == epochs), None)


def _cells(pair: tuple[Side, Side]) -> Iterator[Cell]:
    return (side for side in pair if isinstance(side, Cell))
