"""Runs beside each other: those that differ in the seed only are one line, with its spread and its errors."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from iwax.errors import IwaxError
from iwax.evaluation import standard_error
from iwax.judging.weights import ARRAYS
from iwax.numpy_files import open_archive, read_arrays
from iwax.runs import STATUS, RunConfig, RunFolder, find_runs

__all__ = ["PAIRED", "JudgedRun", "MeanOverSeeds", "SeedGroup", "best_group", "group_runs"]

PAIRED = {"log_p": "log_likelihood", "iwae_64": "iwae_64", "neg_kl": "neg_kl", "elbo": "elbo"}
"""Numbers of a summary that are means over examples -> their name per example in evaluation.npz."""
CLEAR = 1.96  # errors beyond which a difference counts


@dataclasses.dataclass(frozen=True)
class JudgedRun:
    """A run's folder as it is: what it was to train, how far it came, and its evaluation if it has one."""

    folder: RunFolder
    config: RunConfig
    status: dict[str, Any]
    summary: dict[str, Any]
    arrays: str = ARRAYS
    """The file of its numbers per example."""

    def value(self, name: str) -> float | None:
        """A number of the evaluation or of training ("seconds", "epochs"); None if it is not known."""
        if name == "active_units":
            return float(sum(self.summary["active_units"])) if self.summary.get("active_units") else None
        found = self.status.get({"epochs": "epoch"}.get(name, name)) if name in ("seconds", "epochs") else None
        found = self.summary.get(name) if found is None else found
        return None if found is None else float(found)

    def per_example(self, name: str) -> np.ndarray | None:
        """The same of each test example, (N,); None where it is not kept."""
        path = self.folder.path / self.arrays
        if not self.summary or name not in PAIRED or not path.exists():
            return None
        with open_archive(path) as arrays:
            return arrays.read(PAIRED[name]) if PAIRED[name] in arrays else None


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

    @property
    def config(self) -> RunConfig:
        return self.runs[0].config

    @property
    def epochs(self) -> int:
        return int(self.runs[0].status.get("epoch", 0))

    def number(self, name: str) -> MeanOverSeeds | None:
        """A number of the evaluation over those seeds that have it; None where none has."""
        found = [(value, run) for run in self.runs if (value := run.value(name)) is not None]
        values = [value for value, _ in found]
        if not values:
            return None
        errors = [run.summary.get(f"{name}_mc_error") for _, run in found]
        mc_error = None if None in errors else math.hypot(*(error for error in errors if error is not None))
        mean = self.per_example(name)
        return MeanOverSeeds(
            mean=fmean(values),
            sd=stdev(values) if len(values) > 1 else None,
            count=len(values),
            mc_error=None if mc_error is None else mc_error / len(values),
            data_error=None if mean is None else _known(standard_error(mean)),
        )

    def per_example(self, name: str) -> np.ndarray | None:
        """The mean over seeds of each example, (N,); None unless all were judged on the same ones."""
        found = [values for run in self.runs if (values := run.per_example(name)) is not None]
        return np.mean(found, axis=0) if found and self.test_hash is not None else None

    @property
    def test_hash(self) -> str | None:
        """Of the examples on which all were judged; None if there is no such."""
        hashes = {run.summary["test_hash"] for run in self.runs if run.summary}
        return hashes.pop() if len(hashes) == 1 else None


def group_runs(paths: Sequence[str | Path], left_out: Callable[[str], None] | None = None) -> list[SeedGroup]:
    """The runs in and under some folders, in groups that differ in the seed only; judged or not, nothing is computed.

    Arguments:
        paths: of the folders.
        left_out: told of each run that is damaged, which is then left out; such a run is an error if left out.

    Raises:
        ValueError: there is no run.
    """
    runs = {run.folder.path.resolve(): run for path in paths for run in _runs(Path(path), left_out)}
    if not runs:
        raise IwaxError(f"Expected runs in {', '.join(map(str, paths))}; there are none. `iwax train` makes them.")
    groups: dict[tuple[RunConfig, int], list[JudgedRun]] = {}
    for run in runs.values():
        alike = dataclasses.replace(run.config, seed=0)
        groups.setdefault((alike, run.status.get("epoch", 0)), []).append(run)
    return [SeedGroup(tuple(sorted(group, key=lambda run: run.config.seed))) for group in groups.values()]


def best_group(groups: Sequence[SeedGroup], name: str) -> int | None:
    """The group with the highest mean of a number, if it is above each other by more than the error of that.

    Examples are paired: d_i is the difference of both groups' means over seeds at example i, and

        error^2 = Var_i(d_i) / N + sd_A^2 / S_A + sd_B^2 / S_B        over N examples, and S seeds each

    of which 1.96 are wanted. None also where a group has no number, was judged on other examples, or there is one only.
    """
    numbers, of_examples = [group.number(name) for group in groups], [group.per_example(name) for group in groups]
    if len(groups) < 2 or len({group.test_hash for group in groups}) != 1 or name not in PAIRED:
        return None
    if any(number is None for number in numbers) or any(values is None for values in of_examples):
        return None
    means = [number.mean for number in numbers if number is not None]
    first = int(np.argmax(means))
    ahead = (_is_ahead(groups, name, first, other) for other in range(len(groups)) if other != first)
    return first if all(ahead) else None


def _is_ahead(groups: Sequence[SeedGroup], name: str, first: int, other: int) -> bool:
    one, two = (groups[i].per_example(name) for i in (first, other))
    assert one is not None  # `best_group` asked for both
    assert two is not None
    if len(one) != len(two):
        return False
    d, spreads = one - two, [groups[i].number(name) for i in (first, other)]
    seeds = sum((number.sd or 0.0) ** 2 / number.count for number in spreads if number is not None)
    return bool(np.mean(d) > CLEAR * math.sqrt(standard_error(d) ** 2 + seeds))


def _runs(path: Path, left_out: Callable[[str], None] | None) -> Iterator[JudgedRun]:
    if not path.exists():
        raise IwaxError(f"Expected {path} to be a run's folder, or to hold some; there is no such folder.")
    for folder in map(RunFolder, find_runs(path)):
        try:
            run = JudgedRun(folder, folder.config(), folder.json(STATUS), folder.judged())
            if run.summary and (folder.path / ARRAYS).exists():
                read_arrays(folder.path / ARRAYS)  # now, while the run can be left out
        except IwaxError as error:
            if left_out is None:
                raise
            left_out(f"Left out {folder.path}. {error}")
        else:
            yield run


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
