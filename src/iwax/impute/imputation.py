"""Imputation by self-normalised importance sampling, streamed: memory grows neither with samples nor with rows.

With z_s ~ q(z | x_obs), w_s = p(x_obs, z_s) / q(z_s | x_obs) and w~_s = w_s / sum w, for a number m that describes a
missing value,

    E[m | x_obs]    = sum_s w~_s E[m | z_s]
    its Monte-Carlo error^2 = sum_s w~_s^2 (E[m | z_s] - mean)^2
    Var[m | x_obs]  = sum_s w~_s (Var[m | z_s] + E[m | z_s]^2) - mean^2
    draws           : s with probability w~_s, then x_mis ~ p(x_mis | z_s)       (sampling-importance-resampling)
    log p(x_obs)    = log (1/k) sum_s w_s

Draws of s are made in one pass: each block of samples takes the place of what was kept with the probability of its
share of the weight so far. Everything is keyed by row and block, so that sizes of batches change rounding only.

References: Mattei and Frellsen (2019), arXiv:1812.02633, section 4; Rubin, "The calculation of posterior distributions
by data augmentation: Comment" (Journal of the American Statistical Association 82, 1987).
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.checks import check_positive_integer
from iwax.data import num_examples
from iwax.evaluation import Tally, has_tail, pareto_khat, tail_size
from iwax.keys import stream
from iwax.models import Model, checked_log_joint, draw

__all__ = ["RowImputations", "imputation_batches", "impute_rows"]

BLOCK = 64  # samples that share a random key
ROWS = 128  # rows of a table on the device at a time, 64 samples each
BLOCKS = 16  # of samples in one call of the device


@runtime_checkable
class ImputingModel(Model, Protocol):
    """A model of rows that says what a draw of z makes of their columns."""

    def moments(self, z: Any, /) -> Any:
        """Means and variances of the columns' numbers given z, two arrays (*leading, numbers)."""

    def sample_columns(self, z: Any, key: PRNGKeyArray, /) -> Any:
        """A draw of every column given z, (*leading, columns)."""


@dataclasses.dataclass(frozen=True)
class RowImputations:
    """What is found for each row of a table, in the model's numbers, one for each of `TableModel.slots`.

    Attributes:
        mean: E[m | x_obs], (rows, numbers); of all columns, those that are observed included. That of a log-normal
            column may be infinite, which is beyond a float.
        sd: standard deviation of m given x_obs: how uncertain the value is, whatever the number of samples.
        mc_error: standard error of `mean` from the finite number of samples. Both are infinite where a float ends.
        draws: of all columns, (rows, draws, columns).
        log_likelihood: log p^(x_obs) in nats of the model's numbers, (rows,).
        ess: effective samples, (rows,), between 1 and k.
        khat: Pareto k-hat of the weights, (rows,); NaN for fewer than 25 samples.
    """

    mean: np.ndarray
    sd: np.ndarray
    mc_error: np.ndarray
    draws: np.ndarray
    log_likelihood: np.ndarray
    ess: np.ndarray
    khat: np.ndarray

    @classmethod
    def joined(cls, parts: list["RowImputations"]) -> "RowImputations":
        """Those of several batches, in their order."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def impute_rows(model: ImputingModel, x: PyTree, key: PRNGKeyArray, **options: Any) -> RowImputations:
    """`imputation_batches` of all rows in one value."""
    return RowImputations.joined([part for _, part in imputation_batches(model, x, key, **options)])


def imputation_batches(
    model: ImputingModel,
    x: PyTree,
    key: PRNGKeyArray,
    *,
    num_samples: int = 1000,
    num_draws: int = 1,
    rows: int = ROWS,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[tuple[slice, RowImputations]]:
    """Imputations batch by batch of rows: (which rows, what is found for them).

    Arguments:
        model: a `TableModel`, or what has its `posterior`, `log_joint`, `moments` and `sample_columns`.
        x: {"values", "mask"}, (rows, columns) each.
        key: seed of everything that is drawn.
        num_samples: k, of q(z | x_obs) for each row.
        num_draws: draws of the missing values for each row.
        rows: of the table on the device at a time; changes rounding and speed only.
        on_batch: called with the number of rows done, now and then.
    """
    for name, value in (("num_samples", num_samples), ("num_draws", num_draws), ("rows", rows)):
        check_positive_integer(name, value)
    count = num_examples(x)
    calls = -(-num_samples // (BLOCK * BLOCKS))
    blocks = -(-num_samples // (BLOCK * calls))
    keys = stream(key, "imputation samples"), stream(key, "imputed rows"), stream(key, "imputed values")
    for begin in range(0, count, rows):
        examples = slice(begin, min(begin + rows, count))
        # The last batch repeats its last row, so that tables of all sizes share a program.
        indices = np.minimum(np.arange(begin, begin + rows), count - 1)
        own = jax.tree.map(lambda leaf, indices=indices: jnp.asarray(leaf[indices]), x)
        size = examples.stop - begin
        yield examples, _batch(model, own, jnp.asarray(indices), keys, num_samples, num_draws, blocks, size)
        if on_batch is not None:
            on_batch(examples.stop)


class _Sums(eqx.Module):
    """What is kept of the samples of each row; weights are relative to exp(top).

    Second moments are about `origin`, which lies among the values: about zero, float32 would lose the spread of a
    column that is far from it, such as counts of thousands.
    """

    top: Float[Array, "*rows"]
    total: Float[Array, "*rows"]
    squares: Float[Array, "*rows"]
    mean: Float[Array, "*rows numbers"]
    """sum w m"""
    origin: Float[Array, "*rows numbers"]
    about: Float[Array, "*rows numbers"]
    """sum w d, with d = m - origin"""
    second: Float[Array, "*rows numbers"]
    """sum w (d^2 + variance)"""
    square_about: Float[Array, "*rows numbers"]
    """sum w^2 d"""
    square_second: Float[Array, "*rows numbers"]
    """sum w^2 d^2"""
    kept: PyTree
    """The samples drawn so far, every leaf (*rows, draws, *event)."""


def _batch(
    model: ImputingModel,
    x: PyTree,
    indices: Array,
    keys: tuple[PRNGKeyArray, PRNGKeyArray, PRNGKeyArray],
    num_samples: int,
    num_draws: int,
    blocks: int,
    wanted: int,
) -> RowImputations:
    sums = _start(model, x, num_draws)
    tally = Tally(len(indices), num_samples, tail_size=tail_size(num_samples) + 1)
    for first in range(0, -(-num_samples // BLOCK), blocks):
        numbers = jnp.arange(first, first + blocks)
        sums, log_w = _advance(model, x, indices, numbers, keys[:2], jnp.asarray(num_samples), sums)
        tally.add(np.asarray(log_w)[:, : num_samples - first * BLOCK].astype(np.float64))
    mean, sd, mc_error, draws = jax.tree.map(np.asarray, _finish(model, indices, keys[2], sums))
    khat = pareto_khat(tally.tail, num_samples) if has_tail(num_samples) else np.full(len(indices), np.nan)
    found = RowImputations(mean, sd, mc_error, draws, tally.log_mean, tally.ess, khat)
    return RowImputations(**{name: value[:wanted] for name, value in vars(found).items()})


@eqx.filter_jit
def _start(model: ImputingModel, x: PyTree, num_draws: int) -> _Sums:
    def of_row(x: PyTree) -> _Sums:
        posterior = model.posterior(jax.tree.map(lambda leaf: leaf[None], x))
        z = posterior.sample(jax.random.key(0), (num_draws,))
        mean, _ = model.moments(z)
        middle = jnp.median(mean[:, 0], axis=0)
        origin, nothing = jnp.where(jnp.isfinite(middle), middle, 0), jnp.zeros_like(middle)
        zero = jnp.zeros((), nothing.dtype)
        kept = jax.tree.map(lambda leaf: jnp.zeros_like(leaf[:, 0]), z)
        moments = nothing, origin, nothing, nothing, nothing, nothing
        return _Sums(jnp.full_like(zero, -jnp.inf), zero, zero, *moments, kept)

    return jax.vmap(of_row)(x)


@eqx.filter_jit
def _advance(
    model: ImputingModel, x: PyTree, indices: Array, blocks: Array, keys: tuple, limit: Array, sums: _Sums
) -> tuple[_Sums, Float[Array, "rows samples"]]:
    """The sums with `blocks` of samples more, and their log-weights; samples from `limit` on weigh nothing."""

    def of_row(x: PyTree, index: Array, sums: _Sums) -> tuple[_Sums, Array]:
        x = jax.tree.map(lambda leaf: leaf[None], x)
        posterior = model.posterior(x)

        def add(sums: _Sums, block: Array) -> tuple[_Sums, Array]:
            sample_key, row_key = (jax.random.fold_in(jax.random.fold_in(key, index), block) for key in keys)
            z, log_q = draw(posterior, sample_key, BLOCK)
            log_w = (checked_log_joint(model, x, z, log_q, batch=1) - log_q)[:, 0]
            log_w = jnp.where(block * BLOCK + jnp.arange(BLOCK) < limit, log_w, -jnp.inf)
            mean, variance = (moment[:, 0] for moment in model.moments(z))
            z = jax.tree.map(lambda leaf: leaf[:, 0], z)
            return _added(sums, log_w, mean, variance, z, row_key), log_w

        sums, log_w = jax.lax.scan(add, sums, blocks)
        return sums, log_w.reshape(-1)

    return jax.vmap(of_row)(x, indices, sums)


def _added(sums: _Sums, log_w: Array, mean: Array, variance: Array, z: PyTree, key: PRNGKeyArray) -> _Sums:
    """The sums of one row with a block of samples more."""
    top = jnp.maximum(sums.top, jnp.max(log_w))
    shift = jnp.where(jnp.isfinite(top), top, 0)
    w, rescale = jnp.exp(log_w - shift), jnp.exp(sums.top - shift)
    total = sums.total * rescale + jnp.sum(w)
    uniform = jax.random.uniform(key, (2, len(jax.tree.leaves(sums.kept)[0])))
    cumulative = jnp.cumsum(w)
    chosen = jnp.searchsorted(cumulative, uniform[0] * cumulative[-1], side="right")
    replaced = uniform[1] * total < cumulative[-1]
    drawn = jax.tree.map(lambda leaf: leaf[jnp.minimum(chosen, len(w) - 1)], z)
    moments = mean, mean - sums.origin, variance
    mean, about, variance = (jnp.where((w > 0)[:, None], moment, 0) for moment in moments)  # 0 inf is no number

    def either(new: Array, old: Array) -> Array:
        return jnp.where(replaced.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return _Sums(
        top,
        total,
        sums.squares * rescale**2 + jnp.sum(w**2),
        sums.mean * rescale + w @ mean,
        sums.origin,
        sums.about * rescale + w @ about,
        sums.second * rescale + w @ (about**2 + variance),
        sums.square_about * rescale**2 + w**2 @ about,
        sums.square_second * rescale**2 + jnp.sum((w[:, None] * about) ** 2, axis=0),  # d^2 may be beyond a float
        jax.tree.map(either, drawn, sums.kept),
    )


@eqx.filter_jit
def _finish(model: ImputingModel, indices: Array, key: PRNGKeyArray, sums: _Sums) -> tuple[Array, Array, Array, Array]:
    """Mean, standard deviation, Monte-Carlo error and draws of each row."""
    total = sums.total[:, None]
    mean = sums.mean / total
    about = sums.about / total
    sd = jnp.sqrt(jnp.maximum(sums.second / total - about**2, 0))
    squares = sums.square_second - 2 * about * sums.square_about + about**2 * sums.squares[:, None]
    mc_error = jnp.sqrt(jnp.maximum(squares, 0)) / total

    def values(kept: PyTree, index: Array) -> Array:
        return model.sample_columns(kept, jax.random.fold_in(key, index))

    sd, mc_error = (jnp.where(jnp.isnan(error), jnp.inf, error) for error in (sd, mc_error))  # inf - inf
    return mean, sd, mc_error, jax.vmap(values)(sums.kept, indices)
