"""Files of NumPy that anybody may have made: what NumPy wrote is read as NumPy reads it, anything else in one line."""

import numpy as np
import pytest

from iwax.errors import IwaxError
from iwax.numpy_files import map_npy, open_archive, read_arrays
from torture.mutate import bombs, mutate, peak_of

ARRAYS = {
    "images": np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8),
    "columns": np.asfortranarray(np.random.default_rng(1).normal(size=(4, 3)).astype(">f4")),
    "none": np.zeros((0, 3)),
    "one": np.float64(3.5),
    "words": np.array(["a", "bc"]),
    "flags": np.array([True, False]),
}


def test_arrays_come_back_as_numpy_wrote_them(tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "all.npz", **ARRAYS)
        found = read_arrays(tmp_path / "all.npz")
        with np.load(tmp_path / "all.npz") as expected:
            assert list(found) == expected.files
            for name in expected.files:
                np.testing.assert_array_equal(found[name], expected[name])
                assert found[name].dtype == expected[name].dtype
    for name, array in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.testing.assert_array_equal(map_npy(tmp_path / f"{name}.npy"), array)


def test_headers_of_every_version_are_read(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        with open(tmp_path / "a.npy", "wb") as file:
            np.lib.format.write_array(file, ARRAYS["images"], version)
        np.testing.assert_array_equal(map_npy(tmp_path / "a.npy"), ARRAYS["images"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "59 bytes of numbers instead of the 60"),
        (lambda content: content + b"x", "61 bytes of numbers instead of the 60"),
        (lambda content: b"", "an empty file"),
        (lambda content: b"\x93NUMPZ" + content[6:], "another file"),
        (lambda content: content.replace(b"'|u1'", b"'|O' "), "values of type object"),
        (lambda content: content.replace(b"(5, 4, 3)", b"(-5,4,-3)"), "shape"),
        (lambda content: content.replace(b"\x01\x00v", b"\x07\x00v"), r"a format of version 7\.0"),
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused_by_name(tmp_path, change, message):
    path = tmp_path / "a.npy"
    np.save(path, ARRAYS["images"])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(IwaxError, match=rf"Expected .*a\.npy to hold plain numeric arrays; got {message}"):
        map_npy(path)


def test_a_bit_turned_over_in_an_archive_is_found_by_its_checksum(tmp_path):
    np.savez(tmp_path / "a.npz", images=ARRAYS["images"])
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(ARRAYS["images"].tobytes()) + 7] ^= 4
    (tmp_path / "a.npz").write_bytes(content)
    with (
        open_archive(tmp_path / "a.npz") as archive,
        pytest.raises(IwaxError, match=r"a\.npz to hold plain numeric arrays in 'images'; got Bad CRC-32"),
    ):
        archive.read("images")


def test_no_more_is_unpacked_than_a_file_says_and_what_harms_is_refused(tmp_path):
    """Twenty million zeros that pack into few bytes: the peak of memory is that of what the header says."""
    for what, path, reader in bombs(tmp_path, 20_000_000):
        refused, problem, peak = peak_of(path, reader)
        assert (refused, problem) == (True, ""), what
        assert peak < 5e6, what


def test_mutated_files_of_others_are_data_or_one_line(tmp_path):
    found = mutate(tmp_path, 120)
    assert found["wrong"] == []
    refused = sum(refused for _, refused in found["counts"].values())
    assert 40 < refused < 120  # the control: there are mutants of both kinds
