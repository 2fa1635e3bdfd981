"""The paths of a run's configuration, so that it can be judged and resumed from another folder than it began in."""

import dataclasses
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iwax.data import DATASETS, Dataset, DataWarning, load
from iwax.errors import IwaxError
from iwax.runs.config import RunConfig
from iwax.runs.environment import differences

__all__ = ["absolute", "check_same", "data_of_run", "load_data", "same_path"]

PATHS = ("dataset", "init_from")  # the fields that may be one


def absolute(path: str | None) -> str | None:
    """The path as it is from any folder."""
    return None if path is None else os.path.abspath(path)


def same_path(name: str, value: Any, other: Any) -> bool:
    """Whether two values of the field `name` are one path, seen from here."""
    return name in PATHS and None not in (value, other) and absolute(value) == absolute(other)


def load_data(config: RunConfig, data_dir: str | Path | None = None, *, dataset: str | Path | None = None) -> Dataset:
    """The data that a configuration names, read as it says; or others, read so as far as it applies to them."""
    own: dict[str, Any] = {"columns": config.columns, "grey": bool(config.grey), "background": config.background}
    if dataset is None:
        return load(config.dataset, config.split, data_dir, **own)
    return load(dataset, None, data_dir, **({} if dataset in DATASETS else own))


def data_of_run(
    config: RunConfig, data_dir: str | Path | None = None, began: Mapping[str, Any] | None = None
) -> Dataset:
    """The data that a run was trained on; what is to be said of them was said when it began.

    Arguments:
        config: the run's.
        data_dir: the folder of data sets; where the run's own file or folder is now, or the folder that holds it.
        began: the record of the run's environment, whose checksums the data must have.

    Raises:
        ValueError: they are not there, or others are; a run of an earlier version may name a path from the folder it
            was started in.
    """
    name = config.dataset
    places = [Path(name)]
    if data_dir is not None:
        places += [Path(data_dir) / name, Path(data_dir) / Path(name).name, Path(data_dir)]
    place = next((place for place in places if place.exists()), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        if name in DATASETS:
            place, data = Path(name), load_data(config, data_dir)
        elif place is None:
            raise _not_there(name, began or {}, data_dir)
        else:
            data = load_data(dataclasses.replace(config, dataset=str(place)))
    check_same(data, str(place), began or {})
    return data


def _not_there(name: str, began: Mapping[str, Any], data_dir: str | Path | None) -> IwaxError:
    where = "" if os.path.isabs(name) else f", from the folder {os.getcwd()}"
    given = began.get("dataset_as_given")
    where += f" (given as {given})" if given not in (None, name) else ""
    remedy = "." if os.path.isabs(name) else ", or go to the folder in which the run was started."
    looked = "" if data_dir is None else f", nor at {data_dir}"  # which would itself be taken for them if it were there
    return IwaxError(
        f"Expected the data of this run to be at {name}{where}; there is nothing{looked}. Name by --data "
        f"where {Path(name).name} is now, or the folder that holds it{remedy}"
    )


def check_same(data: Dataset, place: str, began: Mapping[str, Any]) -> None:
    """Raises ValueError for data that are not those a run began with, by the checksums in its record if it has any."""
    checksums = began.get("checksums")
    other = [] if checksums is None else differences(checksums, dict(data.checksums))
    if other:
        raise IwaxError(
            f"Expected {place} to hold the data that the run was trained on; the checksums differ: {', '.join(other)}. "
            "Name by --data where they are now; those that the run began with are in its environment.json."
        )
