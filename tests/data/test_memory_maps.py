"""Large files: nothing is read before it is needed, and nothing is held twice."""

import hashlib
import tracemalloc

import numpy as np
import pytest

from iwax.data import as_array
from iwax.data.catalog import load
from iwax.data.dataset import array_sha256

HUGE = (4_000_000, 64, 64)  # 16 GB of zeros


def sparse(path, shape):
    """A .npy file of zeros that takes no room on the disk."""
    header = np.lib.format.header_data_from_array_1_0(np.zeros(0, np.uint8)) | {"shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)))
    return np.load(path, mmap_mode="r")


@pytest.fixture
def peak():
    """The largest amount of memory that was taken since, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_a_memory_map_that_fits_no_memory_is_taken_as_it_is(tmp_path, peak):
    huge = sparse(tmp_path / "huge.npy", HUGE)
    found = as_array(huge)
    assert found.shape == HUGE
    assert np.shares_memory(found, huge)
    assert as_array(huge[:10]).shape == (10, 64, 64)
    assert peak() < 1e6


def test_parts_in_files_of_their_own_stay_memory_maps(tmp_path, peak):
    """The control: one file for all is split, which copies it once, and only once."""
    images = np.random.default_rng(0).integers(0, 256, (400, 100, 100), np.uint8)  # 4 MB
    np.save(tmp_path / "train.npy", images[:300])
    np.save(tmp_path / "test.npy", images[300:])
    np.save(tmp_path / "all.npy", images)
    before = peak()
    given = load(tmp_path)
    assert peak() - before < 1e6
    np.testing.assert_array_equal(given.train, images[:300])
    tracemalloc.reset_peak()
    drawn = load(tmp_path / "all.npy")
    assert images.nbytes <= peak() - before < 1.5 * images.nbytes
    assert len(drawn.train) == 360


def test_the_checksum_is_that_of_the_elements_in_order():
    array = np.random.default_rng(0).random((7, 5, 3))
    for values in (array, array.astype(np.float32), array > 0.5, array[:, ::-1], array.astype(">f4"), array[::2]):
        assert array_sha256(values) == hashlib.sha256(values.tobytes()).hexdigest()
