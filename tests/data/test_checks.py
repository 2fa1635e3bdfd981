import numpy as np
import pytest

from iwax.data import BINARIZATIONS, check_images

GOOD = [
    np.zeros((2, 28, 28), np.uint8),
    np.ones((2, 28, 28), bool),
    np.linspace(0, 1, 12).reshape(3, 4),
    np.ones((1, 5), np.float16),
]


@pytest.mark.parametrize("array", GOOD)
@pytest.mark.parametrize("rule", BINARIZATIONS)
def test_good_arrays_pass(array, rule):
    check_images(array, rule)


def test_real_values_pass_without_binarisation_only():
    array = np.array([[-1.5, 2.0]])
    check_images(array, "none")
    for rule in ("dynamic", "fixed", "threshold"):
        message = rf"Expected images in \[0, 1\] for binarize='{rule}'; got \[-1.5, 2\]\. .*binarize='none' .* Gaussian"
        with pytest.raises(ValueError, match=message):
            check_images(array, rule)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((2, 4), np.int64), TypeError, r"Expected images of dtype uint8, bool or float; got int64\. Convert"),
        (np.zeros((2, 4), object), TypeError, "got object"),
        (np.zeros((2, 4), complex), TypeError, "got complex128"),
        (np.array([["a"]]), TypeError, "got <U1"),
        (np.ones(()), ValueError, r"Expected images of shape \(N, height, width\) or \(N, D\); got \(\)"),
        (np.zeros(784, np.uint8), ValueError, r"got \(784,\)"),
        (np.zeros((2, 28, 28, 1), np.uint8), ValueError, r"got \(2, 28, 28, 1\)\. Reshape them"),
        (np.zeros((0, 28, 28), np.uint8), ValueError, r"at least one example; got shape \(0, 28, 28\)"),
        (np.zeros((3, 0)), ValueError, r"at least one example; got shape \(3, 0\)"),
        (np.array([[0.5, np.nan]]), ValueError, "Expected images to be finite; got 1 NaN or infinite values"),
        (np.array([[np.inf, -np.inf, np.nan]]), ValueError, "got 3 NaN or infinite values"),
    ],
)
@pytest.mark.parametrize("rule", ["none", "dynamic"])
def test_bad_arrays_are_refused(array, error, message, rule):
    with pytest.raises(error, match=message):
        check_images(array, rule)


def test_the_argument_is_named():
    with pytest.raises(ValueError, match="Expected test to hold at least one"):
        check_images(np.zeros((0, 3)), "none", "test")


def test_an_unknown_rule_is_refused_with_the_nearest():
    message = r"Expected binarize to be one of dynamic, fixed, threshold, none; got 'dynamc'\. Did you mean 'dynamic'\?"
    with pytest.raises(ValueError, match=message):
        check_images(GOOD[0], "dynamc")
    with pytest.raises(ValueError, match=r"got 'xyz'\. Choose one of these"):
        check_images(GOOD[0], "xyz")
