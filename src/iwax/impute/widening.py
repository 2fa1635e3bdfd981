"""Spreads of a model that rows which it has never seen confirm.

A model fits the rows that it is trained on better than others, so its intervals are too narrow, the more so the fewer
rows there are. One number mends most of it: how much wider all densities given z are, so that log p of rows held out is
highest.
"""

import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from iwax.evaluation import evaluate_batches
from iwax.impute.model import TableModel

__all__ = ["widen"]

STEP, MOST = 0.1, 1.5  # of what is added before the softplus
SAMPLES = 320


def widen(model: TableModel, judged: PyTree, key: PRNGKeyArray) -> tuple[TableModel, float]:
    """The model with the spreads that give rows which it was not trained on the highest log p, and by how much.

    Spreads grow in steps of 0.1 while log p does, by the same samples; none of it makes them smaller.

    Arguments:
        model: after training.
        judged: {"values", "mask"}, rows held out.
        key: of the samples.
    """

    def log_p(by: float) -> float:
        batches = evaluate_batches(model.widened(by), judged, key, num_samples=SAMPLES)
        return float(np.concatenate([found["log_likelihood"] for _, found in batches]).mean())

    by, best = 0.0, log_p(0.0)
    while by < MOST and (wider := log_p(by + STEP)) > best:
        by, best = by + STEP, wider
    return model.widened(by), by
