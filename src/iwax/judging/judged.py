"""A run as it was judged: what its folder says of it, read without a model."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from iwax.judging.weights import ARRAYS
from iwax.numpy_files import open_archive, read_arrays
from iwax.runs import STATUS, RunConfig, RunFolder

__all__ = ["PAIRED", "JudgedRun", "read_judged"]

PAIRED = {"log_p": "log_likelihood", "iwae_64": "iwae_64", "neg_kl": "neg_kl", "elbo": "elbo"}
"""Numbers of a summary that are means over examples -> their name per example in evaluation.npz."""


@dataclasses.dataclass(frozen=True)
class JudgedRun:
    """A run's folder as it is: what it was to train, how far it came, and its evaluation if it has one."""

    folder: RunFolder
    config: RunConfig
    status: dict[str, Any]
    summary: dict[str, Any]
    arrays: str = ARRAYS
    """The file of its numbers per example."""
    signature: str = dataclasses.field(default="", compare=False)
    """Of its files when they were read, for an index; "" where that is not known."""

    @classmethod
    def of(cls, folder: RunFolder, read: Mapping[str, Any], signature: str = "") -> "JudgedRun":
        """The run of a folder, from what `read_judged` found."""
        return cls(folder, RunConfig(**read["config"]), read["status"], read["summary"], signature=signature)

    def value(self, name: str) -> float | None:
        """A number of the evaluation or of training ("seconds", "epochs"); None if it is not known."""
        if name == "active_units":
            return float(sum(self.summary["active_units"])) if self.summary.get("active_units") else None
        found = self.status.get({"epochs": "epoch"}.get(name, name)) if name in ("seconds", "epochs") else None
        found = self.summary.get(name) if found is None else found
        return None if found is None else float(found)

    def per_example(self, name: str) -> np.ndarray | None:
        """The same of each test example, (N,); None where it is not kept."""
        return self.per_examples([name]).get(name)

    def per_examples(self, names: Iterable[str] = PAIRED) -> dict[str, np.ndarray]:
        """The same of several numbers, as far as they are kept, from one look at the file."""
        columns = {name: PAIRED[name] for name in names if name in PAIRED}
        if not columns or not self.summary or not (path := self.folder.path / self.arrays).exists():
            return {}
        with open_archive(path) as arrays:
            return {name: arrays.read(column) for name, column in columns.items() if column in arrays}


def read_judged(folder: RunFolder) -> dict[str, Any]:
    """What a `JudgedRun` says of a folder, as JSON has it: its configuration, its status, its evaluation.

    Raises:
        ValueError: it is damaged.
    """
    read = {"config": vars(folder.config()), "status": folder.json(STATUS), "summary": folder.judged()}
    if read["summary"] and (folder.path / ARRAYS).exists():
        read_arrays(folder.path / ARRAYS)  # now, while the run can be left out
    return read
