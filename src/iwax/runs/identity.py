"""What a run is identified by: the fields that were asked for, and the ID that they hash to.

ID is the start of the SHA-256 of what was asked for: the fields of the configuration that are not as they would be if
left out, and what was evaluated. A field added to RunConfig later leaves every ID as it is.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

from iwax.data import DATASETS
from iwax.errors import IwaxError
from iwax.files import dumps
from iwax.runs.config import RunConfig
from iwax.runs.resolution import resolve

__all__ = ["explicit_fields", "identifier", "non_default_fields"]

LENGTH = 12  # characters of an ID
IDENTIFIED_AS = {"beta_rule": {"unconstrained": "seed002"}}  # values whose former names IDs are made of


def identifier(asked: Mapping[str, Any], evaluated: Mapping[str, Any]) -> str:
    """The ID of what was asked for: the start of a SHA-256.

    >>> identifier({"num_samples": 5}, {"num_samples": 64})
    '38e01de6f6d4'
    """
    text = dumps({"config": dict(asked), "evaluation": dict(evaluated)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def non_default_fields(config: RunConfig) -> dict[str, Any]:
    """The fields of a configuration that are not as they would be if left out: the same for however it is written.

    >>> non_default_fields(RunConfig(objective="iwae", num_samples=5, batch_size=250, binarize="dynamic"))
    {'num_samples': 5}
    """
    fields = dict(_non_default_fields(config))
    return fields | {
        name: IDENTIFIED_AS[name].get(fields[name], fields[name]) for name in IDENTIFIED_AS if name in fields
    }


@functools.lru_cache(maxsize=4096)
def _non_default_fields(config: RunConfig) -> dict[str, Any]:
    if config.dataset in DATASETS and config.split == next(iter(DATASETS[config.dataset].splits)):
        config = dataclasses.replace(config, split=None)
    whole = resolve(config).config
    # By value, as records have it: what it is if left out depends on the likelihood.
    config = dataclasses.replace(config, binarize=None if whole.binarize == "dynamic" else whole.binarize)
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(RunConfig)}
    for name in [name for name in explicit_fields(config) if name != "binarize"]:
        shorter = dataclasses.replace(config, **{name: defaults[name]})
        try:
            config = shorter if resolve(shorter).config == whole else config
        except IwaxError:  # without it the others make no sense
            continue
    return explicit_fields(config)


def explicit_fields(config: RunConfig) -> dict[str, Any]:
    """The fields of a configuration that are not at their defaults."""
    fields = dataclasses.fields(RunConfig)
    return {f.name: getattr(config, f.name) for f in fields if getattr(config, f.name) != f.default}
