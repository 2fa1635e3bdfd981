"""Runs that differ in the seed only: the numbers of a line of a table, their spread and errors, and the best line."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from iwax.evaluation import standard_error
from iwax.judging.judged import PAIRED, JudgedRun
from iwax.runs import RunConfig

__all__ = ["MeanOverSeeds", "SeedGroup", "best_group", "samples_judged"]

CLEAR = 1.96  # errors beyond which a difference counts
ROUNDING = 1e-6
RISES_WITH_SAMPLES = ("log_p", "neg_kl")
"""Numbers that rest on all the samples of an evaluation, and rise with how many they are."""


@dataclasses.dataclass(frozen=True)
class MeanOverSeeds:
    """A number of the runs of a group.

    Attributes:
        mean: over the seeds.
        sd: standard deviation over the seeds; None for one.
        count: seeds.
        mc_error: what the finite number of samples leaves of uncertainty in the mean; None if not known.
        data_error: what the finite number of test examples leaves; all seeds see the same ones. None if not known.
    """

    mean: float
    sd: float | None
    count: int
    mc_error: float | None = None
    data_error: float | None = None


@dataclasses.dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in the seed only, in the order of their seeds."""

    runs: tuple[JudgedRun, ...]
    known: Mapping[str, Mapping[str, Any] | None] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """`over_examples` by number, as far as an index has it."""
    _numbers: dict[str, MeanOverSeeds | None] = dataclasses.field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @property
    def config(self) -> RunConfig:
        return self.runs[0].config

    @property
    def epochs(self) -> int:
        return int(self.runs[0].status.get("epoch", 0))

    def number(self, name: str) -> MeanOverSeeds | None:
        """A number of the evaluation over those seeds that have it; None where none has."""
        if name not in self._numbers:
            self._numbers[name] = self._number(name)
        return self._numbers[name]

    def _number(self, name: str) -> MeanOverSeeds | None:
        found = [(value, run) for run in self.runs if (value := run.value(name)) is not None]
        values = [value for value, _ in found]
        if not values:
            return None
        errors = [run.summary.get(f"{name}_mc_error") for _, run in found]
        mc_error = None if None in errors else math.hypot(*(error for error in errors if error is not None))
        examples = self.over_examples(name)
        return MeanOverSeeds(
            mean=fmean(values),
            sd=_deviation(values) if len(values) > 1 else None,
            count=len(values),
            mc_error=None if mc_error is None else mc_error / len(values),
            data_error=None if examples is None else examples["error"],
        )

    def per_example(self, name: str) -> np.ndarray | None:
        """The mean over seeds of each example, (N,); None unless all were judged on the same ones."""
        return self._over_seeds([values for run in self.runs if (values := run.per_example(name)) is not None])

    def _over_seeds(self, found: Sequence[np.ndarray]) -> np.ndarray | None:
        return np.mean(found, axis=0) if found and self.test_hash is not None else None

    def over_examples(self, name: str) -> Mapping[str, Any] | None:
        """Of `per_example`: its mean, the standard error of that (None for one example), and the count of examples."""
        if name in self.known:
            return self.known[name]
        return self._summed_up(name, self.per_example(name))

    def all_over_examples(self) -> dict[str, Mapping[str, Any] | None]:
        """The same of every number that has it, from one look at each file."""
        read = [run.per_examples() for run in self.runs]
        found = {name: self._over_seeds([kept[name] for kept in read if name in kept]) for name in PAIRED}
        return {name: self._summed_up(name, values) for name, values in found.items()}

    def _summed_up(self, name: str, values: np.ndarray | None) -> Mapping[str, Any] | None:
        if values is None:
            return self._stated_over_examples(name)
        return {"mean": float(np.mean(values)), "error": _known(standard_error(values)), "count": len(values)}

    def _stated_over_examples(self, name: str) -> Mapping[str, Any] | None:
        """The same as a single run's evaluation states it, where the numbers per example are not kept."""
        run, error = self.runs[0], f"{name}_test_error"
        if len(self.runs) > 1 or name not in PAIRED or error not in run.summary:
            return None
        return {"mean": run.value(name), "error": run.summary[error], "count": run.summary["num_examples"]}

    @property
    def test_hash(self) -> str | None:
        """Of the examples on which all were judged; None if there is no such."""
        hashes = {run.summary["test_hash"] for run in self.runs if run.summary}
        return hashes.pop() if len(hashes) == 1 else None


def samples_judged(groups: Sequence[SeedGroup]) -> list[int]:
    """k: how many samples of each example the evaluations of all runs had, each number once, in order."""
    runs = [run for group in groups for run in group.runs]
    return sorted({run.summary["num_samples"] for run in runs if "num_samples" in run.summary})


def best_group(groups: Sequence[SeedGroup], name: str) -> int | None:
    """The group with the highest mean of a number, if it is above each other by more than the error of that.

    Examples are paired: d_i is the difference of both groups' means over seeds at example i, and

        error^2 = Var_i(d_i) / N + sd_A^2 / S_A + sd_B^2 / S_B        over N examples, and S seeds each

    of which 1.96 are wanted. None also where a group has no number, was judged on other examples, or there is one only;
    and of log p and -KL where not all were judged with as many samples.
    """
    if name in RISES_WITH_SAMPLES and len(samples_judged(groups)) > 1:
        return None
    numbers, of_examples = [group.number(name) for group in groups], [group.over_examples(name) for group in groups]
    if len(groups) < 2 or len({group.test_hash for group in groups}) != 1 or name not in PAIRED:
        return None
    if any(number is None for number in numbers) or any(values is None for values in of_examples):
        return None
    means = [number.mean for number in numbers if number is not None]
    first, *others = sorted(range(len(groups)), key=lambda i: -means[i])  # the closest first: one is enough
    return first if all(_is_ahead(groups[first], groups[other], name) for other in others) else None


def _is_ahead(first: SeedGroup, other: SeedGroup, name: str) -> bool:
    """Whether the first is above the other by more than 1.96 errors; what is far apart needs no pairing.

    The standard error of d lies between the difference and the sum of both groups' own.
    """
    one, two = first.over_examples(name), other.over_examples(name)
    assert one is not None  # `best_group` asked for both
    assert two is not None
    if one["count"] != two["count"]:
        return False
    spreads = [group.number(name) for group in (first, other)]
    seeds = sum((number.sd or 0.0) ** 2 / number.count for number in spreads if number is not None)
    if None not in (one["error"], two["error"]):
        difference = one["mean"] - two["mean"]
        least, most = abs(one["error"] - two["error"]), one["error"] + two["error"]
        if difference > (1 + ROUNDING) * CLEAR * math.hypot(most, math.sqrt(seeds)):
            return True
        if difference < (1 - ROUNDING) * CLEAR * math.hypot(least, math.sqrt(seeds)):
            return False
    of_first, of_other = first.per_example(name), other.per_example(name)
    if of_first is None or of_other is None:  # as of a model that comes with iwax
        return False
    d = of_first - of_other
    return bool(np.mean(d) > CLEAR * math.sqrt(standard_error(d) ** 2 + seeds))


def _deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample; `statistics.stdev` takes half a second for each thousand of them."""
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
