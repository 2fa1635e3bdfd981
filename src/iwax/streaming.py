"""The stream of log-weights on which evaluation rests, and the sums that are kept of it.

Draws are keyed by example and block of samples, so that the sizes of chunks and batches change rounding only. The
device computes log-weights; sums are kept in double precision on the host, in memory that does not grow with k.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.special import logsumexp

from iwax.models.model import draw

__all__ = ["BLOCK", "ROWS", "Tally", "stream_log_weights"]

BLOCK = 64  # samples that share a random key; also the K of IWAE-64
ROWS = 2048  # (example, sample) pairs on the device at a time: 6 MB of logits for MNIST, about what a cache holds


class Tally:
    """Running sums of the weights of each example, relative to their running maximum."""

    def __init__(self, num_examples: int, num_samples: int) -> None:
        self.num_samples = num_samples
        self.maximum = np.full(num_examples, -np.inf)
        self.first = np.zeros(num_examples)  # sum of w / exp(maximum)
        self.second = np.zeros(num_examples)  # sum of its squares
        self.block_sum = np.zeros(num_examples)  # sum of the log mean weights of whole blocks

    def add(self, examples: slice, log_w: np.ndarray) -> None:
        """Take in the log-weights (examples, samples) of some examples."""
        maximum = np.maximum(self.maximum[examples], log_w.max(axis=1))
        shift = np.where(np.isfinite(maximum), maximum, 0)
        weights = np.exp(log_w - shift[:, None])
        rescale = np.exp(self.maximum[examples] - shift)
        self.first[examples] = self.first[examples] * rescale + weights.sum(axis=1)
        self.second[examples] = self.second[examples] * rescale**2 + (weights**2).sum(axis=1)
        self.maximum[examples] = maximum
        whole = log_w[:, : log_w.shape[1] // BLOCK * BLOCK].reshape(len(log_w), -1, BLOCK)
        self.block_sum[examples] += (logsumexp(whole, axis=2) - np.log(BLOCK)).sum(axis=1)

    @property
    def log_mean(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.where(np.isfinite(self.maximum), self.maximum, 0) + np.log(self.first) - np.log(self.num_samples)

    @property
    def relative_variance(self) -> np.ndarray:
        """sum w~^2 - 1/k, the delta method's variance of log p^; NaN where every weight is zero."""
        with np.errstate(invalid="ignore"):
            return np.maximum(self.second / self.first**2 - 1 / self.num_samples, 0)


def stream_log_weights(
    model: Any, x: Array | np.ndarray, key: PRNGKeyArray, num_samples: int, rows: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Log-weights in float64: (which examples, (examples, samples)), every example's samples in order."""
    num_blocks = -(-num_samples // BLOCK)
    blocks = max(1, min(num_blocks, rows // BLOCK))
    batch = max(1, min(len(x), rows // (blocks * BLOCK)))
    pending: list[tuple[slice, int, Array]] = []
    for start in range(0, len(x), batch):
        indices = np.minimum(np.arange(start, start + batch), len(x) - 1)  # the last batch repeats its last example
        for first in range(0, num_blocks, blocks):
            numbers = jnp.arange(first, first + blocks)
            log_w = _log_weights(model, jnp.asarray(x[indices]), jnp.asarray(indices), numbers, key)
            pending.append((slice(start, min(start + batch, len(x))), first * BLOCK, log_w))
            if len(pending) > 2:  # the device works on while the host sums
                yield _collect(*pending.pop(0), num_samples)
    for item in pending:
        yield _collect(*item, num_samples)


def _collect(examples: slice, first: int, log_w: Array, num_samples: int) -> tuple[slice, np.ndarray]:
    wanted = np.asarray(log_w)[: examples.stop - examples.start, : num_samples - first]
    return examples, wanted.astype(np.float64)


@eqx.filter_jit
def _log_weights(model: Any, x: Array, indices: Array, blocks: Array, key: PRNGKeyArray) -> Float[Array, "n samples"]:
    """Log-weights of `blocks` of samples for each example, keyed by the example's index and the block's number."""

    def of_example(x: Array, index: Array) -> Array:
        posterior = model.posterior(x[None])
        keys = jax.vmap(lambda block: jax.random.fold_in(jax.random.fold_in(key, index), block))(blocks)
        z, log_q = jax.vmap(lambda key: draw(posterior, key, BLOCK))(keys)
        z, log_q = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (z, log_q))
        return (model.log_joint(x[None], z) - log_q)[:, 0]

    return jax.vmap(of_example)(x, indices)
