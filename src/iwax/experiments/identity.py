"""What a run is called by: the fields that were asked for, and the ID that they hash to.

ID is the start of the SHA-256 of what was asked for: the fields of the configuration that are not as they would be if
left out, and what was evaluated. A field added to RunConfig later leaves every ID as it is.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

from iwax.data import DATASETS
from iwax.files import dumps
from iwax.runs import RunConfig, resolve

__all__ = ["asked", "identifier", "run_name", "stated"]

LENGTH = 12  # characters of an ID


def identifier(asked: Mapping[str, Any], evaluated: Mapping[str, Any]) -> str:
    """The ID of what was asked for: the start of a SHA-256.

    >>> identifier({"num_samples": 5}, {"num_samples": 64})
    '38e01de6f6d4'
    """
    text = dumps({"config": dict(asked), "evaluation": dict(evaluated)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def asked(config: RunConfig) -> dict[str, Any]:
    """The fields of a configuration that are not as they would be if left out: the same for however it is written.

    >>> asked(RunConfig(objective="iwae", num_samples=5, batch_size=250, binarize="dynamic"))
    {'num_samples': 5}
    """
    return dict(_asked(config))


@functools.lru_cache(maxsize=4096)
def _asked(config: RunConfig) -> dict[str, Any]:
    if config.dataset in DATASETS and config.split == next(iter(DATASETS[config.dataset].splits)):
        config = dataclasses.replace(config, split=None)
    whole = resolve(config)
    # By value, as records have it: what it is if left out depends on the likelihood.
    config = dataclasses.replace(config, binarize=None if whole.binarize == "dynamic" else whole.binarize)
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(RunConfig)}
    for name in [name for name in stated(config) if name != "binarize"]:
        shorter = dataclasses.replace(config, **{name: defaults[name]})
        try:
            config = shorter if resolve(shorter) == whole else config
        except ValueError:  # without it the others make no sense
            continue
    return stated(config)


def run_name(config: RunConfig) -> str:
    """The name of a run's folder: what a reader wants to know of it, and the ID of all that was asked for."""
    whole = resolve(config)
    sizes = [str(getattr(whole, name)) for name in ("num_groups", "num_samples", "beta") if getattr(whole, name)]
    words = [config.objective, *sizes, config.model, config.dataset, f"seed{config.seed}"]
    return "-".join([*words, identifier(asked(config), {})])


def stated(config: RunConfig) -> dict[str, Any]:
    """The fields of a configuration that are not at their defaults."""
    fields = dataclasses.fields(RunConfig)
    return {f.name: getattr(config, f.name) for f in fields if getattr(config, f.name) != f.default}
