"""What a data set is once loaded, and what is known of it before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


class DataWarning(UserWarning):
    """The notice of a data set that is not exactly what its files hold."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test examples, with enough to say exactly which they are; printed, it is two lines.

    `train` and `test` are numpy arrays (N, height, width), (N, height, width, channels) or (N, D): uint8 grey values
    or colours, bool, floats, or counts in another integer type; those of large files may be memory maps.
    `split` is a string that `load` accepts back; `checksums` maps what was verified to its SHA-256 and does
    not depend on the source; `tried` says what came of each source before `source`; `notice` must be shown.
    `validation` are further examples of the same shape, where the files hold them apart: neither trained nor tested on.
    `columns` are the names of those of a table, where its file has names.

    >>> from iwax.data import load
    >>> print(load("mnist-sample"))
    mnist-sample [standard]: 2,000 training and 500 test examples, 28x28 of uint8
    from bundled sample
    """

    train: np.ndarray
    test: np.ndarray
    name: str
    split: str
    checksums: Mapping[str, str]
    source: str
    notice: str | None = None
    tried: tuple[str, ...] = ()
    validation: np.ndarray | None = None
    columns: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        counts = [f"{len(self.train):,} training"]
        counts += [] if self.validation is None else [f"{len(self.validation):,} validation"]
        shape = "x".join(map(str, self.train.shape[1:]))
        return (
            f"{self.name} [{self.split}]: {', '.join(counts)} and {len(self.test):,} test examples, {shape} of "
            f"{self.train.dtype}\nfrom {self.source}"
        )


@dataclass(frozen=True)
class DatasetInfo:
    """One row of `iwax data`: a data set with one split, found out without downloading or decoding anything."""

    name: str
    split: str
    train: int
    test: int
    shape: tuple[int, ...]
    source: str
    checksums: Mapping[str, str]
    licence: str
    description: str


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of an array's elements in C order, as hexadecimal; of a contiguous one without a copy of it."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()
