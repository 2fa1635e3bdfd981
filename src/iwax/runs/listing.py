"""The runs under a folder: what each trains and how far it has come, and what is wrong with those that are damaged."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.runs.config import OBJECTIVE_FIELDS
from iwax.runs.folder import CHECKPOINT, CONFIG, ENVIRONMENT, EVALUATIONS, METRICS, STATUS, RunFolder

__all__ = ["find_runs", "list_runs"]

OPTIONS = (*OBJECTIVE_FIELDS, "update", "init_from")  # of the objective, and what else its name in a report says
COLUMNS = ("objective", "options", "model", "dataset", "seed", "recipe", "state", "epochs", "seconds")
COLUMNS += ("bound", "log_p", "iwae_64", "problem")
OF_A_RUN = (ENVIRONMENT, STATUS, METRICS, CHECKPOINT)
"""What tells a run from another folder with a file config.json: one of these is in it."""


def find_runs(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The folders of runs in and under a folder, in the order of their paths; what may not be entered is left out."""
    for config in sorted(Path(path).rglob(CONFIG)):
        if any(os.path.lexists(config.parent / name) for name in OF_A_RUN):
            yield config.parent


def list_runs(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """One row for each run under a folder: what it trains, its state, its progress, and its last numbers in nats.

    A run with a damaged file has the state "damaged", what could be read of it, and under "problem" what is wrong; the
    problem of every other is None.
    """
    return [_row(RunFolder(folder)) for folder in find_runs(path)]


def _row(folder: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"run": str(folder.path), **dict.fromkeys(COLUMNS)}
    try:
        for part in _parts(folder):
            row |= part
    except (IwaxError, OSError) as error:
        row |= {"state": "damaged", "problem": " ".join(str(error).split())}
    return row


def _parts(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """What the files say, one after another, so that a damaged one hides only what comes after it."""
    config = folder.config()
    yield {name: getattr(config, name) for name in ("objective", "model", "dataset", "seed")}
    given = {name: getattr(config, name) for name in OPTIONS}
    yield {"options": {name: value for name, value in given.items() if value not in (None, "joint")}}
    yield {"recipe": config.protocol, "epochs": f"0/{config.epochs}"}
    status = folder.json(STATUS)
    state = status.get("state", "new")
    yield {
        "state": "interrupted" if state == "running" and not folder.is_locked else state,
        "epochs": f"{status.get('epoch', 0)}/{config.epochs}",
        "seconds": round(status["seconds"]) if "seconds" in status else None,
    }
    records = folder.metrics()
    yield {"bound": records[-1].get("bound") if records else None}
    judged = folder.judged() or (folder.records(EVALUATIONS) or [{}])[-1]
    yield {name: judged.get(name) for name in ("log_p", "iwae_64")}
    folder.json(ENVIRONMENT)  # of no use here, but a run cannot go on where it is damaged
