"""On which data a run is judged, under which names that is written, and in which units it can be said."""

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from iwax.data import DATASETS, Dataset, column_order
from iwax.errors import IwaxError
from iwax.evaluation import is_discrete, standard_error
from iwax.models import is_own
from iwax.runs import JUDGED, PARTIAL, LoadedRun, load_data

__all__ = ["ResultFiles", "in_bits", "judged_data", "name_beside", "results_of"]


@dataclasses.dataclass(frozen=True)
class ResultFiles:
    """The names of the files of an evaluation, and what its summary says of data that are not the run's own."""

    summary: str = JUDGED
    arrays: str = "evaluation.npz"
    partial: str = PARTIAL
    about: dict[str, str] = dataclasses.field(default_factory=dict)


def judged_data(run: LoadedRun, dataset: str | Path | None, data_dir: str | Path | None) -> Dataset:
    """The run's own data, or others by name or path, read as the run reads its own.

    Raises:
        ValueError: they are not there, their examples are of another shape, or their columns have other names; in
            another order they are put into the run's.
    """
    if dataset is None or run.config.dataset in (str(dataset), os.path.abspath(dataset)):
        return run.data
    other = load_data(run.config, data_dir, dataset=dataset)
    own, found = run.example_shape, other.test.shape[1:]
    fits = own == found if is_own(run.config.model) else math.prod(own) == math.prod(found)
    if not fits:
        raise IwaxError(
            f"Expected dataset to have examples of shape {own}, as the run was trained on; got {other.name} with "
            f"{found}. Resize them, or judge a model that was trained on such."
        )
    if other.columns is None or "columns" not in run.environment:
        return other
    order = column_order(run.environment["columns"], list(other.columns), f"the run's data and {other.name}")
    return other if order is None else dataclasses.replace(other, test=other.test[:, order])


def results_of(run: LoadedRun, judged: Dataset) -> ResultFiles:
    """Where the evaluation on some data goes: that of others than the run's own is named after them.

    Raises:
        ValueError: as `name_beside`.
    """
    if judged is run.__dict__.get("data"):
        return ResultFiles()
    name = name_beside("evaluation", run, judged)
    about = {"dataset": judged.name, "trained_on": run.config.dataset}
    return ResultFiles(f"{name}.json", f"{name}.npz", f"{name}.partial", about)


def name_beside(result: str, run: LoadedRun, judged: Dataset) -> str:
    """What a result on other data than the run's own is called, without a suffix: it is named after them.

    Raises:
        ValueError: the name is taken by a result on data of the same name elsewhere.
    """
    name = f"{result}-{judged.name if judged.name in DATASETS else Path(judged.name).stem}"
    there = run.folder.json(f"{name}.json").get("dataset", judged.name)
    if there != judged.name:
        raise IwaxError(
            f"Expected {name}.json in {run.folder.path} to be of {judged.name}; it is of {there}. Move it away, or "
            "rename the data."
        )
    return name


def in_bits(run: LoadedRun, judged: Dataset, x: np.ndarray, log_p: np.ndarray) -> dict[str, Any]:
    """-log p in bits for each of the D values of an example, with its error over examples; of discrete x only."""
    size = getattr(run.model, "data_size", math.prod(x.shape[1:]))  # a conditional model's is without the labels
    real = run.resolved.real_valued if run.resolved.real_valued is not None else getattr(run.model, "real_valued", None)
    if not is_discrete(x, judged.test.dtype, run.resolved.test_binarize, real):
        return {"dimensions": size, "bits_per_dimension": None, "bits_per_dimension_test_error": None}
    bits = -log_p / (size * math.log(2))
    return {
        "dimensions": size,
        "bits_per_dimension": float(np.mean(bits)),
        "bits_per_dimension_test_error": standard_error(bits),
    }
