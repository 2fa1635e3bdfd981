"""What an evaluation found: values per example, and their means beside their errors."""

import dataclasses
import math
from typing import Any

import numpy as np

from iwax.pareto import LIMIT, khat_advice
from iwax.units import ACTIVE

__all__ = ["Evaluation", "standard_error"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found, per example, in nats: float64 arrays (N,).

    Attributes:
        log_likelihood: log p^(x) from `num_samples` samples, a stochastic lower bound.
        mc_error: its standard error from the finite number of samples, by the delta method.
        ess: effective sample size of the weights, between 1 and `num_samples`.
        khat: Pareto k-hat, the shape of their tail; NaN where there is no tail, or no arviz-stats (see `notes`).
        bounds: K -> IWAE-K, the mean over disjoint blocks of K samples.
        elbo: mean log-weight.
        elbo_error: its standard error from the finite number of samples.
        kl: E_q[log q(z|x) - log p(z)], or None if the model has no `prior` and `likelihood`.
        unit_variances: for each stochastic layer, the variance over examples of each unit's posterior mean.
        num_samples: k, samples per example.
        block_size: K of `iwae` and `neg_kl`.
        test_hash: SHA-256 of the examples as they were evaluated (binarised).
        notes: what is missing and why.
    """

    log_likelihood: np.ndarray
    mc_error: np.ndarray
    ess: np.ndarray
    khat: np.ndarray
    bounds: dict[int, np.ndarray]
    elbo: np.ndarray
    elbo_error: np.ndarray
    kl: np.ndarray | None
    unit_variances: tuple[np.ndarray, ...]
    num_samples: int
    block_size: int
    test_hash: str
    notes: tuple[str, ...] = ()

    @property
    def bias(self) -> np.ndarray:
        """Estimated bias of log_likelihood, -mc_error^2 / 2: how far below log p(x) it is expected to lie."""
        return -(self.mc_error**2) / 2

    @property
    def iwae(self) -> np.ndarray:
        """IWAE-K for K = `block_size`."""
        return self.bounds[self.block_size]

    @property
    def neg_kl(self) -> np.ndarray:
        """-KL(Q||P) of the extended distributions of `block_size` samples, in nats, (N,): never positive.

        Reference: Rainforth et al. (2018), arXiv:1802.04537, Table 1. Since log_likelihood is itself a lower bound, the
        divergence is underestimated.
        """
        return self.iwae - self.log_likelihood

    @property
    def reconstruction(self) -> np.ndarray | None:
        """E_q[log p(x|z)] = ELBO + KL, or None as `kl`."""
        return None if self.kl is None else self.elbo + self.kl

    @property
    def active_units(self) -> tuple[int, ...]:
        """Number of active units of each stochastic layer, nearest the data first."""
        return tuple(int(np.sum(variances > ACTIVE)) for variances in self.unit_variances)

    @property
    def khat_above_limit(self) -> float:
        """Fraction of the examples whose k-hat is above 0.7; NaN where no example has one."""
        known = self.khat[~np.isnan(self.khat)]
        return float(np.mean(known > LIMIT)) if len(known) else math.nan

    @property
    def advice(self) -> str | None:
        """What to do about weights that are not to be trusted; None if all are."""
        return khat_advice(self.khat_above_limit)

    def summary(self) -> dict[str, Any]:
        """Means over the examples in nats, each beside its errors: Monte-Carlo, bias, and over examples, apart."""
        n = len(self.log_likelihood)
        split = {} if self.kl is None else {"reconstruction": _mean(self.reconstruction), "kl": _mean(self.kl)}
        return {
            "log_p": _mean(self.log_likelihood),
            "log_p_mc_error": float(np.sqrt(np.sum(self.mc_error**2)) / n),
            "log_p_bias": _mean(self.bias),
            "log_p_test_error": standard_error(self.log_likelihood),
            **{f"iwae_{size}": _mean(bound) for size, bound in self.bounds.items()},
            "iwae_samples": self.block_size,
            "neg_kl": _mean(self.neg_kl),
            "neg_kl_test_error": standard_error(self.neg_kl),
            "elbo": _mean(self.elbo),
            "elbo_mc_error": float(np.sqrt(np.sum(self.elbo_error**2)) / n),
            "elbo_test_error": standard_error(self.elbo),
            **split,
            "ess": _mean(self.ess),
            "ess_quantiles": _quantiles(self.ess),
            "khat_quantiles": _quantiles(self.khat),
            "khat_above_0.7": None if math.isnan(self.khat_above_limit) else self.khat_above_limit,
            "active_units": list(self.active_units),
            "num_examples": n,
            "num_samples": self.num_samples,
            "test_hash": self.test_hash,
            "notes": list(self.notes),
            "advice": self.advice,
        }


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean over examples."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _mean(values: np.ndarray | None) -> float:
    return float(np.mean(values)) if values is not None else math.nan


def _quantiles(values: np.ndarray) -> dict[str, float] | None:
    """Quantiles over the examples that have a value, by their probability."""
    known = values[~np.isnan(values)]
    return {f"{q:g}": float(np.quantile(known, q)) for q in QUANTILES} if len(known) else None
