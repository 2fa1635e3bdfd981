"""By how much one cell's number is better than another's, paired over seeds and over test images, and how sure that is.

With d_si the difference of seed s and image i, over the S seeds that both have, and N images:

    difference = mean of d_si,    error^2 = Var_s(mean_i d_si) / S + Var_i(mean_s d_si) / N

Two runs of one seed see the same minibatches, and two models the same test images, so that both parts are smaller than
those of two numbers by themselves. Of one or two seeds, which say little of their spread, the first part is that of
two runs that are not paired, by the standard deviation over seeds that all cells of the data set have together. Where
recipes are what a study is about, that is of its own cells of the same recipe and length alone: a recipe that leaves a
plateau by chance ends whole nats apart, and another says nothing of it.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy import stats

from iwax.evaluation import standard_error
from iwax.experiments import PerImage, Published, Record, Study
from iwax.report.cell_runs import Found, counting, find

__all__ = ["Difference", "Pairing"]

LEVEL = 0.95
ENOUGH = 3  # seeds, from which their own spread is taken


@dataclasses.dataclass(frozen=True)
class Difference:
    """A first number less a second one, turned so that more is better.

    Attributes:
        gain: in the metric's unit, nats for likelihoods and bounds.
        seeds: over which it is paired.
        of_seeds: the part of its standard error that is due to seeds; None if not known.
        of_images: that due to test images; None where no numbers per image are kept.
        freedom: degrees of freedom of `of_seeds`.
        borrowed: whether `of_seeds` is from other cells, too, since there are fewer than three seeds.
    """

    gain: float
    seeds: int
    of_seeds: float | None
    of_images: float | None
    freedom: int = 0
    borrowed: bool = False

    @property
    def error(self) -> float | None:
        """The standard error; None if nothing is known of it."""
        known = [part for part in (self.of_seeds, self.of_images) if part is not None]
        return math.hypot(*known) if known else None

    @property
    def margin(self) -> float | None:
        """Half the width of its 95 % interval: by Student's t over seeds, since they are few; None if not known."""
        if self.error is None:
            return None
        of_seeds = 0.0 if self.of_seeds is None else self.of_seeds * float(stats.t.ppf((1 + LEVEL) / 2, self.freedom))
        return math.hypot(of_seeds, (self.of_images or 0.0) * float(stats.norm.ppf((1 + LEVEL) / 2)))

    @property
    def words(self) -> str:
        """What its error rests on, such as "3 seeds; images"."""
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        borrowed = "; spread over seeds of all cells" if self.borrowed else ""
        return f"{seeds}{borrowed}" + ("" if self.of_images is None else "; images")


class Pairing:
    """Differences between the numbers of some studies.

    Arguments:
        studies, records: from whose cells with several seeds the spread over seeds is taken where a pair has few.
        per_image: numbers per image, where they are kept.
    """

    def __init__(self, studies: Sequence[Study], records: Sequence[Record], per_image: PerImage | None = None) -> None:
        self._per_image = per_image or PerImage()
        self._spreads = _spreads(studies, counting(records))

    def difference(
        self, one: Found | Published, other: Found | Published, metric: str, study: Study | None = None
    ) -> Difference:
        """Of two numbers of a metric, one of them of runs; a published one has the error that is printed with it.

        Arguments:
            study: which asks; None for one whose recipes are left open.
        """
        sign = -1.0 if metric == "nll" else 1.0
        if isinstance(one, Published) or isinstance(other, Published):
            return self._from_published(one, other, metric, sign, study)
        first, second = _by_seed(one), _by_seed(other)
        shared = sorted(first.keys() & second.keys())
        pairs = [(first[seed], second[seed]) for seed in shared]
        gains = [sign * (_value(a, one) - _value(b, other)) for a, b in pairs]
        gain = fmean(gains) if gains else sign * (one.value - other.value)  # as where each has one seed, not the same
        count, of_images = max(1, len(pairs)), self._of_images(pairs, metric)
        spread, freedom = self._spread(one, metric, study)
        if len(gains) >= ENOUGH or (len(gains) > 1 and spread is None):
            return Difference(gain, count, stdev(gains) / math.sqrt(count), of_images, count - 1)
        of_seeds = None if spread is None else math.sqrt(2 / count) * spread
        return Difference(gain, count, of_seeds, of_images, freedom, borrowed=spread is not None)

    def _from_published(
        self, one: Found | Published, other: Found | Published, metric: str, sign: float, study: Study | None
    ) -> Difference:
        """Of ours and a published number, whose images and seeds are not known: what is unsure of either alone."""
        (found,) = (side for side in (one, other) if isinstance(side, Found))
        (published,) = (side for side in (one, other) if isinstance(side, Published))
        assert not isinstance(published.value, tuple)  # counts of units are in no claim
        ahead = found.value - published.value if one is found else published.value - found.value
        gain, count = sign * ahead, len(found.records)
        spread, freedom = self._spread(found, metric, study)
        borrowed = count < ENOUGH and spread is not None
        if not borrowed:
            spread, freedom = found.spread, count - 1
        if spread is None:
            return Difference(gain, count, None, None)
        of_seeds = math.hypot(spread / math.sqrt(count), published.error or 0.0)
        return Difference(gain, count, of_seeds, None, freedom, borrowed)

    def _spread(self, found: Found, metric: str, study: Study | None) -> tuple[float | None, int]:
        """Standard deviation over seeds of the cells that lend it, and its degrees of freedom."""
        return self._spreads.get(_lender(study, metric, found), (None, 0))

    def _of_images(self, pairs: Sequence[tuple[Record, Record]], metric: str) -> float | None:
        """The standard error over test images of the mean over seeds; None unless all were judged on the same."""
        hashes = {record.evaluation.get("test_hash") for pair in pairs for record in pair}
        values = [[self._per_image.of(record, metric) for record in pair] for pair in pairs]
        if not pairs or None in hashes or len(hashes) > 1 or any(value is None for pair in values for value in pair):
            return None
        if len({len(value) for pair in values for value in pair}) > 1:  # type: ignore[arg-type]
            return None
        return standard_error(np.mean([first - second for first, second in values], axis=0))  # type: ignore[operator]


def _lender(study: Study | None, metric: str, found: Found) -> tuple[Any, ...]:
    """What the cells have in common whose spread over seeds stands for that of one with too few."""
    config = found.records[0].config
    of_data = _unsigned(metric), config["dataset"]
    return of_data if study is None or not study.keeps_recipe else (*of_data, config["protocol"], found.epochs)


def _spreads(studies: Sequence[Study], records: Sequence[Record]) -> dict[tuple[Any, ...], tuple[float, int]]:
    """`_lender` -> standard deviation over seeds, pooled over its cells that have several, and its freedom."""
    squares: dict[tuple[Any, ...], dict[tuple[str, ...], tuple[float, int]]] = defaultdict(dict)
    for study in studies:
        for cell in study.cells:
            if cell.metric in ("active_units", "ssim"):
                continue
            found = find(study, cell, records)  # what fills it, and no other recipe that was tried
            if found is not None and found.spread is not None:
                freedom = len(found.records) - 1
                runs = tuple(record.id for record in found.records)  # which several studies may share
                squares[_lender(study, cell.metric, found)][runs] = (freedom * found.spread**2, freedom)
    return {key: _pooled(list(parts.values())) for key, parts in squares.items()}


def _pooled(parts: Sequence[tuple[float, int]]) -> tuple[float, int]:
    freedom = sum(count for _, count in parts)
    return math.sqrt(sum(square for square, _ in parts) / freedom), freedom


def _unsigned(metric: str) -> str:
    return "log_p" if metric == "nll" else metric


def _by_seed(found: Found) -> dict[int, Record]:
    return {record.config["seed"]: record for record in found.records}


def _value(record: Record, found: Found) -> float:
    value = record.value(found.metric, found.judged_on)
    assert isinstance(value, float)
    return value
