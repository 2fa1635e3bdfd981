"""What is imputed comes back in the types of a frame's columns, be they categories, truth values or all missing."""

import numpy as np
import pytest

pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
pytest.importorskip("sklearn")

from iwax.impute import Frame, Imputer  # noqa: E402

TINY = {"epochs": 1, "num_samples": 32, "latent_size": 2, "hidden_sizes": (8,), "train_samples": 2, "random_state": 0}
RNG = np.random.default_rng(0)


def test_numbers_that_pandas_has_as_categories_are_categories():
    years = pd.Series(pd.Categorical(RNG.choice([1, 50, 900], 40)))
    years[::4] = None
    table = pd.DataFrame({"c": years, "y": RNG.normal(size=40)})
    imputer = Imputer(**TINY).fit(table)
    assert [column.kind for column in imputer.fitted_.columns] == ["categorical", "continuous"]
    for complete in (imputer.transform(table), *imputer.multiple(table, 2), *imputer.intervals(table)):
        assert complete["c"].dtype == table["c"].dtype
        assert set(complete["c"]) <= {1, 50, 900}  # NaN is none of them


def test_a_mean_that_is_no_category_of_its_column_stays_a_number():
    table = pd.DataFrame({"c": pd.Series(pd.Categorical([1, None, 4]))})
    assert Frame.of(table).with_columns([np.array([1.0, 2.5, 4.0])])["c"].tolist() == [1.0, 2.5, 4.0]


def test_large_numbers_that_are_categories_keep_their_last_digit():
    large = [2**62 + 7, None, 2**62 + 9]
    assert Frame.of(pd.DataFrame({"c": pd.Series(pd.Categorical(large))})).table[0].tolist() == large


@pytest.fixture(scope="module")
def fitted():
    """Of text and truth values in pandas; both are known of the even rows only."""
    even = np.arange(40) % 2 == 0
    table = pd.DataFrame({
        "smokes": np.where(even, RNG.choice([True, False], 40), None),
        "city": np.where(even, RNG.choice(["Bern", "Rom"], 40), None),
        "y": RNG.normal(size=40),
    })  # fmt: skip
    return Imputer(**TINY).fit(table), table


@pytest.mark.parametrize("rows", [slice(1, 2), slice(1, None, 2)])
@pytest.mark.parametrize("library", [pd, pl])
def test_rows_that_miss_all_of_a_column_get_values_of_training(fitted, rows, library):
    imputer, table = fitted
    given = table[rows] if library is pd else pl.from_pandas(table.astype({"smokes": "boolean"})[rows])
    complete = imputer.transform(given)
    assert {type(value) for value in complete["smokes"].to_list()} == {bool}
    assert set(complete["city"].to_list()) <= {"Bern", "Rom"}


@pytest.mark.parametrize("given", [np.full((2, 3), np.nan), pd.DataFrame(np.full((2, 3), np.nan))])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_text_is_imputed_where_a_table_of_numbers_misses_all_of_a_column(fitted, given):
    table = fitted[1].to_numpy()
    complete = np.asarray(Imputer(**TINY).fit(table).transform(given), object)
    assert set(complete[:, 1]) <= {"Bern", "Rom"}
    assert np.isfinite(complete[:, 2].astype(float)).all()
