"""Arrays of .npy and .npz files by part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iwax.data.parts import WHOLE, by_part, left_out, part_of_array
from iwax.errors import IwaxError
from iwax.numpy_files import MAGIC, map_npy, open_archive

ZIP = b"PK"
"""How an archive begins."""
UNNAMED = ("data", "x", "images")  # what an array of all examples is called where others are beside it


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file as a memory map, of which nothing is read before it is needed. Raises ValueError."""
    if begins_with(path, ZIP):
        raise IwaxError(f"Expected {path} to hold one array; got several, as a .npz has. Rename it.")
    return np.asarray(map_npy(path))


def read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of a .npz file by part, and the notice of others.

    `train` and `test`, x_train and x_test, train_images and test_images, and a validation part of such a name; or all
    examples as the only array, or as the only one called data, x or images, or by the name of a training part, which
    is said. Others, such as labels, are not read. Raises ValueError.
    """
    if begins_with(path, MAGIC):  # a .npy by another name
        return {WHOLE: np.array(map_npy(path))}, []
    with open_archive(path) as archive:
        names = _chosen(path, archive.names)
        found = {part: archive.read(name) for part, name in names.items()}
        notices = left_out((name for name in archive.names if name not in names.values()), path)
        if part_of_array(whole := names.get(WHOLE, "")):
            notices.append(f"{whole} is all that {path} has of a part, so some of it is for testing.")
        return found, notices


def begins_with(path: Path, start: bytes) -> bool:
    """Whether a file begins so. Raises ValueError for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError as error:
        raise IwaxError(f"Expected {path} to be readable; got {error.strerror}. Check its permissions.") from error


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
