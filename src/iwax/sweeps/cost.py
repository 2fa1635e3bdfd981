"""What runs cost before they are trained: arithmetic counted, time from steps that are measured here and now."""

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from iwax.data import Dataset
from iwax.diagnostics import training_flop, update_flop
from iwax.models import Model
from iwax.runs import ResolvedRun, RunConfig, check_own, fitted, load_data, prepare, resolve
from iwax.sweeps.planning import PlannedRun, Rate
from iwax.training import Trainer, TrainState

__all__ = ["priced", "run_flop", "step_flop"]

SECONDS = 2.0  # of steps, for each run that is measured
CHUNK = 0.25


def step_flop(run: ResolvedRun, model: Model, objective: Any, shape: tuple[int, ...], *, is_early: bool = False) -> int:
    """The arithmetic of one step of training on examples of a shape, the optimiser's with it.

    Arguments:
        is_early: of a step of the run's early part, which has fewer samples; else of one of the rest.
    """
    batch, update = jax.ShapeDtypeStruct((run.recipe.batch_size, *shape), "float32"), run.update
    if is_early and run.early is not None:
        objective, update = run.early.objective(objective), run.early.update(update)
    return training_flop(model, objective, batch, update) + update_flop(run.recipe.optimiser(1), model)


def run_flop(
    run: ResolvedRun, model: Model, objective: Any, shape: tuple[int, ...], steps: int, steps_per_epoch: int
) -> int:
    """The arithmetic of the first `steps` of a run, those of its early part among them."""
    early = run.early_steps(steps, steps_per_epoch)
    counts = {True: early, False: steps - early}
    return sum(n * step_flop(run, model, objective, shape, is_early=is_early) for is_early, n in counts.items() if n)


def priced(
    runs: Sequence[PlannedRun], *, cores: int, data_dir: str | None, began: float
) -> tuple[list[PlannedRun], Rate]:
    """The runs with their steps, FLOP and seconds, and on what the seconds rest.

    Measured are the steps of the runs of the least and the most arithmetic in a step, on `cores` cores.

    Arguments:
        began: when this process was started, by `time.monotonic`, which all processes of a machine share.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    data: dict[Any, Dataset] = {}
    prepared: dict[Any, list[_Steps]] = {}
    of_run = {}
    for run in runs:
        own = RunConfig(**run.options)
        key = dataclasses.replace(own, seed=0)
        if key not in prepared:
            prepared[key] = _prepared(own, data, data_dir)
        of_run[run.id] = prepared[key]
    imported = time.monotonic() - began
    by_flop = sorted(
        ((run.id + steps.when, steps) for run in runs for steps in of_run[run.id]), key=lambda pair: pair[1].flop
    )
    measured = [(id, steps.flop, *_seconds(steps)) for id, steps in (by_flop[0], by_flop[-1])]
    rate = Rate(
        device=f"{jax.devices()[0].device_kind}, {cores} core{'s' * (cores > 1)}",
        startup=imported / len(prepared) + max(first for _, _, first, _ in measured),
        points=tuple((id, flop, each) for id, flop, _, each in measured),
    )
    return [_with_cost(run, of_run[run.id], rate) for run in runs], rate


@dataclasses.dataclass(frozen=True)
class _Steps:
    """Steps of a run that cost the same: all of them, or those of its early part, or those after it."""

    trainer: Trainer
    state: TrainState
    """Before the first of them, as far as the cost of steps depends on it."""
    count: int
    flop: int
    """Of one."""
    when: str
    """In words, where a run has two kinds."""


def _prepared(config: RunConfig, data: dict[Any, Dataset], data_dir: str | None) -> list[_Steps]:
    """The steps of a run, by their cost."""
    run = resolve(config)
    source = (config.dataset, config.split, config.columns, config.grey, config.background)
    if source not in data:
        data[source] = load_data(config, data_dir)
    run = fitted(run, data[source])
    trainer, state = prepare(run, data[source], check_own(run.config))
    shape, total = tuple(trainer.images.shape[1:]), run.epochs * trainer.steps_per_epoch
    early = run.early_steps(total, trainer.steps_per_epoch)
    kinds = [(True, 0, early, " (early)"), (False, early, total - early, " (late)" if early else "")]
    return [
        _Steps(
            trainer,
            dataclasses.replace(state, step=jnp.asarray(first, state.step.dtype)),
            count,
            step_flop(run, state.model, state.objective, shape, is_early=is_early),
            when,
        )
        for is_early, first, count, when in kinds
        if count
    ]


def _seconds(steps: _Steps) -> tuple[float, float]:
    """Seconds until the first steps are done, which compile; and of a step after that, in the best chunk of several."""
    begin = last = time.monotonic()
    step, first, best = int(steps.state.step), None, float("inf")
    for after in steps.trainer.chunks(steps.state, step + steps.count, CHUNK):
        now = time.monotonic()
        if first is None:
            first = now - begin
        else:
            best = min(best, (now - last) / (int(after.step) - step))
            if now - begin - first > SECONDS:
                break
        step, last = int(after.step), now
    first = first or 0.0
    return first, best if best < float("inf") else first


def _with_cost(run: PlannedRun, parts: list[_Steps], rate: Rate) -> PlannedRun:
    return dataclasses.replace(
        run,
        steps=sum(part.count for part in parts),
        flop=sum(part.count * part.flop for part in parts),
        seconds=rate.startup + sum(part.count * rate.seconds(part.flop) for part in parts),
    )
