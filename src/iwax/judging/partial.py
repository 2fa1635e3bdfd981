"""The examples that an evaluation has finished, kept as it goes, so that nothing is computed twice."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from iwax.files import dumps
from iwax.runs import BusyError, differences, try_lock

__all__ = ["PartialEvaluation", "partial_evaluation"]


class PartialEvaluation:
    """An open file of finished examples: a line of JSON (settings and columns), then a row of float64 for each.

    A batch is handed to the operating system as soon as it is done, so that killing the process loses none.

    Attributes:
        values: column -> (examples,), what was found finished under the same settings; {} if nothing was.
        differences: in what the settings of the file differ from those given; then it is emptied.
    """

    def __init__(self, file: IO[bytes], settings: dict[str, Any]) -> None:
        self._file, self._settings = file, json.loads(dumps(settings))  # as they will be read back
        self.values: dict[str, np.ndarray] = {}
        self.differences: list[str] = []
        self._columns: list[str] = []
        file.seek(0)
        line = file.readline()
        if not line.endswith(b"\n"):  # new, or killed within its first line
            file.truncate(0)
            return
        header = json.loads(line)
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
            self._file.truncate(self._begin + 8 * len(self._columns) * count)

    def append(self, values: dict[str, np.ndarray]) -> None:
        """Add a batch of finished examples."""
        if not self._columns:
            self._columns = list(values)
            header = dumps({"settings": self._settings, "columns": self._columns}).encode() + b"\n"
            self._begin = len(header)
            self._file.write(header)
        self._file.write(np.stack([values[name] for name in self._columns], axis=1).astype("<f8").tobytes())
        self._file.flush()

    def _rows(self, content: bytes) -> np.ndarray:
        width = 8 * len(self._columns)
        return np.frombuffer(content[: len(content) // width * width], "<f8").reshape(-1, len(self._columns))


@contextmanager
def partial_evaluation(path: Path, settings: dict[str, Any]) -> Iterator[PartialEvaluation]:
    """The finished examples in a file, which nobody else can open meanwhile; it is made if there is none.

    Raises:
        BusyError: is already running.
        OSError: it cannot be written.
    """
    with open(path, "a+b") as file:
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
