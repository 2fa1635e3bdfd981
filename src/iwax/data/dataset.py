"""What a data set is once loaded, and what is known of it before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


class DataWarning(UserWarning):
    """The notice of a data set that is not exactly what its files hold."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples, with enough to say exactly which they are.

    `train` and `test` are numpy arrays (N, height, width) or (N, D): uint8 grey values, bool, floats, or counts
    in another integer type.
    `split` is a string that `load` accepts back; `checksums` maps what was verified to its SHA-256 and does
    not depend on the source; `tried` says what came of each source before `source`; `notice` must be shown.
    """

    train: np.ndarray
    test: np.ndarray
    name: str
    split: str
    checksums: Mapping[str, str]
    source: str
    notice: str | None = None
    tried: tuple[str, ...] = ()


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
    """SHA-256 of an array's elements in C order, as hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
