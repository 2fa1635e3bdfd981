"""The folder of a run: its configuration, its environment, its metrics, and a checkpoint from which it goes on.

config.json              the resolved RunConfig
environment.json         versions, code, device, commit, command, data and their checksums, later sessions
model.py                 the file of a model of one's own, as it was
metrics.jsonl            one record per epoch; bounds in nats
evaluations.jsonl        log p and IWAE-64 along training, where asked for, of validation or test images; in nats
status.json              running, stopped, finished or failed; epochs and seconds; what was selected
checkpoint.safetensors   parameters, optimiser, step; the one before is kept as checkpoint.previous.safetensors
checkpoint.best.safetensors   parameters of the epoch that is best on validation images, where it is kept
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iwax.checks import check_choice
from iwax.errors import IwaxError
from iwax.files import dumps, loads, read_json, read_text, write_whole
from iwax.runs.config import OBJECTIVE_FIELDS, RunConfig
from iwax.runs.lock import BusyError, is_free, try_lock

if TYPE_CHECKING:  # what only looks at folders, as the driver of a sweep, does not wait for JAX
    from jaxtyping import PyTree

    from iwax.runs.checkpoint import Checkpoint

__all__ = ["CONFIG", "ENVIRONMENT", "EVALUATIONS", "METRICS", "MODEL", "STATUS", "RunFolder", "list_runs"]

CONFIG, ENVIRONMENT, STATUS = "config.json", "environment.json", "status.json"
METRICS, EVALUATIONS = "metrics.jsonl", "evaluations.jsonl"
CHECKPOINT, PREVIOUS, NEW = (
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
    "checkpoint.new.safetensors",
)
BEST = "checkpoint.best.safetensors"
LOCK = ".lock"
MODEL = "model.py"
JUDGED = "evaluation.json"
PARTIAL = "evaluation.partial"
RESULTS = (  # of judging; see iwax.judging.evaluate, judgement, annealing, similarity and implicit
    *(JUDGED, "evaluation.npz", PARTIAL, "judgement.json", "samples.png", "reconstructions.png"),
    *("annealing.json", "annealing.jsonl", "posterior.json", "ssim.json"),
)
ELSEWHERE = ("evaluation-*.*", "ssim-*.json")  # of judging on other data than its own

OPTIONS = (*OBJECTIVE_FIELDS, "update", "init_from")  # of the objective, and what else its name in a report says
COLUMNS = ("objective", "options", "model", "dataset", "seed", "recipe", "state", "epochs", "seconds")
COLUMNS += ("bound", "log_p", "iwae_64")


class RunFolder:
    """Reads and writes the files of one run. Nothing is ever left half-written under its own name."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def create(
        self, config: RunConfig, environment: dict[str, Any], *, overwrite: bool = False, model: str | None = None
    ) -> None:
        """Start a run's folder; `model` is the text of the file of a model of one's own.

        Raises:
            ValueError: the folder holds something, and `overwrite` is false or what it holds is no run.
            OSError: it cannot be written.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            if not overwrite:
                raise IwaxError(
                    f"Expected {self.path} to be a new folder; it exists. Pass --overwrite to replace the run."
                )
            if not (self.path / CONFIG).is_file():
                raise IwaxError(f"Expected {self.path} to hold a run to overwrite; got a folder without {CONFIG}.")
        with self._writing("."):
            self.path.mkdir(parents=True, exist_ok=True)
        with self.lock():
            for name in (METRICS, EVALUATIONS, STATUS, CHECKPOINT, PREVIOUS, NEW, BEST, MODEL, *RESULTS):
                (self.path / name).unlink(missing_ok=True)
            for pattern in ELSEWHERE:
                for path in self.path.glob(pattern):
                    path.unlink()
            if model is not None:
                self.write(MODEL, model)
            self.write_json(ENVIRONMENT, environment)
            self.write(CONFIG, config.to_json())

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file whole, or not at all.

        Raises:
            OSError: no permission, or no space left.
        """
        with self._writing(name):
            write_whole(self.path / name, content)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """While inside, no other process trains this run; what an earlier one left half-written is removed.

        Raises:
            BusyError: another process trains it.
        """
        with self._writing(LOCK):
            file = open(self.path / LOCK, "w")  # noqa: SIM115 (closed below)
        with file:
            if not try_lock(file):
                raise BusyError(
                    f"Expected {self.path} to be trained by one process at a time; one is already running. Wait for it."
                )
            for leftover in self.path.glob(".*.part"):
                leftover.unlink(missing_ok=True)
            yield

    @property
    def is_locked(self) -> bool:
        """Whether some process trains this run now."""
        if not (self.path / LOCK).exists():
            return False
        with open(self.path / LOCK) as file:
            return not is_free(file)

    def config(self) -> RunConfig:
        """The run's configuration.

        Raises:
            ValueError: the folder is no run, or its configuration is damaged.
        """
        try:
            return RunConfig.from_json(read_text(self.path / CONFIG))
        except (OSError, IwaxError) as error:
            raise IwaxError(f"Expected {self.path} to be the folder of a run; its {CONFIG}: {error}") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The records of the epochs so far."""
        return self.records(METRICS)

    def records(self, name: str) -> list[dict[str, Any]]:
        """The records of a .jsonl file; [] where there is none. A last line without its end is left out."""
        path = self.path / name
        if not path.exists():
            return []
        return [loads(line, path) for line in read_text(path).split("\n")[:-1]]

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Add a record to a .jsonl file."""
        with self._writing(name), open(self.path / name, "a") as file:
            file.write(dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, step: int, epochs: int) -> None:
        """Take back the records of later steps than `step`, by which `epochs` epochs are done.

        Raises:
            ValueError: some earlier record is missing.
        """
        kept = [record for record in self.records(METRICS) if record["step"] <= step]
        if [record["epoch"] for record in kept] != list(range(1, epochs + 1)):
            raise IwaxError(
                f"Expected {self.path / METRICS} to hold the records of epochs 1 to {epochs}, which the checkpoint has "
                f"seen; got {len(kept)} of them."
            )
        for name in (METRICS, EVALUATIONS):
            if (self.path / name).exists():
                kept = [record for record in self.records(name) if record["step"] <= step]
                self.write(name, "".join(dumps(record) + "\n" for record in kept))

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run, or {} where there is none."""
        path = self.path / name
        return read_json(path) if path.exists() else {}

    def judged(self) -> dict[str, Any]:
        """The evaluation of the run; {} without one, and if it was trained on since."""
        evaluation, trained = self.path / JUDGED, self.path / CHECKPOINT
        stale = evaluation.exists() and trained.exists() and evaluation.stat().st_mtime_ns < trained.stat().st_mtime_ns
        return {} if stale else self.json(JUDGED)

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        self.write(name, dumps(value, indent=2) + "\n")

    def save(self, state: "PyTree") -> None:
        """Write a checkpoint with the run's configuration and a checksum; the one before it is kept beside it."""
        from iwax.runs.checkpoint import pack_checkpoint

        self.write(NEW, pack_checkpoint(state, {"config": self.config().to_json()}))
        if (self.path / CHECKPOINT).exists():
            os.replace(self.path / CHECKPOINT, self.path / PREVIOUS)
        os.replace(self.path / NEW, self.path / CHECKPOINT)

    def save_best(self, parameters: "PyTree", selected: dict[str, Any]) -> None:
        """Write the checkpoint of the best epoch so far, which `selected` describes, over that of the one before."""
        from iwax.runs.checkpoint import pack_checkpoint

        notes = {"config": self.config().to_json(), "selected": dumps(selected)}
        self.write(BEST, pack_checkpoint(parameters, notes))

    def to_judge(self, which: str | None = None) -> "Checkpoint":
        """The checkpoint that is judged: "best" or "last"; if left out the best, where the run keeps it.

        Raises:
            ValueError: there is none.
        """
        from iwax.runs.checkpoint import read_checkpoint

        check_choice("checkpoint", which or "best", ("best", "last"))
        there = (self.path / BEST).exists()
        if which == "best" and not there:
            raise IwaxError(
                f"Expected a best checkpoint in {self.path}; it keeps none so far. Judge the last one, or train with "
                "--validation 0.1 --keep best."
            )
        return read_checkpoint(self.path / BEST) if there and which != "last" else self.checkpoint()

    def checkpoints(self, problems: list[str] | None = None) -> Iterator["Checkpoint"]:
        """The good checkpoints, newest first; what is wrong with others goes into `problems`."""
        from iwax.runs.checkpoint import read_checkpoint

        for name in (NEW, CHECKPOINT, PREVIOUS):
            if (self.path / name).exists():
                try:
                    yield read_checkpoint(self.path / name)
                except IwaxError as error:
                    if problems is not None:
                        problems.append(str(error))

    def checkpoint(self) -> "Checkpoint":
        """The last good checkpoint.

        Raises:
            ValueError: there is none.
        """
        problems: list[str] = []
        for checkpoint in self.checkpoints(problems):
            return checkpoint
        raise IwaxError(" ".join(problems) or f"Expected a checkpoint in {self.path}; there is none. Train it first.")

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Says in one line what could not be written."""
        try:
            yield
        except OSError as error:
            if isinstance(error, _NotWritableError):
                raise
            raise _NotWritableError(
                f"Expected to be able to write {self.path / name}; got {error.strerror or error}. Free some space, or "
                "choose another folder."
            ) from error


class _NotWritableError(IwaxError, OSError):
    """A file of a run cannot be written."""


def list_runs(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """One row for each run under a folder: what it trains, its state, its progress, and its last numbers in nats."""
    folders = [config.parent for config in sorted(Path(path).rglob(CONFIG)) if (config.parent / ENVIRONMENT).exists()]
    return [_row(RunFolder(folder)) for folder in folders]


def _row(folder: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"run": str(folder.path), **dict.fromkeys(COLUMNS)}
    try:
        config, status, records = folder.config(), folder.json(STATUS), folder.metrics()
        judged = folder.judged() or (folder.records(EVALUATIONS) or [{}])[-1]
    except IwaxError:
        return row | {"state": "damaged"}
    state = status.get("state", "new")
    return row | {
        **{name: getattr(config, name) for name in ("objective", "model", "dataset", "seed")},
        "options": {name: value for name in OPTIONS if (value := getattr(config, name)) not in (None, "joint")},
        "recipe": config.protocol,
        "state": "interrupted" if state == "running" and not folder.is_locked else state,
        "epochs": f"{status.get('epoch', 0)}/{config.epochs}",
        "seconds": round(status["seconds"]) if "seconds" in status else None,
        "bound": records[-1].get("bound") if records else None,
        "log_p": judged.get("log_p"),
        "iwae_64": judged.get("iwae_64"),
    }
