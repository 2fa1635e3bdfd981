"""Public web mirrors, asked for at most three seconds whether they are there."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pooch

from iwax.data.payload import ChecksumError, SourceError

CONNECT_SECONDS = 3.0  # for all mirrors together
READ_SECONDS = 30.0
PAUSE = 0.02

T = TypeVar("T")


def reachable(urls: Sequence[str], seconds: float = CONNECT_SECONDS) -> list[str]:
    """Those of `urls` whose host (or whose proxy) takes a connection, all asked at once, within `seconds` in total.

    Threads, because a name that does not resolve can hang for longer than any connect timeout.
    """
    answered: set[str] = set()

    def probe(url: str) -> None:
        try:
            socket.create_connection(_address(url), timeout=seconds).close()
            answered.add(url)
        except OSError:
            pass

    deadline = time.monotonic() + seconds
    threads = [threading.Thread(target=probe, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        time.sleep(PAUSE)  # not `join`, which no signal ends that one of these threads took
    return [url for url in urls if url in answered]


def _address(url: str) -> tuple[str, int]:
    target = urlsplit(url)
    proxy = urllib.request.getproxies().get(target.scheme)
    if proxy and not urllib.request.proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return target.hostname or "", target.port or (80 if target.scheme == "http" else 443)


def download(url: str) -> bytes:
    """The content at `url`. Raises SourceError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "download"
        try:
            pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS))(url, str(path), None)
            return path.read_bytes()
        except OSError as error:  # requests' exceptions are OSErrors
            raise SourceError(f"{url}: {type(error).__name__}") from error


def from_mirrors(mirrors: Sequence[str], fetch_all: Callable[[str], T]) -> T:
    """`fetch_all(mirror)` of the first mirror that answers with the right content. Raises SourceError if none does."""
    answering = reachable(mirrors)
    if not answering:
        raise SourceError(f"web mirrors: no connection within {CONNECT_SECONDS:g} s")
    refused = []
    for mirror in answering:
        try:
            return fetch_all(mirror)
        except (SourceError, ChecksumError) as error:
            refused.append(str(error))
    raise SourceError("web mirrors: " + "; ".join(refused))
