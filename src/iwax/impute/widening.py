"""Spreads of a model that rows which it has never seen confirm.

A model fits the rows that it is trained on better than others, so its intervals are too narrow, the more so the fewer
rows there are. One number mends most of it: how much wider all densities given z are, so that log p of rows held out is
highest.
"""

import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from iwax.evaluation import evaluate_batches
from iwax.impute.model import TableModel

__all__ = ["widening"]

STEP, MOST = 0.1, 1.5  # of what is added before the softplus
SAMPLES, BLOCK = 640, 64  # as validation along training has, so that both are one compiled program


def widening(model: TableModel, judged: PyTree, key: PRNGKeyArray) -> float:
    """By how much `TableModel.widened` gives rows which the model was not trained on the highest log p.

    Spreads grow in steps of 0.1 while log p does, by the same samples; none of it makes them smaller.

    Arguments:
        model: after training.
        judged: {"values", "mask"}, rows held out.
        key: of the samples.
    """

    def log_p(by: float) -> float:
        batches = evaluate_batches(model.widened(by), judged, key, num_samples=SAMPLES, block_sizes=(BLOCK,))
        return float(np.concatenate([found["log_likelihood"] for _, found in batches]).mean())

    by, best = 0.0, log_p(0.0)
    while by < MOST and (wider := log_p(by + STEP)) > best:
        by, best = by + STEP, wider
    return by
