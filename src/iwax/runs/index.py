"""What was read of the files under a folder, kept in one SQLite file, so that only what changed is read again.

The index decides nothing but what to read again: the files are the truth, and their sizes, times and inodes say whether
what was read of them still holds. It is kept where there are many files, in the user's cache folder, by the name of the
folder: nothing is written among somebody's runs, and a folder that is only read has one, too. One that is damaged, or
that another version of iwax has made, is made afresh; where none can be written, or somebody else writes it, all goes
on without.
"""

import contextlib
import hashlib
import os
import sqlite3
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from iwax.data import cache_folder
from iwax.errors import IwaxError
from iwax.files import dumps, loads
from iwax.runs.scanning import FoundRun

__all__ = ["RunIndex", "index_path"]

FOLDER = "indexes"  # of the cache folder
LEAST = 100  # runs for which there is an index: fewer are read in no time
KEPT = 90 * 24 * 3600.0  # seconds; an index that was not used for so long goes when another is made
WAIT = 1.0  # seconds for another process that writes
BATCH = 500  # values to a transaction
LEVEL = 1  # of compression: a third of the size for a twentieth of the time that reading the files takes
TABLES = """
    CREATE TABLE IF NOT EXISTS made (by TEXT, of TEXT);
    CREATE TABLE IF NOT EXISTS found (
        what TEXT, key TEXT, signature TEXT, value BLOB, checksum INTEGER, PRIMARY KEY (what, key)
    ) WITHOUT ROWID;
"""


class _Statement(NamedTuple):
    """A statement of SQL with its values; of `many` rows of them, which are written."""

    text: str
    values: Sequence[Any]
    many: bool = False

    def on(self, connection: sqlite3.Connection) -> list[Any]:
        if not self.many:
            return connection.execute(self.text, self.values).fetchall()
        with connection:
            connection.executemany(self.text, self.values)
        return []


class RunIndex:
    """What is known of the runs in and under a folder, as a context; see `value`."""

    def __init__(self, folder: str | os.PathLike[str], runs: int) -> None:
        self._folder, self._path = Path(folder), index_path(folder)
        self._wanted = runs >= LEAST
        self._connection: sqlite3.Connection | None = None
        self._rows: dict[str, dict[str, tuple[Any, ...]]] = {}
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._new: list[tuple[str, str, str, bytes, int]] = []

    def __enter__(self) -> Self:
        if self._wanted:
            self._connection = self._open() or self._afresh()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        self._write()
        if kind is None:
            self._forget()
        self._rows.clear()
        if self._connection is not None:
            self._connection.close()

    @property
    def is_kept(self) -> bool:
        """Whether there is one."""
        return self._connection is not None

    def of_run(self, what: str, run: FoundRun, read: Callable[[], Any]) -> Any:
        """What `read` gives of a run, as `value`."""
        return self.value(what, self.key(run[0]), run[1], read)

    def key(self, path: Path) -> str:
        """How a folder or file below the folder is called, whatever that is called."""
        return str(path).removeprefix(str(self._folder)).lstrip(os.sep) or "."

    def value(self, what: str, key: str, signature: str, read: Callable[[], Any]) -> Any:
        """What `read` gives, as JSON has it; it is called only if it is not known for this signature.

        Raises:
            Exception: whatever `read` raises; then nothing is kept.
        """
        self._seen[what].add(key)
        if signature and (text := self._known(what, key, signature)) is not None:
            with contextlib.suppress(IwaxError):
                return loads(text)
        text = dumps(read())
        if signature and self._connection is not None:
            packed = zlib.compress(text.encode(), LEVEL)
            self._new.append((what, key, signature, packed, _checksum(what, key, signature, packed)))
            if len(self._new) >= BATCH:
                self._write()
        return loads(text)

    def _known(self, what: str, key: str, signature: str) -> str | None:
        """The text that is kept, if it is of these files, and whole."""
        if what not in self._rows:  # all at once, as a question for each takes longer than what it is for
            query = "SELECT key, signature, value, checksum FROM found WHERE what = ?"
            self._rows[what] = {row[0]: row[1:] for row in self._do(_Statement(query, (what,))) or ()}
        kept, value, checksum = self._rows[what].pop(key, ("", None, 0))  # who asks again has it read again
        if kept != signature or not isinstance(value, bytes) or checksum != _checksum(what, key, kept, value):
            return None
        return zlib.decompress(value).decode()

    def _write(self) -> None:
        new, self._new = self._new, []
        if new:
            self._do(_Statement("REPLACE INTO found VALUES (?, ?, ?, ?, ?)", new, many=True))

    def _forget(self) -> None:
        """Take out what is of no run any more: of each kind asked for, what was not."""
        for what, seen in self._seen.items():
            rows = self._do(_Statement("SELECT key FROM found WHERE what = ?", (what,)))
            gone = [(what, key) for (key,) in rows or [] if key not in seen]
            if gone:
                self._do(_Statement("DELETE FROM found WHERE what = ? AND key = ?", gone, many=True))

    def _do(self, statement: "_Statement") -> Any:
        """The rows that a statement finds, or None where it fails; where the file is damaged it is made afresh."""
        if self._connection is None:
            return None
        try:
            return statement.on(self._connection)
        except sqlite3.DatabaseError as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            if not isinstance(error, sqlite3.OperationalError):  # which is: locked, read-only, no space left
                self._connection.close()
                self._connection = self._afresh()
            return None

    def _open(self) -> sqlite3.Connection | None:
        """The file, made if there is none; None for one that is damaged, or of another version."""
        connection = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=WAIT)
            connection.execute("PRAGMA synchronous = OFF")  # what is torn has another checksum, or is no database
            connection.executescript(TABLES)
            made, ours = connection.execute("SELECT by FROM made").fetchall(), _made_by()
            if not made:
                with connection:
                    connection.execute("INSERT INTO made VALUES (?, ?)", (ours, str(self._folder.resolve())))
                _forget_old(self._path.parent)
            if made in ([], [(ours,)]):
                os.utime(self._path)
                return connection
        except (sqlite3.Error, OSError):
            pass
        if connection is not None:
            connection.close()
        return None

    def _afresh(self) -> sqlite3.Connection | None:
        """A new file in place of the one that is there; None where that cannot be."""
        try:
            self._path.unlink(missing_ok=True)
            self._path.with_name(self._path.name + "-journal").unlink(missing_ok=True)
        except OSError:
            return None
        return self._open()


def index_path(folder: str | os.PathLike[str]) -> Path:
    """Where the index of a folder is, or would be."""
    name = hashlib.sha256(os.fsencode(Path(folder).resolve())).hexdigest()[:16]
    return cache_folder() / FOLDER / f"{name}.sqlite"


def _forget_old(folder: Path) -> None:
    """Remove the indexes that nobody has used for long: of folders that are gone, as a rule."""
    for path in folder.glob("*.sqlite"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - KEPT:
                path.unlink()


def _checksum(what: str, key: str, signature: str, value: bytes) -> int:
    return zlib.crc32("\0".join((what, key, signature, "")).encode() + value)


def _made_by() -> str:
    """The code that reads runs, by the sizes and times of its files: with other code, all is read again."""
    package = Path(__file__).parents[1]
    stats = [(str(path), path.stat()) for path in sorted(package.rglob("*.py"))]
    parts = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    return hashlib.sha256(repr(parts).encode()).hexdigest()
