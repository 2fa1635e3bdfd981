"""Sources in order: a folder the user named is the only one asked; otherwise the first that answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from iwax.data.cache import cache_label, is_cached
from iwax.data.payload import Payload, SourceError, gunzip, verify
from iwax.errors import IwaxError

GZIP = b"\x1f\x8b"
"""How a compressed file begins."""

T = TypeVar("T")


def explicit_folder(data_dir: str | os.PathLike[str] | None) -> tuple[Path, str] | None:
    """The folder that the argument or IWAX_DATA names, and which of the two named it; None if neither does."""
    if data_dir is not None:
        folder, origin = Path(data_dir), "data_dir"
    elif os.environ.get("IWAX_DATA"):
        folder, origin = Path(os.environ["IWAX_DATA"]), "IWAX_DATA"
    else:
        return None
    if folder.is_file():
        raise IwaxError(
            f"Expected {origin} to be a folder; got the file {folder}. Name a file of your own as dataset (--dataset)."
        )
    if not folder.is_dir():
        raise IwaxError(f"Expected {origin} to be a folder; got {folder}. Create it, or leave {origin} out.")
    return folder, origin


def read_file(path: Path) -> bytes:
    """The file's bytes. Raises ValueError in one line if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise IwaxError(f"Expected {path} to be readable; got {error.strerror}. Check its permissions.") from error


def read_files(payloads: Sequence[Payload], folder: Path, origin: str) -> dict[str, bytes]:
    """Raw bytes of each payload's file in a given folder, decompressed where it has `.gz`. Raises ValueError."""
    if missing := [f"{p.folder}/{p.name}" for p in payloads if find_file(folder, p) is None]:
        raise IwaxError(
            f"Expected {origin} to hold {', '.join(missing)}; got {folder} without. "
            f"Add what is missing, or leave {origin} out."
        )
    contents = {}
    for payload in payloads:
        path = find_file(folder, payload) or folder
        content = read_file(path)
        packed = content.startswith(GZIP)  # whatever its name says
        contents[payload.name] = gunzip(content, payload.size) if packed else content
    return contents


def read_folder(payloads: Sequence[Payload], folder: Path, origin: str) -> dict[str, bytes]:
    """`read_files`, each verified. Raises ChecksumError."""
    contents = read_files(payloads, folder, origin)
    return {p.name: verify(p, contents[p.name], find_file(folder, p)) for p in payloads}


def probe_source(
    files: Sequence[Payload], cached: Sequence[Payload], data_dir: str | os.PathLike[str] | None
) -> str | None:
    """The given folder, with what it lacks, or the cache, if one of them would be asked; None for neither."""
    try:
        explicit = explicit_folder(data_dir)
    except IwaxError as error:
        return str(error)
    if explicit is None:
        return cache_label() if is_cached(cached) else None
    folder, origin = explicit
    missing = [f"{p.folder}/{p.name}" for p in files if find_file(folder, p) is None]
    return f"{origin} {folder}" + (f", which lacks {', '.join(missing)}" if missing else "")


def find_file(folder: Path, payload: Payload) -> Path | None:
    """`folder/<payload.folder>/<payload.name>`, plain or with `.gz`, whichever is there."""
    plain = folder / payload.folder / payload.name
    return next((path for path in (plain, plain.with_name(f"{plain.name}.gz")) if path.is_file()), None)


def first_available(attempts: Sequence[tuple[str, Callable[[], T]]]) -> tuple[T, str, tuple[str, ...]]:
    """The first attempt that gives something: (what it gave, its name, what the earlier ones answered)."""
    tried: list[str] = []
    for source, attempt in attempts:
        try:
            return attempt(), source, tuple(tried)
        except SourceError as error:
            tried.append(str(error))
    raise SourceError("; ".join(tried))


def no_source(name: str, files: Sequence[str], error: SourceError) -> IwaxError:
    """What to raise when every source has been asked."""
    return IwaxError(
        f"Expected a source of {name} to answer; got {error}. "
        f"Put {' and '.join(files)} into FOLDER/{name} and set IWAX_DATA=FOLDER."
    )
