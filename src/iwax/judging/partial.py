"""The examples that an evaluation has finished, kept as it goes, so that nothing is computed twice."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypedDict

import numpy as np

from iwax.errors import IwaxError
from iwax.files import dumps, loads, writing
from iwax.reading import Count, check_type
from iwax.runs import BusyError, differences, try_lock

__all__ = ["PartialEvaluation", "partial_evaluation"]

CHECKSUM = 4  # bytes


class Header(TypedDict):
    """The first line of the file; `checksum` is that of the rest of the line."""

    settings: dict[str, Any]
    columns: list[str]
    checksum: Count


class PartialEvaluation:
    """An open file of finished examples: a line of JSON (settings and columns), then a row of float64 for each.

    A batch is handed to the operating system as soon as it is done, so that killing the process loses none. The line
    and each row carry a checksum (CRC-32, of a row together with its place), so that what is damaged is computed again.

    Attributes:
        values: column -> (examples,), what was found finished and whole under the same settings; {} if nothing was.
        differences: in what the settings of the file differ from those given; then it is emptied.
        damage: what of the file could not be used; "" for nothing. The rows before it are.
    """

    def __init__(self, file: IO[bytes], settings: dict[str, Any]) -> None:
        self._file, self._settings = file, loads(dumps(settings))  # as they will be read back
        self.values: dict[str, np.ndarray] = {}
        self.differences: list[str] = []
        self.damage = ""
        self._columns: list[str] = []
        file.seek(0)
        line = file.readline()
        if not line.endswith(b"\n"):  # new, or killed within its first line
            file.truncate(0)
            return
        try:
            header = _read_header(line)
        except IwaxError as error:
            self.damage = str(error)
            file.truncate(0)
            return
        self.differences = differences(header["settings"], self._settings)
        if self.differences:
            file.truncate(0)
            return
        self._columns, self._begin = header["columns"], len(line)
        rows = self._rows(file.read())
        self.values = {name: rows[:, i].copy() for i, name in enumerate(self._columns)}

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    def keep(self, count: int) -> None:
        """Forget all but the first `count` examples, such as those of a batch that was written in part."""
        self.values = {name: column[:count] for name, column in self.values.items()}
        if self._columns:
            self._file.truncate(self._begin + self._width * count)

    def append(self, values: dict[str, np.ndarray]) -> None:
        """Add a batch of finished examples."""
        with writing(self._file.name):
            if not self._columns:
                self._columns = list(values)
                line = _header_line({"settings": self._settings, "columns": self._columns})
                self._begin = len(line)
                self._file.write(line)
            first = (self._file.seek(0, os.SEEK_END) - self._begin) // self._width
            rows = np.stack([values[name] for name in self._columns], axis=1).astype("<f8")
            self._file.write(b"".join(_row(row.tobytes(), first + i) for i, row in enumerate(rows)))
            self._file.flush()

    @property
    def _width(self) -> int:
        """Bytes of a row."""
        return 8 * len(self._columns) + CHECKSUM

    def _rows(self, content: bytes) -> np.ndarray:
        """The rows up to the first that is damaged or not whole."""
        width, whole = self._width, []
        for place in range(len(content) // width):
            row = content[place * width : (place + 1) * width]
            if row != _row(row[:-CHECKSUM], place):
                self.damage = f"row {place + 1} has another checksum"
                break
            whole.append(np.frombuffer(row[:-CHECKSUM], "<f8"))
        return np.array(whole).reshape(-1, len(self._columns))


def _row(numbers: bytes, place: int) -> bytes:
    """A row as it is written, the checksum last."""
    return numbers + zlib.crc32(numbers, place).to_bytes(CHECKSUM, "little")


def _header_line(header: dict[str, Any]) -> bytes:
    return dumps({**header, "checksum": zlib.crc32(dumps(header).encode())}).encode() + b"\n"


def _read_header(line: bytes) -> dict[str, Any]:
    """The first line of a file; IwaxError for one that is damaged, or of an earlier version."""
    try:
        header = loads(line.decode())
    except UnicodeDecodeError as error:
        raise IwaxError("its first line is no text") from error
    check_type(header, Header, "its first line")
    if _header_line({name: header[name] for name in ("settings", "columns")}) != line or not header["columns"]:
        raise IwaxError("its first line has another checksum")
    return header


@contextmanager
def partial_evaluation(path: Path, settings: dict[str, Any]) -> Iterator[PartialEvaluation]:
    """The finished examples in a file, which nobody else can open meanwhile; it is made if there is none.

    Raises:
        BusyError: is already running.
        OSError: it cannot be written.
    """
    with writing(path):
        file = open(path, "a+b")  # noqa: SIM115 (closed below)
    with file:
        if not try_lock(file):
            raise BusyError(
                f"Expected {path.parent} to be evaluated by one process at a time; one is already running. Wait for it."
            )
        try:
            yield PartialEvaluation(file, settings)
        finally:
            file.flush()
            if path.exists() and os.path.getsize(path) == 0:
                path.unlink()
