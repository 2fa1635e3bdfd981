"""What a report is made of: the records of studies, and folders of runs; nothing is trained, or judged again."""

import dataclasses
import datetime
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax

from iwax.errors import IwaxError
from iwax.experiments import Record, identifier, read_records
from iwax.models import is_own
from iwax.report.format import nats, objective_name
from iwax.runs import (
    CHECKPOINT,
    CONFIG,
    ENVIRONMENT,
    EVALUATIONS,
    STATUS,
    Checkpoint,
    RunConfig,
    RunFolder,
    data_size_of,
    resolve,
)

__all__ = ["OWN", "Run", "flop_of_step", "gather", "pictures"]

OWN = "own"  # the scale of a run that no study made
CURVE = 200  # points
METRICS = {"log_p": "log_p", "iwae_64": "iwae_64", "minus_kl": "neg_kl", "elbo": "elbo"}  # ours -> an evaluation's


@dataclasses.dataclass(frozen=True)
class Run:
    """A record, the folder of its pictures, and the folder with its weights if that is at hand."""

    record: Record
    sheets: Path
    folder: Path | None = None

    @property
    def title(self) -> str:
        """What was trained, and how well."""
        config, value = self.record.config, "" if self.nll is None else f": log p {nats(-self.nll)}"
        return f"{objective_name(config)}, {config['model']}, {config['dataset']}, seed {config['seed']}{value}"

    @property
    def nll(self) -> float | None:
        value = self.record.evaluation["values"].get("log_p")
        return None if value is None else -value


def gather(results: str | Path, runs: str | Path) -> list[Run]:
    """All records under `results`, then the runs under `runs` that have none; unreadable run folders are left out."""
    records = read_records(results)  # one run may have been judged at two scales, and have a record of each
    recorded, folders, others = {record.checkpoint_sha256 for record in records}, dict[str, Path](), list[Run]()
    for folder in _folders(runs):
        try:
            record = _record(RunFolder(folder))
        except IwaxError:
            continue  # `iwax runs` says of them what is wrong
        if record.checkpoint_sha256 not in recorded | folders.keys():
            others.append(Run(record, folder, folder))
        folders.setdefault(record.checkpoint_sha256, folder)
    sheets = Path(results) / "sheets"
    return [Run(record, sheets, folders.get(record.checkpoint_sha256)) for record in records] + others


def pictures(run: Run) -> dict[str, Path]:
    """The run's sheets of samples and reconstructions, as far as there are any."""
    paths = {kind: run.sheets / name for kind, name in run.record.sheets.items()}
    return {kind: path for kind, path in paths.items() if path.is_file()}


def _folders(path: str | Path) -> list[Path]:
    return [config.parent for config in sorted(Path(path).rglob(CONFIG)) if (config.parent / CHECKPOINT).exists()]


def _record(folder: RunFolder) -> Record:
    """A run's folder in the form of a record."""
    from iwax.experiments import non_default_fields

    config, environment, status = folder.config(), folder.json(ENVIRONMENT), folder.json(STATUS)
    own, checkpoint = non_default_fields(config), folder.checkpoint()
    changed = (folder.path / CHECKPOINT).stat().st_mtime
    return Record(
        id=identifier(own, {}),
        scale=OWN,
        asked=own,
        config=dataclasses.asdict(config),
        training=_training(folder, status) | {"flop": _flop(config, checkpoint, status.get("step", 0))},
        evaluation=_evaluation(folder.judged()),
        along=tuple([r["epoch"], _values(r)] for r in folder.records(EVALUATIONS)),
        sheets={kind: f"{kind}.png" for kind in ("samples", "reconstructions")},
        machine={name: environment.get(name) for name in ("platform", "cores", "device")},
        versions=environment.get("versions", {}),
        commit=environment.get("commit"),
        command=" ".join(environment.get("command", [])),
        date=datetime.datetime.fromtimestamp(changed, datetime.UTC).date().isoformat(),
        checkpoint_sha256=checkpoint.sha256,
    )


def _training(folder: RunFolder, status: dict[str, Any]) -> dict[str, Any]:
    curve = [[r["epoch"], r["bound"]] for r in folder.metrics()]
    return {
        "epochs": status.get("epoch", 0),
        "steps": status.get("step"),
        "seconds": status.get("seconds"),
        "final_bound": curve[-1][1] if curve else None,
        "curve": _thinned(curve),
    }


def _flop(config: RunConfig, checkpoint: Checkpoint, steps: int) -> int | None:
    """The arithmetic of training; None for a model of one's own, which would have to be run to be known."""
    if is_own(config.model):
        return None
    alike = dataclasses.replace(config, seed=0, dataset="", split=None, epochs=None, train_images=None, init_from=None)
    return steps * flop_of_step(alike, data_size_of(checkpoint))


@functools.cache
def flop_of_step(config: RunConfig, data_size: int) -> int:
    """The arithmetic of one step of a run of one of iwax's own models, the optimiser's with it."""
    from iwax.diagnostics import training_flop, update_flop
    from iwax.models import ARCHITECTURES

    run = resolve(config)
    options = {"scale_map": run.config.scale_map, "likelihood": run.config.likelihood}
    model = ARCHITECTURES[config.model](key=jax.random.key(0), data_size=data_size, **options)
    x = jax.ShapeDtypeStruct((run.recipe.batch_size, data_size), "float32")
    return training_flop(model, run.objective, x, run.update) + update_flop(run.recipe.optimiser(1), model)


def _evaluation(judged: dict[str, Any]) -> dict[str, Any]:
    counts = {"num_images": judged.get("num_examples"), "num_samples": judged.get("num_samples")}
    return counts | {
        "values": _values(judged),
        "mc_error": _values(judged, "_mc_error"),
        "data_error": _values(judged, "_test_error"),
        "active_units": judged.get("active_units", []),
    }


def _values(judged: dict[str, Any], what: str = "") -> dict[str, float]:
    """What is known: a number that was not finite is null."""
    return {ours: judged[name + what] for ours, name in METRICS.items() if judged.get(name + what) is not None}


def _thinned(curve: Sequence[Any]) -> list[Any]:
    """At most `CURVE` points, the last among them, closer together at the start where a curve bends."""
    if len(curve) <= CURVE:
        return list(curve)
    kept: Iterable[int] = {round(len(curve) ** (i / (CURVE - 1))) - 1 for i in range(CURVE)}
    return [curve[i] for i in sorted(kept)]
