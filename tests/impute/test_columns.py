"""Columns: which kind, fitted on what is observed in training alone, there and back; what will not do in one line."""

import numpy as np
import pytest

from iwax.impute.columns import Column, encode, fit_columns

NAN = np.nan
TEXT = np.array(["a", None, "b", "a", "c"], object)


def one(values, kind=None):
    values = np.array(values, float) if not isinstance(values, np.ndarray) else values
    return fit_columns(["v"], [values], {"v": kind} if kind else None)[0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5, 1.2, -3.0, NAN], "continuous"),
        ([1.0, 3.0, 0.0, 7.0, NAN], "count"),
        ([0.0, 1.0, NAN, 1.0], "binary"),
        (np.array(["yes", "no", None, "yes"], object), "binary"),
        (TEXT, "categorical"),
        (np.exp(3 * np.random.default_rng(0).normal(size=200)), "positive"),
        ([2e6, 3e6, 5e6], "continuous"),  # integers, but measured
    ],
)
def test_the_kind_of_a_column_is_what_its_values_suggest(values, kind):
    assert one(values).kind == kind


@pytest.mark.parametrize("kind", ["continuous", "gaussian", "positive", "count", "poisson", "categorical"])
def test_values_come_back_from_the_models_numbers(kind):
    values = TEXT if kind == "categorical" else np.array([1.0, 2.0, NAN, 5.0, 3.0])
    column = one(values, kind)
    known = [value == value and value is not None for value in values]
    back = column.decode(column.encode(values)[known])
    assert np.allclose(back, values[known]) if kind != "categorical" else list(back) == list(values[known])


def test_standardisation_knows_the_observed_values_of_training_and_no_others():
    seen = one([1.0, 3.0, NAN], "gaussian")
    assert (seen.shift, seen.scale) == (2.0, 1.0)
    assert seen != one([1.0, 3.0, 99.0], "gaussian")  # one that peeks under the mask would be this
    assert np.allclose(seen.encode(np.array([4.0])), 2.0)


def test_a_table_becomes_values_and_mask_with_nothing_under_the_mask():
    columns = fit_columns(["a", "b"], [np.array([1.0, NAN, 2.0, 4.5, 0.5]), TEXT])
    x = encode(columns, [np.array([1.0, NAN, 2.0, 4.5, 0.5]), TEXT])
    assert x["mask"].tolist() == [[True, True], [False, False], [True, True], [True, True], [True, True]]
    assert (x["values"][~x["mask"]] == 0).all()
    assert x["values"][:, 1].tolist() == [0, 0, 1, 0, 2]


def test_the_density_of_values_is_that_of_numbers_times_the_jacobian():
    """Of a log-normal by its own formula: N(log v; m, s) / v."""
    column = Column("v", "positive", shift=0.7, scale=1.3)
    v = np.array([0.5, 4.0])
    number = (np.log(v) - 0.7) / 1.3
    standard = -0.5 * number**2 - 0.5 * np.log(2 * np.pi)
    exact = -0.5 * ((np.log(v) - 0.7) / 1.3) ** 2 - np.log(1.3) - 0.5 * np.log(2 * np.pi) - np.log(v)
    assert np.allclose(standard + column.log_jacobian(number), exact)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([NAN, NAN], None, "Expected column 'v' to hold a value; got none, all are missing. Drop it."),
        ([3.0, 3.0, NAN], None, "Expected column 'v' to hold at least two values; got only 3. Drop it."),
        ([3.0, np.inf], None, "Expected column 'v' to be finite or NaN; got an infinity"),
        ([1e200, -1e200, 2.5], None, r"to have a finite variance; got 1e\+200. Rescale it"),
        ([3.0, -1.0], "count", "of kind 'count' to hold integers from 0 on; got -1. Choose another kind"),
        ([3.0, -1.0], "positive", "of kind 'positive' to hold positive numbers; got -1"),
        ([3.0, 1.0, 2.0], "binary", "to hold two values for kind 'binary'; got 3"),
        (np.array([1, "a", None], object), None, "to hold values of one type; got int, str"),
        (np.array(["a", "b"], object), "gaussian", "Expected column 'v' to hold numbers"),
        (np.array([f"row {i}" for i in range(60)], object), None, "to hold at most 50 categories; got 60"),
    ],
)
def test_a_column_that_will_not_do_is_named_in_one_line(values, kind, message):
    with pytest.raises(ValueError, match=message) as caught:
        one(values, kind)
    assert "\n" not in str(caught.value)


def test_an_unknown_category_or_type_at_transform_is_named_with_its_row():
    column = one(TEXT)
    with pytest.raises(ValueError, match="column 'v' to be among those of training, 'a', 'b', 'c'; got 'z' in row 1"):
        column.encode(np.array(["a", "z"], object))
    with pytest.raises(ValueError, match="Expected column 'v' to hold numbers, as it did in training"):
        one([1.0, 2.5]).encode(np.array(["a", "z"], object))
    with pytest.raises(ValueError, match="Expected kinds for columns of the table, v; got 'w'"):
        fit_columns(["v"], [np.array([1.0, 2.0])], {"w": "count"})
