"""Your own data: .npy, .npz, a folder of images, or a folder of IDX files as MNIST and Fashion-MNIST have them."""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from iwax.data.checks import check_images
from iwax.data.dataset import Dataset, array_sha256
from iwax.data.folders import read_folder
from iwax.errors import IwaxError

GIVEN = "given"
DEFAULT_SPLIT = "test_fraction=0.1,seed=0"
IDX = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


def is_path(name: str | os.PathLike[str]) -> bool:
    """Whether `name` is meant as a path rather than as the name of a data set."""
    path = Path(name)
    if isinstance(name, str) and not name:
        return False
    return not isinstance(name, str) or path.suffix in (".npy", ".npz") or len(path.parts) > 1 or path.is_dir()


def load_own(path: str | os.PathLike[str], split: str | None = None) -> Dataset:
    """Images (N, height, width) or vectors (N, D) from .npy, .npz or a folder of images.

    A .npz with arrays `train` and `test`, a folder with folders `train` and `test` (or `Training`, `Testing`), and one
    with the files of MNIST or Fashion-MNIST (train-images-idx3-ubyte and t10k-images-idx3-ubyte, .gz or not) are taken
    as they are (split "given"). Otherwise `split` is a rule, "test_fraction=0.1,seed=0" by default: that many examples,
    drawn without replacement, are for testing. What becomes of pictures with colour or transparency is said in
    `iwax.data.pictures`. The name of the data set is its absolute path, so that a run finds it from any folder.
    Raises ValueError or TypeError.
    """
    path = Path(os.path.abspath(path))
    found, notices = _read(path)
    parts = {name: _checked(array, f"{path}:{name}") for name, array in found.items()}
    if set(parts) == {"train", "test"}:
        if split not in (None, GIVEN):
            raise IwaxError(f"Expected split {GIVEN!r} for {path}, which has train and test; got {split!r}. Omit it.")
        train, test, split = parts["train"], parts["test"], GIVEN
    elif len(parts) == 1:
        train, test, split = split_at_random(next(iter(parts.values())), split or DEFAULT_SPLIT)
    else:
        raise IwaxError(
            f"Expected {path} to hold one array, or `train` and `test`; got {', '.join(sorted(parts)) or 'none'}. "
            "Save it again with those names."
        )
    if train.shape[1:] != test.shape[1:]:
        raise IwaxError(
            f"Expected train and test of {path} to have examples of one shape; got {train.shape[1:]} and "
            f"{test.shape[1:]}. Resize one of them."
        )
    checksums = {"train": array_sha256(train), "test": array_sha256(test)}
    return Dataset(
        train,
        test,
        str(path),
        split,
        checksums,
        f"{'folder' if path.is_dir() else 'file'} {path}",
        " ".join(notices) or None,
    )


def split_at_random(array: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray, str]:
    """(train, test, the rule in full) of an array (N, ...); both keep the array's order."""
    fraction, seed = _parse(rule)
    count = min(max(1, round(fraction * len(array))), len(array) - 1)
    if count < 1:
        raise IwaxError(f"Expected at least 2 examples to split; got {len(array)}. Give `train` and `test` yourself.")
    held_out = np.zeros(len(array), bool)
    # RandomState, because its stream is frozen for good and so the split is too.
    held_out[np.random.RandomState(seed).permutation(len(array))[:count]] = True
    return array[~held_out], array[held_out], f"test_fraction={fraction:g},seed={seed}"


def _parse(rule: str) -> tuple[float, int]:
    given = dict(part.partition("=")[::2] for part in rule.split(","))
    values = {"test_fraction": "0.1", "seed": "0"} | given
    try:
        fraction, seed = float(values["test_fraction"]), int(values["seed"])
    except ValueError:
        fraction, seed = 0.0, 0
    if len(values) > 2 or not (0 < fraction < 1 and 0 <= seed < 2**32):
        raise IwaxError(
            f"Expected split of the form {DEFAULT_SPLIT!r}, fraction in (0, 1), seed in [0, 2^32); got {rule!r}. "
            "Leave it out for that default."
        )
    return fraction, seed


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays that `path` holds, by name, and what must be said of how they were read."""
    if path.is_dir():
        packed = {half: _idx_file(path, name) for half, name in IDX.items()}
        if all(packed.values()):
            return {half: _read_idx(file) for half, file in packed.items() if file is not None}, []
        return read_folder(path)
    if path.suffix not in (".npy", ".npz") or not path.is_file():
        raise IwaxError(
            f"Expected dataset to be a .npy or .npz file or a folder of images; got {path}. Check the path."
        )
    try:
        with path.open("rb") as file:  # opened here, as numpy leaves a damaged .npz open
            loaded = np.load(file, allow_pickle=False)
            return {"data": loaded} if isinstance(loaded, np.ndarray) else dict(loaded), []
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise IwaxError(
            f"Expected {path} to hold plain numeric arrays; got {error}. Save it again with numpy."
        ) from error


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_idx(path: Path) -> np.ndarray:
    """The images (N, height, width) of an IDX file: 0x00000803, three big-endian sizes, and the pixels."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        magic, *shape = np.frombuffer(content[:16], ">u4").tolist()
        if magic != 0x0803:
            raise ValueError(f"magic number {magic:#x}")  # refused below
        return np.frombuffer(content, np.uint8, offset=16).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise IwaxError(f"Expected {path} to be a whole IDX file of images; got {error}. Fetch it again.") from error


def _checked(array: np.ndarray, name: str) -> np.ndarray:
    """The array once it has passed `check_images`: integers and bool as they are, floats as float32.

    float64 stays float64 where JAX computes in it (under x64).
    """
    check_images(array, "none", name)
    if not np.issubdtype(array.dtype, np.floating) or (array.dtype.itemsize == 8 and _is_x64()):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):  # reported by the check below
        narrow = array.astype(np.float32)
    check_images(narrow, "none", f"{name} as float32")
    return narrow


def _is_x64() -> bool:
    """Whether JAX computes in double precision; imported here, as listing data sets does not wait for it."""
    import jax

    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64
