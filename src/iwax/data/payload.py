"""Payloads: file contents known in advance by their size and SHA-256."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from iwax.errors import IwaxError


class ChecksumError(IwaxError):
    """Content that is not what its published checksum says."""


class SourceError(IwaxError):
    """A source that cannot provide the data; the next one is tried."""


@dataclass(frozen=True)
class Payload:
    """One decoded content: the folder and file name it is kept under, its size in bytes and its SHA-256."""

    folder: str
    name: str
    size: int
    sha256: str


def verify(payload: Payload, content: bytes, origin: object) -> bytes:
    """Return `content` if its SHA-256 is the payload's; raise ChecksumError if not."""
    found = hashlib.sha256(content).hexdigest()
    if found != payload.sha256:
        raise ChecksumError(
            f"Expected {payload.name} from {origin} to have SHA-256 {payload.sha256} ({payload.size} bytes); "
            f"got {found} ({len(content)} bytes). Replace the file: it is truncated or altered."
        )
    return content


def gunzip(compressed: bytes, limit: int) -> bytes:
    """As much of a gzip member as decodes, up to `limit + 1` bytes.

    A damaged stream gives what precedes the damage, and a bomb stops at the limit: `verify` then refuses
    either with its size and checksum, which says more than zlib's message.
    """
    decoder = zlib.decompressobj(wbits=31)
    decoded = bytearray()
    step = 1 << 16
    try:
        for start in range(0, len(compressed), step):
            decoded += decoder.decompress(compressed[start : start + step], limit + 1 - len(decoded))
            if len(decoded) > limit:
                break
    except zlib.error:
        pass
    return bytes(decoded)
