"""Likelihood and posterior quality of a trained model, from one stream of log-weights.

For each example, k log-weights log w_s = log p(x, z_s) - log q(z_s | x), z_s ~ q(. | x), give

    log p^(x) = log (1/k) sum_s w_s                 a lower bound on log p(x) in expectation
    IWAE-K    = mean over the k/K disjoint blocks of K samples of their log mean weight
    -KL(Q||P) = IWAE-K - log p^(x)                  never positive, as both come from the same samples

How they are drawn and summed is in `iwax.streaming`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.data import Dataset, binarize, check_images, test_set_hash
from iwax.objectives.objective import check_positive_integer
from iwax.streaming import BLOCK, ROWS, Tally, stream_log_weights

__all__ = ["Evaluation", "evaluate", "log_likelihood", "unit_variances"]

ACTIVE = 1e-2  # variance of a unit's posterior mean over the data, above which it is active (Burda et al., 2015)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found, per example, in nats: float64 arrays (N,).

    Attributes:
        log_likelihood: log p^(x) from `num_samples` samples, a stochastic lower bound.
        iwae: mean of the IWAE bounds of disjoint blocks of `block_size` samples.
        mc_error: standard error of log_likelihood from the finite number of samples, by the delta method.
        bias: its estimated bias, -mc_error^2 / 2: how far below log p(x) it is expected to lie.
        ess: effective sample size, between 1 and `num_samples`.
        unit_variances: for each stochastic layer, the variance over examples of each unit's posterior mean.
        num_samples: k, samples per example.
        block_size: K of `iwae`.
        test_hash: SHA-256 of the examples as they were evaluated (binarised).
    """

    log_likelihood: np.ndarray
    iwae: np.ndarray
    mc_error: np.ndarray
    bias: np.ndarray
    ess: np.ndarray
    unit_variances: tuple[np.ndarray, ...]
    num_samples: int
    block_size: int
    test_hash: str

    @property
    def neg_kl(self) -> np.ndarray:
        """-KL(Q||P) of the extended distributions of `block_size` samples, in nats, (N,): never positive.

        Reference: Rainforth et al. (2018), arXiv:1802.04537, Table 1. Since log_likelihood is itself a lower bound, the
        divergence is underestimated.
        """
        return self.iwae - self.log_likelihood

    @property
    def active_units(self) -> tuple[int, ...]:
        """Number of active units of each stochastic layer, nearest the data first."""
        return tuple(int(np.sum(variances > ACTIVE)) for variances in self.unit_variances)

    def summary(self) -> dict[str, Any]:
        """Means over the examples in nats, each beside its errors: Monte-Carlo, bias, and over examples, apart."""
        n = len(self.log_likelihood)
        return {
            "log_p": float(np.mean(self.log_likelihood)),
            "log_p_mc_error": float(np.sqrt(np.sum(self.mc_error**2)) / n),
            "log_p_bias": float(np.mean(self.bias)),
            "log_p_test_error": standard_error(self.log_likelihood),
            f"iwae_{self.block_size}": float(np.mean(self.iwae)),
            "neg_kl": float(np.mean(self.neg_kl)),
            "neg_kl_test_error": standard_error(self.neg_kl),
            "ess": float(np.mean(self.ess)),
            "active_units": list(self.active_units),
            "num_examples": n,
            "num_samples": self.num_samples,
            "test_hash": self.test_hash,
        }


def evaluate(
    model: Any,
    data: Dataset | np.ndarray | Array,
    key: PRNGKeyArray,
    *,
    num_samples: int = 5000,
    binarize: str = "fixed",
    rows: int = ROWS,
    on_batch: Callable[[int], None] | None = None,
) -> Evaluation:
    """Log-likelihood, IWAE-64, -KL(Q||P), their errors, and active units on test examples.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        data: a `Dataset`, of which the test half is used, or an array (N, *event).
        key: seed of the binarisation and of all samples.
        num_samples: k; 64 floor(k / 64) samples are drawn per example, the same for every number reported.
        binarize: "fixed" draws black and white once from `key` (examples of 0 and 1 stay as they are), "threshold",
            or "none" for real-valued data.
        rows: (example, sample) pairs on the device at a time; changes rounding and speed only.
        on_batch: called with the number of examples done, now and then.

    Raises:
        ValueError: fewer than 64 samples, or data that cannot be binarised.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = model.sample(jax.random.key(0), 10)
    >>> evaluation = evaluate(model, x, jax.random.key(1), num_samples=640, binarize="none")
    >>> bool((evaluation.neg_kl <= 0).all())
    True
    """
    check_positive_integer("num_samples", num_samples)
    if num_samples < BLOCK:
        raise ValueError(f"Expected num_samples to be at least {BLOCK}, one block of IWAE-{BLOCK}; got {num_samples}.")
    num_samples -= num_samples % BLOCK
    binarize_key, sample_key, unit_key = jax.random.split(key, 3)
    x = test_examples(data, binarize, binarize_key)
    tally = Tally(len(x), num_samples)
    for examples, log_w in stream_log_weights(model, x, sample_key, num_samples, rows):
        tally.add(examples, log_w)
        if on_batch is not None:
            on_batch(examples.stop)
    log_mean = tally.log_mean
    return Evaluation(
        log_likelihood=log_mean,
        # Jensen's inequality holds draw by draw; the minimum takes away what rounding adds to equal weights.
        iwae=np.minimum(tally.block_sum / (num_samples // BLOCK), log_mean),
        mc_error=np.sqrt(tally.relative_variance),
        bias=-tally.relative_variance / 2,
        ess=1 / (tally.relative_variance + 1 / num_samples),
        unit_variances=unit_variances(model, x, unit_key),
        num_samples=num_samples,
        block_size=BLOCK,
        test_hash=test_set_hash(x),
    )


def log_likelihood(
    model: Any, x: Array | np.ndarray, key: PRNGKeyArray, *, num_samples: int = 5000, rows: int = ROWS
) -> Float[np.ndarray, " batch"]:
    """log p^(x) = log (1/k) sum_s w_s of each example in nats, float64, (N,); memory does not grow with k.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        x: examples as the model takes them (binarised already), (N, *event).
        key: seed of the samples.
        num_samples: k.
        rows: (example, sample) pairs on the device at a time; changes rounding and speed only.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = jnp.ones((1, 2))
    >>> error = log_likelihood(model, x, jax.random.key(0)) - model.log_evidence(x)
    >>> bool(abs(error[0]) < 0.05)
    True
    """
    check_positive_integer("num_samples", num_samples)
    tally = Tally(len(x), num_samples)
    for examples, log_w in stream_log_weights(model, x, key, num_samples, rows):
        tally.add(examples, log_w)
    return tally.log_mean


def unit_variances(
    model: Any, x: Array | np.ndarray, key: PRNGKeyArray, *, num_samples: int = 128
) -> tuple[np.ndarray, ...]:
    """Var_x(E_q[u | x]) of every latent unit u, a float64 array (event size,) for each stochastic layer.

    The posterior means are averages over samples of the whole chain, so one rule serves every layer; the variance that
    those averages add is subtracted (a single sample per example, as in the paper's code, inflates upper layers).

    Reference: Burda, Grosse and Salakhutdinov (2015), arXiv:1509.00519, section 5.
    """
    means, noise = [], []
    for start in range(0, len(x), ROWS):
        batch_key = jax.random.fold_in(key, start)
        mean, variance = _unit_moments(model, jnp.asarray(x[start : start + ROWS]), batch_key, num_samples)
        means.append([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(mean)])
        noise.append([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(variance)])
    across = [np.concatenate(batches).var(axis=0, ddof=1) for batches in zip(*means, strict=True)]
    within = [np.concatenate(batches).mean(axis=0) for batches in zip(*noise, strict=True)]
    return tuple((a - w / num_samples).ravel() for a, w in zip(across, within, strict=True))


def test_examples(data: Dataset | np.ndarray | Array, rule: str, key: PRNGKeyArray) -> np.ndarray:
    """The test half of a data set, or an array, binarised once by `rule`: (N, *event) float32."""
    images = np.asarray(data.test if isinstance(data, Dataset) else data)
    check_images(images, rule)
    return np.asarray(binarize(images, rule, key))


test_examples.__test__ = False  # type: ignore[attr-defined]  # or pytest would collect it


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean over examples."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


@eqx.filter_jit
def _unit_moments(model: Any, x: Array, key: PRNGKeyArray, num_samples: int) -> tuple[PyTree, PyTree]:
    """Mean and variance of each unit over samples from q(z | x), of (N, *event) each."""
    posterior = model.posterior(x)

    def add(i: Array, sums: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        z = posterior.sample(jax.random.fold_in(key, i), (1,))
        return (
            jax.tree.map(lambda s, z: s + z[0], sums[0], z),
            jax.tree.map(lambda s, z: s + z[0] ** 2, sums[1], z),
        )

    z = jax.eval_shape(lambda: posterior.sample(key, (1,)))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), z)
    first, second = jax.lax.fori_loop(0, num_samples, add, (zeros, zeros))
    mean = jax.tree.map(lambda s: s / num_samples, first)
    variance = jax.tree.map(lambda s, m: (s - num_samples * m**2) / (num_samples - 1), second, mean)
    return mean, variance
