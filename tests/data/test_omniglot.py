import hashlib
import io
import zipfile

import numpy as np
import pytest
from scipy.io import savemat

from iwax.data import ChecksumError, omniglot
from iwax.data.cache import cached_path, is_cached, write_cache
from iwax.data.catalog import fetch, load
from iwax.data.chardata import COUNTS
from iwax.data.drawings import _drawings_in_order

# Decoding 32,460 drawings takes ten seconds: what reads them all is slow.
RESIZED_SHA256 = "a4a848e875d335f14c63233e79824ad412db80f1b864e2c7989d7adbe5249dca"


@pytest.fixture
def cached(real_resized):
    """The 28x28 drawings, in this test's cache."""
    write_cache([omniglot.RESIZED], {omniglot.RESIZED.name: real_resized})


@pytest.fixture
def given(real_zips, tmp_path):
    """A folder in the layout of the shared one."""
    (tmp_path / "given" / "omniglot").mkdir(parents=True)
    for name, content in real_zips.items():
        (tmp_path / "given" / "omniglot" / name).write_bytes(content)
    return tmp_path / "given"


@pytest.mark.slow
def test_checksum_of_the_resized_drawings(real_resized):
    """The published checksums of the 105x105 pixels were verified on the way here."""
    assert hashlib.sha256(real_resized).hexdigest() == omniglot.RESIZED.sha256 == RESIZED_SHA256


@pytest.mark.slow
@pytest.mark.parametrize(("split", "counts"), omniglot.SPLITS.items())
def test_counts(cached, split, counts):
    data = load("omniglot", split)
    assert (len(data.train), len(data.test)) == counts
    assert data.train.shape[1:] == data.test.shape[1:] == (28, 28)
    assert data.train.dtype == data.test.dtype == np.uint8
    assert data.source.startswith("cache ")
    assert data.checksums == {payload.name: payload.sha256 for payload in omniglot.PAYLOADS}


@pytest.mark.slow
def test_the_papers_split_is_the_default_and_says_that_it_is_rebuilt(cached):
    data = load("omniglot")
    assert data.split == "burda"
    assert data.notice == "Omniglot 28x28, the IWAE paper's split rebuilt from the released drawings."


@pytest.mark.slow
def test_the_reports_split_says_how_many_are_left(cached):
    assert "leaves 8,115 for testing" in load("omniglot", "dd2434").notice


def test_membership_of_the_papers_split_by_the_names_in_the_zips(real_zips):
    names = []
    for payload in omniglot.ZIPS:
        with zipfile.ZipFile(io.BytesIO(real_zips[payload.name])) as archive:
            names += [member.filename for member in _drawings_in_order(archive)]
    train, test = omniglot.burda(np.array(names))
    drawer = {name: int(name[-6:-4]) for name in names}
    glagolitic = {name for name in names if "/Glagolitic/" in name}
    assert {drawer[n] for n in train if n not in glagolitic} == set(range(1, 16))
    assert {drawer[n] for n in test if n not in glagolitic} == set(range(16, 21))
    assert {drawer[n] for n in train if n in glagolitic} == set(range(1, 17)) - {4}
    assert {drawer[n] for n in test if n in glagolitic} == set(range(17, 21))
    assert len({*train, *test}) == 24_345 + 8_070


def test_the_reports_split_parts_all_drawings_and_trains_on_the_whole_background():
    index = np.arange(32_460)
    train, test = omniglot.dd2434(index)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), index)
    np.testing.assert_array_equal(train[:19_280], index[:19_280])
    assert train[19_280:].min() >= 19_280
    assert (train[19_280:].sum(), test.sum()) == (131_020_673, 209_939_337)  # the draw of seed 42 must not change


@pytest.mark.slow
def test_a_given_folder_is_decoded_once(given, real_resized, monkeypatch):
    decoded = []
    monkeypatch.setattr(omniglot, "resized_bytes", lambda zips, origin: decoded.append(origin) or real_resized)
    first, second = load("omniglot", data_dir=given), load("omniglot", "dd2434", data_dir=given)
    assert first.source == second.source == f"data_dir {given}"
    assert decoded == [given / "omniglot"]
    cached_path(omniglot.RESIZED).write_bytes(b"altered")
    load("omniglot", data_dir=given)
    assert len(decoded) == 2


@pytest.mark.slow
def test_an_altered_zip_is_refused_and_never_cached(given, cached):
    """Also where the cache holds the right drawings already."""
    path = given / "omniglot" / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-100])
    (given / "omniglot" / "images_background.zip").write_bytes(path.read_bytes())
    before = cached_path(omniglot.RESIZED).stat().st_mtime_ns
    for act in (load, fetch):
        with pytest.raises(
            ChecksumError, match=r"Expected the pixels of images_background\.zip from .*; got a damaged"
        ):
            act("omniglot", data_dir=given)
    assert cached_path(omniglot.RESIZED).stat().st_mtime_ns == before
    assert len(list(cached_path(omniglot.RESIZED).parent.iterdir())) == 1


@pytest.mark.slow
def test_web_is_after_the_cache_and_fills_it(real_resized, monkeypatch):
    monkeypatch.setattr(omniglot, "from_mirrors", lambda mirrors, fetch_all: real_resized)
    assert load("omniglot").source == "web mirrors"
    assert is_cached([omniglot.RESIZED])
    assert load("omniglot").source.startswith("cache ")
    assert fetch("omniglot").source.startswith("cache ")


def test_another_resize_is_said_and_not_cached(monkeypatch):
    other = bytes(omniglot.RESIZED.size)
    monkeypatch.setattr(omniglot, "from_mirrors", lambda mirrors, fetch_all: other)
    data = load("omniglot")
    assert "This version of Pillow resizes otherwise" in data.notice
    assert data.checksums[omniglot.RESIZED.name] == hashlib.sha256(other).hexdigest()
    assert not is_cached([omniglot.RESIZED])


def test_no_source(tmp_path):
    for act in (load, fetch):
        with pytest.raises(
            ValueError, match=r"Expected a source of omniglot to answer; got cache: .*; web mirrors: .*Put"
        ):
            act("omniglot")
    with pytest.raises(
        ValueError, match=r"Expected data_dir to hold omniglot/images_background\.zip, omniglot/images_e"
    ):
        load("omniglot", data_dir=tmp_path)


@pytest.mark.slow
def test_whence(given, cached):
    assert omniglot.source_of("burda").startswith("cache ")
    assert omniglot.source_of("burda", given) == f"data_dir {given}"
    (given / "omniglot" / "chardata.mat").touch()
    assert omniglot.source_of("burda", given) == str(given / "omniglot" / "chardata.mat")
    assert omniglot.source_of("dd2434", given) == f"data_dir {given}"


@pytest.fixture
def chardata(tmp_path):
    """A folder with a chardata.mat whose first training image has ink 1 at row 2, column 5 only."""

    def make(**changed):
        arrays = {key: np.zeros((784, count), np.float32) for key, count in COUNTS.items()}
        arrays["data"][2 + 28 * 5, 0] = 1
        path = tmp_path / "mat" / "omniglot" / "chardata.mat"
        path.parent.mkdir(parents=True)
        savemat(path, arrays | changed, do_compression=True)
        return tmp_path / "mat"

    return make


def test_own_chardata_is_taken_instead(chardata):
    folder = chardata()
    data = load("omniglot", data_dir=folder)
    assert (data.train.shape, data.test.shape) == ((24_345, 28, 28), (8_070, 28, 28))
    assert np.argwhere(data.train).tolist() == [[0, 2, 5]]
    assert data.train.dtype == np.float32
    assert data.source.endswith("chardata.mat")
    with pytest.raises(ValueError, match=r"to hold omniglot/images_background\.zip"):
        load("omniglot", "dd2434", data_dir=folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": np.zeros((784, 10))}, r"Expected data in .* of shape \(784, 24345\); got \(784, 10\)"),
        ({"data": "text"}, r"Expected data in .* of shape \(784, 24345\); got None"),
        ({"testdata": np.full((784, 8_070), np.nan)}, r"Expected testdata in .* within \[0, 1\]; got \[nan, nan\]"),
        ({"testdata": np.full((784, 8_070), 255, np.uint8)}, r"within \[0, 1\]; got \[255, 255\]"),
    ],
)
def test_wrong_chardata_is_refused(chardata, changed, message):
    folder = chardata(**changed)
    with pytest.raises(ValueError, match=message):
        load("omniglot", data_dir=folder)


def test_what_is_no_matlab_file_is_refused(tmp_path):
    (tmp_path / "omniglot").mkdir()
    for content in (b"", b"no matlab file" * 100):
        (tmp_path / "omniglot" / "chardata.mat").write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected .*chardata\.mat to be a MATLAB file; got"):
            load("omniglot", data_dir=tmp_path)
