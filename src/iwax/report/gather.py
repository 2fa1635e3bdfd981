"""What a report is made of: the records of studies, and folders of runs; nothing is trained, or judged again."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from iwax.errors import IwaxError
from iwax.experiments import Record, folder_record, identifier, read_record
from iwax.figures import read_about
from iwax.judging import JudgedRun, read_judged
from iwax.models import is_own
from iwax.report.compact import compact, shared
from iwax.report.format import data_name, nats, objective_name
from iwax.runs import (
    CHECKPOINT,
    ENVIRONMENT,
    STATUS,
    RunConfig,
    RunFolder,
    RunIndex,
    Stated,
    StillFolder,
    data_size_of,
    explicit_fields,
    file_signature,
    resolve,
    scan_runs,
)
from iwax.sweeps import step_flop

__all__ = ["OWN", "Run", "flop_of_step", "gather", "pictures"]

PNG = b"\x89PNG\r\n\x1a\n"
OWN = "own"  # the scale of a run that no study made


@dataclasses.dataclass(frozen=True)
class Run:
    """A record, the folder of its pictures, and the folder with its weights if that is at hand.

    Of a folder that was found: the run as it was judged there, and the size of an example.
    """

    record: Record
    sheets: Path
    folder: Path | None = None
    judged: JudgedRun | None = None
    size: int | None = None

    @property
    def title(self) -> str:
        """What was trained, and how well."""
        config, value = self.record.config, "" if self.nll is None else f": log p {nats(-self.nll)}"
        return (
            f"{objective_name(config)}, {Path(config['model']).name}, {data_name(config)}, seed {config['seed']}{value}"
        )

    @property
    def nll(self) -> float | None:
        value = self.record.evaluation["values"].get("log_p")
        return None if value is None else -value


def gather(
    results: str | Path | None,
    runs: str | Path | Sequence[str | Path],
    left_out: Callable[[str], None] = lambda message: None,
) -> list[Run]:
    """All records under `results`, then the runs under `runs` that have none.

    Arguments:
        left_out: told of each record and each run that is damaged, and so is left out.
    """
    # one run may have been judged at two scales, and have a record of each
    records = [] if results is None else list(_of_results(Path(results), left_out))
    recorded, there = {record.checkpoint_sha256 for record in records}, dict[str, Run]()
    for path in [runs] if isinstance(runs, str | Path) else runs:
        for run in _of_folders(path, left_out):
            there.setdefault(run.record.checkpoint_sha256, run)
    found, sheets = [], Path(results or "") / "sheets"
    for record in records:
        run = Run(record, sheets)
        if (own := there.get(record.checkpoint_sha256)) is not None:
            run = dataclasses.replace(run, folder=own.folder, judged=own.judged)
        found.append(run)
    return found + [run for checksum, run in there.items() if checksum not in recorded]


def pictures(run: Run) -> dict[str, Path]:
    """The run's sheets of samples and reconstructions, as far as there are any; of a folder those of its checkpoint."""
    paths = {kind: run.sheets / name for kind, name in run.record.sheets.items()}
    there = {kind: path for kind, path in paths.items() if path.is_file() and _is_picture_in(run.sheets, path)}
    return {kind: path for kind, path in there.items() if run.record.scale != OWN or _is_of(run, path)}


def _is_of(run: Run, picture: Path) -> bool:
    """Whether a picture says that it was made from the run's checkpoint, and not from one of before."""
    return read_about(picture).get("checkpoint") in RunFolder(run.sheets).checksums()


def _is_picture_in(folder: Path, path: Path) -> bool:
    """Whether a file lies in a folder, wherever links lead, and begins as a PNG does: the page holds all of it."""
    if not path.resolve().is_relative_to(folder.resolve()):
        return False
    with path.open("rb") as file:
        return file.read(len(PNG)) == PNG


def _of_results(results: Path, left_out: Callable[[str], None]) -> Iterator[Record]:
    """The records of a folder; what was read of them before comes from the index."""
    paths = sorted(results.glob("*.json"), key=str)
    with RunIndex(results, len(paths)) as index:
        for path in paths:
            try:
                fields = index.value("file", path.name, file_signature(path), functools.partial(_fields_of_file, path))
            except IwaxError as error:
                left_out(f"Left out a record. {error}")
            else:
                yield _made(fields)


def _of_folders(path: str | Path, left_out: Callable[[str], None]) -> Iterator[Run]:
    """The runs in and under a folder that have been trained; what was read of them before comes from the index."""
    found = [run for run in scan_runs(path) if os.path.lexists(run[0] / CHECKPOINT)]
    with RunIndex(path, len(found)) as index:
        for run in found:
            try:
                folder = RunFolder(run[0])
                read = index.of_run("report", run, functools.partial(_read_run, folder))
            except (IwaxError, OSError) as error:
                left_out(f"Left out {run[0]}. {error}")
            else:
                judged = JudgedRun.of(folder, shared(read["judged"]), run[1])
                record = _made(read["record"] | {"config": vars(judged.config)})
                yield Run(record, run[0], run[0], judged, read["size"])


def _made(fields: dict[str, Any]) -> Record:
    """A record of what an index has of it."""
    return Record(**compact(fields) | {"along": tuple(fields["along"])})


def _fields(record: Record) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _fields_of_file(path: Path) -> dict[str, Any]:
    return _fields(read_record(path))


def _read_run(folder: RunFolder) -> dict[str, Any]:
    """A run in the form of a record, with the pictures that are there; as it was judged; and the size of its examples.

    Of its checkpoint the header is read: what judged it has its checksum.
    """
    folder = StillFolder(folder)
    judged = read_judged(folder)  # with whole arrays, or nothing of the run is in the report
    config, stated = folder.config(), folder.last_stated()
    own = explicit_fields(config)  # not what it would be known by in a study, which takes much longer to find out
    steps, rows = folder.json(STATUS).get("step", 0), folder.metrics()
    steps_per_epoch = rows[-1]["step"] // max(rows[-1]["epoch"], 1) if rows else steps
    flop, id = _flop(config, stated, steps, steps_per_epoch), identifier(own, {})
    record = folder_record(folder, id=id, scale=OWN, asked=own, flop=flop, checkpoint_sha256=stated.sha256)
    sheets = {kind: name for kind, name in record.sheets.items() if os.path.lexists(folder.path / name)}
    shape = folder.json(ENVIRONMENT).get("example_shape")
    return {
        "record": _fields(record) | {"config": {}, "sheets": sheets},  # the configuration is that of `judged`
        "judged": judged | {"summary": {name: v for name, v in judged["summary"].items() if type(v) is not dict}},
        "size": math.prod(shape) if shape else None,
    }


def _flop(config: RunConfig, stated: Stated, steps: int, steps_per_epoch: int) -> int | None:
    """The arithmetic of training; None for a model of one's own, which would have to be run to be known."""
    if is_own(config.model):
        return None
    same: dict[str, Any] = {"epochs": None, "train_images": None, "init_from": None, "learning_rate": None}
    if config.stages is not None:  # of any rates: a step at another one is as much arithmetic
        same["stages"] = ",".join(f"0.001:{stage.partition(':')[2]}" for stage in config.stages.split(","))
    alike = dataclasses.replace(config, seed=0, dataset="", split=None, **same)
    early = resolve(config).early_steps(steps, steps_per_epoch) if config.early_samples else 0  # resolving takes time
    size = data_size_of(stated)
    costly = {True: early, False: steps - early}
    return sum(count * flop_of_step(alike, size, is_early) for is_early, count in costly.items() if count)


@functools.cache
def flop_of_step(config: RunConfig, data_size: int, is_early: bool = False) -> int:
    """The arithmetic of one step of a run of one of iwax's own models, the optimiser's with it."""
    from iwax.models import ARCHITECTURES

    run = resolve(config)
    options = {"scale_map": run.config.scale_map, "likelihood": run.config.likelihood}
    model = ARCHITECTURES[config.model](key=jax.random.key(0), data_size=data_size, **options)
    return step_flop(run, model, run.objective, (data_size,), is_early=is_early)
