"""A latent-variable model of tables with missing values, whose log-joint is that of what is observed.

    p(x_obs, z) = N(z; 0, I) prod_(j observed) p(x_j | z)          q(z | x_obs) = N(mu(x_obs), diag sigma(x_obs)^2)

The integral over the missing values is done: they drop out of the product. So log p(x_obs, z) is the log-joint of a
model like any other, and every objective, estimator and evaluation works on it. Ignoring how values came to be missing
is right where that depends on what is observed only (missing at random). Else `missingness` adds p(s | x) of the mask
s (`iwax.impute.missingness`), in which the missing values are drawn with z:

    p(x_obs, s, z, e) = N(z; 0, I) N(e; 0, I) prod_(j observed) p(x_j | z) p(s | x_obs, x_mis)
    x_mis             = mu(z) + sigma(z) e

References: Mattei and Frellsen, "MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets" (2019),
arXiv:1812.02633; Ipsen, Mattei and Frellsen, "not-MIWAE" (2021), arXiv:2006.12871.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from iwax.checks import check_choice
from iwax.errors import IwaxError
from iwax.impute.columns import COUNTS, Column
from iwax.impute.likelihoods import (
    LARGEST_LOG_RATE,
    LEAST_DF,
    OUTPUTS,
    Binary,
    Categorical,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from iwax.impute.missingness import MISSINGNESS, SelfMasking
from iwax.impute.networks import MLP, Decoder, NoisyDensity
from iwax.models import DiagonalNormal

__all__ = ["TableModel"]

GROUPS = (("continuous",), ("gaussian", "positive"), ("count",), ("poisson",), ("binary",), ("categorical",))
"""Kinds that are computed together, in the order of the decoder's outputs."""
NORMAL = GROUPS.index(("gaussian", "positive"))
LEAST_SCALE = 1e-2  # of a column whose standard deviation is 1
SIZE_LIMIT = 7.0  # of the log-size of a negative binomial: beyond it, float32 knows no difference from Poisson


class _Generative(eqx.Module):
    decoder: Decoder
    missingness: SelfMasking | None


class TableModel(eqx.Module):
    """The model of the head of this module, for columns of any kinds.

    x is {"values": (*batch, columns), "mask": (*batch, columns)} as `iwax.impute.encode` makes it: mask true where a
    value is observed; what stands under a false one is never looked at.

    Arguments:
        columns: of the table, as `iwax.impute.fit_columns` finds them.
        latent_size: of z.
        hidden_sizes: widths of the hidden layers of both networks.
        key: for the weights.
        constant_spreads: whether a column's spread (and degrees of freedom) given z is the same for all z. Where there
            are a few hundred rows, a network that makes it from z learns by heart how far each value is off.
        missingness: "ignorable"; or "self-masking" (linear), "self-masking-above" or "-below" (linear, large or small
            values go missing) or "self-masking-nonlinear", for columns "gaussian" and "positive": those of other kinds
            count as missing at random.

    >>> columns = (Column("a", "gaussian"), Column("b", "gaussian"))
    >>> model = TableModel(columns, latent_size=2, hidden_sizes=[8], key=jax.random.key(0))
    >>> x = {"values": jnp.ones((3, 2)), "mask": jnp.array([[True, False]] * 3)}
    >>> model.log_joint(x, jnp.zeros((5, 3, 2))).shape
    (5, 3)
    """

    generative: _Generative
    inference: MLP
    columns: tuple[Column, ...] = eqx.field(static=True)
    """Their kinds, without names; `FittedTable.columns` has all."""
    latent_size: int = eqx.field(static=True)

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        latent_size: int = 10,
        hidden_sizes: Sequence[int] = (128, 128),
        key: PRNGKeyArray,
        missingness: str = "ignorable",
        constant_spreads: bool = False,
    ) -> None:
        check_choice("missingness", missingness, MISSINGNESS)
        self.columns, self.latent_size = tuple(map(_bare, columns)), latent_size
        columns = self.columns
        keys = jax.random.split(key, 3)
        num_features = sum(column.width for column in columns) + len(columns)
        masking = None
        if missingness != "ignorable":
            if not len(self._members[NORMAL]):
                raise IwaxError(
                    f"Expected a column of kind 'gaussian' or 'positive' for missingness={missingness!r}; got none."
                )
            masking = SelfMasking(len(self._members[NORMAL]), missingness, key=keys[2])
        decoder = Decoder(latent_size, tuple(reversed(hidden_sizes)), self._parts(), constant_spreads, key=keys[0])
        self.generative = _Generative(decoder, masking)
        self.inference = MLP((num_features, *hidden_sizes, 2 * latent_size), key=keys[1])

    @property
    def prior(self) -> DiagonalNormal | NoisyDensity:
        """p(z) = N(0, I), and with `missingness` N(0, I) for the noise of missing values."""
        zeros = jnp.zeros(self.latent_size)
        code = DiagonalNormal(zeros, zeros)
        return code if self.generative.missingness is None else NoisyDensity(code, self._noise(()))

    def posterior(self, x: PyTree) -> DiagonalNormal | NoisyDensity:
        """q(z | x_obs)."""
        loc, log_scale = jnp.split(self.inference(self._features(x)), 2, axis=-1)
        code = DiagonalNormal(loc, log_scale)
        return code if self.generative.missingness is None else NoisyDensity(code, self._noise(loc.shape[:-1]))

    def log_joint(self, x: PyTree, z: PyTree) -> Float[Array, "samples *batch"]:
        """log p(x_obs, z) in nats of the model's numbers, and of the mask, too, with `missingness`."""
        densities = self.densities(z)
        log_p = self.prior.log_prob(z)
        for members, density in zip(self._members, densities, strict=True):
            if density is not None:
                mask = x["mask"][..., members]
                value = jnp.where(mask, x["values"][..., members], 1.0)  # any that every kind has
                log_p += jnp.sum(jnp.where(mask, density.log_prob(value), 0), axis=-1)
        if self.generative.missingness is not None:
            members, normal = self._members[NORMAL], densities[NORMAL]
            mask = x["mask"][..., members]
            values = jnp.where(mask, x["values"][..., members], normal.from_noise(z.noise))
            log_p += jnp.sum(self.generative.missingness.log_prob(mask, values), axis=-1)
        return log_p

    def densities(self, z: PyTree) -> list[Any]:
        """p(x_j | z) of the columns of each of `GROUPS`, None where there are none."""
        outputs = self.generative.decoder(z.code if self.generative.missingness is not None else z)
        found = []
        for kinds, members, own in zip(GROUPS, self._members, outputs, strict=True):
            width = max((self._categories(self.columns[j]) for j in members), default=0)
            found.append(self._density(kinds[0], members, own, width) if len(members) else None)
        return found

    def moments(self, z: PyTree) -> tuple[Float[Array, "*shape numbers"], Float[Array, "*shape numbers"]]:
        """Mean and variance given z of each number that describes a column, in the order of `slots`.

        With `missingness` those of its columns are the values that were drawn, of no variance.
        """
        means, variances = [], []
        for group, density in enumerate(self.densities(z)):
            if density is None:
                continue
            mean, variance = density.moments()
            if group == NORMAL and self.generative.missingness is not None:
                mean = density.value(density.from_noise(z.noise))
                variance = jnp.zeros_like(mean)
            means.append(mean)
            variances.append(variance)
        return jnp.concatenate(means, axis=-1), jnp.concatenate(variances, axis=-1)

    def sample_columns(self, z: PyTree, key: PRNGKeyArray) -> Float[Array, "*shape columns"]:
        """The model's numbers of all columns drawn given z; with `missingness`, those that were drawn with it."""
        parts = []
        for group, density in enumerate(self.densities(z)):
            if density is None:
                continue
            drawn = group == NORMAL and self.generative.missingness is not None
            parts.append(density.from_noise(z.noise) if drawn else density.sample(jax.random.fold_in(key, group)))
        order = np.argsort(np.concatenate(self._members))
        return jnp.concatenate(parts, axis=-1)[..., order]

    def widened(self, by: float) -> "TableModel":
        """The same model with larger spreads given z: `by` more before the softplus that makes a standard deviation of
        an output, and so much less for the log-size of a negative binomial; other kinds have no spread of their own."""
        signs = {("continuous",): (1, 0), ("gaussian", "positive"): (1,), ("count",): (-1,)}  # df stays as it is
        shifts = [by * np.repeat(signs.get(kinds, ()), len(m)) for kinds, m in zip(GROUPS, self._members, strict=True)]
        return eqx.tree_at(_decoder, self, self.generative.decoder.shifted(np.concatenate(shifts)))

    @property
    def slots(self) -> list[slice]:
        """Where the numbers of each column stand in `moments`."""
        found: dict[int, slice] = {}
        start = 0
        for members in self._members:
            width = max((self.columns[j].width for j in members), default=0)
            for j in members:
                found[int(j)] = slice(start, start + self.columns[j].width)
                start += width
        return [found[j] for j in range(len(self.columns))]

    def _parts(self) -> list[tuple[int, int]]:
        """How many outputs of each of `GROUPS` are locations and how many spreads."""
        sizes = [sum(self._categories(self.columns[j]) for j in members) for members in self._members]
        return [(size, (OUTPUTS[kinds[0]] - 1) * size) for kinds, size in zip(GROUPS, sizes, strict=True)]

    @property
    def _members(self) -> list[np.ndarray]:
        """The columns of each of `GROUPS`."""
        return [np.array([j for j, c in enumerate(self.columns) if c.kind in kinds], int) for kinds in GROUPS]

    def _noise(self, batch: tuple[int, ...]) -> DiagonalNormal:
        zeros = jnp.zeros((*batch, len(self._members[NORMAL])))
        return DiagonalNormal(zeros, zeros)

    @staticmethod
    def _categories(column: Column) -> int:
        return len(column.categories) if column.kind == "categorical" else 1

    def _statistics(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = [self.columns[j] for j in members]
        return np.array([c.shift for c in columns], np.float32), np.array([c.scale for c in columns], np.float32)

    def _density(self, kind: str, members: np.ndarray, outputs: Array, width: int) -> Any:
        if kind == "categorical":
            return self._categorical(members, outputs, width)
        parts = jnp.split(outputs, OUTPUTS[kind], axis=-1)
        if kind == "continuous":
            return StudentT(parts[0], _log_scale(parts[1]), LEAST_DF + jax.nn.softplus(parts[2]))
        if kind == "gaussian":
            is_log = np.array([self.columns[j].kind == "positive" for j in members])
            return Normal(parts[0], _log_scale(parts[1]), jnp.where(is_log, self._statistics(members)[1], 0.0))
        if kind == "binary":
            return Binary(parts[0])
        shift, scale = self._statistics(members)
        log_rate = jnp.minimum(shift + scale * parts[0], LARGEST_LOG_RATE)
        if kind == "poisson":
            return Poisson(log_rate)
        return NegativeBinomial(log_rate, SIZE_LIMIT * jnp.tanh(parts[1] / SIZE_LIMIT))

    def _categorical(self, members: np.ndarray, outputs: Array, width: int) -> Categorical:
        logits = jnp.full((*outputs.shape[:-1], len(members), width), -jnp.inf, outputs.dtype)
        start = 0
        for i, j in enumerate(members):
            size = self.columns[j].width
            logits = logits.at[..., i, :size].set(outputs[..., start : start + size])
            start += size
        return Categorical(logits)

    def _features(self, x: PyTree) -> Float[Array, "*batch features"]:
        """What the encoder sees: numbers of about unit size, zero where they are missing, and the mask."""
        values: Array = x["values"]
        mask: Bool[Array, "*batch columns"] = x["mask"]
        parts = []
        for kinds, members in zip(GROUPS, self._members, strict=True):
            if not len(members):
                continue
            own, seen = values[..., members], mask[..., members]
            if kinds[0] in COUNTS:
                shift, scale = self._statistics(members)
                own = (jnp.log1p(jnp.where(seen, own, 0)) - shift) / scale
            if kinds == ("binary",):
                own = 2 * own - 1
            if kinds == ("categorical",):
                parts += [
                    jnp.where(seen[..., i, None], jax.nn.one_hot(own[..., i].astype(int), self.columns[j].width), 0)
                    for i, j in enumerate(members)
                ]
            else:
                parts.append(jnp.where(seen, own, 0))
        return jnp.concatenate([*parts, mask.astype(parts[0].dtype)], axis=-1)


def _decoder(model: TableModel) -> Any:  # `tree_at` asks it of stand-ins, too
    return model.generative.decoder


def _bare(column: Column) -> Column:
    """What the densities need of a column, so that models of like tables share compiled programs."""
    codes = tuple(range(len(column.categories)))
    if column.kind in (*COUNTS, "positive"):
        return dataclasses.replace(column, name="")
    return Column("", column.kind, categories=codes)


def _log_scale(output: Array) -> Array:
    return jnp.log(LEAST_SCALE + jax.nn.softplus(output))
