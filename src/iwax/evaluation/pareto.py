"""Pareto k-hat: can an importance-sampling estimate be trusted? From the largest weights alone.

The weights above a high threshold follow a generalised Pareto distribution, whose shape k says how many of their
moments exist: 1/k. Above 1/2 their variance is infinite, and error bars are too small; above 0.7 the estimate needs
more samples than anyone draws, and its own error bar says nothing. What cannot be fitted counts as the worst, +inf.
"""

import math

import numpy as np

from iwax.errors import IwaxError

__all__ = ["HALF", "LIMIT", "fit_pareto", "has_tail", "khat_advice", "pareto_khat", "tail_size"]

HALF = 0.5  # from here on the variance of the weights is infinite
LIMIT = 0.7  # of Vehtari et al.
TOO_SMALL = (  # scripts/coverage_page.py
    "In simulations of 50 examples the true error of mean log p was 1.0 to 1.4 times the printed Monte-Carlo error at "
    "k-hat 0.5 to 0.7, 1.2 to 2.4 times at 0.7 to 0.8, 3 times at 1 and 9 times at 1.4 (docs/evaluation.md)."
)
SMALLEST_TAIL = 5  # weights that a fit needs, of 25 samples
ROUNDING = 1e-3  # nats by which equal log-weights may differ in single precision


def tail_size(num_samples: int) -> int:
    """M = floor(min(k / 5, 3 sqrt k)): how many of the largest of k weights the fit takes.

    >>> tail_size(5000)
    212
    """
    return math.floor(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def has_tail(num_samples: int) -> bool:
    """Whether so many samples have a tail that can be fitted: 25 or more."""
    return tail_size(num_samples) >= SMALLEST_TAIL


def pareto_khat(largest: np.ndarray, num_samples: int) -> np.ndarray:
    """k-hat of each example from its M + 1 largest log-weights in any order: (N, M + 1) -> (N,).

    The smallest of them is the threshold. Fewer than 25 samples have no tail to fit: k-hat is NaN for every example.
    From 25 on it never is. +inf, the worst, where a weight among the largest is zero, infinite or not a number, and
    where over a quarter of the tail equals the threshold, so that there is no tail to fit; but -inf, the best, if then
    the largest weight occurs five times or more: all equal (a perfect posterior), or of few values and bounded.

    Arguments:
        largest: the `tail_size(num_samples) + 1` largest log-weights of each example, in nats.
        num_samples: k, of which they are the largest.

    Raises:
        ValueError: there are more or fewer of them.

    Reference: Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling" (2015), arXiv:1507.02646;
    as a diagnostic of variational inference, Yao et al. (2018), arXiv:1802.02538.

    >>> exponential = np.random.default_rng(0).exponential(size=(1, 5000))  # log w: w has 1 / k = 2 moments
    >>> bool(abs(pareto_khat(np.sort(exponential / 2)[:, -213:], 5000)[0] - 0.5) < 0.15)
    True
    """
    size = tail_size(num_samples)
    if largest.shape[1] != size + 1:
        raise IwaxError(
            f"Expected largest to hold {size + 1} log-weights for {num_samples} samples; got "
            f"{largest.shape[1]}. tail_size says how many."
        )
    if not has_tail(num_samples):
        return np.full(len(largest), math.nan)
    return np.array([_shape(np.sort(log_w)) for log_w in largest])


def fit_pareto(log_excess: np.ndarray) -> tuple[float, float]:
    """Shape k and log-scale of the generalised Pareto distribution from ascending log-excesses, (M,).

    The posterior mean of b = -k / scale over a grid gives k = mean log(1 - b excess), which a prior of ten observations
    of 1/2 draws in. All in logarithms, in units of the lower quartile, so that nothing underflows at any spread.

    Arguments:
        log_excess: log of how far each weight lies above the threshold; -inf for those at it, fewer than a quarter.

    Reference: Zhang and Stephens, "A new and efficient estimation method for the generalized Pareto distribution"
    (Technometrics 51, 2009); the prior is from Vehtari et al., arXiv:1507.02646, appendix C.
    """
    n, grid = len(log_excess), 30 + int(len(log_excess) ** 0.5)
    unit = log_excess[_quartile(n)]
    log_x = log_excess - unit
    b = np.exp(-log_x[-1]) + (1 - np.sqrt(grid / (np.arange(grid) + 0.5))) / 3
    b = np.where(b == 0, 1e-12, b)  # the exponential distribution is a limit that the formula does not hold
    k = _mean_log(b, log_x)
    log_likelihood = n * (np.log(-b / k) - k - 1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    mean_b = np.sum(b * posterior) / np.sum(posterior)
    shape = _mean_log(np.array([mean_b]), log_x)[0]
    return float((n * shape + 5) / (n + 10)), float(np.log(-shape / mean_b) + unit)


def khat_advice(above_limit: float, above_half: float = 0.0) -> str | None:
    """What to do where k-hat is above 0.7, or 0.5, for these fractions of the examples; None where it is for none."""
    if above_limit > 0:
        return (
            f"Pareto k-hat is above {LIMIT} for {above_limit:.1%} of the examples: there log p rests on a few weights, "
            "its Monte-Carlo error and bias are not to be trusted, and it probably lies well below the truth. "
            f"{TOO_SMALL} Draw more samples, train for a tighter posterior, or check by annealed importance "
            'sampling (of a run: iwax anneal RUN, which takes pip install "iwax[diagnostics]").'
        )
    if above_half > 0:
        return (
            f"Pareto k-hat is above {HALF} for {above_half:.1%} of the examples: there the variance of the weights may "
            f"be infinite, and the Monte-Carlo error and bias are too small. {TOO_SMALL} Go by the jackknife's, or "
            "draw more samples."
        )
    return None


def _mean_log(b: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    """Mean over x of log(1 - b x), for each b: where b > 0, x is at most 1 / b and does not overflow."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        heavy = np.logaddexp(0, np.log(np.abs(b))[:, None] + log_x).mean(axis=1)
        light = np.log1p(-b[:, None] * np.exp(log_x)).mean(axis=1)
    return np.where(b < 0, heavy, light)


def _quartile(size: int) -> int:
    """Index of the lower quartile of so many sorted numbers, as Zhang and Stephens round it."""
    return int(size / 4 + 0.5) - 1


def _shape(log_w: np.ndarray) -> float:
    """k-hat from ascending log-weights, of which the first is the threshold."""
    if not np.isfinite(log_w).all():
        return math.inf
    if log_w[1 + _quartile(len(log_w) - 1)] == log_w[0]:
        return -math.inf if log_w[-SMALLEST_TAIL] >= log_w[-1] - ROUNDING else math.inf
    with np.errstate(divide="ignore"):
        return fit_pareto(log_w[1:] + np.log(-np.expm1(log_w[0] - log_w[1:])))[0]
