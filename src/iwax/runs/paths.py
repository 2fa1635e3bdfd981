"""The paths of a run's configuration, so that it can be judged and resumed from another folder than it began in."""

import os
import warnings
from pathlib import Path
from typing import Any

from iwax.data import DATASETS, Dataset, DataWarning, load
from iwax.errors import IwaxError
from iwax.runs.config import RunConfig

__all__ = ["absolute", "data_of_run", "same_path"]

PATHS = ("dataset", "init_from")  # the fields that may be one


def absolute(path: str | None) -> str | None:
    """The path as it is from any folder."""
    return None if path is None else os.path.abspath(path)


def same_path(name: str, value: Any, other: Any) -> bool:
    """Whether two values of the field `name` are one path, seen from here."""
    return name in PATHS and None not in (value, other) and absolute(value) == absolute(other)


def data_of_run(config: RunConfig, data_dir: str | Path | None = None) -> Dataset:
    """The data that a run was trained on; what is to be said of them was said when it began.

    Raises:
        ValueError: they are not there; a run of an earlier version may name a path from the folder it was started in.
    """
    name = config.dataset
    places = (name, *(() if data_dir is None else (Path(data_dir) / name, Path(data_dir) / Path(name).name)))
    if name not in DATASETS and not any(os.path.exists(place) for place in places):
        where = "" if os.path.isabs(name) else f", from the folder {os.getcwd()}"
        raise IwaxError(
            f"Expected the data of this run to be at {name}{where}; there is nothing. Name the folder that holds "
            f"{Path(name).name} by --data-dir"
            + ("." if os.path.isabs(name) else ", or go to the folder in which the run was started.")
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return load(name, config.split, data_dir)
