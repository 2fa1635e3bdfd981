"""More epochs for a run that had been planned for fewer: its new configuration, and the record of it."""

import dataclasses
from typing import Any

from iwax.runs.config import RunConfig
from iwax.runs.folder import CONFIG, ENVIRONMENT, RunFolder
from iwax.training import TrainState

__all__ = ["before_extensions", "extend", "extended"]

EXTENSIONS = "extensions"  # in environment.json


def extended(config: RunConfig, options: dict[str, Any]) -> RunConfig:
    """The configuration with more epochs, which are taken out of `options`; the same where these ask for none more."""
    epochs = options.get("epochs")
    if not isinstance(epochs, int) or config.epochs is None or epochs <= config.epochs:
        return config
    del options["epochs"]
    return dataclasses.replace(config, epochs=epochs)


def extend(folder: RunFolder, config: RunConfig, state: TrainState, epoch: int) -> None:
    """Write the longer configuration of a run, which stands at `epoch`: the record first, its checkpoint last.

    A crash in between leaves a run that goes on: by its record, the checkpoint may have been made for fewer epochs.
    """
    record = {"from": folder.config().epochs, "to": config.epochs, "epoch": epoch, "step": int(state.step)}
    with folder.lock():
        environment = folder.json(ENVIRONMENT)
        before = environment.get(EXTENSIONS, [])
        if record not in before:
            folder.write_json(ENVIRONMENT, environment | {EXTENSIONS: [*before, record]})
        folder.write(CONFIG, config.to_json())
        folder.save(state)


def before_extensions(folder: RunFolder, began: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    """The configuration of a checkpoint, with the epochs that its run has now if the record says so."""
    extensions = folder.json(ENVIRONMENT).get(EXTENSIONS, [])
    is_earlier = any(one["from"] == began.get("epochs") for one in extensions)
    return began | {"epochs": config.epochs} if is_earlier and extensions[-1]["to"] == config.epochs else began
