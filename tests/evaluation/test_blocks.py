"""IWAE-K by blocks: against the definition in exact arithmetic, whatever the chunks."""

import math

import numpy as np
import pytest

from iwax.evaluation.blocks import BlockBound, block_bounds, whole_blocks


def by_hand(log_w, size):
    """The mean over whole blocks of log ((1/K) sum w), one weight at a time."""
    starts = range(0, len(log_w) - size + 1, size)
    return sum(math.log(math.fsum(map(math.exp, log_w[i : i + size])) / size) for i in starts) / len(starts)


@pytest.mark.parametrize("size", [1, 4, 7, 30])
def test_the_bound_of_chunks_of_any_size_is_that_of_the_definition(size):
    log_w = np.random.default_rng(size).normal(scale=2.0, size=(3, 30 // size * size))
    expected = [by_hand(row.tolist(), size) for row in log_w]
    np.testing.assert_allclose(block_bounds(log_w, size).mean(axis=1), expected, rtol=1e-12)
    for cuts in ([], [1], [2, 3, 9, 10, 25], list(range(1, log_w.shape[1]))):
        bound = BlockBound(3, size)
        for chunk in np.split(log_w, cuts, axis=1):
            bound.add(chunk)
        np.testing.assert_allclose(bound.mean, expected, rtol=1e-12)
    if size > 1:  # which the mean log-weight is not
        assert not np.allclose(log_w.mean(axis=1), expected)


def test_what_is_left_over_belongs_to_no_block():
    assert whole_blocks(np.arange(7.0), 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert whole_blocks(np.zeros((2, 5)), 6).shape == (2, 0, 6)
