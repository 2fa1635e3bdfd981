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

from iwax.errors import IwaxError
from iwax.files import append_line, dumps, make_folder, read_text, sync_folder, write_whole, writing
from iwax.reading import read_lines, read_typed
from iwax.runs.checkpoint_files import CheckpointFiles
from iwax.runs.config import RunConfig
from iwax.runs.contents import (
    BEST,
    CHECKPOINT,
    COHORT,
    CONFIG,
    ENVIRONMENT,
    EVALUATIONS,
    JUDGED,
    LOCK,
    METRICS,
    MODEL,
    NEW,
    PARTIAL,
    PREVIOUS,
    REPLACED,
    STATUS,
    clear,
    clear_parts,
    is_as_new,
)  # fmt: skip
from iwax.runs.kinds import AGAIN, kind_of
from iwax.runs.lock import is_free, locked

if TYPE_CHECKING:  # what only looks at folders, as the driver of a sweep, does not wait for JAX
    from jaxtyping import PyTree

__all__ = [
    "AGAIN", "BEST", "CHECKPOINT", "COHORT", "CONFIG", "ENVIRONMENT", "EVALUATIONS", "JUDGED", "LOCK", "METRICS",
    "MODEL", "NEW", "PARTIAL", "PREVIOUS", "STATUS", "RunFolder",
]  # fmt: skip


class RunFolder(CheckpointFiles):
    """Reads and writes the files of one run. Nothing is ever left half-written under its own name."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(Path(path))

    def create(
        self, config: RunConfig, environment: dict[str, Any], *, overwrite: bool = False, model: str | None = None
    ) -> None:
        """Start a run's folder; `model` is the text of the file of a model of one's own.

        Interrupted anywhere, it leaves a folder that is as good as new, or a run that has not begun (`is_as_new`).

        Raises:
            ValueError: the folder holds something, and `overwrite` is false or what it holds is no run.
            OSError: it cannot be written.
        """
        self.check_free(overwrite)
        make_folder(self.path)
        with self.lock(), writing(self.path):
            self.check_free(overwrite)  # another process may have been quicker
            self._discard()
            clear(self.path)
            self.write_json(ENVIRONMENT, environment)
            if model is not None:
                self.write(MODEL, model)
            else:
                (self.path / MODEL).unlink(missing_ok=True)
            self.write(CONFIG, config.to_json())
            (self.path / REPLACED).unlink(missing_ok=True)

    def discard(self) -> None:
        """Give up the run that is here: its folder is as good as new from now on, whatever becomes of this process."""
        if self.path.is_dir():
            with self.lock():
                self._discard()

    def _discard(self) -> None:
        if (self.path / CONFIG).exists():
            with writing(self.path / CONFIG):
                os.replace(self.path / CONFIG, self.path / REPLACED)
                sync_folder(self.path)

    def check_free(self, overwrite: bool) -> None:
        """Raises ValueError for a folder that holds what would be lost."""
        if is_as_new(self.path):
            return
        if not overwrite:
            raise IwaxError(
                f"Expected {self.path} to be a new folder; it exists. Name another; `iwax train --resume {self.path}` "
                "goes on with a run that is there, and --overwrite replaces it."
            )
        if not (self.path / CONFIG).is_file():
            raise IwaxError(f"Expected {self.path} to hold a run to overwrite; got a folder without {CONFIG}.")

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file whole, or not at all.

        Raises:
            OSError: no permission, or no space left.
        """
        write_whole(self.path / name, content)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """While inside, no other process trains this run; what an earlier one left half-written is removed.

        Raises:
            BusyError: another process trains it.
        """
        busy = f"Expected {self.path} to be trained by one process at a time; one is already running. Wait for it."
        with locked(self.path / LOCK, busy):
            clear_parts(self.path)
            yield

    @property
    def is_locked(self) -> bool:
        """Whether some process trains this run now."""
        try:
            with open(self.path / LOCK) as file:
                return not is_free(file)
        except FileNotFoundError:
            return False

    def config(self) -> RunConfig:
        """The run's configuration.

        Raises:
            ValueError: the folder is no run, or its configuration is damaged.
        """
        try:
            return RunConfig.from_json(read_text(self.path / CONFIG))
        except IwaxError as error:
            if self.path.is_dir() and any(self.path.iterdir()) and is_as_new(self.path):
                raise IwaxError(
                    f"Expected {self.path} to be the folder of a run; its creation was interrupted, and nothing was "
                    "trained. Start it again with --out."
                ) from error
            if not (self.path / CONFIG).exists() and any(self.path.glob(f"*/{CONFIG}")):
                raise IwaxError(
                    f"Expected {self.path} to be the folder of a run; it holds several, and no {COHORT}, by which "
                    "`iwax train --resume` goes on with all at once. Name one of them."
                ) from error
            if not (self.path / CONFIG).exists():
                raise IwaxError(f"Expected {self.path} to be the folder of a run; it has no {CONFIG}.") from error
            raise IwaxError(f"Expected {self.path} to be the folder of a run; its {CONFIG}: {error}") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The records of the epochs so far."""
        return self.records(METRICS)

    def records(self, name: str, kind: Any = None) -> list[dict[str, Any]]:
        """The records of a .jsonl file; [] where there is none. A last line without its end is left out.

        Arguments:
            kind: the type of a record, where it is not one of a run's own files.

        Raises:
            ValueError: it is damaged.
        """
        path, (usual, remedy) = self.path / name, kind_of(name)
        return read_lines(path, kind or usual, remedy) if path.exists() else []

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Add a record to a .jsonl file."""
        append_line(self.path / name, dumps(record))

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
        """A JSON file of the run, or {} where there is none.

        Raises:
            ValueError: it is damaged.
        """
        path = self.path / name
        return read_typed(path, *kind_of(name)) if path.exists() else {}

    def judged(self) -> dict[str, Any]:
        """The evaluation of the run as it is now; {} without one, and where it is that of another checkpoint."""
        return self.result(JUDGED)

    def result(self, name: str) -> dict[str, Any]:
        """What a command that judges has written; {} unless the checkpoint and the data it names are still the run's.

        Whatever names no checkpoint (files of former versions) cannot be told to be the run's, if that has one.
        """
        found = self.json(name)
        made_from, checkpoints = found.get("made_from", found.get("settings", {})), self.checksums()
        if not checkpoints:
            return found
        data = self.json(ENVIRONMENT).get("checksums")
        same_data = data is None or made_from.get("data") in (None, data)
        return found if made_from.get("checkpoint") in checkpoints and same_data else {}

    @property
    def how_far(self) -> str:
        """How far the run came, in words, where it is not finished; a damaged status keeps nobody from the model."""
        status: dict[str, Any] = {}
        with contextlib.suppress(IwaxError):
            status = self.json(STATUS)
        if status.get("state") in (None, "finished"):
            return ""
        return (
            f"Trained for {status.get('epoch', 0)} of {status.get('epochs', 'unknown')} epochs so far "
            f"({status['state']}); iwax train --resume {self.path} goes on."
        )

    @property
    def has_begun(self) -> bool:
        """Whether there is a configuration, and a checkpoint, whole or not: as of step 0 there always is one."""
        names = (NEW, CHECKPOINT, PREVIOUS)
        return (self.path / CONFIG).exists() and any((self.path / name).exists() for name in names)

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        self.write(name, dumps(value, indent=2) + "\n")

    def save(self, state: "PyTree") -> None:
        """Write a checkpoint with the run's configuration and a checksum; the one before it is kept beside it."""
        from iwax.runs.checkpoint import pack_checkpoint

        self.write(NEW, pack_checkpoint(state, {"config": self.config().to_json()}))
        with writing(self.path / CHECKPOINT):
            if (self.path / CHECKPOINT).exists():
                os.replace(self.path / CHECKPOINT, self.path / PREVIOUS)
            os.replace(self.path / NEW, self.path / CHECKPOINT)
            sync_folder(self.path)

    def save_best(self, parameters: "PyTree", selected: dict[str, Any]) -> None:
        """Write the checkpoint of the best epoch so far, which `selected` describes, over that of the one before."""
        from iwax.runs.checkpoint import pack_checkpoint

        notes = {"config": self.config().to_json(), "selected": dumps(selected)}
        self.write(BEST, pack_checkpoint(parameters, notes))
