"""Arrays of .npy and .npz files by part."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from iwax.data.parts import WHOLE, by_part, left_out, part_of_array
from iwax.errors import IwaxError

UNNAMED = ("data", "x", "images")  # what an array of all examples is called where others are beside it


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file as a memory map, of which nothing is read before it is needed. Raises ValueError."""
    with _reading(path):
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(loaded, np.ndarray):
        loaded.close()
        raise IwaxError(f"Expected {path} to hold one array; got several, as a .npz has. Rename it.")
    return np.asarray(loaded)


def read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of a .npz file by part, and the notice of others.

    `train` and `test`, x_train and x_test, train_images and test_images, and a validation part of such a name; or all
    examples as the only array, or as the only one called data, x or images. Others, such as labels, are not read.
    Raises ValueError.
    """
    with _reading(path):
        file = path.open("rb")  # here, as numpy leaves a damaged one open
    with file:
        with _reading(path):
            loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):  # a .npy by another name
            return {WHOLE: loaded}, []
        names = _chosen(path, loaded.files)
        with _reading(path):
            found = {part: loaded[name] for part, name in names.items()}
        return found, left_out((name for name in loaded.files if name not in names.values()), path)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Refuses a file that NumPy cannot read; around NumPy alone."""
    try:
        yield
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _refused(path, error) from error


def _chosen(path: Path, names: list[str]) -> dict[str, str]:
    """Part -> name of its array."""
    found = [name for name in names if part_of_array(name)]
    parts = by_part((part_of_array(name), name) for name in found)
    if parts is not None:
        return parts
    whole = found if found else [name for name in names if name.lower() in UNNAMED]
    if len(names) == 1 or (len(whole) == 1 and part_of_array(whole[0]) in (None, "train")):
        return {WHOLE: whole[0] if whole else names[0]}
    raise IwaxError(
        f"Expected {path} to hold one array, or `train` and `test`; got {', '.join(sorted(names)) or 'none'}. "
        "Save it again with those names."
    )


def _refused(path: Path, error: Exception) -> IwaxError:
    return IwaxError(f"Expected {path} to hold plain numeric arrays; got {error}. Save it again with numpy.")
