"""Your own data: arrays, tables, folders of images, and IDX files as MNIST and Fashion-MNIST have them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from iwax.checks import check_choice, names_beside, nearest
from iwax.data.arrays import read_npy, read_npz
from iwax.data.checks import check_images, check_precision, check_varied, is_x64
from iwax.data.dataset import Dataset, array_sha256
from iwax.data.folders import has_images, read_folder
from iwax.data.idx import find_idx, read_idx
from iwax.data.parts import WHOLE, by_part, not_two_parts, part_of
from iwax.data.pictures import BACKGROUNDS, made_grey
from iwax.data.splits import DEFAULT_SPLIT, GIVEN, split_at_random
from iwax.data.table_parts import read_table_parts
from iwax.data.tables import few, read_table
from iwax.errors import IwaxError

TABLES = (".csv", ".parquet")
FILES = (".npy", ".npz", *TABLES)
COLOURS = (1, 3, 4)  # how many channels an image has
FEW = 10  # examples, of which it is said how many there are
KINDS = f"a file of {', '.join(FILES)} or IDX, or a folder of images"


class Read(NamedTuple):
    """The arrays that were read, by part, what must be said of how, and the names of a table's columns."""

    arrays: dict[str, np.ndarray]
    notices: list[str]
    columns: list[str] | None = None


def is_path(name: str | os.PathLike[str]) -> bool:
    """Whether `name` is meant as a path rather than as the name of a data set."""
    path = Path(name)
    if isinstance(name, str) and not name:
        return False
    return not isinstance(name, str) or path.suffix.lower() in FILES or len(path.parts) > 1 or path.exists()


def load_own(
    path: str | os.PathLike[str],
    split: str | None = None,
    *,
    columns: Sequence[str | int] | str | None = None,
    grey: bool = False,
    background: str | None = None,
) -> Dataset:
    """Images (N, height, width), in colour (N, height, width, 3), or vectors (N, D) from a file or a folder.

    A .npz with arrays `train` and `test` (or x_train and x_test, train_images and test_images), a folder with folders
    or files of these names (`Training`, `test.csv`), and MNIST's files, by whatever name, are taken as they are (split
    "given"); a validation part beside them is kept as `validation`. Otherwise `split` is a rule,
    "test_fraction=0.1,seed=0" by default: that many examples, drawn without replacement, are for testing. The name of
    the data set is its absolute path, so that a run finds it from any folder.

    Arguments:
        path: .npy, .npz, .csv, .parquet, an IDX file, or a folder of images or of such files.
        split: the rule.
        columns: of a table, by the names in its header, or by number from 0 where it has none; a text has commas
            between them. All if left out.
        grey: make images in colour grey, L = 0.299 R + 0.587 G + 0.114 B.
        background: what transparent pixels show, "white" or "black"; white, with a notice, if left out.

    Raises:
        ValueError, TypeError: nothing of that kind is there, or it is damaged, empty, or no data of numbers.
    """
    if background is not None:
        check_choice("background", background, BACKGROUNDS)
    path = Path(os.path.abspath(path))
    found, notices, names = _read(path, _names(columns), background)
    if grey:
        found = {name: made_grey(array) for name, array in found.items()}
    parts = {name: _checked(array, name, path) for name, array in found.items()}
    if WHOLE in parts:
        if len(parts[WHOLE]) < 2:
            raise IwaxError(f"Expected {path} to hold at least 2 examples, as some are for testing; got one.")
        parts["train"], parts["test"], split = split_at_random(parts.pop(WHOLE), split or DEFAULT_SPLIT)
    elif split not in (None, GIVEN):
        raise IwaxError(f"Expected split {GIVEN!r} for {path}, which has train and test; got {split!r}. Omit it.")
    _check_shapes(path, parts)
    shape = parts["train"].shape[1:]
    if len(shape) == 3 and shape[0] in COLOURS and shape[2] not in COLOURS:
        notices = [
            *notices,
            f"Images of shape {shape} are taken as {shape[0]} x {shape[1]} pixels of {shape[2]} channels, which come "
            "last: (N, height, width, channels). Transpose them if they come first.",
        ]
    if (count := len(parts["train"]) + len(parts["test"])) < FEW:
        of_images = "" if path.suffix.lower() in TABLES else " One image has the shape (1, height, width)."
        notices = [*notices, f"{count} examples of shape {shape} are few to train and judge a model.{of_images}"]
    return Dataset(
        parts["train"],
        parts["test"],
        str(path),
        split or GIVEN,
        {name: array_sha256(parts[name]) for name in ("train", "test", "validation") if name in parts},
        f"{'folder' if path.is_dir() else 'file'} {path}",
        " ".join(notices) or None,
        validation=parts.get("validation"),
        columns=None if names is None else tuple(names),
    )


def _names(columns: Sequence[str | int] | str | None) -> list[str] | None:
    if columns is None:
        return None
    names = [str(name).strip() for name in (columns.split(",") if isinstance(columns, str) else columns)]
    if not names:
        raise IwaxError("Expected columns to name at least one; got none. Leave it out for all of them.")
    return names


def _read(path: Path, columns: list[str] | None, background: str | None) -> Read:
    """The arrays that `path` holds, by part, and what must be said of how they were read."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in FILES and file.is_file())
        parts = by_part((part_of(file.stem), file) for file in files if file.suffix.lower() != ".npz")
        if parts is not None:
            return _read_files(parts, columns)
    if path.suffix.lower() in TABLES and path.is_file():
        table = read_table(path, columns)
        return Read({WHOLE: table.values}, table.notices, table.names)
    if columns is not None:
        raise IwaxError(
            f"Expected columns with a table only, {' or '.join(TABLES)}; got {','.join(columns)} for {path}."
        )
    if path.suffix.lower() == ".npy" and path.is_file():
        return Read({WHOLE: read_npy(path)}, [])
    if path.suffix.lower() == ".npz" and path.is_file():
        return Read(*read_npz(path))
    packed = find_idx(path) if path.exists() else None
    if packed is not None:
        return Read({part: read_idx(file) for part, file in packed.items()}, [])
    if path.is_dir():
        _check_no_files(path)
        return Read(*read_folder(path, background))
    if path.exists():
        raise IwaxError(f"Expected dataset to be {KINDS}; got {path}, which is none.")
    raise nothing_at(path)


def nothing_at(path: Path) -> IwaxError:
    """What to raise where there is no file and no folder, absolute; with the name beside it that is nearest."""
    near = nearest(path.name, names_beside(path), otherwise="")
    return IwaxError(f"Expected dataset to be {KINDS}; got {path}: there is nothing.{near}")


def _read_files(parts: dict[str, Path], columns: list[str] | None) -> Read:
    """A file for each part, such as train.npy and test.npy, or train.csv and test.csv."""
    if all(file.suffix.lower() in TABLES for file in parts.values()):
        return Read(*read_table_parts({part: parts[part] for part in sorted(parts, key="train".__ne__)}, columns))
    read = {part: _read(file, columns, None) for part, file in parts.items()}
    notices = [notice for one in read.values() for notice in one.notices]
    return Read({part: one.arrays[WHOLE] for part, one in read.items()}, notices)


def _check_no_files(folder: Path) -> None:
    """Raises ValueError for a folder without images that holds files of examples, which are not those of two parts."""
    names = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in FILES and f.is_file())
    if not names or has_images(folder):
        return
    if any(part_of(Path(name).stem) for name in names):
        raise not_two_parts(folder, "file", names)
    raise IwaxError(
        f"Expected {folder} to hold images, or files called train and test; got {few(names)}. Give the file itself, "
        f"such as {folder / names[0]}."
    )


def _check_shapes(path: Path, parts: dict[str, np.ndarray]) -> None:
    """Raises ValueError for parts with examples of several shapes."""
    for name in parts:
        if parts[name].shape[1:] != parts["train"].shape[1:]:
            raise IwaxError(
                f"Expected train and {name} of {path} to have examples of one shape; got {parts['train'].shape[1:]} "
                f"and {parts[name].shape[1:]}. Resize one of them."
            )


def _checked(array: np.ndarray, part: str, path: Path) -> np.ndarray:
    """The array once it has passed `check_images`: integers and bool as they are, floats as float32.

    float64 stays float64 where JAX computes in it (under x64). What float32 can tell apart is asked of training
    examples, since a few others may be close to one another.
    """
    name = f"{path}:{part}"
    check_images(array, "none", name)
    check_varied(array, name)
    if not np.issubdtype(array.dtype, np.floating) or (array.dtype.itemsize == 8 and is_x64()):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):  # reported by the check below
        narrow = array.astype(np.float32, copy=False)
    if narrow is not array:
        check_images(narrow, "none", f"{name} as float32")
    if part in (WHOLE, "train"):
        check_precision(array, name)
    return narrow
