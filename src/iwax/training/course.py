"""The course of one call of `fit`: where it begins, its records, the epoch it keeps, when it stops, and its result."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from iwax.errors import IwaxError
from iwax.models import Model
from iwax.objectives import AbstractObjective
from iwax.training.selection import Selection
from iwax.training.steps import TrainState
from iwax.training.trainer import Record, Trainer
from iwax.training.validation import NUMBER, Judge

__all__ = ["Course", "FitResult", "resumed"]


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What `fit` returns: the trained model and objective (a learned beta lives there), and a record per epoch.

    In place of a model it goes back into `fit`, for more epochs. Each record is a dictionary: `epoch`, `step`, `bound`
    (mean over the epoch, nats), `learning_rate`, and what was judged along training.
    """

    model: Model
    objective: AbstractObjective
    opt_state: PyTree
    """Of the last step."""
    records: list[Record]
    selected: Record | None = None
    """With `keep="best"`, the record of the epoch whose model and objective these are."""
    last: tuple[Model, AbstractObjective] | None = None
    """With `keep="best"`, model and objective after the last step, from which `fit` goes on."""

    @property
    def epochs(self) -> int:
        """How many there have been."""
        return int(self.records[-1]["epoch"]) if self.records else 0


def resumed(before: FitResult, trainer: Trainer, objective: AbstractObjective) -> TrainState:
    """The state with which a result goes on.

    Raises:
        ValueError: another number of steps an epoch, or another optimiser, than it was trained with.
    """
    model, former = before.last or (before.model, before.objective)
    if objective.learned and former.learned and type(former) is type(objective):
        objective = objective.learned_from(former)
    state, step = trainer.start(model, objective), before.epochs * trainer.steps_per_epoch
    if before.records and before.records[-1]["step"] != step:
        raise IwaxError(
            f"Expected the data and batch size that the result was trained with, {before.records[-1]['step']} steps in "
            f"{before.epochs} epochs; got {step}. Give result.model to begin afresh."
        )
    leaves, form = jax.tree.flatten(state.opt_state)
    held = jax.tree.leaves(before.opt_state)
    if [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves] != [
        (jnp.shape(leaf), jnp.result_type(leaf)) for leaf in held
    ]:
        raise IwaxError(
            "Expected the recipe or optimizer that the result was trained with; got one with another state. Give "
            "result.model to begin afresh."
        )
    opt_state = jax.tree.unflatten(form, held)
    return dataclasses.replace(state, opt_state=opt_state, step=jnp.asarray(step, state.step.dtype))


class Course:
    """What is collected epoch by epoch, beginning with that of an earlier result.

    Arguments:
        judge: of the validation examples, if there are any.
        keep: "last" or "best".
        patience: judgements without a better one, after which it stops.
        on_epoch: told of each epoch.
    """

    def __init__(
        self,
        before: FitResult | None,
        judge: Judge | None,
        keep: str,
        patience: int | None,
        on_epoch: Callable[..., Any] | None,
    ) -> None:
        self.records = [] if before is None else list(before.records)
        self.judge, self.keeps_best, self.patience, self.on_epoch = judge, keep == "best", patience, on_epoch
        self.best: tuple[Model, AbstractObjective] | None = None
        self.selected: Record | None = None
        self.selection = Selection()
        if before is not None and (not self.keeps_best or before.selected is not None):
            self.selection = Selection.of(before.records, NUMBER, extended=before.epochs)
        if before is not None and self.keeps_best and before.selected is not None:
            self.best, self.selected = (before.model, before.objective), before.selected

    def goes_on(self, state: TrainState, record: Record, is_last: bool) -> bool:
        """Enter the epoch that `state` has finished; whether training goes on after it."""
        if self.judge is not None and self.judge.is_due(int(record["epoch"]), is_last):
            record = record | self.judge.numbers(state.model)
            self.selection = self.selection.after(int(record["epoch"]), record[NUMBER])
            if self.keeps_best and self.selection.epoch == record["epoch"]:
                self.best, self.selected = (state.model, state.objective), record
        self.records.append(record)
        return not _refused(self.on_epoch, record, state.model) and not self.selection.has_run_out(self.patience)

    def result(self, state: TrainState) -> FitResult:
        """What it ends with."""
        last = (state.model, state.objective)
        if self.best is None:
            return FitResult(*last, state.opt_state, self.records)
        return FitResult(*self.best, state.opt_state, self.records, self.selected, last)


def _refused(on_epoch: Callable[..., Any] | None, record: Record, model: Model) -> bool:
    """Whether what is told of an epoch returns False."""
    if on_epoch is None:
        return False
    answer = on_epoch(record, model) if _takes_model(on_epoch) else on_epoch(record)
    is_truth_value = isinstance(answer, bool | np.bool_ | jax.Array) and jnp.issubdtype(jnp.result_type(answer), bool)
    return bool(is_truth_value and not answer)


def _takes_model(function: Callable[..., Any]) -> bool:
    """Whether a function wants a second argument; one that might take it, as `print`, gets the record alone."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of a builtin that does not say
        return False
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(needed) >= 2
