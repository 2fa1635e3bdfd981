"""The estimator: the table that went in comes out, of the same library, with nothing changed but what was missing."""

import datetime

import equinox as eqx
import jax
import jaxtyping
import numpy as np
import pytest

pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from iwax.data.splits import drawn_at_random  # noqa: E402
from iwax.errors import IwaxError  # noqa: E402
from iwax.impute import Frame, Imputer, Settings, fitting, measure  # noqa: E402

TINY = {"epochs": 2, "num_samples": 32, "latent_size": 2, "hidden_sizes": (8,), "train_samples": 2, "random_state": 0}


def mixed(rows=64, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    whole = pd.DataFrame(
        {
            "length": z + 0.1 * rng.normal(size=rows),
            "smokes": np.where(z > 0, "yes", "no"),
            "city": np.array(["Bern", "Rom", "Wien"])[np.digitize(z, [-0.5, 0.5])],
        },
        index=np.arange(rows) + 100,
    )
    holed = whole.mask(rng.random(whole.shape) < 0.3)
    return holed


@pytest.fixture(scope="module")
def frame():
    return mixed()


@pytest.fixture(scope="module")
def fitted(frame):
    return Imputer(**TINY, held_out=0.2).fit(frame)


def test_a_pandas_table_comes_back_whole_and_what_was_observed_unchanged(fitted, frame):
    filled = fitted.transform(frame)
    assert type(filled) is pd.DataFrame
    assert list(filled.columns) == list(frame.columns) == list(fitted.get_feature_names_out())
    assert (filled.index == frame.index).all()
    assert (filled.dtypes == frame.dtypes).all()
    assert not filled.isna().any().any()
    for name in frame:
        seen = frame[name].notna()
        assert (filled[name][seen] == frame[name][seen]).all()
    assert set(filled["city"]) == {"Bern", "Rom", "Wien"}


def test_a_polars_table_comes_back_as_one_with_the_same_values(fitted, frame):
    filled = fitted.transform(pl.from_pandas(frame))
    assert type(filled) is pl.DataFrame
    assert filled.null_count().sum_horizontal().item() == 0
    theirs = fitted.transform(frame)
    for name in theirs:
        assert filled[name].to_list() == theirs[name].to_list()


@pytest.mark.parametrize("library", [pd, pl])
def test_columns_keep_their_types_and_what_was_observed_where_these_hold_what_was_imputed(library):
    n, city = [2**62 + 7, None, 3], ["a", "b", None]
    integers, texts = ("Int64", "category") if library is pd else (pl.Int64, pl.Categorical)
    whole = library.DataFrame({"n": library.Series(n, dtype=integers), "city": library.Series(city, dtype=texts)})
    frame, cities = Frame.of(whole), np.array(["a", "b", "a"], object)
    filled = frame.with_columns([np.array([2.0**62, 2.0, 3.0]), cities])
    assert list(filled.dtypes) == list(whole.dtypes)
    assert filled["n"].to_list() == [2**62 + 7, 2, 3]
    assert filled["city"].to_list() == ["a", "b", "a"]
    assert frame.with_columns([np.array([1.0, 2.5, 3.0]), cities])["n"].to_list() == [1.0, 2.5, 3.0]


def test_set_output_decides_where_it_is_asked(fitted, frame):
    filled = clone(fitted).set_output(transform="polars")
    filled.fitted_, filled.n_features_in_, filled.feature_names_in_ = fitted.fitted_, 3, fitted.feature_names_in_
    assert type(filled.transform(frame)) is pl.DataFrame


def test_draws_differ_from_one_another_where_values_were_missing_and_nowhere_else(fitted, frame):
    first, second = fitted.multiple(frame, 2)
    missing = frame["length"].isna()
    assert (first["length"][missing] != second["length"][missing]).all()
    assert (first["length"][~missing] == second["length"][~missing]).all()
    low, high = fitted.intervals(frame, 0.9)
    assert (low["length"][missing] < high["length"][missing]).all()
    again = fitted.multiple(frame, 2)
    assert again[1].equals(second)  # random_state is a number


def test_what_is_found_besides_is_one_number_a_row(fitted, frame):
    found = fitted.impute(frame)
    assert found.khat.shape == found.ess.shape == fitted.log_likelihood(frame).shape == (64,)
    assert ((found.ess >= 1) & (found.ess <= 32.001)).all()
    missing = frame["length"].isna()
    assert (np.isfinite(found.mc_error[0]) == missing).all()
    assert found.incomplete.tolist() == frame.isna().any(axis=1).tolist()


def test_held_out_values_are_unknown_to_training_and_their_errors_are_measured(fitted, frame):
    assert {error.name for error in fitted.errors_} == set(frame.columns)
    length = next(error for error in fitted.errors_ if error.name == "length")
    assert set(length.truth) <= set(frame["length"].dropna())
    kept = frame["length"].dropna()[~frame["length"].dropna().isin(length.truth)]
    assert np.isclose(fitted.fitted_.columns[0].shift, kept.mean())  # the statistics are of what was not hidden
    rms = np.sqrt(np.mean((length.truth - length.imputed) ** 2))
    assert np.isclose(length.error, rms / kept.std(ddof=0))


@pytest.mark.parametrize(("kind", "fitted"), [(None, ("count", ())), ("categorical", ("categorical", (0.0, 1.0, 9.0)))])
def test_kinds_and_categories_are_of_the_whole_table_though_a_value_is_held_out(kind, fitted):
    """Without the 9 the column would be a binary one, which has no 9 to encode."""
    rng = np.random.default_rng(0)
    b, y = np.tile([0.0, 1.0], 20), rng.normal(size=40)
    b[3], y[5:9] = 9.0, np.nan
    settings = Settings(kinds={"b": kind} if kind else None, epochs=1, latent_size=2, hidden_sizes=(8,))
    hidden = np.zeros((40, 2), bool)
    hidden[3, 0] = True
    found = fitting.fit_table(["b", "y"], [b, y], settings, jax.random.key(0), hidden=hidden)
    assert (found.columns[0].kind, found.columns[0].categories) == fitted
    if kind is None:
        assert np.isclose(found.columns[0].shift, np.log(2) * 19 / 39)  # 20 zeros and 19 ones
    (error,) = measure(found, [b, y], hidden, jax.random.key(1), num_samples=32)
    assert error.truth.tolist() == [9.0]
    assert np.isfinite(found.impute([b, y], jax.random.key(1), num_samples=32).completed[1]).all()


@pytest.mark.parametrize(
    ("options", "rows", "judged"),
    [
        ({}, 178, 18),
        ({}, 60, 10),  # at least so many, or their mean says nothing
        ({}, 20, 0),  # half of them would be lost
        ({}, 999, 100),
        ({}, 1000, 0),  # 4,000 steps do not learn them by heart
        ({"epochs": 5}, 178, 0),  # who says how long trains so long
        ({"epochs": 5, "validation": 0.2}, 178, 36),
        ({"validation": 0.1}, 5000, 500),
        ({"validation": 0.0}, 178, 0),
    ],
)
def test_a_tenth_of_a_small_table_judges_the_epochs_unless_it_is_said_otherwise(options, rows, judged):
    assert Settings(**options).judged(rows) == judged


def test_all_rows_are_trained_on_as_long_as_rows_held_out_found_best_and_those_judge_the_spreads(frame, monkeypatch):
    asked, trained = [], []

    def widening(model, judged, key):
        asked.append(judged)
        return 0.3

    def fit(*args, **options):
        trained.append((options, fitting_fit(*args, **options)))
        return trained[-1][1]

    fitting_fit = fitting.fit
    monkeypatch.setattr(fitting, "widening", widening)
    monkeypatch.setattr(fitting, "fit", fit)
    table = frame[["length", "smokes"]]
    fitted = (
        Imputer(**{**TINY, "epochs": 300, "learning_rate": 0.05}, validation=0.2, constant_spreads=False)
        .fit(table)
        .fitted_
    )
    judged = {r["epoch"]: r["validation_iwae_64"] for r in fitted.records if "validation_iwae_64" in r}
    kept = fitted.selected["epoch"]
    assert judged[kept] == max(judged.values())
    assert kept < max(judged)  # so steep a rate learns 51 rows by heart
    (rows,) = asked
    held_out = drawn_at_random(64, 13, seed=0)  # those that `fit` never sees
    assert np.array_equal(rows["mask"], table.notna().to_numpy()[held_out])
    assert fitted.wider == 0.3
    (first, _), (second, result) = trained
    assert (first["validation"], second.get("validation")) == (13, None)
    assert kept < len(result.records) <= 2 * kept  # at a rate that falls to zero
    assert eqx.tree_equal(fitted.model, result.model.widened(0.3))


@pytest.mark.parametrize(
    ("options", "rows", "columns", "constant"),
    [
        ({}, 999, 4, True),
        ({}, 1000, 4, False),
        ({}, 1797, 54, True),
        ({"constant_spreads": False}, 9, 4, False),
        ({"constant_spreads": True}, 5000, 4, True),
    ],
)
def test_spreads_of_a_small_table_are_constant_unless_it_is_said_otherwise(options, rows, columns, constant):
    assert Settings(**options).has_constant_spreads(rows, columns) == constant


@pytest.mark.slow
def test_arrays_go_through_a_pipeline_and_keep_their_precision():
    rng = np.random.default_rng(1)
    X = (rng.normal(size=(40, 1)) + 0.1 * rng.normal(size=(40, 2))).astype(np.float32)
    X[::3, 1] = np.nan
    filled = make_pipeline(StandardScaler(), Imputer(**TINY)).fit_transform(X)
    assert filled.dtype == np.float32
    assert filled.shape == (40, 2)
    assert np.isfinite(filled).all()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([datetime.date(2020, 1, day + 1) for day in range(20)], "Expected column 'c' to hold numbers, text or truth"),
        ([np.nan] * 20, "Expected column 'c' to hold a value; got none, all are missing"),
        ([2.0] * 20, "Expected column 'c' to hold at least two values; got only 2"),
        ([1.0, "a"] * 10, "Expected column 'c' to hold values of one type; got float, str"),
    ],
)
def test_a_table_that_will_not_do_is_refused_in_one_line(column, message):
    with pytest.raises(ValueError, match=message) as caught:
        Imputer(**TINY).fit(pd.DataFrame({"b": np.arange(20.0) + 0.5, "c": column}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["count", "count"]}, "Expected kinds to be one kind for all columns, or kinds by name, such as"),
        ({"hidden_sizes": 8}, r"Expected hidden_sizes to be the widths of layers, such as \(128, 128\); got 8"),
        ({"hidden_sizes": (8, "a")}, "Expected each of hidden_sizes to be an integer of at least 1; got 'a'"),
        ({"constant_spreads": "no"}, "Expected constant_spreads to be True, False or None; got 'no'"),
        ({"held_out": "a"}, "Expected held_out to be at least 0 and below 1; got 'a'"),
        ({"validation": "a"}, "Expected validation to be at least 0 and below 1; got 'a'"),
        ({"learning_rate": "x"}, "Expected learning_rate to be positive; got 'x'"),
        ({"num_samples": 0}, "Expected num_samples to be an integer of at least 1; got 0"),
    ],
)
def test_options_are_refused_in_one_line_before_anything_is_trained(options, message, frame, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users have it
    monkeypatch.setattr(fitting, "fit", None)
    with pytest.raises(IwaxError, match=message) as caught:
        Imputer(**{**TINY, **options}).fit(frame)
    assert "\n" not in str(caught.value)


def test_a_frame_that_is_not_yet_read_is_refused_in_one_line(frame):
    with pytest.raises(TypeError, match=r"frame of pandas or Polars; got a LazyFrame. Give what its collect\(\)"):
        Imputer(**TINY).fit(pl.from_pandas(frame).lazy())


def test_two_columns_of_one_name_are_refused_in_one_line():
    with pytest.raises(ValueError, match="Expected columns to have names of their own; got 'a' twice"):
        Imputer(**TINY).fit(pd.DataFrame(np.eye(4)[:, :2], columns=["a", "a"]))


def test_a_category_that_training_had_not_is_refused(fitted, frame):
    other = frame.copy()
    other.loc[103, "city"] = "Oslo"
    with pytest.raises(ValueError, match="among those of training, 'Bern', 'Rom', 'Wien'; got 'Oslo' in row 3"):
        fitted.transform(other)


@pytest.mark.slow
def test_scikit_learn_checks_the_estimator(monkeypatch):
    from sklearn.utils.estimator_checks import check_estimator

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # one check hands -1 to all arguments of __init__
    check_estimator(Imputer(**TINY), on_skip=None)
