import numpy as np
import pytest

from iwax.data import BINARIZATIONS, check_images, check_likelihood, intensities

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


def test_integers_are_counts_and_pass_without_binarisation_only():
    counts = np.array([[0, 3], [2**24, 1]])
    check_images(counts, "none")
    for rule in set(BINARIZATIONS) - {"none"}:
        with pytest.raises(TypeError, match=r"Expected examples of dtype uint8, bool or float; got int64\. Divide by"):
            check_images(counts, rule)
    with pytest.raises(ValueError, match=r"integers up to 2\^24, as float32 has them; got 16777217\. Rescale"):
        check_images(counts + 1, "none")


def test_uint8_of_0_and_1_are_no_grey_values():
    """The control: as grey values, 1 is an intensity of 1 / 255."""
    images = np.array([[0, 1, 1]], np.uint8)
    check_images(images, "none")
    check_images(images.astype(bool), "dynamic")
    assert np.asarray(intensities(images)).max() == pytest.approx(1 / 255)
    for rule in set(BINARIZATIONS) - {"none"}:
        with pytest.raises(ValueError, match=r"for binarize='.*'; got 0 and 1 only, .*\(--binarize none\)"):
            check_images(images, rule)


GREY = np.array([[0, 255, 51]], np.uint8)


@pytest.mark.parametrize("rule", BINARIZATIONS)
def test_a_likelihood_agrees_with_what_the_rule_makes_of_the_data_or_is_refused(rule):
    check_likelihood(None, GREY, rule)  # a model of one's own that does not say
    check_likelihood(False, GREY > 99, rule)
    if rule in ("dynamic", "fixed", "threshold"):
        check_likelihood(False, GREY, rule)
        with pytest.raises(
            ValueError, match=rf"Expected binarize to be one of intensities, none .* got '{rule}', which"
        ):
            check_likelihood(True, GREY, rule)
    else:
        check_likelihood(True, GREY, rule)
        got = {"none": "255", "intensities": r"0\.2"}[rule]
        with pytest.raises(ValueError, match=rf"Expected examples of 0 and 1 .*binarize='{rule}'; got {got}\. B"):
            check_likelihood(False, GREY, rule)


def test_masked_values_are_refused_and_a_mask_of_none_is_not():
    values = np.linspace(0, 1, 6).reshape(2, 3)
    check_images(np.ma.masked_array(values, mask=False), "none")
    with pytest.raises(
        ValueError, match=r"Expected examples without masked values; got 1, whose mask would be lost\. Fill"
    ):
        check_images(np.ma.masked_array(values, mask=values == 1), "none")


def test_real_values_pass_without_binarisation_only():
    array = np.array([[-1.5, 2.0]])
    check_images(array, "none")
    for rule in ("dynamic", "fixed", "threshold"):
        message = rf"Expected examples in \[0, 1\] for binarize='{rule}'; got \[-1.5, 2\]\. .*binarize='none' .*Gauss"
        with pytest.raises(ValueError, match=message):
            check_images(array, rule)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((2, 4), object), TypeError, "got object"),
        (np.zeros((2, 4), complex), TypeError, "got complex128"),
        (np.array([["a"]]), TypeError, "got <U1"),
        (np.ones(()), ValueError, r"Expected examples of shape \(N, height, width\), .* or \(N, D\); got \(\)"),
        (
            np.zeros(784, np.uint8),
            ValueError,
            r"got \(784,\): one integer for each example, from 0 to 0, as labels are",
        ),
        (np.zeros((2, 28, 28, 1, 1), np.uint8), ValueError, r"got \(2, 28, 28, 1, 1\)\. Reshape them"),
        (np.zeros((0, 28, 28), np.uint8), ValueError, r"at least one example; got shape \(0, 28, 28\)"),
        (np.zeros((3, 0)), ValueError, r"at least one example; got shape \(3, 0\)"),
        (
            np.array([[0.5, 0.5], [0.5, np.nan]]),
            ValueError,
            r"Expected examples to be finite; got 1 NaN or infinite values, the first at \[1, 1\]\. .*iwax impute",
        ),
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
    message = r"Expected binarize to be one of dynamic, fixed, threshold, intensities, none; got 'dynamc'\. Did you"
    with pytest.raises(ValueError, match=message):
        check_images(GOOD[0], "dynamc")
    with pytest.raises(ValueError, match=r"got 'xyz'\. Choose one of these"):
        check_images(GOOD[0], "xyz")
