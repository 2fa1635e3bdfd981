"""Sheets of images: grey, in colour, and with other numbers of channels."""

import numpy as np
from PIL import Image

from iwax.figures import GREY, image_rows, image_sheet

IMAGES = np.random.default_rng(0).random((3, 4, 5, 3))


def sheet(images, path, **options):
    image_sheet(images, path, columns=2, scale=1, **options)
    return np.asarray(Image.open(path)).astype(float) / 255


def test_colour_is_shown_as_it_is_with_grey_lines_between(tmp_path):
    found = sheet(IMAGES, tmp_path / "a.png")
    assert found.shape == (12, 14, 3)  # two rows of two, each 4 x 5 with a line around it
    np.testing.assert_allclose(found[1:5, 1:6], IMAGES[0], atol=1 / 255)
    np.testing.assert_allclose(found[1:5, 8:13], IMAGES[1], atol=1 / 255)
    np.testing.assert_allclose(found[7:11, 1:6], IMAGES[2], atol=1 / 255)
    for line in (found[0], found[:, 0], found[6:, 7:]):
        np.testing.assert_allclose(line, GREY, atol=1 / 255)


def test_each_pixel_is_as_wide_as_the_scale(tmp_path):
    image_sheet(IMAGES, tmp_path / "a.png", columns=2)
    found = np.asarray(Image.open(tmp_path / "a.png"))
    assert found.shape == (36, 42, 3)
    np.testing.assert_array_equal(found[::3, ::3], found[1::3, 2::3])


def test_other_channels_stand_side_by_side(tmp_path):
    for channels in (1, 2):
        found = sheet(IMAGES[..., :channels], tmp_path / "a.png")
        np.testing.assert_allclose(
            found[1:5, 1 : 1 + 5 * channels], np.hstack(np.moveaxis(IMAGES[0], 2, 0)[:channels]), atol=1 / 255
        )
        assert found.ndim == 2


def test_grey_images_and_vectors_are_drawn_as_before(tmp_path):
    grey = IMAGES[..., 0]
    np.testing.assert_allclose(sheet(grey, tmp_path / "a.png")[1:5, 1:6], grey[0], atol=1 / 255)
    np.testing.assert_allclose(sheet(grey.reshape(3, 20), tmp_path / "a.png")[1, 1:21], grey[0].ravel(), atol=1 / 255)


def test_rows_are_drawn_in_colour(tmp_path):
    """Red images: the control is their grey, in which all three channels are alike."""
    red = np.zeros((2, 4, 4, 3))
    red[..., 0] = 1
    for images, is_red in ((red, True), (red[..., 0], False)):
        image_rows({"test": images, "decoded": images}, tmp_path / "a.png")
        found = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
        assert bool((found == [255, 0, 0]).all(axis=2).any()) == is_red


def test_a_caption_stands_below_the_images_and_leaves_them_as_they_are(tmp_path):
    plain = sheet(IMAGES, tmp_path / "a.png")
    height, width, _ = plain.shape
    short, long = (sheet(IMAGES, tmp_path / "a.png", caption="three images, black is 0. " * times) for times in (1, 9))
    assert plain.shape == (12, 14, 3)  # the control: no caption, no strip
    np.testing.assert_array_equal(short[:height, :width], plain)
    assert (short[height:].max(), short[height:].min()) == (1.0, 0.0)  # dark on white
    assert (short[:height, width:] == 1).all()
    assert len(long) > len(short) > height + 10  # in lines, as many as it takes


def test_rows_have_a_title_above_them(tmp_path):
    rows, shown = {"test": IMAGES[..., 0], "decoded": IMAGES[..., 0]}, []
    for title in ("", "Test images, and below them what the model makes of them."):
        image_rows(rows, tmp_path / "a.png", title=title)
        shown.append(np.asarray(Image.open(tmp_path / "a.png").convert("L")))
    plain, titled = shown
    assert len(titled) > len(plain)
    assert titled[: len(titled) - len(plain)].min() < 100  # words in what was added
    assert titled[:3].min() > 200  # and air above them
