"""Files of NumPy, .npy and .npz, as anybody may have made them: arrays of numbers, or one line that names the file.

NumPy's own readers meet a damaged file with errors of a dozen kinds, and take a header's word for how much there is to
decompress. Here a header is read first, and no more is decompressed than it says and the archive's directory confirms.
No JAX here.
"""

import contextlib
import functools
import io
import lzma
import math
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from iwax.errors import IwaxError

__all__ = ["FOREIGN", "MAGIC", "Archive", "map_npy", "open_archive", "read_arrays"]

FOREIGN = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, SyntaxError, RuntimeError, OverflowError, MemoryError),
    *(AttributeError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tokenize.TokenError),
)
"""What NumPy, Pillow, zipfile and the decompressors have been seen to raise for files that are not what they say."""
CHUNK = 1 << 20  # bytes that are decompressed at a time
HEADER = 10_000  # bytes of the longest header that NumPy reads
MAGIC = b"\x93NUMPY"
NUMBERS = "biufc"
AGAIN = "Save it again with numpy."

Form = tuple[tuple[int, ...], bool, np.dtype, int]
"""Shape, whether the first axis varies fastest, type, and where the numbers begin."""


def map_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a .npy file, as a memory map, of which nothing is read before it is needed.

    Raises:
        IwaxError: it cannot be read, or is no whole array of numbers; it names the file.
    """
    with reading(path):
        with open(path, "rb") as file:
            shape, fortran, dtype, begin = _header(file)
            size = os.fstat(file.fileno()).st_size
        there, wanted = size - begin, dtype.itemsize * math.prod(shape)
        if there != wanted:
            raise IwaxError(f"{there} bytes of numbers instead of the {wanted} of shape {shape} and type {dtype}")
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", begin, shape, "F" if fortran else "C")


class Archive:
    """An open .npz file, of which arrays are read one by one.

    Attributes:
        names: of its arrays, in their order.
    """

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self._path, self._zip = path, file
        self._members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
        self.names = list(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def read(self, name: str) -> np.ndarray:
        """One of the arrays. Raises IwaxError, which names file and array, for one that is damaged or no numbers."""
        with reading(self._path, f" in {name!r}"):
            info = self._members[name]
            if info.flag_bits & 1:
                raise IwaxError("an encrypted file")
            with self._zip.open(info) as file:
                shape, fortran, dtype, begin = _header(file)
                wanted = dtype.itemsize * math.prod(shape)
                if info.file_size != begin + wanted:
                    there = info.file_size - begin
                    raise IwaxError(
                        f"{there} bytes of numbers instead of the {wanted} of shape {shape} and type {dtype}"
                    )
                content = np.empty(wanted, np.uint8)
                if _fill(content, file) < wanted or file.read(1):  # which also compares the checksum
                    raise IwaxError("a file that ends elsewhere than it says")
            return content.view(dtype).reshape(shape, order="F" if fortran else "C")


@contextlib.contextmanager
def open_archive(path: str | os.PathLike[str]) -> Iterator[Archive]:
    """A .npz file while it is open. Raises IwaxError, which names it, where it cannot be read or is no such file."""
    with contextlib.ExitStack() as stack:
        with reading(path):
            archive = Archive(Path(path), stack.enter_context(zipfile.ZipFile(path)))
        yield archive


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Name -> array of all in a .npz file. Raises IwaxError as `open_archive` and `Archive.read`."""
    with open_archive(path) as archive:
        return {name: archive.read(name) for name in archive.names}


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], place: str = "") -> Iterator[None]:
    """Refuses in one line, which names the file, what cannot be read; around somebody else's readers alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a header that is refused or read all the same
            yield
    except FOREIGN as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, MemoryError):
            said = f"more than fits into memory ({said})"
        raise IwaxError(f"Expected {path} to hold plain numeric arrays{place}; got {said}. {AGAIN}") from error


def _fill(content: np.ndarray, file: IO[bytes]) -> int:
    """Read into an array of bytes until it is full or the file ends; how many there were."""
    done, view = 0, content.data
    while done < len(view) and (chunk := file.read(min(CHUNK, len(view) - done))):
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    return done


def _header(file: IO[bytes]) -> Form:
    """What the beginning of a .npy says of its numbers; of one of iwax's errors or NumPy's, what it is instead."""
    start = file.read(8)
    if not start.startswith(MAGIC):
        raise IwaxError("another file" if start else "an empty file")
    version = start[6], start[7]
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise IwaxError(f"a format of version {version[0]}.{version[1]}")
    size = file.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(size, "little")
    if length > HEADER:
        raise IwaxError(f"a header of {length} bytes")
    text = file.read(length)
    shape, fortran, dtype = _parsed(version == (1, 0), size + text)
    if dtype.kind not in NUMBERS and dtype.kind not in "SU":
        raise IwaxError(f"values of type {dtype}, which are no numbers")
    if any(isinstance(axis, bool) or axis < 0 for axis in shape):
        raise IwaxError(f"shape {shape}")
    if not dtype.itemsize:
        raise IwaxError("values without a size")
    return tuple(shape), fortran, dtype, len(start) + len(size) + len(text)


@functools.lru_cache(maxsize=256)  # thousands of files have a few headers, and each takes as long as its numbers
def _parsed(is_first_version: bool, header: bytes) -> tuple[Any, bool, np.dtype]:
    """Shape, order and type as NumPy reads them. Of version 3.0, as 2.0 but UTF-8, only names of fields are news."""
    version = np.lib.format
    read = version.read_array_header_1_0 if is_first_version else version.read_array_header_2_0
    return read(io.BytesIO(header), max_header_size=HEADER)
