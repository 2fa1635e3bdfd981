"""Which records are the runs of a cell: those that train what it names, by any recipe that it leaves open."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from iwax.experiments.identity import explicit_fields, non_default_fields
from iwax.experiments.study import ALONG, SAMPLE, Study
from iwax.runs import OBJECTIVE_FIELDS, RunConfig

__all__ = ["BY_SMOKE", "matching_records"]

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
    recipe = dict(study.recipe) if study.keeps_recipe else {}
    wanted, before = (
        None if c is None else non_default_fields(dataclasses.replace(c, **recipe | explicit_fields(c)))
        for c in (config, start)
    )
    names, of_start = _compared(study, start), _compared(study, None)
    counting = [record for record in records if study.keeps_recipe or record.scale != "trial"]
    return [r for r in counting if _same(wanted, r.asked, names) and _same(before, r.started_from, of_start)]


def _compared(study: Study, start: RunConfig | None) -> set[str]:
    """The fields by which a run is told from others with the same start; what none of these names is left open."""
    if study.keeps_recipe:  # then whatever says how counts, too
        return {field.name for field in dataclasses.fields(RunConfig)} - BY_RUN
    return {*WHAT, *(name for other, before in study.configs if before == start for name in explicit_fields(other))}


def _same(wanted: Mapping[str, Any] | None, asked: Mapping[str, Any] | None, names: set[str]) -> bool:
    """Whether two runs agree in those fields, as far as the scale "smoke" leaves them."""
    if wanted is None or asked is None:
        return wanted is asked
    names = names - BY_SMOKE if asked.get("dataset") == SAMPLE else names
    return all(wanted.get(name) == asked.get(name) for name in names)
