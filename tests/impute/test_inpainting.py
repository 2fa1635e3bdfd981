"""The example of digits with holes: what is hidden of a digit, and that the model sees nothing of it."""

import numpy as np
import pytest

from example_modules import load_example


def test_a_quadrant_of_each_digit_is_hidden_and_nothing_stands_under_the_mask():
    example = load_example("inpainting")
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    x, whole = example.with_holes(images)
    assert ((~x["mask"]).sum(axis=1) == 14 * 14).all()
    corners = x["mask"].reshape(-1, 28, 28)[:, [0, 0, 27, 27], [0, 27, 0, 27]]
    assert {tuple(row) for row in corners.tolist()} == {tuple(i != hidden for i in range(4)) for hidden in range(4)}
    assert (x["values"][~x["mask"]] == 0).all()
    assert (x["values"] == whole)[x["mask"]].all()


@pytest.mark.slow
def test_hidden_pixels_are_filled_better_than_black(tmp_path):
    wrong, white = load_example("inpainting").main(40, tmp_path / "digits.png")
    assert wrong < 0.9 * white
    assert (tmp_path / "digits.png").exists()
