"""Which records are the runs of a cell: those that train what it names, by any recipe that it leaves open."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from iwax.experiments.identity import explicit_fields, non_default_fields
from iwax.experiments.remembered import found_among
from iwax.experiments.study import ALONG, SAMPLE, Study
from iwax.runs import OBJECTIVE_FIELDS, RunConfig

__all__ = ["BY_RUN", "BY_SMOKE", "matching_records"]

WHAT = (  # the fields of a configuration that say what is trained; all others say how
    *("objective", *(name for name in OBJECTIVE_FIELDS if name not in ("backward", "num_resampled"))),
    *("model", "likelihood", "dataset", "binarize", "update"),
)
BY_RUN = {"seed", "init_from", *ALONG}  # no part of a recipe
BY_SMOKE = {"dataset", "split", "train_images", "batch_size", "epochs", "schedule_scale"}  # what that scale decides


def matching_records(
    study: Study, config: RunConfig, records: Sequence[Any], start: RunConfig | None = None
) -> list[Any]:
    """The records of the runs that train what `config` says, at any scale and by any recipe that it leaves open.

    Those of the scale "trial" count only where recipes are what is studied.
    """
    wanted, before = _wanted(study, config), None if start is None else _wanted(study, start)
    known = found_among(records)
    names, of_start = (_compared(study, first, known) for first in (start, None))
    groups = _by_fields(records, names, known)
    places = sorted(place for key in _keys(wanted, names) for place in groups.get(key, ()))
    alike = (records[place] for place in places)
    counting = (record for record in alike if study.keeps_recipe or record.scale != "trial")
    return [record for record in counting if _same(before, record.started_from, of_start)]


def _wanted(study: Study, config: RunConfig) -> dict[str, Any]:
    """What a configuration asks for by the study's recipe."""
    recipe = dict(study.recipe) if study.keeps_recipe else {}
    return non_default_fields(dataclasses.replace(config, **recipe | explicit_fields(config)))


def _compared(study: Study, start: RunConfig | None, known: dict[Any, Any]) -> frozenset[str]:
    """The fields by which a run is told from others with the same start; what none of these names is left open."""
    place = ("compared", id(study), start)
    if place not in known:
        if study.keeps_recipe:  # then whatever says how counts, too
            names = frozenset(field.name for field in dataclasses.fields(RunConfig)) - BY_RUN
        else:
            asked = (name for other, before in study.configs if before == start for name in explicit_fields(other))
            names = frozenset({*WHAT, *asked})
        known[place] = names, study  # which is kept, so that its identity stays its own
    names, _ = known[place]
    return names


Key = tuple[bool, tuple[Any, ...]]


def _by_fields(records: Sequence[Any], names: frozenset[str], known: dict[Any, Any]) -> dict[Key, list[int]]:
    """The places of records that agree in those fields: every cell of a study asks for one of these groups."""
    if ("by fields", names) not in known:
        groups: dict[Key, list[int]] = {}
        for i, record in enumerate(records):
            of_sample = record.asked.get("dataset") == SAMPLE
            groups.setdefault(_keys(record.asked, names)[of_sample], []).append(i)
        known["by fields", names] = groups
    return known["by fields", names]


def _keys(asked: Mapping[str, Any], names: frozenset[str]) -> tuple[Key, Key]:
    """What is asked for in those fields, and the same as far as the scale "smoke" leaves it."""
    whole, left = sorted(names), sorted(names - BY_SMOKE)
    return (False, tuple(map(asked.get, whole))), (True, tuple(map(asked.get, left)))


def _same(wanted: Mapping[str, Any] | None, asked: Mapping[str, Any] | None, names: frozenset[str]) -> bool:
    """Whether two runs agree in those fields, as far as the scale "smoke" leaves them."""
    if wanted is None or asked is None:
        return wanted is asked
    names = names - BY_SMOKE if asked.get("dataset") == SAMPLE else names
    return all(wanted.get(name) == asked.get(name) for name in names)
