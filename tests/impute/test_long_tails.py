"""Far out: means of log-normal columns are exact, or medians that are said; intervals of high levels are as wide."""

import jax
import numpy as np
import pytest
from linear import linear_model
from scipy.stats import norm

from iwax.errors import NoticeWarning
from iwax.impute import Column, FittedTable, impute_rows

SHIFT, ROWS = 0.5, 50


def imputed(spread, rows=ROWS):
    """Of a column whose logarithm is N(SHIFT, spread^2) whatever z is, beside one that is observed."""
    columns = (Column("seen", "gaussian"), Column("income", "positive", shift=SHIFT, scale=10.0))
    model = linear_model(np.zeros((2, 1)), np.zeros(2), np.array([1.0, spread / 10]), columns=columns)
    table = [np.zeros(rows), np.full(rows, np.nan)]
    return FittedTable(columns, model, []).impute(table, jax.random.key(0), num_samples=64)


def test_the_mean_of_a_log_normal_column_stays_where_draws_reach_it():
    found = imputed(1.0)
    assert np.allclose(found.completed[1], np.exp(SHIFT + 0.5), rtol=1e-3)
    assert (found.mc_error[1] < 0.01).all()
    assert found.of_tails is None


@pytest.mark.parametrize("spread", [8.0, 15.0])  # the mean is e^32 medians; e^112, which float32 does not hold
def test_a_mean_that_no_draw_reaches_gives_way_to_the_median_and_is_said(spread):
    found = imputed(spread)
    error = spread * 1.2533 / 200**0.5  # of the median of 200 normal draws
    logs = np.log(found.completed[1])
    assert abs(logs - SHIFT).max() < 5 * error
    assert abs(logs.mean() - SHIFT) < 5 * error / ROWS**0.5
    assert np.isinf(found.mc_error[1]).all()
    assert "by column: 50 of 'income'. Choose another kind" in found.advice
    assert np.isfinite(np.stack([*found.lower, *found.upper, *found.completed])).all()


def test_samples_that_weigh_nothing_add_nothing_even_where_their_mean_is_infinite():
    """Given x_1 = z + 0.02 e = 0 the logarithm of x_2 is 60 (z + 0.02 e'), of standard deviation 1.7: all is known.

    z is drawn from N(0, 1), so that 60 z is beyond the logarithm of the largest float32, 88.7, for every 14th sample.
    """
    columns = (Column("a", "gaussian"), Column("b", "positive", scale=60.0))
    model = linear_model(np.ones((2, 1)), np.zeros(2), np.full(2, 0.02), columns=columns)
    x = {"values": np.zeros((8, 2), np.float32), "mask": np.tile([True, False], (8, 1))}
    found = impute_rows(model, x, jax.random.key(1), num_samples=8192)
    variance = 60**2 * (0.02**2 / (1 + 0.02**2) + 0.02**2)
    z = (found.mean[:, 1] - np.exp(variance / 2)) / found.mc_error[:, 1]
    assert abs(z).max() < 5
    assert (found.mc_error[:, 1] < np.exp(variance / 2) / 4).all()
    assert np.isfinite(found.sd).all()


@pytest.mark.parametrize("level", [0.9, 0.99, 0.999])
def test_an_interval_of_a_high_level_has_as_much_between_its_ends_as_it_says(level):
    """Of a standard normal value, over rows; its n draws leave (1 - level) n / 2 + 1 of n + 1 parts beyond each end."""
    columns = (Column("seen", "gaussian"), Column("v", "gaussian"))
    model = linear_model(np.zeros((2, 1)), np.zeros(2), np.ones(2), columns=columns)
    table = [np.zeros(100), np.full(100, np.nan)]
    found = FittedTable(columns, model, []).impute(table, jax.random.key(0), num_samples=64, level=level)
    outside = norm.cdf(found.lower[1]).mean() + norm.sf(found.upper[1]).mean()
    assert 0.95 * (1 - level) < outside < 1.35 * (1 - level)


@pytest.mark.parametrize(("level", "message"), [(0.9999, "at most 0.999, of which 10,000 draws"), (1.0, "0 and 1")])
def test_a_level_that_draws_do_not_have_is_refused(level, message):
    columns = (Column("seen", "gaussian"), Column("v", "gaussian"))
    model = linear_model(np.zeros((2, 1)), np.zeros(2), np.ones(2), columns=columns)
    with pytest.raises(ValueError, match=message):
        FittedTable(columns, model, []).impute([np.zeros(9), np.full(9, np.nan)], jax.random.key(0), level=level)


@pytest.mark.parametrize("far", [1e30, 1e300])  # whose square float32 does not hold, and which it does not hold itself
def test_a_row_too_far_out_to_weigh_samples_by_is_refused_if_it_misses_something(far):
    columns = (Column("length", "gaussian"), Column("v", "gaussian"))
    fitted = FittedTable(columns, linear_model(np.ones((2, 1)), np.zeros(2), np.ones(2), columns=columns), [])
    length, v = np.zeros(200), np.zeros(200)
    v[[3, 150]], length[150] = np.nan, far
    with pytest.raises(ValueError, match=r"what row 150 shows .* got none, with 1e\+30+ in column 'length'"):
        fitted.impute([length, v], jax.random.key(0), num_samples=64)
    v[150] = 0.0  # nothing is imputed there
    assert np.isfinite(fitted.impute([length, v], jax.random.key(0), num_samples=64).completed[1]).all()


def test_a_draw_of_a_long_tail_is_a_number():
    column = Column("v", "positive", shift=1.0, scale=400.0)
    assert np.isfinite(column.decode(np.array([1.0, 5.0]))).all()


def test_an_imputer_says_that_medians_stand_in_place_of_means():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    from iwax.impute import Imputer

    rng = np.random.default_rng(1)
    table = pd.DataFrame({"income": np.exp(20 * rng.normal(size=60)), "b": rng.normal(size=60)})
    table.loc[::4, "income"] = np.nan
    tiny = {"epochs": 1, "num_samples": 32, "latent_size": 2, "hidden_sizes": (8,), "random_state": 0}
    imputer = Imputer(kinds={"income": "positive"}, **tiny).fit(table)
    with pytest.warns(NoticeWarning, match="Medians stand in place of means .* 15 of 'income'"):
        complete = imputer.transform(table)
    assert np.isfinite(complete).all(axis=None)
