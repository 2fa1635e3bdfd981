"""A trained run as one value: loaded once from its folder and passed on to whatever judges it."""

import dataclasses
import functools
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from iwax.data import DATASETS, Dataset
from iwax.errors import IwaxError
from iwax.evaluation import first_examples, range_of
from iwax.keys import EvaluationKeys
from iwax.models import Model, OwnModel, is_own
from iwax.objectives import AbstractObjective
from iwax.reading import typed
from iwax.runs.checkpoint import Checkpoint
from iwax.runs.config import RunConfig
from iwax.runs.environment import differences, what_computes
from iwax.runs.extension import before_extensions
from iwax.runs.folder import CONFIG, ENVIRONMENT, MODEL, RunFolder
from iwax.runs.initial import architecture, build_model, training_images
from iwax.runs.kinds import selected_of
from iwax.runs.paths import check_same, data_of_run
from iwax.runs.resolution import ResolvedRun, resolve
from iwax.runs.stated import Stated

__all__ = [
    "LoadedRun",
    "check_checkpoint",
    "data_size_of",
    "kept_model",
    "load_run",
    "resolved_config",
    "which_checkpoint",
]

FIRST = ".model.inference[0].trunk.layers[0].weight"  # of one of iwax's own models: (values of an example, width)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LoadedRun:
    """A run as it is at its last checkpoint, or at its best; its data are loaded when they are first asked for.

    Attributes:
        folder: where it is.
        resolved: what it is.
        model, objective: of the checkpoint.
        checkpoint_sha256: checksum of what that holds.
        environment: the record of where and how it was trained.
        selected: epoch and number by which the checkpoint is the best of the run; empty for the last one.
        data_dir: folder of the data sets.
        own, data_mean: of a model of one's own that is from an exported file: its code, and the mean training example.
    """

    folder: RunFolder
    resolved: ResolvedRun
    model: Model
    objective: AbstractObjective
    checkpoint_sha256: str
    environment: dict[str, Any]
    selected: dict[str, Any] = dataclasses.field(default_factory=dict)
    data_dir: str | Path | None = None
    own: OwnModel | None = None
    data_mean: np.ndarray | None = None
    _data: Dataset | None = dataclasses.field(default=None, repr=False)

    @property
    def config(self) -> RunConfig:
        return self.resolved.config

    @property
    def words(self) -> str:
        """Which checkpoint it is, where there is more than one; and how far the run came, where it is not finished."""
        return " ".join(filter(None, [which_checkpoint(self.selected), self.folder.how_far]))

    @functools.cached_property
    def data(self) -> Dataset:
        """The data that the run was trained on.

        Raises:
            ValueError: they are not there.
        """
        if self._data is None:
            return data_of_run(self.config, self.data_dir, self.environment)
        check_same(self._data, self._data.name, self.environment)
        return self._data

    @functools.cached_property
    def made_from(self) -> dict[str, Any]:
        """What a result of judging this run belongs to: checkpoint and data, by checksums, and what computed it."""
        data = self.environment.get("checksums")  # which the data have, or they are refused
        if data is None and self._data is not None:
            data = dict(self._data.checksums)
        return {"checkpoint": self.checkpoint_sha256, "data": data, **what_computes()}

    @functools.cached_property
    def training_images(self) -> np.ndarray:
        """Those that the run was trained on, (N, *event), as stored."""
        return training_images(self.resolved, self.data)

    def test_images(
        self,
        seed: int,
        count: int | None = None,
        *,
        most: int | None = None,
        keys: type[EvaluationKeys] = EvaluationKeys,
    ) -> np.ndarray:
        """The first `count` test images, else the first `most`; see `first_examples`."""
        return first_examples(self.data, self.resolved.test_binarize, seed=seed, count=count, most=most, keys=keys)

    @functools.cached_property
    def shades(self) -> tuple[float, float]:
        """What is black and what is white in a picture: the range of the test images as they are judged."""
        rule, recorded = self.resolved.test_binarize, self.environment.get("example_range")
        if rule == "none" and recorded is not None:
            return recorded[0], recorded[1]
        return (0.0, 1.0) if rule != "none" else range_of(self.data, rule)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of an example; the data are asked only where neither the run's record nor iwax's list has it."""
        shape = self.environment.get("example_shape")
        if shape is None and self.config.dataset in DATASETS:
            shape = DATASETS[self.config.dataset].shape
        return tuple(self.data.test.shape[1:] if shape is None else shape)


def which_checkpoint(selected: dict[str, Any]) -> str:
    """In words, that it is not a run's last one, but the best by what `selected` says; "" where that is empty."""
    if not selected:
        return ""
    return (
        f"The checkpoint of epoch {selected['epoch']}, the best by {selected['by']} ({selected['value']:.3f} nats); "
        "--checkpoint last takes the last."
    )


def load_run(
    run: str | os.PathLike[str] | LoadedRun,
    *,
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
    checkpoint: str | None = None,
    code: bool = True,
) -> LoadedRun:
    """A trained run from its folder; one that is loaded already is returned as it is.

    Its data are read only where a model of one's own is made from them. That runs the code in the run's model.py: load
    such a run only if you trust whoever made its folder.

    Arguments:
        run: its folder, or the run itself.
        data_dir: folder of the data sets, for when the run's data are asked for.
        data: the data themselves, if they are loaded already.
        checkpoint: "best", by the validation images, or "last"; if left out the best, where the run keeps it.
        code: whether code that the run keeps may be run.

    Raises:
        ValueError: no run, no good checkpoint, or that of another run; or code of its own, which may not be run.
    """
    if isinstance(run, LoadedRun):
        return run
    folder = RunFolder(run)
    resolved, held = resolved_config(folder), folder.to_judge(checkpoint)
    check_checkpoint(folder, folder.config(), held)
    if is_own(resolved.config.model) and not code:
        raise IwaxError(f"Expected a model of iwax in {folder.path}; got {MODEL}, code which is not run here.")
    objective = held.fill(resolved.objective, ".objective")
    own = kept_model(folder, resolved.config)
    if own is None:
        template = architecture(resolved.config, data_size_of(held))
    else:
        data = data_of_run(resolved.config, data_dir, folder.json(ENVIRONMENT)) if data is None else data
        template = build_model(resolved, training_images(resolved, data), own)
    return LoadedRun(
        folder=folder,
        resolved=resolved,
        model=held.fill(template, ".model"),
        objective=objective,
        checkpoint_sha256=held.sha256,
        environment=folder.json(ENVIRONMENT),
        selected=selected_of(held.notes, folder.path),
        data_dir=data_dir,
        _data=data,
    )


def check_checkpoint(folder: RunFolder, config: RunConfig, checkpoint: Checkpoint) -> None:
    """Raises ValueError for a checkpoint that was made with another configuration than the folder's: of another run.

    What one of the two does not name, as a version of iwax had no such choice yet, it has at its default.
    """
    said = checkpoint.notes.get("config", "null")
    began = typed(said, dict[str, Any] | None, f"the configuration in the checkpoint of {folder.path}")
    if began is None:
        return
    defaults, now = dataclasses.asdict(RunConfig()), dataclasses.asdict(config)
    changed = differences(before_extensions(folder, defaults | began, config), now)
    if changed:
        raise IwaxError(
            f"Expected config.json of {folder.path} to be the one its checkpoint was made with; these differ: "
            f"{', '.join(changed)}. Put it back, or start a new run with --init-from."
        )


def resolved_config(folder: RunFolder) -> ResolvedRun:
    """The run that the configuration in a folder means.

    Raises:
        ValueError: it is damaged, or means nothing.
    """
    config = folder.config()
    try:
        return resolve(config)
    except IwaxError as error:
        raise IwaxError(f"Expected {folder.path / CONFIG} to be the configuration of a run; {error}") from error


def data_size_of(checkpoint: Checkpoint | Stated) -> int:
    """How many values an example has, by the first layer of the inference network of one of iwax's own models.

    Raises:
        ValueError: a checkpoint of another model.
    """
    if isinstance(checkpoint, Checkpoint):
        shapes = {name: array.shape for name, array in checkpoint.tensors.items()}
    else:
        shapes = checkpoint.shapes
    if not shapes.get(FIRST):
        raise IwaxError(f"Expected a checkpoint of the configured model; it has no {FIRST}.")
    return shapes[FIRST][0]


def kept_model(folder: RunFolder, config: RunConfig) -> OwnModel | None:
    """The code of a run's own model as the run keeps it, whatever has become of the file since; None for another.

    Raises:
        ValueError: the code is not the one that the run began with.
    """
    if not is_own(config.model):
        return None
    own = OwnModel.read(config.model, kept=folder.path / MODEL)
    began = folder.json(ENVIRONMENT).get("model", {}).get("sha256")
    if own.sha256 != began:
        raise IwaxError(
            f"Expected {folder.path / MODEL} to be the code that the run began with, SHA-256 {began}; got "
            f"{own.sha256}. Put it back, or start a new run."
        )
    logging.getLogger("iwax.code").info("running the code that the run keeps, %s", folder.path / MODEL)
    return own
