"""Trained models that come with the package: half-precision weights, each with the record of what it is worth.

`load` and `open_run` take all other trained models, too: folders of runs, exported files, and models on a hub.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from iwax.checks import check_choice
from iwax.data import Dataset, rule_again
from iwax.errors import IwaxError
from iwax.files import make_folder, read_json
from iwax.keys import EvaluationKeys
from iwax.models import ARCHITECTURES, VAE
from iwax.runs import (
    JUDGED,
    LoadedRun,
    RunConfig,
    RunFolder,
    ScratchFolder,
    fetch_model,
    is_on_hub,
    load_run,
    pack_checkpoint,
    read_checkpoint,
    read_exported,
    resolve,
)

__all__ = ["export", "is_of_zoo", "load", "open_run", "records"]

FOLDER = Path(__file__).parent / "trained"
MEASURED = ("log_p", "log_p_mc_error", "khat_above_0.7", "log_p_test_error", "iwae_64", "active_units", "num_examples",
            "num_samples", "test_hash")  # fmt: skip


def load(
    name: str | os.PathLike[str],
    *,
    folder: str | Path | None = None,
    trust_code: bool = False,
    data_dir: str | Path | None = None,
) -> Any:
    """A trained model, ready to be evaluated, sampled and pictured: a `VAE`, or one of its author's own.

    Arguments:
        name: of a model that comes with iwax, one of `iwax.zoo.records()` such as "one-layer-iwae-50", whose weights
            are stored in half precision and computed with in single; or the folder of a run; or a file that `iwax
            export` wrote; or `hf:OWNER/NAME`, such a file on the Hugging Face hub (also @REVISION, /FILE).
        folder: where the models that come with iwax are; the package's own if left out.
        trust_code: run the Python code that an exported file of somebody's own model holds; it may do whatever a
            program may.
        data_dir: where the data are on which a run of a model of your own was trained, if they were moved.

    Raises:
        ValueError: none of these, a file that is damaged, or code that is not trusted.

    >>> load("one-layer-iwae-50").latent_sizes
    (50,)
    """
    if folder is None and (Path(name).exists() or is_on_hub(name)):
        return open_run(name, trust_code=trust_code, data_dir=data_dir).model
    if folder is None and (len(Path(name).parts) > 1 or Path(name).suffix):
        raise IwaxError(
            f"Expected {name} to be the folder of a run, a file that `iwax export` wrote, hf:OWNER/NAME, or one of "
            f"{', '.join(records())}; there is no such file or folder. Check the path."
        )
    return _load_own(str(name), folder)


def open_run(
    source: str | os.PathLike[str] | LoadedRun,
    *,
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
    out: str | Path | None = None,
    trust_code: bool = False,
    checkpoint: str | None = None,
) -> LoadedRun:
    """Whatever `load` takes, with its configuration and data: what the commands judge.

    Arguments:
        source: as `load`; a run that is loaded is taken as it is.
        data_dir, data: as for `load_run`.
        out: the folder of results. Left out, a run's own; those of other models go to a temporary one.
        trust_code: as `load`.
        checkpoint: of a run's folder, "best" or "last"; if left out the best, where the run keeps it.

    Raises:
        ValueError: as `load`; or a checkpoint that is asked for of what is no run's folder.

    >>> import iwax
    >>> run = open_run("two-layer-vae", data=iwax.data.load("mnist-sample"))
    >>> run.config.objective, run.config.model
    ('elbo', 'two-layer')
    """
    if isinstance(source, LoadedRun):
        run = source
    elif is_on_hub(source) or Path(source).is_file():
        path = fetch_model(source) if is_on_hub(source) else source
        run = read_exported(path, trust_code=trust_code, data_dir=data_dir, data=data)
    elif is_of_zoo(source):
        run = _as_run(str(source), data_dir, data)
    else:
        return _with_results_in(out, load_run(source, data_dir=data_dir, data=data, checkpoint=checkpoint))
    if checkpoint == "best" and not run.selected:
        raise IwaxError(f"Expected checkpoint 'best' of the folder of a run; got it for {source}, which has one only.")
    return _with_results_in(out, run)


def _with_results_in(out: str | Path | None, run: LoadedRun) -> LoadedRun:
    if out is None:
        return run
    make_folder(out)
    return dataclasses.replace(run, folder=RunFolder(out))


def is_of_zoo(source: Any) -> bool:
    """Whether `source` names a model that comes with iwax, and no file or folder.

    >>> is_of_zoo("two-layer-vae"), is_of_zoo("runs/iwae")
    (True, False)
    """
    return isinstance(source, str | os.PathLike) and not Path(source).exists() and str(source) in records()


def _as_run(name: str, data_dir: str | Path | None, data: Dataset | None) -> LoadedRun:
    """A model that comes with iwax in the form of the run that it was."""
    record = records()[name]
    resolved = resolve(RunConfig(**record["config"]))
    return LoadedRun(
        folder=ScratchFolder(),
        resolved=resolved,
        model=_load_own(name, None),
        objective=resolved.objective,
        checkpoint_sha256=record["sha256"],
        environment={},
        data_dir=data_dir,
        _data=data,
    )


def _load_own(name: str, folder: str | Path | None) -> VAE:
    """One of those that come with iwax."""
    record = _record(name, folder)
    path = Path(folder or FOLDER) / f"{name}.safetensors"
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "no such file"
    if found != record["sha256"]:
        raise IwaxError(
            f"Expected {path.name} to have the SHA-256 of its record, {record['sha256']}; got {found}. Reinstall iwax."
        )
    template = ARCHITECTURES[record["model"]](
        key=jax.random.key(0),
        data_size=record["data_size"],
        **{option: record[option] for option in ("scale_map", "likelihood")},
    )
    return _as(jnp.float32, read_checkpoint(path).fill(_as(jnp.float16, template)))


def records(folder: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """What models there are: name -> record, with log p in nats of the model as `load` gives it.

    >>> round(records()["two-layer-iwae-50"]["half_precision"]["log_p"], 2)
    -82.46
    """
    paths = sorted(Path(folder or FOLDER).glob("*.json"))
    return {path.stem: read_json(path) for path in paths}


def export(
    name: str,
    run: str | Path,
    *,
    folder: str | Path | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Path:
    """Put the model of an evaluated run among the trained ones, and measure it again in half precision.

    Arguments:
        name: under which `load` will find it.
        run: the run's folder.
        folder: where the models are; the package's own if left out.
        data_dir, data: as for `iwax evaluate`.
        on_batch: called with the number of test images done.

    Raises:
        ValueError: no run, one without an evaluation, or a model that is none of ARCHITECTURES.
    """
    loaded = load_run(run, data_dir=data_dir, data=data)
    config, model, judged = loaded.config, loaded.model, loaded.folder.json(JUDGED)
    check_choice("model", config.model, ARCHITECTURES)
    if not judged:
        raise IwaxError(f"Expected {run} to be evaluated, so that its record can say so; run `iwax evaluate` first.")
    half = _as(jnp.float16, cast(VAE, model))  # of ARCHITECTURES
    again = _judged_again(_as(jnp.float32, half), loaded, judged, on_batch)
    content, out = pack_checkpoint(half, {"name": name}), Path(folder or FOLDER)
    record = {
        "name": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        **{field: getattr(config, field) for field in ("model", "scale_map", "likelihood", "dataset")},
        "data_size": half.data_size,
        "num_parameters": half.num_parameters,
        "half_precision": {key: again[key] for key in MEASURED},
        "single_precision": {key: judged[key] for key in MEASURED},
        "checkpoint_sha256": loaded.checkpoint_sha256,
        "config": {key: value for key, value in vars(config).items() if value is not None and key != "init_from"},
    }
    make_folder(out)
    RunFolder(out).write(f"{name}.safetensors", content)
    RunFolder(out).write_json(f"{name}.json", record)
    return out / f"{name}.safetensors"


def _judged_again(
    model: VAE, run: LoadedRun, judged: dict[str, Any], on_batch: Callable[[int], None] | None
) -> dict[str, Any]:
    """The evaluation of another model on the same images, with the same random numbers."""
    from iwax.evaluation import evaluate

    x, rule = run.test_images(judged["seed"], judged["num_examples"]), rule_again(run.resolved.test_binarize)
    key, num_samples = EvaluationKeys.of_seed(judged["seed"]).key, judged["num_samples"]
    return evaluate(model, x, key, num_samples=num_samples, binarize=rule, on_batch=on_batch).summary()


def _record(name: str, folder: str | Path | None) -> dict[str, Any]:
    there = records(folder)
    if not there:
        raise IwaxError(f"Expected trained models in {folder or 'this version of iwax'}; it has none yet.")
    check_choice("name", name, there)
    return there[name]


def _as(dtype: Any, tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, tree)
