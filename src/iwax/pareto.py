"""Pareto k-hat: can an importance-sampling estimate be trusted? From the largest weights alone.

The weights above a high threshold follow a generalised Pareto distribution, whose shape k says how many of their
moments exist: 1/k. Above 1/2 their variance is infinite; above 0.7 the estimate needs more samples than anyone draws,
and its own error bar says nothing.
"""

import math
from collections.abc import Callable

import numpy as np

__all__ = ["LIMIT", "khat_advice", "pareto_khat", "tail_size"]

LIMIT = 0.7  # of Vehtari et al.


def tail_size(num_samples: int) -> int:
    """M = floor(min(k / 5, 3 sqrt k)): how many of the largest of k weights the fit takes.

    >>> tail_size(5000)
    212
    """
    return math.floor(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def pareto_khat(largest: np.ndarray, num_samples: int) -> np.ndarray:
    """k-hat of each example from its M + 1 largest log-weights in any order: (N, M + 1) -> (N,).

    The smallest of them is the threshold. Where there is no tail to fit (fewer than 25 samples, weights of zero among
    the largest, or all of them equal) k-hat is NaN.

    Arguments:
        largest: the `tail_size(num_samples) + 1` largest log-weights of each example, in nats.
        num_samples: k, of which they are the largest.

    Raises:
        ImportError: arviz-stats is not installed.
        ValueError: there are more or fewer of them.

    Reference: Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling" (2015), arXiv:1507.02646;
    as a diagnostic of variational inference, Yao et al. (2018), arXiv:1802.02538.

    >>> exponential = np.random.default_rng(0).exponential(size=(1, 5000))  # log w: w has 1 / k = 2 moments
    >>> bool(abs(pareto_khat(np.sort(exponential / 2)[:, -213:], 5000)[0] - 0.5) < 0.15)
    True
    """
    if largest.shape[1] != tail_size(num_samples) + 1:
        raise ValueError(
            f"Expected largest to hold {tail_size(num_samples) + 1} log-weights for {num_samples} samples; got "
            f"{largest.shape[1]}. tail_size says how many."
        )
    # The fit alone: `psislw` wants all k weights, and takes the negative of log-weights.
    from arviz_stats.base import array_stats

    return np.array([_shape(np.sort(log_w), array_stats._gpdfit) for log_w in largest])


def khat_advice(fraction: float) -> str | None:
    """What to do where k-hat is above 0.7 for this fraction of the examples; None where it is for none."""
    if not fraction > 0:
        return None
    return (
        f"Pareto k-hat is above {LIMIT} for {fraction:.1%} of the examples: there log p rests on a few weights, its "
        "Monte-Carlo error and bias are not to be trusted, and it probably lies well below the truth. Draw more "
        "samples (--num-samples), train for a tighter posterior, or check by annealing (iwax anneal RUN)."
    )


def _shape(log_w: np.ndarray, fit: Callable) -> float:
    """k-hat from ascending log-weights, of which the first is the threshold."""
    weights = np.exp(log_w - log_w[-1])
    excess = weights[1:] - weights[0]
    quarter = int(len(excess) / 4 + 0.5) - 1  # by which the fit divides
    if len(excess) < 5 or not np.isfinite(log_w).all() or min(excess[quarter], excess[-1] - excess[0]) < 1e-12:
        return math.nan
    return float(fit(excess)[0])
