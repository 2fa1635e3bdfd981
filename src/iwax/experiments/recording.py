"""From a trained and judged run to its record, and to the small pictures beside it."""

import datetime
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np

from iwax.data import Dataset, load
from iwax.diagnostics import evaluation_flop
from iwax.errors import IwaxError
from iwax.evaluation import (
    count_active_by_kl,
    first_examples,
    reconstruct,
    sample_images,
    standard_error,
    unit_divergences,
)
from iwax.experiments.records import Record
from iwax.figures import image_sheet, in_shades
from iwax.files import make_folder
from iwax.judging import ssim_run
from iwax.keys import EvaluationKeys
from iwax.numpy_files import open_archive, read_arrays
from iwax.runs import ENVIRONMENT, EVALUATIONS, STATUS, LoadedRun, RunFolder, cores, load_run, resolve
from iwax.sweeps import run_flop

__all__ = ["SETTING", "folder_record", "machine", "make_record"]

SETTING = "pytorch_ssim"  # of SSIM: that of the only source that has one
POINTS = 200  # of a curve
METRICS = {"log_p": "log_p", "iwae_64": "iwae_64", "elbo": "elbo", "minus_kl": "neg_kl"}  # ours -> an evaluation's
ALONG = {"log_p": "log_p", "iwae_64": "iwae_64", "minus_kl": "neg_kl"}  # along training
SHEET = 10  # images in a row of a sheet
HELD_BY, DRAWS = 1000, 64  # test images, and draws for each, to tell which units are active by KL
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # by which sums are rounded otherwise
GREYS = 15  # levels above black, so that a sheet is small
ACROSS = {"mnist": "omniglot", "omniglot": "mnist"}  # also judged on


def make_record(
    path: Path,
    data: Dataset,
    results: Path,
    evaluation: dict[str, Any],
    *,
    id: str,
    scale: str,
    asked: dict[str, Any],
    started_from: dict[str, Any] | None,
    command: str,
    data_dir: str | None = None,
) -> Record:
    """The record of a run that has been evaluated, its pictures written to the folder `results`/sheets."""
    run = load_run(path, data=data)
    folder, environment, status = run.folder, run.environment, run.folder.json(STATUS)
    other, count = _across(data, data_dir), evaluation["num_examples"]
    return folder_record(
        folder,
        id=id,
        scale=scale,
        asked=asked,
        flop=run_flop(
            *(run.resolved, run.model, run.objective, run.example_shape, status["step"]),
            len(run.training_images) // run.resolved.recipe.batch_size,
        ),
        started_from=started_from,
        config={**vars(run.config), "init_from": asked.get("init_from")},
        evaluation=_evaluation(folder, evaluation)
        | {"flop": count * evaluation_flop(run.model, _examples(data, 1), evaluation["num_samples"])}
        | {"holding_units": _active_by_kl(run, count)},
        ssim=_ssim(run, other, count, data_dir),
        sheets=_sheets(run, other, results, id),
        machine=machine() | {name: environment[name] for name in ("cores", "device")},
        versions=environment["versions"] | {"python": environment["python"]},
        command=command,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        checkpoint_sha256=run.checkpoint_sha256,
        checks=_checks(folder, evaluation, status),
    )


def folder_record(
    folder: RunFolder, *, id: str, scale: str, asked: dict[str, Any], flop: int | None, **known: Any
) -> Record:
    """A run's folder in the form of a record, as far as its files say.

    Arguments:
        flop: the arithmetic of training; None where it is not known.
        known: fields of the record that are known otherwise, and stand in place of what the files say.
    """
    environment = folder.json(ENVIRONMENT)
    said: dict[str, Any] = {
        "config": dict(vars(folder.config())),
        "training": _training(folder, folder.json(STATUS)) | {"flop": flop},
        "along": tuple(
            [r["epoch"], {ours: r[name] for ours, name in ALONG.items() if name in r}]
            for r in folder.records(EVALUATIONS)
        ),
        "sheets": {kind: f"{kind}.png" for kind in ("samples", "reconstructions")},
        "machine": {name: environment.get(name) for name in ("platform", "cores", "device")},
        "versions": environment.get("versions", {}),
        "commit": environment.get("commit"),
        "command": " ".join(environment.get("command", [])),
        "date": environment.get("date", ""),
    }
    if "checkpoint_sha256" not in known:
        known["checkpoint_sha256"] = folder.last_checkpoint().sha256
    if "evaluation" not in known:
        known["evaluation"] = _evaluation(folder, folder.judged())
    return Record(id=id, scale=scale, asked=asked, **said | known)


def machine() -> dict[str, Any]:
    """The processor, its vector instructions, its cores and the device: what must be the same for bits to be."""
    cpu = _of_cpu("model name") or platform.processor() or platform.machine()
    flags = _of_cpu("flags").split()
    instructions = " ".join(name for name in INSTRUCTIONS if name in flags)
    device = ", ".join(f"{device.platform} ({device.device_kind})" for device in jax.devices())
    return {"cpu": cpu, "instructions": instructions, "cores": cores(), "device": device}


def _of_cpu(field: str) -> str:
    """What Linux says of the first core; "" elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = (line.partition(":") for line in info.read_text().splitlines()) if info.exists() else ()
    return next((value.strip() for name, _, value in lines if name.strip() == field), "")


def _training(folder: RunFolder, status: dict[str, Any]) -> dict[str, Any]:
    records = folder.metrics()
    kept = _thinned(records)
    curves: dict[str, Any] = {"curve": [[r["epoch"], r["bound"]] for r in kept]}
    if records and "beta" in records[-1]:
        curves["beta"] = [[r["epoch"], r["beta"]] for r in kept]
    if folder.config().early_samples and (early := resolve(folder.config()).early) is not None:
        curves["early_epochs"] = early.epochs
    return {
        "epochs": status.get("epoch", 0),
        "steps": status.get("step"),
        "seconds": status.get("seconds"),
        "final_bound": records[-1]["bound"] if records else None,
    } | curves


def _thinned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most POINTS of them, the first and the last among them."""
    places = np.unique(np.linspace(0, len(records) - 1, min(POINTS, len(records))).round().astype(int))
    return [records[i] for i in places]


def _evaluation(folder: RunFolder, found: dict[str, Any]) -> dict[str, Any]:
    """What an evaluation found, as far as it says so: those of former versions say less, and some folders have none."""
    again = {} if "found_finished" not in found else {"seconds": _seconds(found)}
    return {
        "num_images": found.get("num_examples"),
        "num_samples": found.get("num_samples"),
        **{name: found[name] for name in ("binarize", "seed", "test_hash") if name in found},
        "active_units": found.get("active_units", []),
        **{name: found["settings"][name] for name in ("keys",) if name in found.get("settings", {})},
        **again,
        "values": _values(found),
        "mc_error": _values(found, "_mc_error"),
        **{name: found[name] for name in ("khat_quantiles", "khat_above_0.5", "khat_above_0.7") if name in found},
        "data_error": _values(found | _iwae_error(folder, found), "_test_error"),
    }


def _values(found: dict[str, Any], what: str = "") -> dict[str, float | None]:
    """By the names of a record; a number that is not finite is None."""
    return {ours: found[name + what] for ours, name in METRICS.items() if name + what in found}


def _iwae_error(folder: RunFolder, found: dict[str, Any]) -> dict[str, float]:
    """The standard error over images that an evaluation does not state, from its values per image."""
    path = folder.path / "evaluation.npz"
    if "iwae_64" not in found or not path.exists():
        return {}
    first = "iwae" if found.get("iwae_samples", 64) == 64 else ""  # all that former versions kept
    with open_archive(path) as arrays:
        name = next((name for name in ("iwae_64", first) if name in arrays), None)
        return {} if name is None else {"iwae_64_test_error": standard_error(arrays.read(name))}


def _seconds(found: dict[str, Any]) -> float:
    """Of all images, at the rate of the last session."""
    new = found["num_examples"] - found["found_finished"]
    return found["seconds"] * (found["num_examples"] / new if new else 1.0)


def _active_by_kl(run: LoadedRun, count: int) -> list[int]:
    """How many units of each layer are active by KL, of the first test images."""
    x, keys = run.test_images(0, min(HELD_BY, count)), EvaluationKeys.of_seed(0)
    return count_active_by_kl(unit_divergences(run.model, x, keys.divergences, num_samples=DRAWS))


def _checks(folder: RunFolder, found: dict[str, Any], status: dict[str, Any]) -> dict[str, bool]:
    arrays = read_arrays(folder.path / "evaluation.npz")
    log_p, iwae, elbo = arrays["log_likelihood"], arrays["iwae"], arrays["elbo"]
    means = [found[name] for name in ("elbo", "iwae_64", "log_p")]  # None where not finite
    return {
        "all_epochs": status["state"] == "finished",
        "finite": bool(np.isfinite([log_p, iwae, elbo]).all()) and found["log_p"] is not None,
        "minus_kl_never_positive": bool((iwae <= log_p).all()),
        "elbo_below_iwae_64_below_log_p": None not in means and means == sorted(means),
    }


def _across(data: Dataset, data_dir: str | None) -> Dataset | None:
    """The other data set on whose images the model is judged, too, if it is at hand."""
    if data.name not in ACROSS:
        return None
    try:
        found = load(ACROSS[data.name], None, data_dir)
    except IwaxError:  # no source has it
        return None
    return found if found.name == ACROSS[data.name] else None  # a sample of it is not it


def _ssim(run: LoadedRun, other: Dataset | None, count: int, data_dir: str | None) -> dict[str, Any]:
    """SSIM on the run's own test images, and across data sets."""
    names = ("ssim", "ssim_std", "ssim_test_error", "num_examples")
    found = {}
    for judged in filter(None, (run.data, other)):
        images = min(count, len(judged.test))
        result = ssim_run(run, setting=SETTING, dataset=judged.name, num_images=images, data_dir=data_dir)
        found[judged.name] = {name: result[name] for name in names} | {"setting": SETTING}
    return found


def _sheets(run: LoadedRun, other: Dataset | None, results: Path, id: str) -> dict[str, str]:
    """Samples of the model, and test images in rows above what it makes of them, those of another data set, too."""
    samples = sample_images(run.model, 6 * SHEET, EvaluationKeys.of_seed(0).prior_samples)
    pictures = {
        "samples": samples.reshape(-1, *run.example_shape),
        "reconstructions": _reconstructions(run, run.data),
    }
    if other is not None:
        pictures["across"] = _reconstructions(run, other)
    make_folder(results / "sheets")
    for name, images in pictures.items():
        path = results / "sheets" / f"{id}-{name}.png"
        image_sheet(np.round(GREYS * in_shades(images, run.shades)) / GREYS, path, columns=SHEET, scale=1)
    return {name: f"{id}-{name}.png" for name in pictures}


def _reconstructions(run: LoadedRun, data: Dataset) -> np.ndarray:
    """Rows of test images, each above a row of what the model makes of them."""
    shape = data.test.shape[1:]
    x = first_examples(data, run.resolved.test_binarize, seed=0, count=min(3 * SHEET, len(data.test)))
    decoded = reconstruct(run.model, x, EvaluationKeys.of_seed(0).reconstructions).reshape(-1, *shape)
    rows = [part[i : i + SHEET] for i in range(0, len(x), SHEET) for part in (x.reshape(-1, *shape), decoded)]
    return np.concatenate(rows)


def _examples(data: Dataset, count: int) -> jax.ShapeDtypeStruct:
    """The shape of so many examples, as a model takes them."""
    return jax.ShapeDtypeStruct((count, *data.test.shape[1:]), "float32")
