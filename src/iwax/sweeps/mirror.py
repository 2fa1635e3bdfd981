"""A sweep in a store that is no folder, such as s3://BUCKET/NAME: runs train in a working folder, and are mirrored.

After each checkpoint, and at the end, the files of a run that have changed are put into the store, in this order:
records, checkpoint, results, and status.json last. So what is cut off anywhere leaves a run that goes on: records that
are ahead of the checkpoint are cut to it, and a status that lags behind only says less than there is.

A file is put whole. An object store (S3, GCS, Azure, memory://) shows the old one or the new one, never a part;
elsewhere the file takes its name when it is whole, by a rename, which is as atomic as the store has it. Several files
together are not atomic anywhere, hence the order. Leases stay in the working folder: two machines that work on one URL
at one time do not see each other's, and may train a run twice, with the same result.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from iwax.errors import IwaxError
from iwax.extras import missing
from iwax.files import PART, loads, write_whole
from iwax.progress import Progress
from iwax.runs import STATUS, RunFolder
from iwax.sweeps.folder import OWN

__all__ = ["MIRROR", "Mirror", "is_url", "train_mirrored", "working_folder"]

MIRROR = "IWAX_SWEEP_MIRROR"
"""The variable of a task's process that names the store."""
WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory"}  # stores in which a file is put whole
NEVER = ("checkpoint.previous.safetensors", "checkpoint.new.safetensors")
FIRST = ("config.json", "environment.json", "model.py", "metrics.jsonl", "evaluations.jsonl", "checkpoint.safetensors")


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
        """Bring what the store has of the sweep itself, and of its runs what tells how far they are; no checkpoint."""
        names = [name for name in self._names("") if not name.endswith(".safetensors")]
        ids = {name.split("/")[0] for name in names} - {OWN}
        ahead = {id for id in ids if self._is_ahead(id)}
        wanted = [name for name in names if name.startswith(f"{OWN}/runs/") or name.split("/")[0] in ahead]
        self._bring(
            name for name in wanted if not (self.folder / name.split("/")[0] / "checkpoint.safetensors").exists()
        )

    def fetch_run(self, id: str) -> None:
        """Bring a run, if the store has got further with it than this machine; the status last."""
        if self._is_trained_here(id) and not self._is_ahead(id):
            return
        for name in NEVER:
            (self.folder / id / name).unlink(missing_ok=True)
        self._bring(sorted(self._names(id), key=_order))

    def push_run(self, id: str) -> None:
        """Put what has changed of a run since the last time."""
        self._put(f"{id}/{path.name}" for path in (self.folder / id).glob("*") if path.is_file())

    def push_sweep(self) -> None:
        """Put what was asked for, the logs, and why runs were given up."""
        kinds = ("runs", "logs", "failures")
        paths = [path for kind in kinds for path in (self.folder / OWN / kind).glob("*") if path.is_file()]
        self._put(path.relative_to(self.folder).as_posix() for path in paths)

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
        for name in names:
            path = self.folder / name
            with self._reaching(f"read {name}"):
                content = self._store.cat_file(f"{self._root}/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)

    def _names(self, below: str) -> list[str]:
        """The files of the store, by their names within the sweep."""
        with self._reaching("list"):
            self._store.invalidate_cache()
            found = self._store.find(f"{self._root}/{below}".rstrip("/"))
        names = [str(path)[len(self._root) :].lstrip("/") for path in found]
        return [name for name in names if not PurePosixPath(name).name.startswith(".")]

    def _is_trained_here(self, id: str) -> bool:
        return (self.folder / id / "checkpoint.safetensors").exists()

    def _is_ahead(self, id: str) -> bool:
        """Whether the store has more of a run than the working folder."""
        with self._reaching(f"read {id}"):
            place = f"{self._root}/{id}/{STATUS}"
            text = self._store.cat_file(place).decode() if self._store.exists(place) else "{}"
        there, here = loads(text, f"{id}/{STATUS}"), RunFolder(self.folder / id).json(STATUS)
        return bool(there) and (there.get("step", -1), there["state"] == "finished") > (
            here.get("step", -1),
            here.get("state") == "finished",
        )

    @contextlib.contextmanager
    def _reaching(self, what: str) -> Any:
        """Says in one line what the store refuses, whatever its library raises."""
        try:
            yield
        except Exception as error:
            raise IwaxError(
                f"Expected to {what} in {self.url}; got {type(error).__name__}: {' '.join(str(error).split())}. Look "
                "at the address and the rights; what is trained stays in the working folder."
            ) from error


def train_mirrored(
    mirror: Mirror,
    id: str,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> RunFolder:
    """`train_member` of a run in the store: brought before, and put back after each checkpoint and at the end."""
    from iwax.sweeps.member import train_member  # late, as a driver does not wait for JAX

    mirror.fetch_run(id)
    status, seen = mirror.folder / id / STATUS, 0

    def mirrored(progress: Progress) -> None:
        nonlocal seen
        if status.exists() and (now := status.stat().st_mtime_ns) != seen:  # written after each checkpoint
            mirror.push_run(id)
            seen = now
        if on_progress is not None:
            on_progress(progress)

    try:
        return train_member(mirror.folder, id, on_progress=mirrored, **options)
    finally:
        mirror.push_run(id)


def _order(name: str) -> tuple[int, str]:
    """The order in which files are put and brought: what is named before what names it, and the status last."""
    own = PurePosixPath(name).name
    if own in FIRST:
        return FIRST.index(own), name
    return len(FIRST) + (2 if own == STATUS else own.endswith((".json", ".jsonl"))), name
