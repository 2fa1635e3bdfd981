"""Start, continue and reload a run: a configuration, its folder, and the training loop between them."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from iwax.build import build_model, build_objective, resolve, training_images
from iwax.config import RunConfig
from iwax.data import Dataset, load
from iwax.models.vae import VAE
from iwax.objectives import Objective
from iwax.protocols import get_protocol
from iwax.runs import STATUS, RunFolder, environment
from iwax.train import NonFiniteLossError, Trainer, TrainState

__all__ = ["Progress", "load_run", "new_run", "resume_run"]

STRETCH_SECONDS = 0.5  # how long the device works between two looks at the clock
CHECKPOINT_SECONDS = 60.0  # how much work a crash may lose


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run is: bound of the latest step in nats, seconds in all its sessions, rate in steps per second."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    bound: float
    seconds: float
    rate: float

    @property
    def note(self) -> str:
        return f"epoch {self.epoch}/{self.epochs}, {self.rate:.0f} steps/s, bound {self.bound:.2f}"


def new_run(
    config: RunConfig,
    path: str | Path,
    *,
    data_dir: str | None = None,
    data: Dataset | None = None,
    overwrite: bool = False,
    time_limit: float | None = None,
    command: list[str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunFolder:
    """Train as `config` says, in a new folder. Everything is checked before anything is written.

    Arguments:
        config: the run; what it leaves out is filled in.
        path: the folder, new or empty unless `overwrite`.
        data_dir: folder of the data sets; the usual sources if left out.
        data: the data set itself, if it is loaded already.
        time_limit: stop at a checkpoint after this many seconds.
        command: for the record; the process's own arguments if left out.
        on_progress: called about twice a second.

    Raises:
        ValueError: a configuration or folder that will not do.
        NonFiniteLossError: the loss became NaN or infinite; the last good checkpoint stays.
    """
    config = resolve(config)
    data = load(config.dataset, config.split, data_dir) if data is None else data
    config = dataclasses.replace(config, dataset=data.name, split=data.split)
    trainer, state = _prepare(config, data)
    folder = RunFolder(path)
    folder.create(config, environment(data, command), overwrite=overwrite)
    _train(folder, config, trainer, state, time_limit, on_progress)
    return folder


def resume_run(
    path: str | Path,
    *,
    data_dir: str | None = None,
    time_limit: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunFolder:
    """Go on with a run from its last checkpoint, as if it had never stopped.

    Raises:
        ValueError: no run, no good checkpoint, or data other than the run began with.
    """
    folder = RunFolder(path)
    config = folder.config()
    data = load(config.dataset, config.split, data_dir)
    began = folder.json("environment.json").get("checksums")
    if began != dict(data.checksums):
        raise ValueError(f"Expected the data that {folder.path} began with, {began}; got {dict(data.checksums)}.")
    trainer, state = _prepare(config, data)
    _train(folder, config, trainer, folder.load(state), time_limit, on_progress)
    return folder


def load_run(path: str | Path, *, data_dir: str | None = None) -> tuple[RunConfig, VAE, Objective, Dataset]:
    """The configuration, model and objective of a run's last checkpoint, and its data.

    Raises:
        ValueError: no run, or no good checkpoint.
    """
    folder = RunFolder(path)
    config = folder.config()
    data = load(config.dataset, config.split, data_dir)
    state = folder.load(_prepare(config, data)[1])
    return config, state.model, state.objective, data


def _prepare(config: RunConfig, data: Dataset) -> tuple[Trainer, TrainState]:
    """The trainer of a resolved configuration, and its state before the first step."""
    assert config.batch_size is not None  # it is resolved
    images = training_images(config, data)
    trainer = Trainer(
        images=images,
        protocol=get_protocol(config.protocol),
        key=jax.random.fold_in(jax.random.key(config.seed), 1),
        batch_size=config.batch_size,
        binarize=config.binarize,
    )
    return trainer, trainer.start(build_model(config, images), build_objective(config))


def _train(
    folder: RunFolder,
    config: RunConfig,
    trainer: Trainer,
    state: TrainState,
    time_limit: float | None,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Advance to the end, writing records at epochs and checkpoints at intervals, or to the time limit."""
    assert config.epochs is not None  # it is resolved
    images, per_epoch = jnp.asarray(trainer.images), trainer.steps_per_epoch
    total = config.epochs * per_epoch
    records = folder.metrics()[: int(state.step) // per_epoch]  # later ones than the checkpoint are made again
    folder.write_metrics(records)
    before = folder.json(STATUS).get("seconds", 0.0)
    begin = saved = time.monotonic()
    stretch = 1

    def status(name: str, **more: Any) -> None:
        seconds = before + time.monotonic() - begin
        epoch = int(state.step) // per_epoch
        folder.write_json(STATUS, {"state": name, "epoch": epoch, "epochs": config.epochs, "seconds": seconds, **more})

    status("running")
    while int(state.step) < total:
        started, first = time.monotonic(), int(state.step)
        try:
            state = trainer.advance(state, images, stretch)
        except NonFiniteLossError as error:
            status("failed", message=str(error))
            raise
        now, step = time.monotonic(), int(state.step)
        # At most twice as long as the last, since the first of all is mostly compilation.
        stretch = max(1, min(2 * stretch, int(STRETCH_SECONDS * (step - first) / (now - started))))
        if step % per_epoch == 0:
            records.append(trainer.record(state))
            folder.write_metrics(records)
        if on_progress is not None:
            latest = float(state.bounds[(step - 1) % per_epoch])
            rate = (step - first) / (now - started)
            epoch = -(-step // per_epoch)
            on_progress(Progress(step, total, epoch, config.epochs, latest, before + now - begin, rate))
        out_of_time = time_limit is not None and now - begin > time_limit
        if step == total or out_of_time or now - saved > CHECKPOINT_SECONDS:
            folder.save(state)
            saved = now
            status("finished" if step == total else "stopped" if out_of_time else "running")
        if out_of_time:
            return
