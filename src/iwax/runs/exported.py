"""A trained model as one file for others: weights, what it is, and the model card, in a safetensors file.

Its header holds, under "iwax", the notes: config (of the run), environment (data and versions), evaluation, card
(Markdown), checkpoint (the checksum of the run's), and of a model of one's own source, the text of its Python file.
No path of the machine on which it was trained is among them.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, PyTree

from iwax.data import DATASETS, Dataset
from iwax.errors import IwaxError
from iwax.files import dumps, make_folder, write_whole
from iwax.keys import TrainingKeys
from iwax.models import OwnModel, is_own
from iwax.reading import check_type, typed
from iwax.runs.card import model_card
from iwax.runs.checkpoint import Checkpoint, pack_checkpoint, read_checkpoint
from iwax.runs.config import RunConfig
from iwax.runs.folder import JUDGED
from iwax.runs.initial import architecture
from iwax.runs.kinds import Environment, Judged
from iwax.runs.loading import LoadedRun, data_size_of, kept_model
from iwax.runs.resolution import resolve
from iwax.runs.scratch import ScratchFolder

__all__ = ["SUFFIX", "export_run", "read_card", "read_exported"]

SUFFIX = ".safetensors"
NOTES = ("config", "environment", "evaluation", "card", "checkpoint")
SHARED = ("versions", "commit", "python", "device", "split", "checksums", "example_shape", "example_range", "columns")
"""What of a run's environment others get to see; the rest may name folders and people."""


class _Exported(eqx.Module):
    """The arrays of the file."""

    model: PyTree
    objective: PyTree
    data_mean: Array | np.ndarray | None


def export_run(run: LoadedRun, out: str | os.PathLike[str]) -> str:
    """Write the model of a run to one file that `iwax.load` reads anywhere; returns its model card, in Markdown.

    Of a model of one's own the file holds the Python file, too, and the mean training example that it is made with.

    Arguments:
        run: the run; its numbers are those of its evaluation, if it has one.
        out: the file, .safetensors; an older one is replaced.

    Raises:
        ValueError: another suffix.
        OSError: it cannot be written.
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise IwaxError(f"Expected out to be a file of the suffix {SUFFIX}; got {out}. Name one.")
    config, own = _shared_config(run.config), _own_model(run)
    environment = _shared_environment(run, own)
    evaluation = _evaluation_of(run)
    card = model_card(run, config, environment, evaluation, out.name)
    notes = {"kind": "model", "config": config.to_json(), "card": card, "checkpoint": run.checkpoint_sha256}
    notes |= {"environment": dumps(environment), "evaluation": dumps(_shared_evaluation(evaluation))}
    mean = None
    if own is not None:
        notes["source"] = own.source
        mean = own.mean(run.training_images) if run.data_mean is None else run.data_mean
    make_folder(out.parent)
    write_whole(out, pack_checkpoint(_Exported(run.model, run.objective, mean), notes))
    return card


def read_exported(
    path: str | os.PathLike[str],
    *,
    trust_code: bool = False,
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
) -> LoadedRun:
    """The model of an exported file, as a run whose results have no folder yet.

    Arguments:
        path: the file.
        trust_code: run the Python code that the file of a model of somebody's own holds. It may do whatever a program
            may: read it first (`iwax.runs.read_checkpoint(path).notes["source"]`).
        data_dir: where the data are that the run was trained on, for when they are asked for.
        data: the data themselves.

    Raises:
        ValueError: no such file, one that is damaged or another, or code that is not trusted.
    """
    try:
        return _loaded(path, _read(path), trust_code, data_dir, data)
    except IwaxError as error:
        if str(path) in str(error):
            raise
        raise IwaxError(f"Expected {path} to be a model that `iwax export` wrote; {error}") from error


def _loaded(
    path: str | os.PathLike[str],
    checkpoint: Checkpoint,
    trust_code: bool,
    data_dir: str | Path | None,
    data: Dataset | None,
) -> LoadedRun:
    notes = checkpoint.notes
    resolved = resolve(RunConfig.from_json(notes["config"]))
    objective = checkpoint.fill(resolved.objective, ".objective")
    mean = checkpoint.tensors.get(".data_mean")
    if not is_own(resolved.config.model):
        template = architecture(resolved.config, data_size_of(checkpoint))
    elif not trust_code or mean is None:
        raise IwaxError(
            f"Expected leave to run the code in {path}, that of a model of its author's own; got none. If you trust "
            "it, pass trust_code=True (--trust-code): like any program, it may do what it likes."
        )
    else:
        template = _own_of(notes, resolved.config.model).make_from(mean, TrainingKeys.model(resolved.config.seed))
    folder, evaluation = ScratchFolder(), typed(notes["evaluation"], dict[str, Any], f"the evaluation in {path}")
    if evaluation:  # so that whoever passes the model on passes on its numbers
        check_type(evaluation, Judged, f"the evaluation in {path}")
        folder.write_json(JUDGED, evaluation)
    return LoadedRun(
        folder=folder,
        resolved=resolved,
        model=checkpoint.fill(template, ".model"),
        objective=objective,
        checkpoint_sha256=notes["checkpoint"],
        environment=typed(notes["environment"], Environment, f"the environment in {path}"),
        data_dir=data_dir,
        data_mean=mean,
        own=_own_of(notes, resolved.config.model) if "source" in notes else None,
        _data=data,
    )


def read_card(path: str | os.PathLike[str]) -> str:
    """The model card of an exported file, in Markdown. None of its code is run."""
    return _read(path).notes["card"]


def _read(path: str | os.PathLike[str]) -> Checkpoint:
    checkpoint = read_checkpoint(Path(path))
    if checkpoint.notes.get("kind") != "model":
        raise IwaxError(
            f"Expected {path} to be a model that `iwax export` wrote; it is the checkpoint of a run, or a model of "
            "the package. Name the run's folder, or the model's name."
        )
    if missing := [name for name in NOTES if name not in checkpoint.notes]:
        raise IwaxError(f"Expected {path} to say what its model is; its notes have no {', '.join(missing)}.")
    return checkpoint


def _own_model(run: LoadedRun) -> OwnModel | None:
    return run.own if run.own is not None else kept_model(run.folder, run.config)


def _own_of(notes: dict[str, str], name: str) -> OwnModel:
    if "source" not in notes:
        raise IwaxError(f"Expected the code of {name}, a model of its author's own; its notes have no source.")
    path, _, function = name.rpartition(":")
    return OwnModel(path, function, notes["source"])


def _shared_config(config: RunConfig) -> RunConfig:
    """The configuration with names of files in place of paths."""
    names = {name: getattr(config, name) for name in ("dataset", "init_from", "model")}
    own: dict[str, Any] = {
        name: Path(value).name for name, value in names.items() if value is not None and value not in DATASETS
    }
    return dataclasses.replace(config, **own)


def _shared_environment(run: LoadedRun, own: OwnModel | None) -> dict[str, Any]:
    found = {name: run.environment[name] for name in SHARED if name in run.environment}
    if own is not None:
        found["model"] = {"file": Path(own.path).name, "function": own.function, "sha256": own.sha256}
    return found


def _evaluation_of(run: LoadedRun) -> dict[str, Any]:
    """The evaluation of this very checkpoint; {} where the folder has none, or that of another of its checkpoints."""
    evaluation = run.folder.judged()
    judged = evaluation.get("made_from", evaluation.get("settings", {})).get("checkpoint")
    return evaluation if judged in (None, run.checkpoint_sha256) else {}


def _shared_evaluation(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in evaluation.items() if name not in ("settings", "made_from")}
