"""Omniglot at 28x28: the IWAE paper's split rebuilt, and the DD2434 report's own split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from iwax.data.cache import cache_label, keep, keep_or_raise, read_cache, read_undamaged
from iwax.data.chardata import CHARDATA, load_chardata
from iwax.data.dataset import Dataset
from iwax.data.drawings import read_drawings, resize
from iwax.data.payload import Payload, SourceError
from iwax.data.sources import explicit_folder, first_available, no_source, probe_source, read_files
from iwax.data.web import download, from_mirrors
from iwax.extras import check_installed

BACKGROUND = Payload(
    "omniglot",
    "images_background.zip",
    19_280 * 1379,
    "fa99ab70a348e2f9f02e33f6c9beb789eb1241418acf7ebc2f703301815bf452",
)
EVALUATION = Payload(
    "omniglot",
    "images_evaluation.zip",
    13_180 * 1379,
    "5bdcd30aa88e9096667576ae13f63e07dfe325d8711bf643359338d5dcd36144",
)
ZIPS = (BACKGROUND, EVALUATION)
# Background, then evaluation, both by (alphabet, character, drawer), resized.
RESIZED = Payload(
    "omniglot", "drawings-28x28", 32_460 * 784, "a4a848e875d335f14c63233e79824ad412db80f1b864e2c7989d7adbe5249dca"
)
PAYLOADS = (*ZIPS, RESIZED)
MIRRORS = (
    "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/",
    "https://github.com/brendenlake/omniglot/raw/master/python/",
)
LICENCE = "MIT, copyright 2015 Brenden Lake"
SPLITS = {"burda": (24_345, 8_070), "dd2434": (24_345, 8_115)}
NOTICES = {
    "burda": "Omniglot 28x28, the IWAE paper's split rebuilt from the released drawings.",
    "dd2434": (
        "Omniglot 28x28, the DD2434 report's rule as far as its text tells: 5,065 evaluation drawings moved at random "
        "(seed 42) to training, which makes 24,345 for training and leaves 8,115 for testing. "
        "Not comparable with the IWAE paper's split."
    ),
}
GLAGOLITIC = slice(19_280 + 3_000, 19_280 + 3_900)  # 45 characters x 20 drawers; tested against the names

DataDir = str | os.PathLike[str] | None


def load_omniglot(split: str, data_dir: DataDir = None) -> Dataset:
    """Omniglot from `data_dir` or IWAX_DATA (then only that), the cache, or the web.

    A `chardata.mat` in the given folder is taken for the split "burda" instead of the drawings.
    Raises ChecksumError for an altered file, ValueError if nothing has the data, and MissingExtraError where drawings
    are to be decoded and Pillow is not installed.
    """
    explicit = explicit_folder(data_dir)
    if chardata := _chardata(split, explicit):
        return load_chardata(chardata)
    content, source, tried, to_keep = _obtain(explicit, read_cache)
    return _dataset(split, content, source, tried, keep(to_keep, _contents(to_keep, content)))


def fetch_omniglot(split: str, data_dir: DataDir = None) -> Dataset:
    """Put the 28x28 drawings into the cache, replacing what is damaged there. Raises ValueError if nothing has them."""
    content, source, tried, to_keep = _obtain(explicit_folder(data_dir), read_undamaged)
    keep_or_raise(to_keep, _contents(to_keep, content))
    return _dataset(split, content, source, tried, None)


def source_of(split: str, data_dir: DataDir = None) -> str:
    """The source that `load_omniglot` would turn to first here and now; nothing is downloaded or decoded."""
    asked = probe_source(ZIPS, [RESIZED], data_dir) or "web mirrors"
    folder = data_dir or os.environ.get("IWAX_DATA")
    chardata = _chardata(split, (Path(folder), "") if folder else None)
    return str(chardata or asked)


def burda(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (32460, ...) to 24,345 for training and 8,070 for testing.

    Drawers 1-15 of every character and 16-20; of Glagolitic, which lacked one drawing per character in the
    paper's file, drawer 4 is dropped and drawer 16 is for training.
    """
    drawer = np.arange(len(images)) % 20 + 1  # every character has 20, in order
    training, kept = drawer <= 15, np.ones(len(images), bool)
    training[GLAGOLITIC] = drawer[GLAGOLITIC] <= 16
    kept[GLAGOLITIC] = drawer[GLAGOLITIC] != 4
    return images[training & kept], images[~training & kept]


def dd2434(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (32460, ...) to 24,345 for training and the remaining 8,115 for testing, by the report's rule."""
    background, evaluation = images[:19_280], images[19_280:]
    # RandomState, because its stream is frozen for good and so the split is too.
    order = np.random.RandomState(42).permutation(len(evaluation))
    moved, left = np.split(order, [24_345 - len(background)])
    return np.concatenate([background, evaluation[np.sort(moved)]]), evaluation[np.sort(left)]


def _chardata(split: str, explicit: tuple[Path, str] | None) -> Path | None:
    path = explicit[0] / CHARDATA if explicit and split == "burda" else None
    return path if path and path.is_file() else None


def resized_bytes(zips: dict[str, bytes], origin: object) -> bytes:
    """The verified drawings of both zips, background first, as 28x28 bytes (N * 784). Raises ChecksumError."""
    check_installed("PIL", "the drawings of Omniglot")
    return b"".join(resize(read_drawings(zips[p.name], p, f"{origin}/{p.name}")).tobytes() for p in ZIPS)


Obtained = tuple[bytes, str, tuple[str, ...], list[Payload]]


def _obtain(explicit: tuple[Path, str] | None, from_cache: Callable[[list[Payload]], dict[str, bytes]]) -> Obtained:
    """(28x28 bytes, source, earlier sources' answers, payloads that the cache lacks)."""
    if explicit:
        return _obtain_from_folder(*explicit)
    attempts = [
        (cache_label(), lambda: from_cache([RESIZED])[RESIZED.name]),
        ("web mirrors", lambda: from_mirrors(MIRRORS, _from_mirror)),
    ]
    try:
        content, source, tried = first_available(attempts)
    except SourceError as error:
        raise no_source("omniglot", [p.name for p in ZIPS], error) from error
    return content, source, tried, [] if source == cache_label() else _keepable(content)


def _obtain_from_folder(folder: Path, origin: str) -> Obtained:
    zips = read_files(ZIPS, folder, origin)
    # Decoding takes seconds, so the cache also remembers which zips have been decoded and found right.
    digest = hashlib.sha256(b"".join(zips[p.name] for p in ZIPS)).hexdigest()
    seen = Payload("omniglot", f"decoded-{digest}", 0, hashlib.sha256(b"").hexdigest())
    try:
        content = read_undamaged([seen, RESIZED])[RESIZED.name]
    except SourceError:
        content = resized_bytes(zips, folder / "omniglot")
        return content, f"{origin} {folder}", (), _keepable(content, seen)
    return content, f"{origin} {folder}", (), []


def _keepable(content: bytes, *seen: Payload) -> list[Payload]:
    """Nothing if this Pillow resizes otherwise than the one whose checksum is known."""
    return [RESIZED, *seen] if hashlib.sha256(content).hexdigest() == RESIZED.sha256 else []


def _contents(payloads: list[Payload], content: bytes) -> dict[str, bytes]:
    return {payload.name: content if payload is RESIZED else b"" for payload in payloads}


def _from_mirror(mirror: str) -> bytes:
    check_installed("PIL", "the drawings of Omniglot")  # before 15 MB are fetched
    return resized_bytes({p.name: download(mirror + p.name) for p in ZIPS}, mirror.rstrip("/"))


def _dataset(split: str, content: bytes, source: str, tried: tuple[str, ...], notice: str | None) -> Dataset:
    train, test = {"burda": burda, "dd2434": dd2434}[split](np.frombuffer(content, np.uint8).reshape(-1, 28, 28))
    checksums = {payload.name: payload.sha256 for payload in ZIPS}
    checksums[RESIZED.name] = hashlib.sha256(content).hexdigest()
    notices = [NOTICES[split], notice]
    if checksums[RESIZED.name] != RESIZED.sha256:
        notices.append("This version of Pillow resizes otherwise than the one iwax was tested with.")
    return Dataset(train, test, "omniglot", split, checksums, source, " ".join(n for n in notices if n), tried)
