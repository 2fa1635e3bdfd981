"""Files of the IDX format, as MNIST, Fashion-MNIST, EMNIST and others have them: told by their first bytes.

An IDX file begins with two zeros, the type of its numbers, how many axes there are, and the length of each as a
big-endian integer of 32 bits; the numbers follow. Labels have one axis, images three or four.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from iwax.data.arrays import begins_with
from iwax.data.folders import IMAGE_SUFFIXES
from iwax.data.parts import WHOLE, by_part, not_two_parts
from iwax.data.sources import GZIP
from iwax.errors import IwaxError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IMAGE_AXES = (3, 4)
_PART = {"train": "train", "test": "test", "t10k": "test"}
_CALLED_IMAGES = re.compile(r"images?[.-]idx", re.IGNORECASE)  # what should be IDX by its name, whatever is in it


def find_idx(path: Path) -> dict[str, Path] | None:
    """Part -> file of images, for a folder with such files in it or below, or for one of the files; None for neither.

    Which part a file is, its name says: it has `train` in it, or `test` or `t10k`. A file that is there plain and
    compressed counts once. Raises ValueError where there are several for one part, or training or test alone.
    """
    if path.is_file():
        return _with_the_other(path) if _is_images(path) else None
    files: dict[str, Path] = {}
    for file in _candidates(path):
        files.setdefault(str(file.with_suffix("") if file.suffix == ".gz" else file), file)
    if not files:
        return None
    parts = by_part((_part(file), file) for file in files.values())
    if parts is not None:
        return parts
    if len(files) == 1 and _part(next(iter(files.values()))) is None:
        return {WHOLE: next(iter(files.values()))}
    raise not_two_parts(path, "file of images", (str(file.relative_to(path)) for file in files.values()))


def read_idx(path: Path) -> np.ndarray:
    """The images (N, height, width) or (N, height, width, channels) of a file, compressed or not whatever its name."""
    try:
        with path.open("rb") as plain, gzip.open(plain) if begins_with(path, GZIP) else plain as file:
            kind, axes = _header(file.read(4))
            shape = np.frombuffer(file.read(4 * axes), ">u4").tolist()
            wanted = math.prod(shape) * np.dtype(TYPES[kind]).itemsize
            content = file.read(wanted + 1)  # and no more of what would unpack to more than it says
            if len(shape) < axes or len(content) != wanted:
                raise IwaxError(f"{'more' if len(content) > wanted else 'fewer'} numbers than those of shape {shape}")
        array = np.frombuffer(content, TYPES[kind]).reshape(shape)
    except (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error) as error:
        said = str(error) or type(error).__name__
        raise IwaxError(f"Expected {path} to be a whole IDX file of images; got {said}. Fetch it again.") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _header(content: bytes) -> tuple[int, int]:
    """Type and number of axes; raises ValueError for anything but the IDX format of images."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or content[3] not in IMAGE_AXES:
        raise IwaxError(f"first bytes {content[:4].hex() or 'none'}")
    return content[2], content[3]


def _is_images(path: Path) -> bool:
    """Whether a file is one of IDX images by its first bytes, decompressed if need be, or ought to be by its name."""
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(GZIP):
        try:
            start = zlib.decompressobj(wbits=31).decompress(start, 4)
        except zlib.error:
            start = b""
    try:
        _header(start)
    except IwaxError:
        return bool(_CALLED_IMAGES.search(path.name))
    return True


def _candidates(folder: Path) -> Iterable[Path]:
    """The files of IDX images in a folder and those below it, without hidden ones; plain ones come first."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() not in IMAGE_SUFFIXES and path.is_file() and _is_images(path):
            yield path


def _part(path: Path) -> str | None:
    found = {part for word, part in _PART.items() if word in path.name.lower()}
    return found.pop() if len(found) == 1 else None


def _with_the_other(path: Path) -> dict[str, Path]:
    """A file and, where there is one beside it whose name says so, the one of the other part."""
    own = _part(path)
    words = [word for word, part in _PART.items() if part not in (None, own)]
    for name in {re.sub("train|test|t10k", word, path.name, flags=re.IGNORECASE) for word in words}:
        for suffix in ("", ".gz"):
            other = path.with_name(name.removesuffix(".gz") + suffix)
            if own is not None and other != path and other.is_file() and _is_images(other):
                return {own: path, str(_part(other)): other}
    return {WHOLE: path}
