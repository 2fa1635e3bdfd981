"""Two models on the same examples: the paired difference of their log p, and how sure it is.

Examples differ more than models do: the mean log p of each may be known to a nat, and their difference to a hundredth.
So examples are paired, d_i = log p_A(x_i) - log p_B(x_i), and the error is that of the mean of d.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy  # whose `stats` takes a second to import, when it is first used

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError
from iwax.evaluation.pareto import LIMIT, has_tail
from iwax.evaluation.result import Evaluation, standard_error

__all__ = ["Comparison", "compare_evaluations"]

LEVEL = 0.95
CLEAR = 2  # Monte-Carlo errors from which on an example prefers one of the two
AT_A_TIME = 2**20  # numbers of a bootstrap


@dataclasses.dataclass(frozen=True)
class Comparison:
    """log p of a first model less that of a second, on the same examples; in nats.

    Attributes:
        differences: d_i of each example, (N,).
        mc_error: its standard error from the finite number of samples of both, (N,); too small where k-hat is above
            0.5.
        difference: their mean.
        error: its standard error over the examples; the Monte-Carlo noise of each example is part of their spread.
        difference_mc_error: the part of it that more samples would take away.
        difference_jackknife: the difference of both means less their biases by the jackknife.
        t_interval: of the mean, 95 %, by Student's t.
        bootstrap_interval: the same by resampling examples; it differs where a few examples decide.
        khat_above_limit: fraction of the examples where k-hat of one of the two is above 0.7; NaN if not known.
        notes: what stands in the way of the comparison.
    """

    differences: np.ndarray
    mc_error: np.ndarray
    difference: float
    error: float
    difference_mc_error: float
    difference_jackknife: float
    t_interval: tuple[float, float]
    bootstrap_interval: tuple[float, float]
    khat_above_limit: float
    notes: tuple[str, ...] = ()

    @property
    def prefer(self) -> tuple[int, int, int]:
        """How many examples prefer the first, how many the second, and how many are within two Monte-Carlo errors."""
        with np.errstate(invalid="ignore"):
            first, second = (int(np.sum(sign * self.differences > CLEAR * self.mc_error)) for sign in (1, -1))
        return first, second, len(self.differences) - first - second

    def summary(self) -> dict[str, Any]:
        """All of it but the values of each example; None stands for what is not finite."""
        first, second, undecided = self.prefer
        found = {
            **{name: getattr(self, name) for name in ("difference", "error", "difference_mc_error")},
            "difference_jackknife": self.difference_jackknife,
            **{"t_interval": list(self.t_interval), "bootstrap_interval": list(self.bootstrap_interval)},
            **{"prefer_first": first, "prefer_second": second, "undecided": undecided},
            "khat_above_0.7": self.khat_above_limit,
            **{"num_examples": len(self.differences), "notes": list(self.notes)},
        }
        return {name: _known(value) for name, value in found.items()}

    def __str__(self) -> str:
        first, second, undecided = self.prefer
        low, high = self.t_interval
        return (
            f"{self.difference:+.3f} ± {self.error:.3f} nats over {len(self.differences)} examples "
            f"(95 %: {low:+.3f} to {high:+.3f}); {first} prefer the first, {second} the second, {undecided} neither"
        )


def compare_evaluations(first: Evaluation, second: Evaluation, *, resamples: int = 2000, seed: int = 0) -> Comparison:
    """The paired difference of log p of two models, with its errors.

        d = (1/N) sum_i [log p_A(x_i) - log p_B(x_i)],    error^2 = (1/N) Var_i(d_i)

    Arguments:
        first: the evaluation of one model.
        second: that of another on the same examples, in the same order.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: they are of other examples.

    Reference: Efron, "Bootstrap methods: another look at the jackknife" (Annals of Statistics 7, 1979).

    >>> import iwax
    >>> rng = np.random.default_rng(0)
    >>> log_p = rng.normal(-90, 20, 100)  # of examples, which differ much
    >>> one, other = (iwax.judge_log_weights(rng.normal(log_p + better, 0.5, (64, 100))) for better in (0.3, 0.0))
    >>> comparison = compare_evaluations(one, other)
    >>> bool(abs(comparison.difference - 0.3) < 3 * comparison.error), bool(comparison.error < 0.02)
    (True, True)
    """
    check_positive_integer("resamples", resamples)
    notes = _check_same_examples(first, second)
    with np.errstate(invalid="ignore"):
        d = first.log_likelihood - second.log_likelihood
    error, mean = standard_error(d), float(np.mean(d))
    mc_error = np.hypot(first.mc_error, second.mc_error)
    half = error * float(scipy.stats.t.ppf((1 + LEVEL) / 2, len(d) - 1)) if len(d) > 1 else math.nan
    return Comparison(
        differences=d,
        mc_error=mc_error,
        difference=mean,
        error=error,
        difference_mc_error=float(np.sqrt(np.sum(mc_error**2)) / len(d)),
        difference_jackknife=mean - (_bias(first) - _bias(second)),
        t_interval=(mean - half, mean + half),
        bootstrap_interval=_bootstrap(d, resamples, seed),
        khat_above_limit=_khat_above(first, second),
        notes=notes,
    )


def _check_same_examples(first: Evaluation, second: Evaluation) -> tuple[str, ...]:
    """What is not known to be the same; raises where something is known to differ."""
    sizes = len(first.log_likelihood), len(second.log_likelihood)
    if sizes[0] != sizes[1]:
        raise IwaxError(
            f"Expected evaluations of the same examples; got {sizes[0]} and {sizes[1]} of them. Judge both on as many: "
            f"num_images={min(sizes)} (--num-images)."
        )
    hashes = first.test_hash, second.test_hash
    if all(hashes) and hashes[0] != hashes[1]:
        raise IwaxError(
            f"Expected evaluations of the same examples; got those of SHA-256 {hashes[0][:16]} and {hashes[1][:16]}. "
            "Judge both with one seed (which binarises) on the same data."
        )
    notes = []
    if not all(hashes):
        notes.append("Nothing says that both were judged on the same examples: one of them has no hash of them.")
    if first.num_samples != second.num_samples:
        notes.append(
            f"log p rests on {first.num_samples} and {second.num_samples} samples, and rises with their number: "
            "compare with as many."
        )
    return tuple(notes)


def _bootstrap(d: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """Percentiles of the mean over examples drawn with replacement."""
    if len(d) < 2 or not np.isfinite(d).all():
        return math.nan, math.nan
    rng, rows = np.random.default_rng(seed), max(1, AT_A_TIME // len(d))
    counts = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    means = np.concatenate([d[rng.integers(0, len(d), (count, len(d)))].mean(axis=1) for count in counts])
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _khat_above(first: Evaluation, second: Evaluation) -> float:
    if not (has_tail(first.num_samples) and has_tail(second.num_samples)):
        return math.nan
    return float(np.mean(~((first.khat <= LIMIT) & (second.khat <= LIMIT))))


def _bias(evaluation: Evaluation) -> float:
    return math.nan if evaluation.jackknife_bias is None else float(np.mean(evaluation.jackknife_bias))


def _known(value: Any) -> Any:
    if isinstance(value, list):
        return [_known(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
