"""Evaluations of parts of a data set as one: what batches, or processes, found of their own examples."""

from collections.abc import Sequence

import numpy as np

from iwax.errors import IwaxError
from iwax.evaluation.evaluate import NO_KHAT, NOT_FINITE, gather
from iwax.evaluation.result import Evaluation

__all__ = ["join_evaluations"]

FIELDS = ("log_likelihood", "mc_error", "ess", "khat", "elbo", "elbo_error", "jackknife_bias", "jackknife_error", "kl")


def join_evaluations(evaluations: Sequence[Evaluation], *, test_hash: str = "") -> Evaluation:
    """The evaluation of all examples, in the order given, of evaluations of some of them each.

    Active units are left out: they are of a whole data set.

    Arguments:
        evaluations: of as many samples and the same blocks.
        test_hash: SHA-256 of all examples as they were evaluated; "" where it is not known.

    Raises:
        ValueError: there are none, or they differ in k or in the sizes of blocks.

    >>> import iwax
    >>> log_w = np.random.default_rng(0).normal(size=(64, 5))
    >>> parts = [iwax.judge_log_weights(log_w[:, part]) for part in (slice(0, 2), slice(2, 5))]
    >>> whole = iwax.judge_log_weights(log_w)
    >>> bool((join_evaluations(parts).log_likelihood == whole.log_likelihood).all())
    True
    """
    kinds = {(one.num_samples, tuple(one.bounds)) for one in evaluations}
    if len(kinds) != 1:
        raise IwaxError(
            "Expected evaluations of one number of samples and the same blocks; got "
            f"{', '.join(f'k = {k} in blocks of {sizes}' for k, sizes in sorted(kinds)) or 'none'}."
        )
    ((num_samples, sizes),) = kinds
    parts = {name: [getattr(one, name) for one in evaluations] for name in FIELDS}
    values = {name: np.concatenate(own) for name, own in parts.items() if all(part is not None for part in own)}
    values |= {f"iwae_{size}": np.concatenate([one.bounds[size] for one in evaluations]) for size in sizes}
    notes = dict.fromkeys(note for one in evaluations for note in one.notes)
    kept = [note for note in notes if note != NO_KHAT and not note.startswith(NOT_FINITE)]  # said of all, by gather
    return gather(values, sizes, (), num_samples, test_hash, notes=kept)
