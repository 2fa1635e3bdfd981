"""What runs cost before they are trained: arithmetic counted, time from steps that are measured here and now."""

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Any

import jax

from iwax.data import Dataset
from iwax.diagnostics import training_flop, update_flop
from iwax.models import Model
from iwax.runs import ResolvedRun, RunConfig, check_own, load_data, prepare, resolve
from iwax.sweeps.planning import PlannedRun, Rate

__all__ = ["priced", "step_flop"]

SECONDS = 2.0  # of steps, for each run that is measured
CHUNK = 0.25


def step_flop(run: ResolvedRun, model: Model, objective: Any, shape: tuple[int, ...]) -> int:
    """The arithmetic of one step of training on examples of a shape, the optimiser's with it."""
    batch = jax.ShapeDtypeStruct((run.recipe.batch_size, *shape), "float32")
    return training_flop(model, objective, batch, run.update) + update_flop(run.recipe.optimiser(1), model)


def priced(
    runs: Sequence[PlannedRun], *, cores: int, data_dir: str | None, began: float
) -> tuple[list[PlannedRun], Rate]:
    """The runs with their steps, FLOP and seconds, and on what the seconds rest.

    Measured are the steps of the runs of the least and the most arithmetic in a step, on `cores` cores.

    Arguments:
        began: when this process was started, by `time.time`.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    data: dict[Any, Dataset] = {}
    prepared: dict[Any, tuple[Any, Any, int]] = {}
    of_run = {}
    for run in runs:
        own = RunConfig(**run.options)
        key = dataclasses.replace(own, seed=0)
        if key not in prepared:
            prepared[key] = _prepared(own, data, data_dir)
        of_run[run.id] = prepared[key]
    imported = time.time() - began
    by_flop = sorted(runs, key=lambda run: of_run[run.id][2])
    measured = {run.id: _seconds(*of_run[run.id][:2]) for run in (by_flop[0], by_flop[-1])}
    rate = Rate(
        device=f"{jax.devices()[0].device_kind}, {cores} core{'s' * (cores > 1)}",
        startup=imported / len(prepared) + max(first for first, _ in measured.values()),
        points=tuple((id, of_run[id][2], each) for id, (_, each) in measured.items()),
    )
    return [_with_cost(run, *of_run[run.id], rate) for run in runs], rate


def _prepared(config: RunConfig, data: dict[Any, Dataset], data_dir: str | None) -> tuple[Any, Any, int]:
    """What trains a run, its state before the first step, and the arithmetic of a step."""
    run = resolve(config)
    source = (config.dataset, config.split, config.columns, config.grey, config.background)
    if source not in data:
        data[source] = load_data(config, data_dir)
    run = run.on(data[source])
    trainer, state = prepare(run, data[source], check_own(run.config))
    shape = tuple(trainer.images.shape[1:])
    return (trainer, run.epochs), state, step_flop(run, state.model, state.objective, shape)


def _seconds(trainer_and_epochs: Any, state: Any) -> tuple[float, float]:
    """Seconds until the first steps are done, which compile; and of a step after that, in the best chunk of several."""
    trainer, epochs = trainer_and_epochs
    begin = last = time.monotonic()
    step, first, best = 0, None, float("inf")
    for after in trainer.chunks(state, epochs * trainer.steps_per_epoch, CHUNK):
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


def _with_cost(run: PlannedRun, trainer_and_epochs: Any, state: Any, flop: int, rate: Rate) -> PlannedRun:
    trainer, epochs = trainer_and_epochs
    steps = epochs * trainer.steps_per_epoch
    return dataclasses.replace(run, steps=steps, flop=steps * flop, seconds=rate.startup + steps * rate.seconds(flop))
