"""Judge a run by annealed importance sampling; the method is in `iwax.evaluation.annealing`.

On test images, lower bounds on log p(x), beside the IWAE bound of many samples, which they show to be loose or not.
On images simulated from the model, bounds from both sides: how far apart they are is how much either can be wrong.
"""

import hashlib
import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Required, TypedDict, cast

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from iwax.data import Dataset
from iwax.evaluation import (
    CHAINS,
    Annealing,
    anneal,
    log_likelihood,
    schedule,
    simulate,
    standard_error,
)
from iwax.extras import beside_numbers
from iwax.figures import COLOURS, about, plot
from iwax.files import dumps, make_folder
from iwax.keys import EvaluationKeys
from iwax.models import FactorizedModel, Model
from iwax.progress import Progress
from iwax.reading import Count
from iwax.runs import LoadedRun, RunFolder, check_time_limit, locked
from iwax.zoo import open_run

__all__ = ["Annealing", "anneal", "anneal_run", "schedule", "simulate"]

RESULT, RECORDS, LOCK = "annealing.json", "annealing.jsonl", ".annealing.lock"
IMAGES = 100  # unless another number is asked for


class Annealed(TypedDict, total=False):
    """A line of annealing.jsonl; `checksum` is that of the others, which those of earlier versions do not have."""

    bound: Required[str]
    image: Required[Count]
    settings: Required[str]
    acceptance: Required[float | None]
    log_weights: Required[list[float | str]]
    checksum: Count


def anneal_run(
    run: str | Path | LoadedRun,
    *,
    num_distributions: int = 1000,
    num_chains: int = 16,
    num_images: int | None = None,
    sandwich: bool = True,
    start: str = "posterior",
    leapfrog_steps: int = 10,
    num_samples: int = 5000,
    seed: int = 0,
    time_limit: float | None = None,
    replace: bool = True,
    data_dir: str | None = None,
    data: Dataset | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Annealed bounds of a run beside its IWAE bounds on the same images; written to annealing.json, and drawn.

    Finished images are kept in annealing.jsonl beside those of other settings, from which the same command goes on
    after an interruption, and with more images. The picture is figures/annealing.svg (and .pdf).

    Arguments:
        run: its folder, or the run itself, loaded.
        num_distributions: T.
        num_chains: chains per image.
        num_images: the first this many test images, as `iwax evaluate` binarises them; 100 if left out, or all where
            there are fewer.
        sandwich: as many images simulated from the model, too, with bounds on either side of their log p(x).
        start: "posterior" or "prior".
        leapfrog_steps: gradients per Hamiltonian step.
        num_samples: importance samples of the IWAE bound, with the draws of `iwax evaluate`.
        seed: of everything random.
        time_limit: begin no more images after this many seconds; the result's "state" is then "stopped".
        replace: False leaves annealing.json and the picture of a fuller annealing of the same checkpoint as they are.
        data_dir: folder of the data sets.
        data: the data set itself, if it is loaded already.
        on_progress: called after every few images.

    Raises:
        ValueError: no run, or bad numbers.
        BusyError: another process anneals for the same run.
    """
    check_time_limit(time_limit)
    begin = time.monotonic()
    run = open_run(run, data_dir=data_dir, data=data)
    folder, x = run.folder, run.test_images(seed, num_images, most=IMAGES)
    options = {
        "num_distributions": num_distributions,
        "num_chains": num_chains,
        "start": start,
        "leapfrog_steps": leapfrog_steps,
    }
    settings = options | {
        "seed": seed,
        "binarize": run.resolved.test_binarize,
        "checkpoint": run.checkpoint_sha256[:16],
    }
    deadline = math.inf if time_limit is None else begin + time_limit
    busy = f"Expected {folder.path} to be annealed by one process at a time; one is already running. Wait for it."
    with locked(folder.path / LOCK, busy):
        records = _Records(folder, settings | run.made_from, len(x) * (3 if sandwich else 1), deadline, on_progress)
        try:
            results, iwae = _bounds(records, run.model, x, EvaluationKeys.of_seed(seed), options, sandwich, num_samples)
        except _OutOfTimeError:
            done = {"num_examples": records.count, "total_examples": records.total}
            return {"state": "stopped"} | done | {"seconds": time.monotonic() - begin}
        summary = {"state": "finished"} | settings | {"num_samples": num_samples} | _summary(results, iwae)
        summary |= {"made_from": run.made_from}
        if replace or not _is_fuller(folder.result(RESULT), summary):
            folder.write_json(RESULT, summary)
            with beside_numbers("figures/annealing"), about(run.made_from):
                _draw(folder.path / "figures", results, iwae, num_samples)
    return summary


def _is_fuller(there: dict[str, Any], than: dict[str, Any]) -> bool:
    """Whether an annealing that is kept tells more, in some respect, than another."""
    effort = ("num_distributions", "num_chains", "num_examples")
    return there.get("sandwich") is not None or any(there.get(name, 0) > than[name] for name in effort)


def _bounds(
    records: "_Records",
    model: Model,
    x: Any,
    keys: EvaluationKeys,
    options: dict[str, Any],
    sandwich: bool,
    num_samples: int,
) -> tuple[dict[str, Annealing], dict[str, np.ndarray]]:
    """Annealed and IWAE bounds on test images, and on as many simulated ones."""
    results = {"test": records.anneal("test", model, x, None, keys.annealing, options)}
    iwae = {"test": log_likelihood(model, x, keys.samples, num_samples=num_samples)}
    if sandwich:
        simulated, z = simulate(cast(FactorizedModel, model), len(x), keys.simulated)
        results["lower"] = records.anneal("lower", model, simulated, None, keys.annealing_upwards, options)
        results["upper"] = records.anneal("upper", model, simulated, z, keys.annealing_downwards, options)
        iwae["lower"] = log_likelihood(model, simulated, keys.simulated_samples, num_samples=num_samples)
    return results, iwae


class _OutOfTimeError(Exception):
    """The time limit has passed, and there is more to do."""


class _Records:
    """Annealed log-weights image by image, kept in the run's folder as they come."""

    def __init__(
        self,
        folder: RunFolder,
        settings: dict[str, Any],
        total: int,
        deadline: float,
        on_progress: Callable | None,
    ) -> None:
        self.folder, self.total, self.deadline, self.on_progress = folder, total, deadline, on_progress
        self.has_begun = False  # whatever the limit, a session does something
        self.digest = hashlib.sha256(dumps(settings).encode()).hexdigest()[:16]
        kept = [record for record in folder.records(RECORDS, Annealed) if _is_whole(record)]  # of whatever settings
        folder.write(RECORDS, "".join(dumps(_kept(record)) + "\n" for record in kept))  # without a half-written line
        self.done = {(r["bound"], r["image"]): r for r in kept if r["settings"] == self.digest}
        self.count = 0

    def anneal(self, bound: str, model: Model, x: Any, z: PyTree, key: PRNGKeyArray, options: dict) -> Annealing:
        """`iwax.anneal`, but for the images that are done already."""
        size = min(len(x), max(1, CHAINS // options["num_chains"]))
        for begin in range(0, len(x), size):
            numbers = range(begin, min(begin + size, len(x)))
            if not all((bound, number) in self.done for number in numbers):
                if self.has_begun and time.monotonic() > self.deadline:
                    raise _OutOfTimeError
                self.has_begun = True
                # one size of batch, so that one program is compiled: the last repeats its last image
                of_batch = np.minimum(np.arange(begin, begin + size), len(x) - 1)
                draws = jax.tree.map(lambda leaf, of_batch=of_batch: leaf[of_batch], z)
                self._keep(bound, numbers, anneal(model, x[of_batch], key, z=draws, first=begin, **options))
            self._tell(len(numbers))
        rows = [self.done[bound, number] for number in range(len(x))]
        log_weights, acceptance = (
            np.array([row[name] for row in rows], float) for name in ("log_weights", "acceptance")
        )
        return Annealing(log_weights, acceptance, z is not None)

    def _keep(self, bound: str, numbers: range, result: Annealing) -> None:
        for i, number in enumerate(numbers):
            record = {"bound": bound, "image": number, "settings": self.digest}
            acceptance = None if np.isnan(result.acceptance[i]) else float(result.acceptance[i])
            record |= {"acceptance": acceptance, "log_weights": result.log_weights[i].tolist()}
            self.folder.append(RECORDS, _kept(record))
            self.done[bound, number] = record

    def _tell(self, count: int) -> None:
        self.count += count
        if self.on_progress is not None:
            self.on_progress(Progress(self.count, self.total, f"{self.count}/{self.total} images"))


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    """A record as it is written: a weight of zero is "-inf", not null, which would be read as NaN."""
    weights = [w if math.isfinite(float(w)) else str(w) for w in record["log_weights"]]
    record = {name: value for name, value in record.items() if name != "checksum"} | {"log_weights": weights}
    return record | {"checksum": zlib.crc32(dumps(record).encode())}


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record is as it was written; of those without a checksum nothing is known. Others are made again."""
    return "checksum" not in record or record == _kept(record)


def _summary(results: dict[str, Annealing], iwae: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means over images in nats, with their errors over chains and over images."""
    test = results["test"]
    gain = test.bound - iwae["test"]
    summary: dict[str, Any] = {
        "num_examples": len(test.bound),
        "ais": float(np.mean(test.bound)),
        "ais_mc_error": float(np.sqrt(np.sum(test.mc_error**2)) / len(gain)),
        "ais_test_error": standard_error(test.bound),
        "iwae": float(np.mean(iwae["test"])),
        "ais_minus_iwae": float(np.mean(gain)),
        "ais_minus_iwae_test_error": standard_error(gain),
        "ess": float(np.mean(test.ess)),
        "acceptance": _mean_acceptance(test),
        "sandwich": None,
    }
    if "upper" in results:
        lower, upper = results["lower"], results["upper"]
        gap = upper.bound - lower.bound
        summary["sandwich"] = {
            "lower": float(np.mean(lower.bound)),
            "upper": float(np.mean(upper.bound)),
            "gap": float(np.mean(gap)),
            "gap_test_error": standard_error(gap),
            "iwae": float(np.mean(iwae["lower"])),
            "acceptance": [_mean_acceptance(lower), _mean_acceptance(upper)],
        }
    return summary


def _mean_acceptance(result: Annealing) -> float | None:
    """None for plain importance sampling, which accepts nothing."""
    return None if np.isnan(result.acceptance).any() else float(np.mean(result.acceptance))


def _draw(folder: Path, results: dict[str, Annealing], iwae: dict[str, np.ndarray], num_samples: int) -> None:
    """Bounds of each image less its IWAE bound, in order of the lower ones; as annealing.svg and annealing.pdf."""
    make_folder(folder)
    panels = [("test images", iwae["test"], {"AIS, a lower bound": results["test"]})]
    if "upper" in results:
        both = {"AIS, a lower bound": results["lower"], "backward AIS, an upper bound": results["upper"]}
        panels.append(("images simulated from the model", iwae["lower"], both))
    paths = [folder / f"annealing{suffix}" for suffix in (".svg", ".pdf")]
    with plot(paths, columns=len(panels), width=3.6 * len(panels), height=3.0) as axes:
        for axis, (title, reference, bounds) in zip(np.ravel(axes), panels, strict=True):
            order = np.argsort(next(iter(bounds.values())).bound - reference)
            for (label, result), colour, marker in zip(bounds.items(), COLOURS, "^v", strict=False):
                gap, error = (result.bound - reference)[order], result.mc_error[order]
                axis.errorbar(
                    np.arange(len(order)), gap, error, label=label, color=colour, fmt=marker, ms=3, elinewidth=0.6
                )
            axis.axhline(0, color=COLOURS[-1], linewidth=0.8)
            axis.set(title=title, xlabel="image, by its lower bound", ylabel=f"minus IWAE-{num_samples} (nats)")
            axis.legend()
