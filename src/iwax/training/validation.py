"""Validation within `fit`: which examples, and what is found for them."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from iwax.checks import check_choice, check_positive_integer
from iwax.data import VALIDATION_PART, Dataset, as_examples, as_validation, hold_out, num_examples
from iwax.errors import IwaxError
from iwax.evaluation import evaluate_batches, test_examples
from iwax.keys import TrainingKeys
from iwax.models import Model

__all__ = ["NUMBER", "Judge", "judge_of", "split_off"]

MOST = 500  # examples that are judged
SAMPLES, BLOCK = 640, 64
NUMBER = f"validation_iwae_{BLOCK}"  # in records; what models are selected by


def split_off(images: PyTree, data: Any, validation: Any) -> tuple[PyTree, PyTree | None]:
    """(for training, for validation or None), as `validation` says: part, number, "val", or examples of its own.

    Raises:
        ValueError: none would be left to train on, or the data have no part for validation.
    """
    if validation is None:
        return images, None
    if not isinstance(validation, str | int | float):
        return images, as_examples(validation)
    wanted = as_validation(validation)
    if not isinstance(wanted, str):
        return hold_out(images, wanted)
    if not isinstance(data, Dataset) or data.validation is None:
        raise IwaxError(
            f"Expected validation {VALIDATION_PART!r} of a Dataset that has such a part; got none. Name a part of the "
            "training examples, such as 0.1, or give the examples."
        )
    return images, as_examples(data.validation)


@dataclasses.dataclass(frozen=True)
class Judge:
    """Judges a model on validation examples, always with the same draws.

    Attributes:
        x: the examples as the model takes them.
        key: of the samples.
        every: so many epochs.
    """

    x: PyTree
    key: PRNGKeyArray
    every: int

    def is_due(self, epoch: int, is_last: bool) -> bool:
        return is_last or epoch % self.every == 0

    def numbers(self, model: Model) -> dict[str, float]:
        """IWAE-64 and log p, means over the examples in nats."""
        batches = evaluate_batches(model, self.x, self.key, num_samples=SAMPLES, block_sizes=(BLOCK,))
        found = [values for _, values in batches]
        names = {NUMBER: f"iwae_{BLOCK}", "validation_log_p": "log_likelihood"}
        return {name: float(np.concatenate([values[of] for values in found]).mean()) for name, of in names.items()}


def judge_of(
    held_out: PyTree | None, rule: str, key: PRNGKeyArray, every: int, keep: str, patience: int | None
) -> Judge | None:
    """What judges the examples held out, binarised by `rule`, once where training draws afresh; None without any.

    Raises:
        ValueError: a choice that does not exist, or one that needs validation examples without any.
    """
    check_positive_integer("eval_every", every)
    check_choice("keep", keep, ("last", "best"))
    if patience is not None:
        check_positive_integer("patience", patience)
    if held_out is None:
        if keep == "best" or patience is not None:
            name = "patience" if patience is not None else "keep='best'"
            raise IwaxError(f"Expected validation together with {name}; got none. Give it, such as 0.1.")
        return None
    keys, count = TrainingKeys(key).validation, num_examples(held_out)
    chosen = np.linspace(0, count - 1, min(MOST, count)).round().astype(int)
    x = test_examples(held_out, "fixed" if rule == "dynamic" else rule, keys.binarisation)
    return Judge(jax.tree.map(lambda leaf: leaf[chosen], x), keys.samples, every)
