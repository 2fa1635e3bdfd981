"""Ours beside what was published: by how much each number is better or worse, and how sure that is."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from iwax.experiments import Cell, Published, Record, Study
from iwax.report.cell_runs import COUNTING, Found, counting, find
from iwax.report.format import signed

__all__ = ["MARKS", "WORDS", "Comparison", "compare", "comparisons", "tally"]

MARKS = {"better": "▲", "near": "≈", "worse": "▼"}  # for eyes that see no colour
WORDS = {"better": "better", "near": "within the tolerance", "worse": "worse"}
SURE = 2.0  # standard errors
IN_NATS = ("nll", "log_p", "iwae_64", "minus_kl", "elbo")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A number of ours and one that was published for the same cell.

    >>> cell = Cell("1 layer", "IWAE", None, "nll")
    >>> Comparison(cell, None, Published(85.5, "A paper", tolerance=0.3), value=85.1, error=0.02).verdict
    'better'
    """

    cell: Cell
    found: Found
    published: Published
    value: float
    error: float

    @property
    def gain(self) -> float:
        """By how much ours is better, whichever way the metric runs: in nats, of SSIM without a unit."""
        assert not isinstance(self.published.value, tuple)
        difference = self.value - self.published.value
        return -difference if self.cell.metric == "nll" else difference

    @property
    def verdict(self) -> str:
        """ "near" within the published tolerance or two standard errors of the difference; else "better" or "worse"."""
        if abs(self.gain) <= max(self.published.tolerance or 0.0, SURE * self.error):
            return "near"
        return "better" if self.gain > 0 else "worse"

    @property
    def text(self) -> str:
        """The gain with its sign."""
        return signed(self.gain, 3 if self.cell.metric == "ssim" else 2)


def compare(found: Found | None, cell: Cell) -> list[Comparison]:
    """What can be compared of a cell: nothing of another's data, of the sample, of a trial, or of counts of units."""
    if found is None or found.is_of_sample or found.scale not in COUNTING:
        return []
    if cell.incomparable or cell.metric == "active_units":
        return []
    return [Comparison(cell, found, one, found.value, _error(found, one)) for one in cell.published]


def comparisons(study: Study, records: Sequence[Record]) -> list[Comparison]:
    """Those in nats of a study's numbers with the first that its document prints, of runs that count."""
    of_scale = counting(records)
    cells = [cell for table in study.tables for cell in table.cells if cell.metric in IN_NATS]
    return [one for cell in cells for one in compare(find(study, cell, of_scale), cell)[:1]]


def tally(found: Iterable[Comparison]) -> str:
    """How many are better, near and worse; "" of none.

    >>> tally([])
    ''
    """
    counts = Counter(one.verdict for one in found)
    if not counts:
        return ""
    parts = [f"{counts[verdict]} {WORDS[verdict]}" for verdict in MARKS if counts[verdict]]
    return f"{sum(counts.values())} numbers compared with what was published: {', '.join(parts)}."


def _error(found: Found, published: Published) -> float:
    """Of the difference: the standard error over seeds or, of one run, Monte Carlo's; and the published error."""
    spread = found.spread
    ours = found.error("mc_error") if spread is None else spread / math.sqrt(len(found.records))
    return math.hypot(ours or 0.0, published.error or 0.0)
