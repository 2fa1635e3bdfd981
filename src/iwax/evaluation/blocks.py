"""IWAE-K from many log-weights: their disjoint blocks of K samples, in order, and the bound that each of them gives."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError

__all__ = ["BlockBound", "block_bounds", "block_sizes", "samples_in_blocks", "whole_blocks"]


def block_sizes(iwae_samples: Any, name: str = "iwae_samples") -> tuple[int, ...]:
    """The sizes K of the blocks that are asked for: an integer, or several. `name` is the argument's.

    Raises:
        ValueError: none, or one below 1.
    """
    if isinstance(iwae_samples, str) or not isinstance(iwae_samples, Iterable):
        iwae_samples = (iwae_samples,)
    sizes = tuple(iwae_samples)
    for size in sizes:
        check_positive_integer(name, size)
    if not sizes:
        raise IwaxError(f"Expected {name} to be at least one number of samples; got none.")
    return tuple(map(int, sizes))


def samples_in_blocks(num_samples: int, sizes: Sequence[int]) -> int:
    """The largest number of samples up to `num_samples` that is whole blocks of every size.

    Raises:
        ValueError: there is none.
    """
    check_positive_integer("num_samples", num_samples)
    sizes = block_sizes(sizes)
    if num_samples < max(sizes):
        raise IwaxError(
            f"Expected num_samples to be at least {max(sizes)}, one block of IWAE-{max(sizes)}; got {num_samples}."
        )
    common = math.lcm(*sizes)
    if num_samples < common:
        raise IwaxError(
            f"Expected the block sizes to have a common multiple of at most num_samples={num_samples}; got "
            f"{', '.join(map(str, sizes))}, with {common}. Draw more samples, or evaluate them one by one."
        )
    return num_samples - num_samples % common


def whole_blocks(log_w: Float[np.ndarray, "... samples"], size: int) -> Float[np.ndarray, "... blocks K"]:
    """The whole blocks of `size` samples along the last axis; samples that are left over belong to none."""
    count = log_w.shape[-1] // size
    return log_w[..., : count * size].reshape(*log_w.shape[:-1], count, size)


def block_bounds(log_w: Float[np.ndarray, "... samples"], size: int) -> Float[np.ndarray, "... blocks"]:
    """The log mean weight of each whole block of `size` samples, in nats; IWAE-K is their mean.

    >>> block_bounds(np.log([1.0, 3.0, 2.0, 2.0, 9.0]), 2).round(6).tolist()
    [0.693147, 0.693147]
    """
    return logsumexp(whole_blocks(log_w, size), axis=-1) - np.log(size)


class BlockBound:
    """IWAE-K of each example, in nats, from log-weights that come in chunks of any size."""

    def __init__(self, num_examples: int, size: int) -> None:
        self.size = size
        self.total, self.num_blocks = np.zeros(num_examples), 0
        self.begun, self.filled = np.full(num_examples, -np.inf), 0  # log-sum of the block that a chunk broke off

    def add(self, log_w: np.ndarray) -> None:
        """Take in the next log-weights, (examples, samples)."""
        wanted = self.size - self.filled
        if log_w.shape[1] < wanted:
            self.begun = np.logaddexp(self.begun, logsumexp(log_w, axis=1))
            self.filled += log_w.shape[1]
            return
        first, rest = log_w[:, :wanted], log_w[:, wanted:]
        log_sums = logsumexp(whole_blocks(rest, self.size), axis=2)
        self.total += np.logaddexp(self.begun, logsumexp(first, axis=1)) + log_sums.sum(axis=1)
        self.num_blocks += 1 + log_sums.shape[1]
        self.filled = rest.shape[1] % self.size
        over = rest[:, rest.shape[1] - self.filled :]
        self.begun = logsumexp(over, axis=1) if self.filled else np.full(len(log_w), -np.inf)

    @property
    def mean(self) -> np.ndarray:
        """The mean over the blocks that are whole."""
        return self.total / self.num_blocks - np.log(self.size)
