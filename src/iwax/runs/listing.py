"""The runs under a folder: what each trains and how far it has come, and what is wrong with those that are damaged."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.runs.config import OBJECTIVE_FIELDS, RunConfig
from iwax.runs.folder import ENVIRONMENT, EVALUATIONS, STATUS, RunFolder
from iwax.runs.index import RunIndex
from iwax.runs.scanning import scan_runs

__all__ = ["find_runs", "list_runs"]

OPTIONS = (*OBJECTIVE_FIELDS, "early_samples", "early_part", "update", "init_from")
"""Of the objective, and what else its name in a report says."""
COLUMNS: tuple[str, ...] = ("objective", "options", "model", "dataset", "seed", "recipe", "state", "epochs", "seconds")
COLUMNS += ("bound", "log_p", "iwae_64", "problem")


def find_runs(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The folders of runs in and under a folder, in the order of their paths; what may not be entered is left out."""
    return iter([folder for folder, _ in scan_runs(path)])


def list_runs(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """One row for each run under a folder: what it trains, its state, its progress, and its last numbers in nats.

    What was read before, of files that have not changed since, is taken from an index where there are many runs.
    A run with a damaged file has the state "damaged", what could be read of it, and under "problem" what is wrong; the
    problem of every other is None.
    """
    runs = scan_runs(path)
    with RunIndex(path, len(runs)) as index:
        rows = [(run[0], index.of_run("row", run, partial(_row, run[0]))) for run in runs]
    return [_now(folder, row) for folder, row in rows]


def _now(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A row, with what no file says: whether somebody is training the run."""
    if row["state"] == "running" and not RunFolder(folder).is_locked:
        row = row | {"state": "interrupted"}
    return {"run": str(folder), **row}


def _row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    try:
        for part in _parts(RunFolder(path)):
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
    yield {
        "state": status.get("state", "new"),
        "epochs": f"{status.get('epoch', 0)}/{config.epochs}",
        "seconds": round(status["seconds"]) if "seconds" in status else None,
    }
    records = folder.metrics()
    yield {"bound": _bound(records, config)}
    judged = folder.judged() or (folder.records(EVALUATIONS) or [{}])[-1]
    yield {name: judged.get(name) for name in ("log_p", "iwae_64")}
    folder.json(ENVIRONMENT)  # of no use here, but a run cannot go on where it is damaged


def _bound(records: list[dict[str, Any]], config: RunConfig) -> float | None:
    """The last training bound; none in an early part, as other runs' are of more samples."""
    last = records[-1] if records else {}
    return None if config.early_samples and last.get("samples") == config.early_samples else last.get("bound")
