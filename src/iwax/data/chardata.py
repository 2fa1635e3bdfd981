"""A user's own `chardata.mat`, the file of the IWAE paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iwax.data.dataset import Dataset, array_sha256
from iwax.errors import IwaxError

CHARDATA = Path("omniglot") / "chardata.mat"
COUNTS = {"data": 24_345, "testdata": 8_070}


def load_chardata(path: Path) -> Dataset:
    """Omniglot, split "burda", from arrays `data` (784, 24345) and `testdata` (784, 8070) of floats in [0, 1].

    Each column is an image stored column by column. Kept as float32, as the file has no checksum known in advance.
    Raises ValueError.
    """
    arrays = _read(path)
    train, test = (_images(path, key, arrays.get(key)) for key in COUNTS)
    checksums = {"chardata.mat:data": array_sha256(train), "chardata.mat:testdata": array_sha256(test)}
    return Dataset(train, test, "omniglot", "burda", checksums, str(path), f"Omniglot 28x28, file {path}.")


def _read(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    try:
        loaded = loadmat(path, variable_names=list(COUNTS))
    except Exception as error:  # loadmat raises many types for damaged files, zlib's and its own among them
        raise IwaxError(f"Expected {path} to be a MATLAB file; got {error}. Replace the file.") from error
    return {key: loaded[key] for key in COUNTS if np.asarray(loaded.get(key)).dtype.kind in "biuf"}


def _images(path: Path, key: str, array: np.ndarray | None) -> np.ndarray:
    expected = (784, COUNTS[key])
    found = None if array is None else array.shape
    if array is None or found != expected:
        raise IwaxError(f"Expected {key} in {path} of shape {expected}; got {found}. Replace the file.")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise IwaxError(f"Expected {key} in {path} within [0, 1]; got [{low:g}, {high:g}]. Replace the file.")
    return np.ascontiguousarray(array.T.reshape(-1, 28, 28).transpose(0, 2, 1), dtype=np.float32)
