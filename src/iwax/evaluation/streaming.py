"""The stream of log-weights on which evaluation rests, and the sums that are kept of it.

Draws are keyed by example and block of samples, so that the sizes of chunks and batches change rounding only. The
device computes log-weights; sums are kept in double precision on the host, for one batch of examples at a time, in
memory that grows with k only as the tail that k-hat is fitted to does (with its square root).
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxError
from iwax.evaluation.blocks import BlockBound
from iwax.models import FactorizedModel, Model, checked_log_joint, draw

__all__ = ["BLOCK", "ROWS", "Tally", "chunk_shape", "count_examples", "log_weights", "tallies"]

BLOCK = 64  # samples that share a random key
ROWS = 2048  # (example, sample) pairs on the device at a time: 6 MB of logits for MNIST, about what a cache holds


class Tally:
    """What is kept of the log-weights of a batch of examples, whatever their number.

    Attributes:
        tail: the largest log-weights of each example, in no order, (examples, tail_size).
        bounds: K -> `BlockBound`.
    """

    def __init__(
        self, num_examples: int, num_samples: int, *, block_sizes: Sequence[int] = (), tail_size: int = 0
    ) -> None:
        self.num_samples = num_samples
        self.maximum = np.full(num_examples, -np.inf)
        self.first = np.zeros(num_examples)  # sum of w / exp(maximum)
        self.second = np.zeros(num_examples)  # sum of its squares
        self.centre: np.ndarray | None = None  # a log-weight from which the others are measured
        self.offset = np.zeros(num_examples)  # sum of log w - centre
        self.offset_squared = np.zeros(num_examples)
        self.kl_sum = np.zeros(num_examples)  # sum of log q(z|x) - log p(z)
        self.tail = np.full((num_examples, tail_size), -np.inf)
        self.bounds = {size: BlockBound(num_examples, size) for size in block_sizes}

    def add(self, log_w: np.ndarray, log_ratio: np.ndarray | None = None) -> None:
        """Take in the next log-weights and log q(z|x) - log p(z), (examples, samples) each."""
        if self.centre is None:
            self.centre = np.where(np.isfinite(log_w[:, 0]), log_w[:, 0], 0)
        with np.errstate(over="ignore", invalid="ignore"):  # +inf and NaN stay what they are, without a warning
            self._add_weights(log_w)
            offset = log_w - self.centre[:, None]
            self.offset += offset.sum(axis=1)
            self.offset_squared += (offset**2).sum(axis=1)
            for bound in self.bounds.values():
                bound.add(log_w)
        if log_ratio is not None:
            self.kl_sum += log_ratio.sum(axis=1)
        self._keep_largest(log_w)

    def _keep_largest(self, log_w: np.ndarray) -> None:
        if size := self.tail.shape[1]:
            self.tail = np.partition(np.concatenate([self.tail, log_w], axis=1), -size, axis=1)[:, -size:]

    def _add_weights(self, log_w: np.ndarray) -> None:
        maximum = np.maximum(self.maximum, log_w.max(axis=1))
        shift = np.where(np.isfinite(maximum), maximum, 0)
        weights = np.exp(log_w - shift[:, None])
        rescale = np.exp(self.maximum - shift)
        self.first = self.first * rescale + weights.sum(axis=1)
        self.second = self.second * rescale**2 + (weights**2).sum(axis=1)
        self.maximum = maximum

    @property
    def log_mean(self) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(np.isfinite(self.maximum), self.maximum, 0) + np.log(self.first) - np.log(self.num_samples)

    @property
    def relative_variance(self) -> np.ndarray:
        """sum w~^2 - 1/k, the delta method's variance of log p^; NaN where every weight is zero."""
        with np.errstate(invalid="ignore"):
            return np.maximum(self.second / self.first**2 - 1 / self.num_samples, 0)

    @property
    def ess(self) -> np.ndarray:
        """The effective sample size, 1 / sum w~^2, between 1 and k; NaN where every weight is zero."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 1 / (self.relative_variance + 1 / self.num_samples)

    @property
    def elbo(self) -> np.ndarray:
        """The mean log-weight."""
        assert self.centre is not None  # something was added
        return self.centre + self.offset / self.num_samples

    @property
    def elbo_error(self) -> np.ndarray:
        """Standard error of `elbo`; NaN where some weight is zero, or for one sample."""
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = self.offset_squared - self.offset**2 / self.num_samples
            return np.sqrt(np.maximum(squares, 0) / np.float64(self.num_samples - 1) / self.num_samples)


def tallies(
    model: Model,
    x: PyTree,
    key: PRNGKeyArray,
    *,
    num_samples: int,
    rows: int = ROWS,
    start: int = 0,
    split: bool = False,
    **kept: Any,
) -> Iterator[tuple[slice, Tally]]:
    """The tally of each batch of examples, once it holds all their samples: (which examples, `Tally`).

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        x: examples, every leaf (N, *event).
        key: seed of the samples.
        num_samples: k.
        rows: (example, sample) pairs on the device at a time.
        start: the first example, one with which a batch begins.
        split: whether log q(z|x) - log p(z) is summed, too, for which the model must have `prior`.
        kept: `block_sizes` and `tail_size`, as for `Tally`.
    """
    tally = None
    for examples, first, log_w, log_ratio in _chunks(model, x, key, num_samples, rows, start, split):
        if tally is None:
            tally = Tally(len(log_w), num_samples, **kept)
        tally.add(log_w, log_ratio)
        if first + log_w.shape[1] == num_samples:
            yield examples, tally
            tally = None


def log_weights(
    model: Model, x: PyTree, key: PRNGKeyArray, *, num_samples: int, rows: int = ROWS
) -> Float[np.ndarray, "batch samples"]:
    """All the log-weights of a few examples, float64 (N, k): the same draws as those that `tallies` sums."""
    parts: dict[int, list[np.ndarray]] = {}
    for examples, _, log_w, _ in _chunks(model, x, key, num_samples, rows, 0, False):
        parts.setdefault(examples.start, []).append(log_w)
    return np.concatenate([np.concatenate(chunks, axis=1) for chunks in parts.values()])


def count_examples(x: PyTree) -> int:
    """N of an array or a pytree of arrays, (N, *event); raises ValueError for none."""
    count = len(jax.tree.leaves(x)[0])
    if count == 0:
        raise IwaxError("Expected x to hold at least one example; got none.")
    return count


def chunk_shape(num_examples: int, num_samples: int, rows: int) -> tuple[int, int]:
    """Examples and blocks of samples that share the device: about `rows` pairs, cut so that little is drawn in vain."""
    num_blocks = -(-num_samples // BLOCK)
    num_chunks = -(-num_blocks // max(1, rows // BLOCK))
    blocks = -(-num_blocks // num_chunks)
    return max(1, min(num_examples, rows // (blocks * BLOCK))), blocks


def _chunks(
    model: Model, x: PyTree, key: PRNGKeyArray, num_samples: int, rows: int, start: int, split: bool
) -> Iterator[tuple[slice, int, np.ndarray, np.ndarray | None]]:
    """(which examples, first sample, log-weights, log-ratios) in float64, every example's samples in order."""
    num_examples = count_examples(x)
    batch, blocks = chunk_shape(num_examples, num_samples, rows)
    arrays, rest = eqx.partition(model, eqx.is_array)
    leaves, structure = jax.tree.flatten(rest)
    static = {"rest": (*leaves,), "structure": structure, "split": split}
    pending: list[tuple[slice, int, Array, Array | None]] = []
    for begin in range(start, num_examples, batch):
        indices = np.minimum(np.arange(begin, begin + batch), num_examples - 1)  # the last batch repeats its last one
        examples = jax.tree.map(lambda leaf, indices=indices: jnp.asarray(leaf[indices]), x)
        for first in range(0, -(-num_samples // BLOCK), blocks):
            numbers = jnp.arange(first, first + blocks)
            log_w, log_ratio = _log_weights(arrays, examples, jnp.asarray(indices), numbers, key, **static)
            pending.append((slice(begin, min(begin + batch, num_examples)), first * BLOCK, log_w, log_ratio))
            if len(pending) > 2:  # the device works on while the host sums
                yield _collect(*pending.pop(0), num_samples)
    for item in pending:
        yield _collect(*item, num_samples)


def _collect(
    examples: slice, first: int, log_w: Array, log_ratio: Array | None, num_samples: int
) -> tuple[slice, int, np.ndarray, np.ndarray | None]:
    def wanted(values: Array) -> np.ndarray:
        return np.asarray(values)[: examples.stop - examples.start, : num_samples - first].astype(np.float64)

    return examples, first, wanted(log_w), None if log_ratio is None else wanted(log_ratio)


@functools.partial(jax.jit, static_argnames=("rest", "structure", "split"))  # Equinox's awaits what it has begun
def _log_weights(
    arrays: PyTree,
    x: PyTree,
    indices: Array,
    blocks: Array,
    key: PRNGKeyArray,
    *,
    rest: tuple[Any, ...],
    structure: Any,
    split: bool,
) -> tuple[Float[Array, "n samples"], Float[Array, "n samples"] | None]:
    """Log-weights of `blocks` of samples for each example, keyed by the example's index and the block's number.

    The model comes as its arrays and, hashable, the rest of it.
    """
    model = eqx.combine(arrays, jax.tree.unflatten(structure, rest))

    def of_example(x: PyTree, index: Array) -> tuple[Array, Array | None]:
        x = jax.tree.map(lambda leaf: leaf[None], x)
        posterior = model.posterior(x)
        keys = jax.vmap(lambda block: jax.random.fold_in(jax.random.fold_in(key, index), block))(blocks)
        z, log_q = jax.vmap(lambda key: draw(posterior, key, BLOCK))(keys)
        z, log_q = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (z, log_q))
        log_w = (checked_log_joint(model, x, z, log_q, batch=1) - log_q)[:, 0]
        return log_w, (log_q - cast(FactorizedModel, model).prior.log_prob(z))[:, 0] if split else None

    return jax.vmap(of_example)(x, indices)
