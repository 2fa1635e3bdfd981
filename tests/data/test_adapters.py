"""Data sets of other libraries, by fakes of their shapes and by torch's own where it is installed."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import iwax
from iwax.data import Dataset, as_array, as_examples

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4), np.uint8)


class HuggingFace:
    """Columns by name, rows by number, as `datasets.Dataset` has them."""

    def __init__(self, **columns):
        self.columns = columns
        self.column_names = list(columns)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key):
        return self.columns[key] if isinstance(key, str) else {name: c[key] for name, c in self.columns.items()}


class Torch:
    """Items by number, as `torch.utils.data.Dataset` has them."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


PICTURES = [Image.fromarray(image) for image in IMAGES]


@pytest.mark.parametrize(
    "data",
    [
        IMAGES,
        HuggingFace(label=list(range(12)), image=PICTURES),
        HuggingFace(anything=IMAGES.tolist() and list(IMAGES)),
        Torch([(picture, 3) for picture in PICTURES]),
        Torch([(image[None], 3) for image in IMAGES]),
        Torch([image[:, :, None] for image in IMAGES]),
        list(IMAGES),
    ],
)
def test_every_kind_is_the_same_images(data):
    found = as_array(data)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, IMAGES)


COLOURS = np.random.default_rng(1).integers(0, 256, (12, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        COLOURS,
        HuggingFace(label=list(range(12)), image=[Image.fromarray(image) for image in COLOURS]),
        HuggingFace(image=COLOURS.tolist()),
        Torch([(Image.fromarray(image), 3) for image in COLOURS]),
        Torch([(image.transpose(2, 0, 1), 3) for image in COLOURS]),  # as PyTorch has them
        Torch(list(COLOURS)),
    ],
)
def test_every_kind_is_the_same_images_in_colour(data):
    np.testing.assert_array_equal(as_array(data), COLOURS)


@pytest.mark.parametrize(("shape", "moved"), [((3, 32, 32), True), ((32, 32, 3), False), ((2, 5, 5), True)])
def test_the_channels_become_the_last_axis(shape, moved):
    image = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(as_array([image, image])[0], np.moveaxis(image, 0, 2) if moved else image)


def test_an_array_stays_as_it_is_even_with_channels_first():
    array = COLOURS.transpose(0, 3, 1, 2)
    assert as_array(array).shape == (12, 3, 4, 4)


def test_a_column_by_name():
    data = HuggingFace(left=list(IMAGES), right=list(255 - IMAGES))
    np.testing.assert_array_equal(as_array(data, column="right"), 255 - IMAGES)
    for column, expected in ((None, "of image, img, pixel_values, x, data, features"), ("up", "up")):
        message = f"Expected a column {expected}; got left, right. Choose one by iwax.data.as_array(data, column=...)."
        with pytest.raises(ValueError, match=re.escape(message)):
            as_array(data, column=column)


def test_several_splits_at_once():
    data = HuggingFace(image=PICTURES)
    data.column_names = {"train": ["image"], "test": ["image"]}  # as of a DatasetDict
    with pytest.raises(ValueError, match=re.escape("Expected one split of a data set; got train, test. Give data['")):
        as_array(data)


def test_torchs_own():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(IMAGES / 255, dtype=torch.float32)[:, None], torch.arange(12))
    np.testing.assert_array_equal(as_array(data), (IMAGES / 255).astype(np.float32))
    np.testing.assert_array_equal(as_array(torch.tensor(IMAGES)), IMAGES)


@pytest.mark.parametrize("kind", ["gradient", "bfloat16"])
def test_numbers_of_a_tensor_are_taken_whatever_hangs_on_them(kind):
    """Powers of two, which bfloat16 has; the control: PyTorch gives NumPy neither kind."""
    torch = pytest.importorskip("torch")
    import iwax.torch

    expected = 2.0 ** np.arange(-6, 6, dtype=np.float32).reshape(4, 3)
    tensor = torch.tensor(expected, requires_grad=kind == "gradient")
    tensor = tensor.to(torch.bfloat16) if kind == "bfloat16" else tensor
    with pytest.raises((RuntimeError, TypeError)):
        tensor.numpy()
    tree = as_examples({"x": tensor})["x"]
    for found in (as_array(tensor), as_array(list(tensor)), as_array(torch.utils.data.TensorDataset(tensor)), tree):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32
    hashes = [
        iwax.torch.evaluate(lambda x, s: torch.zeros(s, 4), batch, num_samples=64).test_hash
        for batch in (tensor, torch.tensor(expected))
    ]
    assert hashes[0] == hashes[1]


def test_bfloat16_of_jax_is_taken_too():
    found = as_array(jax.numpy.array([[0.5, 2.0]], jax.numpy.bfloat16))
    assert (found.dtype, found.tolist()) == (np.float32, [[0.5, 2.0]])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (3, TypeError, "Expected data to be a Dataset, an array, or a data set of Hugging Face or PyTorch; got int."),
        ({"a": IMAGES}, TypeError, "got dict."),
        ("mnist", TypeError, "got str."),
        ("rows.csv", TypeError, "got str. Load what it names: iwax.data.load('rows.csv')."),
        (Path("rows.csv"), TypeError, "Path. Load what it names: iwax.data.load('rows.csv')."),
        ([[image, 3] for image in IMAGES], TypeError, "example to be one array of numbers; got ndarray, int. Give"),
        (iter(IMAGES), TypeError, "What can only be iterated over, make a list of first."),
        (HuggingFace(text=["a", "b"]), TypeError, "Expected examples that are numbers; got dtype <U1. Choose another"),
        (
            (IMAGES, IMAGES > 3),
            TypeError,
            "got a tuple of 2, such as examples and their mask or labels. Give the examples",
        ),
        (np.ma.masked_array(IMAGES, IMAGES > 9), ValueError, "Expected data without masked values; got"),
        ([np.ma.masked_array(IMAGES[0], IMAGES[0] > 9)], ValueError, "Expected data without masked values; got"),
        (IMAGES[:0], ValueError, "Expected data to hold at least one example; got shape (0, 4, 4)."),
        ([], ValueError, "Expected data to hold at least one example; got none."),
        ([IMAGES[0], IMAGES[0, :3]], ValueError, "Expected examples of one shape; got (3, 4) and (4, 4). Resize them."),
        (
            [PICTURES[0], PICTURES[1].resize((3, 4))],
            ValueError,
            "Expected examples of one shape; got (4, 3) and (4, 4). Resize them.",
        ),
    ],
)
def test_what_is_refused(data, error, message):
    with pytest.raises(error, match=re.escape(message)):
        as_array(data)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">u2"])
def test_the_byte_order_becomes_the_machines(dtype):
    """The control: JAX takes no array of the other byte order."""
    foreign = IMAGES.astype(dtype)
    with pytest.raises(TypeError):
        jax.numpy.asarray(foreign)
    for found in (as_array(foreign), as_array(list(foreign))):
        np.testing.assert_array_equal(jax.numpy.asarray(found), IMAGES)


def test_a_mask_is_refused_wherever_data_are_taken():
    """The control: numpy takes the values and drops the mask without a word."""
    x = np.ma.masked_array(np.ones((6, 2)), mask=np.arange(12).reshape(6, 2) == 3)
    assert np.asarray(x).shape == (6, 2)
    model, key = iwax.LinearGaussian.isotropic(2), jax.random.key(0)
    data = Dataset(x, x, "own", "given", {}, "here")
    fit = {"recipe": "burda-paper", "key": key, "binarize": "none", "batch_size": 2, "epochs": 1}
    for take in (
        lambda: iwax.fit(model, iwax.ELBO(), x, **fit),
        lambda: iwax.fit(model, iwax.ELBO(), data, **fit),
        lambda: iwax.evaluate(model, x, key, num_samples=64, binarize="none"),
        lambda: iwax.evaluate(model, data, key, num_samples=64, binarize="none"),
        lambda: iwax.log_likelihood(model, x, key, num_samples=64),
    ):
        with pytest.raises(ValueError, match="without masked values; got 1, whose mask would be lost"):
            take()


def test_an_empty_data_set_is_said_to_be_empty():
    options = {"recipe": "burda-paper", "key": jax.random.key(0), "binarize": "none"}
    with pytest.raises(ValueError, match=r"Expected data to hold at least one example; got shape \(0, 2\)"):
        iwax.fit(iwax.LinearGaussian.isotropic(2), iwax.ELBO(), np.zeros((0, 2)), **options)


def test_fit_and_evaluate_take_them():
    model = iwax.VAE(16, [2], [[4]], key=jax.random.key(0))
    options = {"recipe": "burda-paper", "key": jax.random.key(1), "epochs": 1, "batch_size": 4}
    data = Torch([(picture, 3) for picture in PICTURES])
    assert not isinstance(data, Dataset)
    results = [iwax.fit(model, iwax.ELBO(), images, **options) for images in (IMAGES, data)]
    assert results[0].records == results[1].records
    judged = iwax.evaluate(model, as_array(data), jax.random.key(2), num_samples=64)
    assert len(judged.log_likelihood) == 12
