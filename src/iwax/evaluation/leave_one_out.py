"""The jackknife of log p^: its bias and error from leaving out one sample at a time, without keeping the samples.

Leaving out a weight of share w~ moves log p^ by log(1 - w~) - log(1 - 1/k). The delta method takes that for linear,
which makes its error and bias small where one weight holds nearly all; the jackknife does not.
"""

import numpy as np

from iwax.evaluation.pareto import tail_size
from iwax.evaluation.streaming import Tally

__all__ = ["jackknife", "kept_size"]

FEW = 64  # weights that are kept in any case


def kept_size(num_samples: int) -> int:
    """How many of the largest weights a tally must keep: those that k-hat wants, and all of a few."""
    return max(tail_size(num_samples) + 1, min(num_samples, FEW))


def jackknife(tally: Tally) -> tuple[np.ndarray, np.ndarray]:
    """Bias and standard error of log p^ of each example in nats, (N,) each.

    NaN for one sample and where log p^ is not finite; infinite where one sample alone has weight.

    With c_i = (k w~_i - 1) / (k - 1), leaving out sample i moves log p^ by log(1 - c_i). The sums of c and c^2 over all
    samples are known, and the largest weights are kept; of the others, each below their 64th or M-th, c^3 is left out.

        bias    = (k - 1) / k sum_i log(1 - c_i)        about -mc_error^2 / 2 for weights that are near equal
        error^2 = (k - 1) / k (sum_i log(1 - c_i)^2 - (sum_i log(1 - c_i))^2 / k)

    Reference: Efron and Stein, "The jackknife estimate of variance" (Annals of Statistics 9, 1981).
    """
    k = tally.num_samples
    with np.errstate(all="ignore"):  # what is not finite ends as NaN
        share = np.exp(tally.tail - tally.maximum[:, None]) / tally.first[:, None]
        c = (share - 1 / k) * (k / np.float64(k - 1))
        moved = np.log1p(-np.minimum(c, 0.75))
        largest = np.argmax(tally.tail, axis=1)[:, None]
        np.put_along_axis(moved, largest, (_log_without_largest(tally) - np.log1p(-1 / k))[:, None], axis=1)
        squares = tally.relative_variance * (k / np.float64(k - 1)) ** 2  # sum of c^2 over all samples
        first = -squares / 2 + np.sum(moved + c + c**2 / 2, axis=1)
        second = squares + np.sum(moved**2 - c**2, axis=1)
        error = np.sqrt(np.maximum((k - 1) / k * (second - first**2 / k), 0))
        return (k - 1) / k * first, np.where(first == -np.inf, np.inf, error)


def _log_without_largest(tally: Tally) -> np.ndarray:
    """log(1 - w~) of the largest weight, also where w~ is 1 up to rounding and the rest is in the tail alone."""
    tail = np.sort(tally.tail, axis=1) - tally.maximum[:, None]
    outside = tally.first - np.exp(tail).sum(axis=1)  # the sum of the weights that are not kept
    most = np.log(tally.num_samples - tail.shape[1]) + tail[:, 0]  # none of them exceeds the smallest that is
    others = np.logaddexp.reduce(tail[:, :-1], axis=1) if tail.shape[1] > 1 else np.full(len(tail), -np.inf)
    return np.logaddexp(others, np.minimum(np.log(np.maximum(outside, 0)), most)) - np.log(tally.first)
