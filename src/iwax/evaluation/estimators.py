"""Estimators of log p(x) beside each other: how bias and variance fall with K, the number of samples.

    IWAE-K    log (1/K) sum_s w_s                                           bias O(1/K), a lower bound
    JVI-1     K L_K - (K - 1) (mean of the K leave-one-out L_{K-1})         bias O(1/K^2), no bound
    JVI-2     the same with pairs left out, too                             bias O(1/K^3), no bound

These orders hold once K is larger than the spread of the weights; before that, taking bias away adds variance.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError
from iwax.evaluation.blocks import whole_blocks
from iwax.evaluation.streaming import ROWS, log_weights
from iwax.keys import check_key
from iwax.models import Model
from iwax.objectives import JVI

__all__ = ["EstimatorCurves", "estimate_blocks", "estimator_curves"]

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # JVI-2 costs K^2 a block
ORDERS = {"IWAE": 0, "JVI-1": 1, "JVI-2": 2}


@dataclasses.dataclass(frozen=True)
class EstimatorCurves:
    """What `estimator_curves` found, in nats.

    Attributes:
        sizes: the values of K, (sizes,).
        num_samples: k of the reference log p^.
        bias: estimator -> its mean over blocks of K samples, less log p^ from all k, (sizes, N); NaN where K is too
            small for it.
        sd: estimator -> its standard deviation over blocks, (sizes, N); NaN where there are fewer than two.
    """

    sizes: np.ndarray
    num_samples: int
    bias: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]

    def summary(self) -> dict[str, Any]:
        """Over the examples, for each K: mean bias, its error, root mean square sd; None where undefined."""

        def listed(values: np.ndarray) -> list[float | None]:
            return [None if np.isnan(value) else float(value) for value in values]

        count = next(iter(self.bias.values())).shape[1]
        spread = {name: bias.std(axis=1, ddof=1 if count > 1 else 0) for name, bias in self.bias.items()}
        estimators = {
            name: {
                "bias": listed(self.bias[name].mean(axis=1)),
                "bias_error": listed(spread[name] / np.sqrt(count) if count > 1 else np.full(len(self.sizes), np.nan)),
                "sd": listed(np.sqrt((self.sd[name] ** 2).mean(axis=1))),
            }
            for name in self.bias
        }
        sizes = {"samples": self.sizes.tolist(), "num_samples": self.num_samples, "num_examples": count}
        return {**sizes, "estimators": estimators}


def estimator_curves(
    model: Model,
    x: PyTree,
    key: PRNGKeyArray,
    *,
    num_samples: int = 5000,
    sizes: Sequence[int] = SIZES,
    rows: int = ROWS,
) -> EstimatorCurves:
    """Bias and standard deviation of IWAE-K, JVI-1(K) and JVI-2(K) against K, on the same samples.

    Each example's k log-weights are cut into blocks of K; an estimator's mean and spread are over these, and its bias
    is reckoned from log p^ of all k, which is itself a little low. For a few examples: all their log-weights are held.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        x: examples as the model takes them, every leaf (N, *event).
        key: seed of the samples.
        num_samples: k.
        sizes: the values of K, each at most k.
        rows: (example, sample) pairs on the device at a time.

    Raises:
        ValueError: a K larger than k.

    Reference: Nowozin (2018), "Debiasing Evidence Approximations", OpenReview HyZoi-WRb.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> curves = estimator_curves(model, jnp.ones((2, 2)), jax.random.key(0), num_samples=640, sizes=(1, 4))
    >>> bool(np.isnan(curves.bias["JVI-1"][0]).all())  # which wants two samples
    True
    """
    check_key(key)
    check_positive_integer("num_samples", num_samples)
    for size in sizes:
        check_positive_integer("sizes", size)
        if size > num_samples:
            raise IwaxError(f"Expected sizes to be at most num_samples={num_samples}; got {size}.")
    log_w = log_weights(model, x, key, num_samples=num_samples, rows=rows)
    reference = np.logaddexp.reduce(log_w, axis=1) - np.log(num_samples)
    centred = log_w - reference[:, None]
    found: dict[str, dict[str, list[np.ndarray]]] = {name: {"bias": [], "sd": []} for name in ORDERS}
    for size in sizes:
        for name, values in estimate_blocks(centred, size).items():
            found[name]["bias"].append(values.mean(axis=1))
            few = values.shape[1] < 2
            found[name]["sd"].append(np.full(len(values), np.nan) if few else values.std(axis=1, ddof=1))
    bias = {name: np.stack(curves["bias"]) for name, curves in found.items()}
    sd = {name: np.stack(curves["sd"]) for name, curves in found.items()}
    return EstimatorCurves(np.array(sizes), num_samples, bias, sd)


def estimate_blocks(
    log_w: Float[np.ndarray, "batch samples"], size: int
) -> dict[str, Float[np.ndarray, "batch blocks"]]:
    """Each estimator of log p(x) on each whole block of K samples, (N, k // K); NaN where K is too small for it.

    In double precision: the jackknife multiplies rounding by K^2.
    """
    with jax.enable_x64(True):
        parts = [_estimates(jnp.asarray(block.T), size) for block in whole_blocks(log_w, size)]
        return {name: np.stack([np.asarray(part[name]) for part in parts]) for name in ORDERS}


@eqx.filter_jit
def _estimates(log_w: Array, size: int) -> dict[str, Array]:
    """Name -> (blocks,), from (K, blocks)."""
    nothing = jnp.full(log_w.shape[1:], jnp.nan)
    return {
        name: JVI(num_samples=size, order=order).bound(log_w) if size > order else nothing
        for name, order in ORDERS.items()
    }
