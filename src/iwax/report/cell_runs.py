"""The runs that fill a cell of a study, and what they say together: a mean, its spread and its errors."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

from iwax.experiments import SAMPLE, SCALE_NAMES, Cell, Record, Study, found_among, is_planned, matching_records
from iwax.files import dumps
from iwax.report.format import backward, processor

__all__ = ["COUNTING", "SCALES", "Found", "cells_done", "counting", "find", "find_all", "without_history"]

SCALES = SCALE_NAMES
COUNTING = SCALES[2:]


@dataclasses.dataclass(frozen=True)
class Found:
    """The runs that fill a cell: of one configuration at one scale, a record for each seed."""

    records: tuple[Record, ...]
    metric: str
    judged_on: str = ""

    @property
    def values(self) -> list[Any]:
        return [record.value(self.metric, self.judged_on) for record in self.records]

    @property
    def value(self) -> Any:
        """The mean over seeds, by layer for active units."""
        return _by_layer(self.values) if self.metric == "active_units" else fmean(self.values)

    @property
    def active_by_kl(self) -> tuple[float, ...] | None:
        """How many units are active by KL, by layer; None if not known."""
        counts = [record.evaluation.get("holding_units") for record in self.records]
        return None if any(count is None for count in counts) else _by_layer(counts)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one, and for active units."""
        return stdev(self.values) if len(self.records) > 1 and self.metric != "active_units" else None

    def error(self, kind: str) -> float | None:
        """What `kind`, "mc_error" or "data_error", leaves of uncertainty in the mean over seeds; None if not known.

        Seeds see the same test images but draw their own samples.
        """
        name = "log_p" if self.metric == "nll" else self.metric
        errors = [record.evaluation.get(kind, {}).get(name) for record in self.records]
        if self.metric == "ssim" and kind == "data_error":
            judged = [record.ssim[self.judged_on or record.config["dataset"]] for record in self.records]
            errors = [found.get("ssim_test_error") for found in judged]
        if any(error is None for error in errors):
            return None
        return fmean(errors) if kind == "data_error" else math.hypot(*errors) / len(errors)

    @property
    def scale(self) -> str:
        return self.records[0].scale

    @property
    def is_biased(self) -> bool:
        """Whether a run of these was trained with a biased backward pass."""
        return any(record.has_biased_backward for record in self.records)

    @property
    def epochs(self) -> int:
        return self.records[0].training.get("epochs", 0)

    @property
    def processors(self) -> str:
        """What the runs were trained on, to which their seconds belong."""
        return ", ".join(dict.fromkeys(processor(record.machine) for record in self.records))

    @property
    def is_of_sample(self) -> bool:
        """Whether the bundled sample stood in for the data set, so that nothing published compares."""
        return self.records[0].config["dataset"] == SAMPLE

    def average(self, part: str, name: str) -> float | None:
        """The mean over seeds of a number of a record's `part`, such as training's seconds."""
        known = [getattr(record, part).get(name) for record in self.records]
        return None if any(value is None for value in known) else fmean(known)


def _by_layer(counts: Sequence[Any]) -> tuple[float, ...]:
    return tuple(fmean(layer) for layer in zip(*counts, strict=True))


def find(study: Study, cell: Cell, records: Sequence[Record]) -> Found | None:
    """The first of all that there is for a cell; else None."""
    return next(iter(find_all(study, cell, records)), None)


def find_all(study: Study, cell: Cell, records: Sequence[Record]) -> list[Found]:
    """All that there is for a cell, one for each recipe, scale and k of the evaluation, over its seeds.

    First those of the largest scale, of its recipe of today (others are history), the most seeds, the most epochs, all
    samples backward, the largest k, the recipe that changes least: how good a run turned out to be never counts. Those
    that were trained with a biased backward pass are left out once there is another of that scale or a larger one.
    """
    known, place = found_among(records), ("found", id(study), cell)
    if place not in known:
        known[place] = _find_all(study, cell, records), study  # which is kept, so that its identity stays its own
    return list(known[place][0])


def _find_all(study: Study, cell: Cell, records: Sequence[Record]) -> list[Found]:
    """The same, found now."""

    def rank(one: Found) -> tuple[int, bool, int, int, bool, int, int]:
        first = one.records[0]
        whole = backward(first.config) == "all"
        today = is_planned(study, cell.config, first.asked, one.scale)
        return SCALES.index(one.scale), today, len(one.records), one.epochs, whole, _k(first), -len(first.asked)

    groups: dict[tuple[str, int, str], list[Record]] = {}
    known: dict[int, str] = found_among(records).setdefault("recipes", {})
    for record in matching_records(study, cell.config, records, cell.start):
        if record.value(cell.metric, cell.judged_on) is not None:
            groups.setdefault((record.scale, _k(record), _recipe(record, known)), []).append(record)
    by_seed = (tuple(sorted(group, key=lambda record: record.config["seed"])) for group in groups.values())
    found = [Found(group, cell.metric, cell.judged_on) for group in by_seed]
    found = sorted(found, key=rank, reverse=True) if len(found) > 1 else found
    least = min((SCALES.index(one.scale) for one in found if one.is_biased), default=0)
    renewed = any(not one.is_biased and SCALES.index(one.scale) >= least for one in found)
    return [one for one in found if not (one.is_biased and renewed)]


def _recipe(record: Record, known: dict[int, str]) -> str:
    """What a record and what it started from ask for but the seed, in one order; `known` has it of those of before."""
    if id(record) not in known:
        asked = (record.asked, record.started_from or {})  # by name, what it started from holds a seed
        how = [{name: value for name, value in one.items() if name not in ("seed", "init_from")} for one in asked]
        known[id(record)] = dumps(how, sort_keys=True)
    return known[id(record)]


def _k(record: Record) -> int:
    """The samples of an image's evaluation; 0 of a run that has not been judged."""
    return record.evaluation.get("num_samples") or 0


def counting(records: Sequence[Record]) -> tuple[Record, ...]:
    """Those of a scale whose numbers count, judged on all test images."""
    known = found_among(records)
    if "counting" not in known:
        known["counting"] = tuple(record for record in records if record.scale in COUNTING)
    return known["counting"]


def without_history(records: Iterable[Record]) -> tuple[Record, ...]:
    """All but those with a biased backward pass of which there is another that trains the same, by any recipe."""
    known = tuple(records)
    renewed = {_trains(record) for record in known if not record.has_biased_backward}
    return tuple(record for record in known if not (record.has_biased_backward and _trains(record) in renewed))


def _trains(record: Record) -> tuple[Any, ...]:
    return tuple(record.config.get(name) for name in ("objective", "num_samples", "num_groups", "model", "dataset"))


def cells_done(study: Study, records: Sequence[Record]) -> tuple[int, int]:
    """How many of a study's cells have a run that counts, and of how many; one that was tried, where recipes are."""
    tried = [record for record in records if record.scale == "trial" and study.keeps_recipe]
    known = (*counting(records), *tried)
    found = [find(study, cell, known) for cell in study.cells]
    return sum(one is not None for one in found), len(found)
