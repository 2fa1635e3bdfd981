"""The folder of a sweep: the folders of its runs, each named by its hash, and what drivers keep beside them.

ID/                  the folder of a run, as that of any other (`iwax.runs.folder`)
sweep/runs/ID.json   what was asked for: the options of the run
sweep/leases/ID      who works on it now (`iwax.sweeps.lease`)
sweep/logs/ID.log    what its processes said
sweep/failures/ID    why the last driver gave it up; the next one tries it again

There is no list of what is done: a run's own folder says it. So any number of drivers, at different times and on
different machines, may add runs to a folder and work on them.
"""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from iwax.errors import IwaxError
from iwax.files import dumps, read_text, write_whole
from iwax.reading import read_typed
from iwax.runs import CHECKPOINT, STATUS, RunFolder, has_failed
from iwax.sweeps.lease import TIMEOUT, holder
from iwax.sweeps.planning import PlannedRun

__all__ = ["OWN", "SweepFolder"]

OWN = "sweep"


class Asked(TypedDict):
    """sweep/runs/ID.json."""

    options: dict[str, Any]


class SweepFolder:
    """Reads and writes the files of one sweep."""

    def __init__(self, path: str | Path, timeout: float = TIMEOUT) -> None:
        self.path, self.timeout = Path(path).absolute(), timeout

    def add(self, runs: Iterable[PlannedRun]) -> None:
        """Enter runs; those that are there stay as they are.

        Raises:
            OSError: the folder cannot be written.
        """
        folder = self.path / OWN / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        for run in runs:
            if not (folder / f"{run.id}.json").exists():
                write_whole(folder / f"{run.id}.json", dumps({"options": dict(run.options)}, indent=2) + "\n")

    @property
    def is_one(self) -> bool:
        """Whether it is the folder of a sweep."""
        return (self.path / OWN / "runs").is_dir()

    def runs(self) -> dict[str, Mapping[str, Any]]:
        """ID -> options of every run that was asked for here.

        Raises:
            ValueError: it is no folder of a sweep.
        """
        folder = self.path / OWN / "runs"
        if not self.is_one:
            raise IwaxError(f"Expected {self.path} to be the folder of a sweep; it holds no {OWN}/runs.")
        return {file.stem: _options(file) for file in sorted(folder.glob("*.json"))}

    def options(self, id: str) -> dict[str, Any]:
        """The options of a run.

        Raises:
            ValueError: it was not asked for here.
        """
        file = self.path / OWN / "runs" / f"{id}.json"
        if not file.is_file():
            raise IwaxError(f"Expected {id} to be a run of {self.path}; it is none. See iwax sweep --status.")
        return _options(file)

    def run(self, id: str) -> RunFolder:
        return RunFolder(self.path / id)

    def lease(self, id: str) -> Path:
        return self.path / OWN / "leases" / id

    def log(self, id: str) -> Path:
        return self.path / OWN / "logs" / f"{id}.log"

    def state(self, id: str) -> tuple[str, str]:
        """What has become of a run, and a note: done, failed, running, stopped (it goes on), or left."""
        try:
            self.run(id).json(STATUS)
        except IwaxError as error:
            return "failed", str(error)
        if self.is_done(id):
            return "done", ""
        if reason := self.diverged(id):
            return "failed", reason
        if (owner := holder(self.lease(id), self.timeout)) is not None:
            return "running", f"by {owner}"
        if self.run(id).is_locked:
            return "running", "by another command"
        if (file := self._failure(id)).exists():
            return "failed", read_text(file).strip()
        return ("stopped" if (self.path / id / CHECKPOINT).exists() else "left"), ""

    def is_done(self, id: str) -> bool:
        return self.status(id).get("state") == "finished"

    def step(self, id: str) -> int:
        """How far a run has got, in steps of which there is a checkpoint; -1 before the first."""
        return self.status(id).get("step", -1)

    def diverged(self, id: str) -> str:
        """What a run says whose loss became NaN or infinite, as it would again; "" for any other."""
        status = self.status(id)
        if not has_failed(status):
            return ""
        return f"{status.get('message', '')} Delete {self.path / id} to train it again."

    def give_up(self, id: str, reason: str) -> None:
        """Enter why a run was given up, if there is room for that."""
        with contextlib.suppress(OSError):
            self._failure(id).parent.mkdir(exist_ok=True)
            write_whole(self._failure(id), reason + "\n")

    def forgive(self, ids: Iterable[str]) -> None:
        """Forget why runs were given up: they are tried again."""
        for id in ids:
            self._failure(id).unlink(missing_ok=True)

    def _failure(self, id: str) -> Path:
        return self.path / OWN / "failures" / id

    def status(self, id: str) -> dict[str, Any]:
        """What a run says of itself; {} where it says nothing, or is damaged: then its own process says so."""
        try:
            return self.run(id).json(STATUS)
        except IwaxError:
            return {}


def _options(file: Path) -> dict[str, Any]:
    asked: Asked = read_typed(file, Asked, "Delete it: the sweep that asked for the run, given again, enters it again.")
    return asked["options"]
