"""What an evaluation found: values per example, and their means beside their errors."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from iwax.evaluation.pareto import HALF, LIMIT, has_tail, khat_advice
from iwax.evaluation.units import ACTIVE

__all__ = ["Evaluation", "standard_error", "why_no_divergence"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def why_no_divergence(summary: Mapping[str, Any]) -> str:
    """Why an evaluation's numbers have no -KL(Q||P); empty where they have: of one block, IWAE-K is log p."""
    one_block = summary["num_samples"] <= summary["iwae_samples"]
    return "of k = K samples it is zero for any model: draw more" if one_block else ""


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation:
    """What `evaluate` found, per example, in nats: float64 arrays (N,). Printed, a small table of their means.

    Attributes:
        log_likelihood: log p^(x) from `num_samples` samples, a stochastic lower bound.
        mc_error: its standard error from the finite number of samples, by the delta method; too small where k-hat is
            above 0.5, and NaN where log_likelihood is not finite.
        ess: effective sample size of the weights, between 1 and `num_samples`; NaN as `mc_error`.
        khat: Pareto k-hat, the shape of their tail: +inf where it cannot be computed, -inf where the largest weights
            are all equal, and NaN for all examples if there are fewer than 25 samples (see `notes`).
        bounds: K -> IWAE-K, the mean over disjoint blocks of K samples.
        elbo: mean log-weight.
        elbo_error: its standard error from the finite number of samples.
        kl: E_q[log q(z|x) - log p(z)], or None if the model has no `prior` and `likelihood`.
        unit_variances: for each stochastic layer, the variance over examples of each unit's posterior mean.
        num_samples: k, samples per example.
        iwae_samples: K of `iwae` and `neg_kl`.
        test_hash: SHA-256 of the examples as they were evaluated (binarised); "" where they are not known.
        notes: what is missing and why.
        jackknife_bias: bias of log_likelihood by leaving out one sample at a time, not above `bias`; NaN as `mc_error`.
        jackknife_error: its standard error by the same; both hold up longer where weights are bad.

    >>> import numpy as np
    >>> from iwax.evaluation import judge_log_weights
    >>> evaluation = judge_log_weights(np.zeros((64, 3)))  # a posterior that is exact: every weight is p(x) = 1
    >>> evaluation.log_likelihood.tolist(), evaluation.ess.tolist()
    ([0.0, 0.0, 0.0], [64.0, 64.0, 64.0])
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
    iwae_samples: int
    test_hash: str
    notes: tuple[str, ...] = ()
    jackknife_bias: np.ndarray | None = None
    jackknife_error: np.ndarray | None = None

    @property
    def bias(self) -> np.ndarray:
        """Estimated bias of log_likelihood, -mc_error^2 / 2: how far below log p(x) it is expected to lie."""
        return -(self.mc_error**2) / 2

    @property
    def iwae(self) -> np.ndarray:
        """IWAE-K for K = `iwae_samples`."""
        return self.bounds[self.iwae_samples]

    @property
    def neg_kl(self) -> np.ndarray:
        """-KL(Q||P) of the extended distributions of `iwae_samples` samples, in nats, (N,): never positive.

        Reference: Rainforth et al. (2018), arXiv:1802.04537, Table 1. Since log_likelihood is itself a lower bound, the
        divergence is underestimated. NaN where both are infinite.
        """
        with np.errstate(invalid="ignore"):
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
        """Fraction of the examples whose k-hat is above 0.7 or not known; NaN for fewer than 25 samples."""
        return self._khat_above(LIMIT)

    @property
    def khat_above_half(self) -> float:
        """Fraction of the examples whose k-hat is above 0.5 or not known; NaN for fewer than 25 samples."""
        return self._khat_above(HALF)

    def _khat_above(self, limit: float) -> float:
        return float(np.mean(~(self.khat <= limit))) if has_tail(self.num_samples) else math.nan

    @property
    def advice(self) -> str | None:
        """What to do about weights that are not to be trusted; None if all are."""
        return khat_advice(self.khat_above_limit, self.khat_above_half)

    def __repr__(self) -> str:
        from iwax.evaluation.exports import as_text

        return as_text(self)

    def to_numpy(self) -> dict[str, np.ndarray]:
        """Every number per example, (N,), and A_u of each layer's units: what evaluation.npz of a run holds."""
        from iwax.evaluation.exports import as_arrays

        return as_arrays(self)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with one row for each example, in nats.

        Raises:
            ImportError: pandas is not installed.
        """
        from iwax.evaluation.exports import as_frame

        return as_frame(self)

    def to_arviz(self) -> Any:
        """An `arviz.InferenceData` with the group `evaluation`: every number per example, along the dimension example.

        Raises:
            ImportError: ArviZ is not installed.
        """
        from iwax.evaluation.exports import as_inference_data

        return as_inference_data(self)

    def summary(self) -> dict[str, Any]:
        """Means over the examples in nats, each beside its errors: Monte-Carlo, bias, and over examples, apart.

        None stands for what is not finite or cannot be computed, as is -KL(Q||P) from k = K samples, where it is zero
        for any model; among quantiles of k-hat, for beyond every number.
        """
        n = len(self.log_likelihood)
        split = {} if self.kl is None else {"reconstruction": _mean(self.reconstruction), "kl": _mean(self.kl)}
        found = {
            "log_p": _mean(self.log_likelihood),
            "log_p_mc_error": float(np.sqrt(np.sum(self.mc_error**2)) / n),
            "log_p_bias": _mean(self.bias),
            **self._jackknife(),
            "log_p_test_error": standard_error(self.log_likelihood),
            **{f"iwae_{size}": _mean(bound) for size, bound in self.bounds.items()},
            "iwae_samples": self.iwae_samples,
            "neg_kl": _mean(self.neg_kl) if self.num_samples > self.iwae_samples else None,
            "neg_kl_test_error": standard_error(self.neg_kl) if self.num_samples > self.iwae_samples else None,
            "elbo": _mean(self.elbo),
            "elbo_mc_error": float(np.sqrt(np.sum(self.elbo_error**2)) / n),
            "elbo_test_error": standard_error(self.elbo),
            **split,
            "ess": _mean(self.ess),
            "ess_quantiles": _quantiles(np.nan_to_num(self.ess, nan=0.0)),
            "khat_quantiles": _quantiles(np.where(np.isnan(self.khat), np.inf, self.khat)),
            "khat_above_0.5": self.khat_above_half,
            "khat_above_0.7": self.khat_above_limit,
            "active_units": list(self.active_units),
            "num_examples": n,
            "num_samples": self.num_samples,
            "test_hash": self.test_hash,
            "notes": list(self.notes),
            "advice": self.advice,
        }
        if not has_tail(self.num_samples):
            found["khat_quantiles"] = None
        return {name: _known(value) for name, value in found.items()}

    def _jackknife(self) -> dict[str, float]:
        """log p less its bias by the jackknife, and the error of that: a bias is known to about its own size."""
        if self.jackknife_bias is None or self.jackknife_error is None:
            return {"log_p_jackknife": math.nan, "log_p_jackknife_error": math.nan}
        bias, n = _mean(self.jackknife_bias), len(self.jackknife_bias)
        return {
            "log_p_jackknife": _mean(self.log_likelihood) - bias,
            "log_p_jackknife_error": math.hypot(float(np.sqrt(np.sum(self.jackknife_error**2))) / n, bias),
        }


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean over examples; NaN where one of them is not finite, or for one example."""
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _mean(values: np.ndarray | None) -> float:
    return float(np.mean(values)) if values is not None else math.nan


def _quantiles(values: np.ndarray) -> dict[str, float]:
    """Quantiles over the examples, by their probability; between a number and an infinite one, the greater."""
    found = {}
    for q in QUANTILES:
        low, high = (float(np.quantile(values, q, method=method)) for method in ("lower", "higher"))
        between = low != high and math.isfinite(low) and math.isfinite(high)  # else NumPy may multiply infinity by 0
        found[f"{q:g}"] = float(np.quantile(values, q)) if between else high
    return found


def _known(value: Any) -> Any:
    """None in place of a number that is not finite, also within a dict."""
    if isinstance(value, dict):
        return {name: _known(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
