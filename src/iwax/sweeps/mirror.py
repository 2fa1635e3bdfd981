"""A sweep in a store that is no folder, such as s3://BUCKET/NAME: runs train in a working folder, and are mirrored.

After each checkpoint, and at the end, the files of a run that have changed are put into the store, in this order:
records, checkpoint, results, and status.json last. So what is cut off anywhere leaves a run that goes on: records that
are ahead of the checkpoint are cut to it, and a status that lags behind only says less than there is.

A file is put whole. An object store (S3, GCS, Azure, memory://) shows the old one or the new one, never a part;
elsewhere the file takes its name when it is whole, by a rename, which is as atomic as the store has it. Several files
together are not atomic anywhere, hence the order. Leases stay in the working folder: two machines that work on one URL
at one time do not see each other's, and may train a run twice, with the same result.

What is found of a trained run, its evaluation and figures, is put beside it. Of a result that two machines have, the
later one stays, by the times of the store and of the working folder.
"""

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from iwax.errors import IwaxError
from iwax.extras import missing
from iwax.files import PART, write_whole
from iwax.reading import Count, typed
from iwax.runs import STATUS
from iwax.sweeps.folder import OWN, SweepFolder
from iwax.sweeps.lease import holder

__all__ = ["MIRROR", "Mirror", "is_url", "working_folder"]

MIRROR = "IWAX_SWEEP_MIRROR"
"""The variable of a task's process that names the store."""
WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory"}  # stores in which a file is put whole
NEVER = ("checkpoint.previous.safetensors", "checkpoint.new.safetensors")
FIRST = ("config.json", "environment.json", "model.py", "metrics.jsonl", "evaluations.jsonl", "checkpoint.safetensors")
TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")  # of a file, as fsspec's stores call it
AT_ONCE = 32  # files that are asked for together, which a store's library then fetches side by side


def is_url(place: object) -> bool:
    """Whether a place is meant as the URL of a store.

    >>> is_url("s3://bucket/table"), is_url("runs/table")
    (True, False)
    """
    return re.match(r"[a-z][a-z0-9+.-]+://", str(place)) is not None


def working_folder(url: str) -> Path:
    """Where on this machine the runs of a store are trained: in the user's cache, under a name of its own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = PurePosixPath(url.partition("://")[2]).name or "sweep"
    return cache / "iwax" / "sweeps" / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


class Mirror:
    """The files of a sweep in a store, and those in its working folder.

    Arguments:
        url: of the store, as fsspec has it: s3://BUCKET/NAME, gs://..., memory://NAME, ...
        folder: the working folder.

    Raises:
        MissingExtraError: fsspec is not installed.
        ValueError: a store of an unknown kind, or one whose library is not installed.
    """

    def __init__(self, url: str, folder: str | Path) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise missing("fsspec", "sweeps in a store") from error
        self.url, self.folder = url.rstrip("/"), Path(folder)
        with self._reaching("open"):
            self._store, self._root = fsspec.core.url_to_fs(self.url)
        self._is_whole = self.url.partition("://")[0] in WHOLE
        self._known: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Bring what the store has of the sweep itself, and of its runs all but checkpoints, as far as it has more."""
        there, sweep = self._list(""), SweepFolder(self.folder)
        ids = {name.split("/")[0] for name in there if "/" in name} - {OWN}
        idle = {id for id in ids if holder(sweep.lease(id)) is None}  # what is trained here is brought to nobody
        ahead = self._ahead(idle, there)
        for id in ahead:
            if f"{id}/checkpoint.safetensors" in there:  # which goes with that status; what is here of one does not
                for file in (self.folder / id).glob("checkpoint*.safetensors"):
                    file.unlink()

        def is_wanted(name: str) -> bool:
            id = name.split("/")[0]
            if name.endswith(".safetensors") or id not in idle:
                return name.startswith(f"{OWN}/runs/") and not (self.folder / name).exists()
            return id in ahead or self._is_newer(name, there[name])

        self._bring(filter(is_wanted, there))

    def fetch_run(self, id: str) -> None:
        """Bring a run, if the store has got further with it than this machine; the status last."""
        there = self._list(id)
        if (self.folder / id / "checkpoint.safetensors").exists() and not self._ahead({id}, there):
            return
        for name in NEVER:
            (self.folder / id / name).unlink(missing_ok=True)
        self._bring(there)

    def fetch_runs(self) -> None:
        """Bring the checkpoints, too, of all runs that are finished there.

        Raises:
            IwaxError: there is none.
        """
        own, there = SweepFolder(self.folder), self._list("")
        done = [id for id in sorted({name.split("/")[0] for name in there}) if own.is_done(id)]
        if not done:
            raise IwaxError(f"Expected {self.url} to hold finished runs, as iwax sweep --out puts them; it holds none.")
        for id in done:
            self.fetch_run(id)

    def push_run(self, id: str) -> None:
        """Put what has changed of a run since the last time."""
        self._put(f"{id}/{path.name}" for path in (self.folder / id).glob("*") if path.is_file())

    def push_sweep(self) -> None:
        """Put what was asked for, the logs, and why runs were given up."""
        kinds = ("runs", "logs", "failures")
        paths = [path for kind in kinds for path in (self.folder / OWN / kind).glob("*") if path.is_file()]
        self._put(path.relative_to(self.folder).as_posix() for path in paths)

    def push_results(self) -> None:
        """Put what was found of runs after their training, where it is later here than there."""
        there = self._list("")
        for id in {name.split("/")[0] for name in there if "/" in name} - {OWN}:
            files = [path for path in (self.folder / id).rglob("*") if path.is_file()]
            names = {path.relative_to(self.folder).as_posix(): path for path in files if _is_result(path.name)}
            self._put(name for name, path in names.items() if path.stat().st_mtime > there.get(name, 0.0))

    def _put(self, names: Iterable[str]) -> None:
        kept = [name for name in names if not PurePosixPath(name).name.startswith(".") and not name.endswith(NEVER)]
        for name in sorted(kept, key=_order):
            path = self.folder / name
            stat = path.stat()
            if self._known.get(name) == (stat.st_size, stat.st_mtime_ns):
                continue
            with self._reaching(f"write {name}"):
                self._put_one(f"{self._root}/{name}", path.read_bytes())
            self._known[name] = (stat.st_size, stat.st_mtime_ns)

    def _put_one(self, place: str, content: bytes) -> None:
        if self._is_whole:
            self._store.pipe_file(place, content)
            return
        parent, _, name = place.rpartition("/")
        self._store.makedirs(parent, exist_ok=True)
        self._store.pipe_file(f"{parent}/.{name}{PART}", content)
        self._store.mv(f"{parent}/.{name}{PART}", place)

    def _bring(self, names: Iterable[str]) -> None:
        """Bring files: each status when all else is on the disk, for which many files wait once and not one by one."""
        wanted = sorted(names, key=_order)
        last = [name for name in wanted if PurePosixPath(name).name == STATUS]
        together = len(wanted) > AT_ONCE and hasattr(os, "sync")
        for some in (wanted[: len(wanted) - len(last)], last):
            for name, content in self._read(some):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                write_whole(self.folder / name, content, on_disk=not together)
            if together:
                os.sync()

    def _read(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Files of the store and their contents, in this order; never more than a few in memory."""
        rest = iter(names)
        while some := list(itertools.islice(rest, AT_ONCE)):
            with self._reaching(f"read {some[0]}"):
                found = self._store.cat([f"{self._root}/{name}" for name in some])
            yield from ((name, found[f"{self._root}/{name}"]) for name in some)

    def _list(self, below: str) -> dict[str, float]:
        """The files of the store by their names within the sweep, and when each was put there."""
        with self._reaching("list"):
            self._store.invalidate_cache()
            found = self._store.find(f"{self._root}/{below}".rstrip("/"), detail=True)
        names = {str(path)[len(self._root) :].lstrip("/"): _time(facts) for path, facts in found.items()}
        return {name: time for name, time in names.items() if not PurePosixPath(name).name.startswith(".")}

    def _ahead(self, ids: Collection[str], there: Mapping[str, float]) -> set[str]:
        """The runs of which the store has more than the working folder."""
        own = SweepFolder(self.folder)
        names = [f"{id}/{STATUS}" for id in sorted(ids) if f"{id}/{STATUS}" in there]
        progress = {
            name.split("/")[0]: _progress(typed(text.decode(errors="replace"), Told, name))
            for name, text in self._read(names)
        }
        return {id for id, far in progress.items() if far > _progress(own.status(id))}

    def _is_newer(self, name: str, time: float) -> bool:
        """Whether the store has a file that is not here, or a later result."""
        path = self.folder / name
        return not path.exists() or (_is_result(path.name) and time > path.stat().st_mtime)

    @contextlib.contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        """Says in one line what the store refuses, whatever its library raises."""
        try:
            yield
        except Exception as error:
            raise IwaxError(
                f"Expected to {what} in {self.url}; got {type(error).__name__}: {' '.join(str(error).split())}. Look "
                "at the address and the rights; what is trained stays in the working folder."
            ) from error


class Told(TypedDict, total=False):
    """What is read of a run's status in a store."""

    step: Count
    state: str


def _progress(status: Mapping[str, Any]) -> tuple[int, bool]:
    """How far a run has come, by its status."""
    return status.get("step", -1), status.get("state") == "finished"


def _is_result(name: str) -> bool:
    """Whether a file of a run is none of its training."""
    return name not in (*FIRST, *NEVER, STATUS)


def _time(facts: Mapping[str, Any]) -> float:
    """When a file was put into its store, in seconds of the epoch; 0, older than all, where that does not say it."""
    value = next((facts[name] for name in TIMES if facts.get(name)), 0.0)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _order(name: str) -> tuple[int, str]:
    """The order in which files are put and brought: what is named before what names it, and the status last."""
    own = PurePosixPath(name).name
    if own in FIRST:
        return FIRST.index(own), name
    return len(FIRST) + (2 if own == STATUS else own.endswith((".json", ".jsonl"))), name
