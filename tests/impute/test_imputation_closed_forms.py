"""On linear-Gaussian data with holes everything is known: log p(x_obs), and the law of what is missing given it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear import NOISE, OFFSET, W, as_x, conditional, linear_model, table
from scipy.special import expit
from scipy.stats import norm

import iwax
from iwax.impute import Column, FittedTable, Imputer, impute_rows
from iwax.impute.missingness import SPEED

ROWS, SAMPLES, DRAWS = 256, 1024, 200


@pytest.fixture(scope="module")
def data():
    return table(ROWS)


@pytest.fixture(scope="module")
def truth(data):
    return [conditional(full, mask) for full, mask in zip(*data, strict=True)]


@pytest.fixture(scope="module")
def found(data):
    return impute_rows(linear_model(), as_x(*data), jax.random.key(1), num_samples=SAMPLES, num_draws=DRAWS)


def cells(data, values):
    """Those of the missing values, row after row."""
    return values[~data[1]]


def exact(data, truth, what):
    """Means or variances of the missing values, row after row."""
    return np.concatenate([row[1] if what == "mean" else np.diag(row[2]) for row in truth])


def test_log_p_of_what_is_observed_is_that_of_the_closed_form(data, truth, found):
    log_p = np.array([row[0] for row in truth])
    error = np.sqrt(np.maximum(1 / found.ess - 1 / SAMPLES, 0))
    z = (found.log_likelihood - log_p) / (error + 1e-4)
    assert abs(z).max() < 5
    assert 0.8 < np.mean(z**2) < 1.3
    generic = iwax.log_likelihood(linear_model(), as_x(*data), jax.random.key(2), num_samples=SAMPLES)
    assert abs((generic - log_p) / (error + 1e-4)).max() < 5


def test_a_mask_that_is_swapped_is_seen(data, truth):
    """The control of the last test: the observed taken for missing and the other way round."""
    full, mask = data
    swapped = linear_model().log_joint(jax.tree.map(jnp.asarray, as_x(full, ~mask)), jnp.zeros((1, ROWS, 2)))
    right = linear_model().log_joint(jax.tree.map(jnp.asarray, as_x(full, mask)), jnp.zeros((1, ROWS, 2)))
    assert np.median(abs(swapped - right)) > 0.5


def test_what_stands_under_the_mask_is_never_looked_at(data):
    full, mask = data
    model, z = linear_model(), jnp.ones((1, ROWS, 2))
    x, dirty = (
        jax.tree.map(jnp.asarray, {"values": jnp.where(mask, full, under), "mask": mask}) for under in (0.0, 1e9)
    )
    assert np.array_equal(model.log_joint(x, z), model.log_joint(dirty, z))
    assert np.array_equal(model.posterior(x).loc, model.posterior(dirty).loc)


@pytest.mark.slow
def test_the_bound_of_what_is_observed_lies_below_its_log_p_by_the_known_bias(data, truth):
    """E[IWAE-k] = log p - Var(w) / (2 k p^2) + ...: close with many samples, and far below with one (the ELBO)."""
    x = jax.tree.map(jnp.asarray, as_x(*data))
    log_p = np.array([row[0] for row in truth])
    many = -iwax.per_example_loss(linear_model(), iwax.IWAE(num_samples=512), x, jax.random.key(3))
    one = -iwax.per_example_loss(linear_model(), iwax.ELBO(num_samples=1), x, jax.random.key(3))
    assert -0.05 < np.mean(many - log_p) < 0.02
    assert np.mean(one - log_p) < -0.5


def test_conditional_means_are_exact_within_an_honest_monte_carlo_error(data, truth, found):
    z = (cells(data, found.mean) - exact(data, truth, "mean")) / cells(data, found.mc_error)
    assert abs(z).max() < 5
    assert 0.8 < np.mean(z**2) < 1.3
    plain = np.asarray(linear_model().posterior(as_x(*data)).loc) @ W.T + OFFSET  # the weights left out: the control
    assert np.mean(((cells(data, plain) - exact(data, truth, "mean")) / cells(data, found.mc_error)) ** 2) > 10


def test_standard_deviations_are_those_of_what_is_missing_given_what_is_observed(data, truth, found):
    ratio = cells(data, found.sd) ** 2 / exact(data, truth, "variance")
    assert abs(np.mean(ratio) - 1) < 0.02
    assert np.quantile(abs(ratio - 1), 0.9) < 0.2


def test_multiple_imputations_have_the_mean_and_covariance_of_the_closed_form(data, truth, found):
    """Of the draws of a row, whitened by the exact law: mean 0 and covariance 1, averaged over rows."""
    whole, products = [], []
    for (_, mean, covariance), draws, mask in zip(truth, found.draws, data[1], strict=True):
        if (~mask).sum() >= 2:
            white = np.linalg.solve(np.linalg.cholesky(covariance), (draws[:, ~mask] - mean).T)[:2]
            whole.append(white.mean(axis=1))
            products.append(white @ white.T / DRAWS)
    count = len(whole) * DRAWS
    assert abs(np.mean(whole, axis=0) * count**0.5).max() < 5
    # Draws of a row share its samples, so that they vary together a little more than independent ones.
    assert np.allclose(np.mean(products, axis=0), np.eye(2), atol=8 / count**0.5)
    unmixed = np.mean([np.diag(product) for product in products], axis=0)
    assert abs(unmixed - 0.8).min() > 8 / count**0.5  # the control: a variance that is off by a fifth is seen


def test_intervals_of_multiple_imputations_cover_as_often_as_they_say(data, found):
    full, mask = data
    low, high = np.quantile(found.draws, [0.05, 0.95], axis=1)
    covered = ((low <= full) & (full <= high))[~mask]
    error = (0.9 * 0.1 / len(covered)) ** 0.5
    assert abs(covered.mean() - 0.897) < 4 * error  # quantiles of 200 draws lie a little inside
    half = (low + high) / 2, (high - low) / 4
    assert (abs(full - half[0]) <= half[1])[~mask].mean() < 0.9 - 10 * error


def test_in_the_units_of_a_table_densities_are_of_its_values_and_all_else_scales(data, found):
    """A table of ten times the numbers: log p falls by log 10 for each value that is observed."""
    full, mask = data
    columns = tuple(Column(f"c{j}", "gaussian", shift=0.0, scale=10.0) for j in range(len(W)))
    table = [np.where(mask[:, j], 10 * as_x(full, mask)["values"][:, j].astype(float), np.nan) for j in range(len(W))]
    own = FittedTable(columns, linear_model(), []).impute(table, jax.random.key(1), num_samples=SAMPLES, multiple=2)
    exact = found.log_likelihood - mask.sum(axis=1) * np.log(10)
    assert np.allclose(own.log_likelihood, exact, atol=1e-3)
    assert abs(own.log_likelihood - found.log_likelihood).min() > 1  # the control: the model's numbers
    completed, error = np.stack(own.completed, axis=1), np.stack(own.mc_error, axis=1)
    assert np.allclose(completed, np.where(mask, 10 * full, 10 * found.mean), rtol=1e-4, atol=1e-3)
    assert np.allclose(error[~mask], 10 * found.mc_error[~mask], rtol=1e-4)
    assert np.isnan(error[mask]).all()
    drawn = np.stack(own.multiple[1], axis=1)
    assert np.allclose(drawn[~mask], 10 * found.draws[:, 1][~mask], rtol=1e-4, atol=1e-3)
    low, high = np.stack(own.lower, axis=1), np.stack(own.upper, axis=1)
    assert (low <= high).all()
    assert (low[mask] == high[mask]).all()


@pytest.mark.slow
def test_sizes_of_batches_change_rounding_only(data):
    x = jax.tree.map(lambda leaf: leaf[:9], as_x(*data))
    whole, cut = (
        impute_rows(linear_model(), x, jax.random.key(4), num_samples=1100, num_draws=3, rows=rows) for rows in (9, 4)
    )
    for name, values in vars(whole).items():
        assert np.allclose(values, getattr(cut, name), rtol=1e-4, atol=1e-4, equal_nan=True), name


@pytest.mark.slow
def test_self_masking_moves_the_answer_by_the_known_amount_and_ignoring_it_does_not():
    """x_2 is the likelier missing the larger it is: by quadrature its mean given x_1 and that it is missing."""
    weight, offset, noise = W[:2], OFFSET[:2], NOISE[:2]
    slope, level = -3.0, -3.0  # log-odds that x_2 is observed
    model = linear_model(weight, offset, noise, missingness="self-masking", pull=0.1)
    model = eqx.tree_at(
        lambda m: (m.generative.missingness.raw_slope, m.generative.missingness.raw_offset),
        model,
        (jnp.array([0.0, slope]) / SPEED, jnp.array([0.0, level]) / SPEED),
    )
    x1 = np.linspace(-2, 2, 7)
    x = as_x(np.stack([x1, np.zeros(7)], axis=1), np.array([[True, False]] * 7))
    covariance = weight @ weight.T + np.diag(noise**2)
    mean = offset[1] + covariance[0, 1] / covariance[0, 0] * (x1 - offset[0])
    sd = (covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0]) ** 0.5
    grid = np.linspace(-8, 8, 4001)[:, None] * sd + mean
    weights = norm.pdf(grid, mean, sd) * expit(-(slope * grid + level))
    exact, log_p = (weights * grid).sum(axis=0) / weights.sum(axis=0), np.log(weights.sum(axis=0) * 16 * sd / 4000)
    log_p += norm.logpdf(x1, offset[0], covariance[0, 0] ** 0.5) + np.log(0.5)  # and of the mask of x_1
    own = impute_rows(model, x, jax.random.key(5), num_samples=8192)
    assert abs((own.mean[:, 1] - exact) / own.mc_error[:, 1]).max() < 4
    assert abs(own.log_likelihood - log_p).max() < 0.1
    ignorable = impute_rows(linear_model(weight, offset, noise), x, jax.random.key(5), num_samples=8192)
    assert abs((ignorable.mean[:, 1] - mean) / ignorable.mc_error[:, 1]).max() < 4
    assert np.median(abs(exact - mean) / own.mc_error[:, 1]) > 10  # the known bias of ignoring it


@pytest.mark.slow
def test_trained_on_values_that_vanish_above_a_threshold_it_comes_nearer_than_ignoring_that():
    """x_2 = x_1 + noise, missing wherever it is above 0.5: of normal data the means of what is missing are known."""
    rng = np.random.default_rng(0)
    x1 = rng.standard_normal(1000)
    x2 = 0.6 * x1 + 0.8 * rng.standard_normal(1000)
    hidden = x2 > 0.5
    holed = np.stack([x1, np.where(hidden, np.nan, x2)], axis=1)
    cut = (0.5 - 0.6 * x1[hidden]) / 0.8
    exact = 0.6 * x1[hidden] + 0.8 * norm.pdf(cut) / norm.sf(cut)  # of a normal value known to be above 0.5

    def error(missingness):
        small = {"latent_size": 2, "hidden_sizes": (32,), "epochs": 150, "num_samples": 200, "random_state": 0}
        completed = Imputer(kinds="gaussian", missingness=missingness, **small).fit_transform(holed)
        return float(np.abs(completed[hidden, 1] - exact).mean())

    right, ignorable, wrong = map(error, ("self-masking-above", "ignorable", "self-masking-below"))
    assert right < 0.7 * ignorable  # not zero: how the density falls where nothing is seen, the model makes up
    assert wrong > ignorable  # of the wrong direction: small values, which are all there, would be what is missing
