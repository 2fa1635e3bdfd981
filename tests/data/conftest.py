"""Every test here has a cache of its own and neither web nor npm; real data come from ../shared/data or a cache."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from iwax.data import mnist, omniglot
from iwax.data.cache import is_cached
from iwax.data.catalog import load
from iwax.data.payload import Payload, SourceError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of one test, which does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("IWAX_CACHE", str(folder))
    monkeypatch.delenv("IWAX_DATA", raising=False)
    return folder


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def no_mirrors(mirrors, fetch_all):
        raise SourceError("web mirrors: none in tests")

    def no_npm(package, payloads, member_folder):
        raise SourceError("npm: none in tests")

    for module in (mnist, omniglot):
        monkeypatch.setattr(module, "from_mirrors", no_mirrors)
    monkeypatch.setattr(mnist, "from_npm", no_npm)


def _absent(what: str):
    reason = f"{what}: neither ../shared/data nor a cache has it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_mnist():
    if SHARED.is_dir():
        return load("mnist", data_dir=SHARED)
    return load("mnist") if is_cached(mnist.PAYLOADS) else _absent("MNIST")


@pytest.fixture(scope="session")
def real_zips():
    """The two zips of Omniglot: name -> bytes."""
    if not SHARED.is_dir():
        _absent("the zips of Omniglot")
    return {p.name: (SHARED / "omniglot" / p.name).read_bytes() for p in omniglot.ZIPS}


@pytest.fixture(scope="session")
def real_resized(real_zips):
    """The 28x28 bytes of all drawings, decoded once for all tests (seconds)."""
    return omniglot.resized_bytes(real_zips, "the shared folder")


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """A folder that holds `MNIST` with 3 + 2 images, gzipped; the published checksums are replaced by theirs."""
    folder = tmp_path / "given"
    (folder / "mnist").mkdir(parents=True)
    payloads = []
    for real, count in zip(mnist.PAYLOADS, (3, 2), strict=True):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        content = bytes(16) + images.tobytes()
        payloads.append(Payload("mnist", real.name, len(content), hashlib.sha256(content).hexdigest()))
        (folder / "mnist" / f"{real.name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(mnist, "PAYLOADS", tuple(payloads))
    return folder


@pytest.fixture
def tiny_contents(tiny_mnist):
    """The decoded payloads of `tiny_mnist`: name -> bytes."""
    return {p.name: gzip.decompress((tiny_mnist / "mnist" / f"{p.name}.gz").read_bytes()) for p in mnist.PAYLOADS}
