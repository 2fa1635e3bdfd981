"""Trained models that come with the package: half-precision weights, each with the record of what it is worth."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from iwax.checks import check_choice
from iwax.data import Dataset
from iwax.errors import IwaxError
from iwax.files import read_json
from iwax.keys import EvaluationKeys
from iwax.models import ARCHITECTURES, VAE
from iwax.runs import LoadedRun, pack_checkpoint, read_checkpoint

__all__ = ["export", "load", "records"]

FOLDER = Path(__file__).parent / "trained"
MEASURED = ("log_p", "log_p_mc_error", "khat_above_0.7", "log_p_test_error", "iwae_64", "active_units", "num_examples",
            "num_samples", "test_hash")  # fmt: skip


def load(name: str, *, folder: str | Path | None = None) -> VAE:
    """A trained model that comes with iwax, ready to be evaluated, sampled and pictured.

    Its weights are stored in half precision and computed with in single; the record says what it reaches so.

    Arguments:
        name: one of `iwax.zoo.records()`, such as "one-layer-iwae-50".
        folder: where the models are; the package's own if left out.

    Raises:
        ValueError: an unknown name, or a file that is not the one of the record.
    """
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
    """What models there are: name -> record, with log p in nats of the model as `load` gives it."""
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
    from iwax.runs import JUDGED, RunFolder, load_run

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
    out.mkdir(parents=True, exist_ok=True)
    RunFolder(out).write(f"{name}.safetensors", content)
    RunFolder(out).write_json(f"{name}.json", record)
    return out / f"{name}.safetensors"


def _judged_again(
    model: VAE, run: LoadedRun, judged: dict[str, Any], on_batch: Callable[[int], None] | None
) -> dict[str, Any]:
    """The evaluation of another model on the same images, with the same random numbers."""
    from iwax.evaluation import evaluate

    x, rule = run.test_images(judged["seed"], judged["num_examples"]), run.resolved.test_binarize
    rule = "fixed" if rule == "threshold" else rule  # images of 0 and 1 stay as they are
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
