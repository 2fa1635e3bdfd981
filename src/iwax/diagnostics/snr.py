"""Signal-to-noise of gradient estimators: how much of a stochastic gradient is gradient.

A replicate is one gradient g as training would take it: new samples of z, averaged over the N examples. Per parameter

    SNR = |E g| / sd(g)

and for a group of parameters, u being the direction of E g (or another one that is given), the directional

    DSNR = E[ |g_along| / |g_across| ],     g_along = (g . u) u,   g_across = g - g_along

Reference: Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better" (2018), arXiv:1802.04537.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree
from scipy.special import ndtri

from iwax.checks import check_positive_integer
from iwax.diagnostics.moments import Moments
from iwax.diagnostics.replicates import GROUPS, group_size, num_examples_of, parameter_group, stream_gradients
from iwax.errors import IwaxError
from iwax.evaluation import ROWS
from iwax.keys import check_key
from iwax.models import Model
from iwax.objectives import AbstractObjective, check_objective

__all__ = ["Directional", "GradientSNR", "GroupSNR", "gradient_snr"]


class Directional(NamedTuple):
    """A directional signal-to-noise ratio and its standard error."""

    value: float
    error: float


@dataclasses.dataclass(frozen=True, eq=False)
class GroupSNR:
    """Signal and noise of the gradient of one group of parameters.

    Pytrees have the structure of the group and hold float64 arrays, one number per parameter.

    Attributes:
        mean: E g, uphill on the bound, in nats per unit of the parameter.
        mean_error: its standard error.
        sd: standard deviation of g, in the same units.
        skewness: of g; kurtosis likewise (3 for a normal distribution). Both enter the error of the SNR.
        dsnr: directional SNR along the mean of the first half of the replicates, measured on the other half. Where
            the mean is lost in noise its direction is too, and this is too low: prefer `dsnr_along`.
        dsnr_along: the same along a given direction, from all replicates; None if none was given.
        num_replicates: how many gradients these are from.
    """

    mean: PyTree
    mean_error: PyTree
    sd: PyTree
    skewness: PyTree
    kurtosis: PyTree
    dsnr: Directional
    dsnr_along: Directional | None
    num_replicates: int

    @property
    def snr(self) -> PyTree:
        """|mean| / sd of each parameter; NaN where the gradient is always zero.

        A parameter without any signal still shows about 0.8 / sqrt(replicates), hence `interval`.
        """
        return jax.tree.map(lambda mean, sd: _divide(np.abs(mean), sd), self.mean, self.sd)

    @property
    def snr_error(self) -> PyTree:
        """Standard error of mean / sd by the delta method, for gradients of any distribution with four moments.

        With r = mean / sd:  error^2 = (mean_error / sd)^2 + (-r skewness + r^2 (kurtosis - 1) / 4) / replicates.
        """
        return jax.tree.map(self._error, self.mean, self.mean_error, self.sd, self.skewness, self.kurtosis)

    def interval(self, level: float = 0.95) -> tuple[PyTree, PyTree]:
        """Lower and upper ends of a confidence interval for the SNR of each parameter.

        The normal interval of mean / sd, folded at zero: it begins at 0 where the sign of the mean is in doubt.

        Raises:
            ValueError: a level that is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise IwaxError(f"Expected level to be between 0 and 1; got {level!r}.")
        width = float(ndtri((1 + level) / 2))
        low = jax.tree.map(lambda snr, error: np.maximum(snr - width * error, 0), self.snr, self.snr_error)
        return low, jax.tree.map(lambda snr, error: snr + width * error, self.snr, self.snr_error)

    def with_mean_of(self, other: "GroupSNR") -> "GroupSNR":
        """The same noise under the signal of another, independent estimator with the same expectation.

        The mean of the plain estimator is soon lost in its noise; that of the doubly-reparameterized one is not.
        """
        none = jax.tree.map(np.zeros_like, self.skewness)  # the two are independent: no covariance of mean and sd
        return dataclasses.replace(self, mean=other.mean, mean_error=other.mean_error, skewness=none)

    def summary(self) -> dict[str, Any]:
        """The group in a few numbers, over its parameters with a gradient: JSON can hold it.

        `snr_error` is the mean of the parameters' errors, an upper limit of the error of the mean SNR.
        """
        snr, error = flat(self.snr), flat(self.snr_error)
        alive = ~np.isnan(snr)
        quartiles = np.quantile(snr[alive], (0.25, 0.5, 0.75)).tolist() if alive.any() else [float("nan")] * 3
        along = self.dsnr_along
        return {
            "parameters": len(snr),
            "without_gradient": int(np.sum(~alive)),
            "snr": float(np.mean(snr[alive])) if alive.any() else float("nan"),
            "snr_error": float(np.mean(error[alive])) if alive.any() else float("nan"),
            "snr_quartiles": quartiles,
            "dsnr": self.dsnr.value,
            "dsnr_error": self.dsnr.error,
            **({} if along is None else {"dsnr_along": along.value, "dsnr_along_error": along.error}),
        }

    def _error(
        self, mean: np.ndarray, mean_error: np.ndarray, sd: np.ndarray, skewness: np.ndarray, kurtosis: np.ndarray
    ) -> np.ndarray:
        r = _divide(mean, sd)
        of_sd = (r**2 * (kurtosis - 1) / 4 - r * skewness) / self.num_replicates
        return np.sqrt(np.maximum(_divide(mean_error, sd) ** 2 + of_sd, 0))


@dataclasses.dataclass(frozen=True, eq=False)
class GradientSNR:
    """What `gradient_snr` found, for the two groups of parameters."""

    generative: GroupSNR
    inference: GroupSNR
    num_examples: int
    """N, over which each gradient is averaged."""

    def with_mean_of(self, other: "GradientSNR") -> "GradientSNR":
        """The noise of this one under the signal of `other`, which has the same expectation; see `GroupSNR`."""
        groups = {name: getattr(self, name).with_mean_of(getattr(other, name)) for name in GROUPS}
        return dataclasses.replace(self, **groups)

    def summary(self) -> dict[str, Any]:
        """Both groups in a few numbers; see `GroupSNR.summary`."""
        return {name: getattr(self, name).summary() for name in GROUPS} | {
            "num_replicates": self.generative.num_replicates,
            "num_examples": self.num_examples,
        }


def gradient_snr(
    model: Model,
    objective: AbstractObjective,
    x: PyTree,
    key: PRNGKeyArray,
    *,
    num_replicates: int = 1000,
    direction: tuple[PyTree, PyTree] | None = None,
    rows: int = ROWS,
    on_batch: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> GradientSNR:
    """Signal and noise of the gradient of `iwax.loss`, per parameter, with confidence intervals.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        objective: the bound and gradient estimator.
        x: a batch of N examples as the model takes them (binarised already), (N, *event).
        key: seed of all samples.
        num_replicates: gradients to take, at least 4; the error of an SNR is about 1 / sqrt(num_replicates).
        direction: of `dsnr_along`: two pytrees like model.generative and model.inference, such as the mean gradients
            at a large K.
        rows: (example, sample) pairs on the device at a time (the samples of one example stay together); memory
            grows neither with N nor with num_replicates.
        on_batch: called with the gradients of each batch of replicates, uphill and flat: two arrays (batch,
            parameters), generative and inference.

    Raises:
        ValueError: fewer than 4 replicates, no examples, or a model without the two groups of parameters.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = model.sample(jax.random.key(0), 10)
    >>> found = gradient_snr(model, iwax.IWAE(num_samples=4), x, jax.random.key(1), num_replicates=100)
    >>> found.inference.snr.offset.shape
    (2,)
    """
    check_objective(objective)
    check_key(key)
    check_positive_integer("num_replicates", num_replicates, 4)
    check_positive_integer("rows", rows)
    num_examples = num_examples_of(x)
    groups = {name: parameter_group(model, name) for name in GROUPS}
    directions = dict(zip(GROUPS, (None, None) if direction is None else map(flat, direction), strict=True))
    tallies = {name: _Tally(group_size(groups[name]), num_replicates, directions[name]) for name in GROUPS}
    chunk = max(1, min(num_examples, rows // objective.total_samples))
    for batch in stream_gradients(model, objective, x, key, num_replicates, chunk):
        for name in GROUPS:
            tallies[name].add(batch[name])
        if on_batch is not None:
            on_batch(batch["generative"], batch["inference"])
    return GradientSNR(
        **{name: tallies[name].result(groups[name]) for name in GROUPS},
        num_examples=num_examples,
    )


def flat(tree: PyTree) -> np.ndarray:
    """All numbers of a pytree of arrays, one after another."""
    return np.concatenate([np.zeros(0), *(np.ravel(leaf) for leaf in jax.tree.leaves(tree))])


class _Tally:
    """What is kept of the stream of gradients of one group."""

    def __init__(self, size: int, num_replicates: int, direction: np.ndarray | None) -> None:
        if direction is not None and direction.size != size:
            raise IwaxError(
                f"Expected direction to have as many numbers as its group has parameters, {size}; got {direction.size}."
            )
        self.moments, self.half = Moments(size), num_replicates // 2
        self.direction, self.own_direction = direction, np.zeros(0)
        self.along, self.along_own = [np.zeros(0)], [np.zeros(0)]

    def add(self, gradients: np.ndarray) -> None:
        if self.direction is not None:
            self.along.append(_direction_ratios(gradients, self.direction))
        left = max(0, self.half - self.moments.count)  # of the half that gives the direction of the other one
        for part in (gradients[:left], gradients[left:]):
            if self.own_direction.size:
                self.along_own.append(_direction_ratios(part, self.own_direction))
            if len(part):
                self.moments.add(part)
            if not self.own_direction.size and self.moments.count == self.half:
                self.own_direction = self.moments.mean

    def result(self, group: PyTree) -> GroupSNR:
        moments = self.moments

        def tree(values: np.ndarray) -> PyTree:
            leaves, structure = jax.tree.flatten(group)
            parts = np.split(values, np.cumsum([leaf.size for leaf in leaves])[:-1])
            shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=bool(leaves))]
            return jax.tree.unflatten(structure, shaped)

        return GroupSNR(
            mean=tree(moments.mean),
            mean_error=tree(moments.sd / moments.count**0.5),
            sd=tree(moments.sd),
            skewness=tree(moments.skewness),
            kurtosis=tree(moments.kurtosis),
            dsnr=_mean_and_error(self.along_own),
            dsnr_along=None if self.direction is None else _mean_and_error(self.along),
            num_replicates=moments.count,
        )


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, without a warning: 0 / 0 is NaN, and means that there is neither signal nor noise."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return a / b


def _direction_ratios(gradients: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """|g_along| / |g_across| of each gradient, (batch,)."""
    gradients = np.asarray(gradients, np.float64)
    u = _divide(direction, np.sqrt(np.sum(direction**2, keepdims=True)))
    along = gradients @ u
    return _divide(np.abs(along), np.linalg.norm(gradients - along[:, None] * u, axis=1))


def _mean_and_error(ratios: list[np.ndarray]) -> Directional:
    values = np.concatenate(ratios)
    if not len(values):  # no parameters
        return Directional(float("nan"), float("nan"))
    return Directional(float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5))
