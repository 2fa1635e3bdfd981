"""Makes a committed record again, as far as the time allows, and says plainly what was compared."""

import dataclasses
import math
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iwax.data import load
from iwax.errors import IwaxError
from iwax.experiments.identity import run_name
from iwax.experiments.matching import BY_RUN
from iwax.experiments.recording import machine
from iwax.experiments.records import Record, read_records
from iwax.judging import evaluate_run
from iwax.keys import EvaluationKeys, FormerEvaluationKeys
from iwax.runs import RunConfig, RunFolder, differences, new_run, versions_and_commit

__all__ = ["verify"]

SPREAD = 0.3  # nats; a model trained by other rounding is another model: as far apart as two seeds are
ERRORS = 4.0  # Monte-Carlo standard errors


def verify(
    results: str | Path,
    id: str | None = None,
    *,
    runs: str | Path = "runs/reproduce",
    seconds: float = 1800.0,
    data_dir: str | None = None,
    on_progress: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """Compare a record with what comes of the same once more.

    A run that took no longer than `seconds`, by its record, is trained and judged again. A longer one is judged again
    if its folder is at hand, and else trained as many epochs as the time allows, whose bounds are compared.

    Arguments:
        results: the folder of the records.
        id: one of them; any if None.
        runs: where run folders may be at hand.
        seconds: of training, at most.

    Returns:
        record, run, compared (what was done), expected (bits, or within which errors), differences and allowed_error
        (name -> nats) and verdict: "the same bits", "within the error" or "differs".

    Raises:
        ValueError: no such record, or one that does not say what it was judged on.
    """
    records = read_records(results)
    record = _chosen(records, id, results)
    _check_verifiable(record)
    config = RunConfig(**dict(record.asked))
    found: dict[str, Any] = {"record": record.id, "run": run_name(config), "scale": record.scale}
    with tempfile.TemporaryDirectory(prefix="iwax-verify-") as folder:
        before = _started_from(record, Path(folder), seconds, data_dir)
        if before is not None:
            config = dataclasses.replace(config, init_from=before)
        whole = record.training["seconds"] <= seconds and record.checks.get("all_epochs", False)
        kept = Path(runs) / found["run"]
        if whole:
            found |= _again(record, config, Path(folder), data_dir, on_progress)
        elif _is_at_hand(kept, record):
            found |= _judged_again(record, kept, data_dir, on_progress)
        else:
            found |= _first_epochs(record, config, Path(folder), seconds, data_dir, on_progress)
    trained = not found["compared"].startswith("the model")
    allowed = _allowed(record, _seeds(record, records) if trained else None, found["differences"])
    return found | _verdict(record, found["differences"], allowed)


def _chosen(records: list[Record], id: str | None, results: str | Path) -> Record:
    if not records:
        raise IwaxError(f"Expected records in {results}; there are none. Make some with `iwax reproduce STUDY`.")
    if id is None:
        return random.SystemRandom().choice(records)
    for record in records:
        if record.id == id:
            return record
    raise IwaxError(f"Expected a record {id} in {results}; there are {len(records)} others.")


def _check_verifiable(record: Record) -> None:
    """Raises ValueError for a record that may be shown, but does not say on which images, and by which seed."""
    if missing := [name for name in ("seed", "test_hash") if name not in record.evaluation]:
        raise IwaxError(
            f"Expected the evaluation of {record.id} to have {' and '.join(missing)}, without which it cannot be "
            "verified. Make it afresh with `iwax reproduce --restart`."
        )


def _started_from(record: Record, folder: Path, seconds: float, data_dir: str | None) -> str | None:
    """The folder of the run that this one starts from, trained again; None if it starts from nothing."""
    if record.started_from is None:
        return None
    path = folder / "before"
    _train(RunConfig(**dict(record.started_from)), path, data_dir, None)
    return str(path)


def _train(config: RunConfig, path: Path, data_dir: str | None, on_progress: Any, seconds: float | None = None) -> None:
    data = load(config.dataset, config.split, data_dir)
    new_run(config, path, data=data, time_limit=seconds, command=["iwax reproduce --verify"], on_progress=on_progress)


def _again(record: Record, config: RunConfig, folder: Path, data_dir: str | None, on_progress: Any) -> dict[str, Any]:
    path = folder / "run"
    _train(config, path, data_dir, on_progress)
    differences = _judgement(record, path, data_dir, on_progress) | _curve(record, path)
    compared = f"trained again, all {record.training['epochs']} epochs, and judged again"
    return {"compared": compared, "differences": differences}


def _judged_again(record: Record, path: Path, data_dir: str | None, on_progress: Any) -> dict[str, Any]:
    """The kept model, whose checksum is that of the record, judged again from nothing."""
    differences = _judgement(record, path, data_dir, on_progress, recompute=True)
    return {"compared": f"the model in {path} judged again; it was not trained again", "differences": differences}


def _first_epochs(
    record: Record, config: RunConfig, folder: Path, seconds: float, data_dir: str | None, on_progress: Any
) -> dict[str, Any]:
    path = folder / "run"
    _train(config, path, data_dir, on_progress, seconds)
    differences, epochs = _curve(record, path), len(RunFolder(path).metrics())
    if not differences:
        raise IwaxError(f"Expected an epoch of {record.id} to end within --max-minutes; got none. Give it more.")
    compared = f"the training bounds of the first {epochs} of {record.training['epochs']} epochs; no evaluation"
    return {"compared": compared, "differences": differences}


def _is_at_hand(path: Path, record: Record) -> bool:
    try:
        return RunFolder(path).checkpoint().sha256 == record.checkpoint_sha256
    except IwaxError:
        return False


def _judgement(
    record: Record, path: Path, data_dir: str | None, on_progress: Any, recompute: bool = False
) -> dict[str, float]:
    wanted = record.evaluation
    found = evaluate_run(
        path, num_samples=wanted["num_samples"], num_images=wanted["num_images"], seed=wanted["seed"],
        recompute=recompute,
        keys=EvaluationKeys if "keys" in wanted else FormerEvaluationKeys,
        data_dir=data_dir, on_progress=on_progress,
    )  # fmt: skip
    if found["test_hash"] != wanted["test_hash"]:
        raise IwaxError(f"Expected the test images of {record.id}; got others (or other random numbers).")
    names = {"log_p": "log_p", "iwae_64": "iwae_64", "elbo": "elbo", "minus_kl": "neg_kl"}
    known = {name: value for name, value in wanted["values"].items() if name in names and value is not None}
    return {name: _difference(found[names[name]], value) for name, value in known.items()}


def _difference(ours: float | None, theirs: float) -> float:
    """Of a number from one that is finite; infinite where ours is not, which files and summaries have as None."""
    return math.inf if ours is None else ours - theirs


def _curve(record: Record, path: Path) -> dict[str, float]:
    """The largest difference of a training bound, over the epochs that both have."""
    bounds = {r["epoch"]: r["bound"] for r in RunFolder(path).metrics()}
    known = [(epoch, bound) for epoch, bound in record.training["curve"] if epoch in bounds and bound is not None]
    both = [_difference(bounds[epoch], bound) for epoch, bound in known]
    return {"training_bound": max(both, key=abs)} if both else {}


def _seeds(record: Record, records: list[Record]) -> list[Record]:
    """The record with those of the same run and judgement that differ from it by their seed alone."""

    def how(one: Record) -> tuple[Any, ...]:
        asked = {name: value for name, value in one.asked.items() if name not in BY_RUN}
        before = {name: value for name, value in (one.started_from or {}).items() if name not in BY_RUN}
        judged = [one.evaluation.get(name) for name in ("num_samples", "num_images")]
        return asked, before, judged, one.scale, one.training["epochs"]

    return [one for one in records if how(one) == how(record)]


def _allowed(record: Record, seeds: list[Record] | None, differences: dict[str, float]) -> dict[str, float]:
    """By how many nats each number may differ: by four Monte-Carlo errors, and if it was trained again by more.

    Other rounding then makes another model of it, as another seed does. 0.3 nats are allowed for that, or twice what
    lies between the furthest of its seeds, where several have a record and are further apart: a run that leaves a
    plateau by chance, say.

    Arguments:
        seeds: records of the same run by seed; None for a model that was not trained again.
    """
    known = [error for error in record.evaluation["mc_error"].values() if error is not None]  # null: not finite
    judged = ERRORS * max(known, default=0.0) * 2**0.5
    if seeds is None:
        return dict.fromkeys(differences, judged)
    return {name: judged + max(SPREAD, 2 * _range(seeds, name)) for name in differences}


def _range(seeds: list[Record], name: str) -> float:
    """How far apart the furthest of seeds are; of the training bound where they are so most, along training."""
    if name != "training_bound":
        values = [value for one in seeds if (value := one.evaluation["values"].get(name)) is not None]
        return max(values) - min(values) if values else 0.0
    curves = [{epoch: bound for epoch, bound in one.training["curve"] if bound is not None} for one in seeds]
    bounds = [[curve[epoch] for curve in curves] for epoch in set.intersection(*map(set, curves))]
    return max((max(of_epoch) - min(of_epoch) for of_epoch in bounds), default=0.0)


def _verdict(record: Record, differences: dict[str, float], allowed: dict[str, float]) -> dict[str, Any]:
    if not differences:
        raise IwaxError(
            f"Expected {record.id} to state a finite number to compare with; got none. Name another record."
        )
    others = _others(record)
    largest = max(map(abs, differences.values()))
    within = all(abs(difference) <= allowed[name] for name, difference in differences.items())
    verdict = "the same bits" if largest == 0 else "within the error" if within else "differs"
    errors = f"{min(allowed.values()):.2f}"
    if (most := max(allowed.values())) > min(allowed.values()):
        errors += f" to {most:.2f}"
    expected = f"within {errors} nats ({'; '.join(others)})" if others else "the same bits (same machine and versions)"
    return {"expected": expected, "largest_difference": largest, "allowed_error": allowed, "verdict": verdict}


def _others(record: Record) -> list[str]:
    """What is not here as it was there, or was not recorded: any of it may round otherwise.

    The version of iwax is none of it: iwax is what is verified. Where it rounds its sums in another order than when the
    record was made, as its changelog says, the verdict is "within the error".
    """
    versions, _ = versions_and_commit()
    there, here = ({**found, "iwax": None} for found in (record.versions, versions))
    return differences({**record.machine, **there}, {**machine(), **here})
