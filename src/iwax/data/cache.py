"""The cache folder: verified payloads only, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import platformdirs

from iwax.data.payload import ChecksumError, Payload, SourceError, verify
from iwax.errors import IwaxError
from iwax.files import write_whole


def cache_folder() -> Path:
    """IWAX_CACHE, or the platform's cache folder for iwax."""
    return Path(os.environ.get("IWAX_CACHE") or platformdirs.user_cache_dir("iwax"))


def cache_label() -> str:
    """How the cache is named as a source."""
    return f"cache {cache_folder()}"


def cached_path(payload: Payload) -> Path:
    return cache_folder() / payload.folder / payload.name


def is_cached(payloads: Sequence[Payload]) -> bool:
    """Whether files of the right sizes are there; their checksums are verified when they are read."""
    try:
        return all(cached_path(payload).stat().st_size == payload.size for payload in payloads)
    except OSError:
        return False


def read_cache(payloads: Sequence[Payload]) -> dict[str, bytes]:
    """Verified contents by name. Raises SourceError where a file is absent, ChecksumError where one is altered."""
    contents = {}
    for payload in payloads:
        path = cached_path(payload)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SourceError(f"cache: no readable {path} ({error.strerror})") from error
        contents[payload.name] = verify(payload, content, path)
    return contents


def read_undamaged(payloads: Sequence[Payload]) -> dict[str, bytes]:
    """`read_cache`, but an altered file counts as absent, for it is about to be replaced."""
    try:
        return read_cache(payloads)
    except ChecksumError as error:
        raise SourceError(f"cache: {error}") from error


def write_cache(payloads: Sequence[Payload], contents: Mapping[str, bytes]) -> None:
    """Write all contents or none. Raises OSError, having removed what it wrote."""
    written: list[Path] = []
    try:
        for payload in payloads:
            path = cached_path(payload)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, contents[payload.name])
            written.append(path)
    except OSError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def keep(payloads: Sequence[Payload], contents: Mapping[str, bytes]) -> str | None:
    """`write_cache`, but a cache that cannot be written is only a notice, which is returned."""
    try:
        write_cache(payloads, contents)
    except OSError as error:
        return f"{payloads[0].folder} was not cached in {cache_folder()}: {error.strerror or error}."
    return None


def keep_or_raise(payloads: Sequence[Payload], contents: Mapping[str, bytes]) -> None:
    """`write_cache`, with ValueError and a remedy for a cache that cannot be written."""
    try:
        write_cache(payloads, contents)
    except OSError as error:
        raise IwaxError(
            f"Expected the cache {cache_folder()} to be writable; got {error.strerror or error}. "
            "Free some space, or name another folder in IWAX_CACHE."
        ) from error
