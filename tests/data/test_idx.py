"""IDX files are known by their first bytes, whatever they are called and wherever below a folder they lie."""

import gzip
import hashlib

import numpy as np
import pytest
from PIL import Image

from iwax.data import mnist
from iwax.data.catalog import load

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), np.uint8)
LABELS = IMAGES[:, 0, 0] % 10


def idx(array, kind=0x08):
    """The bytes of the format, by hand."""
    header = bytes([0, 0, kind, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


def put(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"),
        ("train-images.idx3-ubyte", "t10k-images.idx3-ubyte"),  # as archives of others have them
        ("emnist-letters-train-images-idx3-ubyte", "emnist-letters-test-images-idx3-ubyte"),
        ("FashionMNIST/raw/train-images-idx3-ubyte", "FashionMNIST/raw/t10k-images-idx3-ubyte"),  # as torchvision
        ("TRAIN.bin", "Test.bin"),
    ],
)
@pytest.mark.parametrize("name", ["{}", "{}.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_is_read_by_content_and_not_by_names(tmp_path, train, test, name, packed):
    """Compressed bytes under a plain name and plain ones under `.gz`, too; labels beside them are no images."""
    files = {name.format(train): idx(IMAGES[:15]), name.format(test): idx(IMAGES[15:])}
    files["train-labels-idx1-ubyte"] = idx(LABELS)
    files = {path: gzip.compress(content) if packed else content for path, content in files.items()}
    data = load(put(tmp_path, files | {".DS_Store": b"of another program", "notes.txt": b"by hand"}))
    assert data.split == "given"
    np.testing.assert_array_equal(data.train, IMAGES[:15])
    np.testing.assert_array_equal(data.test, IMAGES[15:])


def test_a_file_that_is_there_plain_and_compressed_counts_once(tmp_path):
    names = {"train-images-idx3-ubyte": IMAGES[:15], "t10k-images-idx3-ubyte": IMAGES[15:]}
    put(tmp_path, {name: idx(images) for name, images in names.items()})
    put(tmp_path, {f"{name}.gz": gzip.compress(idx(images)) for name, images in names.items()})
    assert len(load(tmp_path).train) == 15


def test_one_file_by_its_path_finds_the_other_part_beside_it(tmp_path):
    """So that a folder with several data sets, as EMNIST's, can be used; the folder itself is refused by name."""
    for number, variant in enumerate(("digits", "letters")):
        images = np.roll(IMAGES, number, axis=0)
        put(tmp_path, {f"emnist-{variant}-train-images-idx3-ubyte.gz": gzip.compress(idx(images[:15]))})
        put(tmp_path, {f"emnist-{variant}-test-images-idx3-ubyte": idx(images[15:])})
    data = load(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(data.test, np.roll(IMAGES, 1, axis=0)[15:])
    data = load(tmp_path / "emnist-digits-test-images-idx3-ubyte")
    np.testing.assert_array_equal(data.train, IMAGES[:15])
    with pytest.raises(
        ValueError, match=r"one file of images for training and one for testing; got emnist-digits-test-"
    ):
        load(tmp_path)


def test_one_file_alone_is_split_and_a_part_alone_refused_in_a_folder(tmp_path):
    put(tmp_path / "all", {"images": idx(IMAGES)})
    for path in (tmp_path / "all", tmp_path / "all" / "images"):
        assert load(path).split == "test_fraction=0.1,seed=0"
    put(tmp_path / "half", {"train-images-idx3-ubyte": idx(IMAGES)})
    with pytest.raises(ValueError, match=r"to have one file of images for training and one .*; got train-images-idx3-"):
        load(tmp_path / "half")


@pytest.mark.parametrize(("kind", "dtype"), [(0x0B, ">i2"), (0x0D, ">f4"), (0x0E, ">f8")])
def test_numbers_of_other_types_and_colour(tmp_path, kind, dtype):
    colours = np.repeat(IMAGES[..., None], 3, axis=3).astype(dtype)
    data = load(put(tmp_path, {"a": idx(colours, kind)}) / "a")
    assert data.train.shape == (18, 6, 5, 3)
    assert data.train.dtype.isnative
    assert np.isin(data.train, IMAGES).all()


def test_pictures_beside_a_file_of_labels_are_a_folder_of_pictures(tmp_path):
    for index, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{index:02}.png")
    put(tmp_path, {"labels": idx(LABELS), "more.gz": gzip.compress(b"text"), "bad.gz": b"\x1f\x8bnot compressed"})
    assert len(load(tmp_path).train) == 18


def test_what_is_called_images_and_is_none_is_refused(tmp_path):
    put(tmp_path, {"train-images-idx3-ubyte": idx(IMAGES), "t10k-images-idx3-ubyte": idx(LABELS)})
    with pytest.raises(
        ValueError, match=r"t10k-images-idx3-ubyte to be a whole IDX file of images; got first bytes 0000"
    ):
        load(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_itself_may_be_compressed_or_not_under_either_name(tmp_path, tiny_mnist, tiny_contents, packed):
    for payload in mnist.PAYLOADS:
        path = tiny_mnist / "mnist" / payload.name
        path.with_name(f"{path.name}.gz").unlink()
        content = tiny_contents[payload.name]
        if packed:
            path.write_bytes(gzip.compress(content))
        else:
            path.with_name(f"{path.name}.gz").write_bytes(content)
    data = load("mnist", data_dir=tiny_mnist)
    assert hashlib.sha256(bytes(16) + data.train.tobytes()).hexdigest() == mnist.PAYLOADS[0].sha256
