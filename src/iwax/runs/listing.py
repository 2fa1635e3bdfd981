"""The runs under a folder, each in a row."""

import os
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.runs.config import OBJECTIVE_FIELDS
from iwax.runs.folder import CONFIG, ENVIRONMENT, EVALUATIONS, STATUS, RunFolder

__all__ = ["list_runs"]

OPTIONS = (*OBJECTIVE_FIELDS, "update", "init_from")  # of the objective, and what else its name in a report says
COLUMNS = ("objective", "options", "model", "dataset", "seed", "recipe", "state", "epochs", "seconds")
COLUMNS += ("bound", "log_p", "iwae_64")


def list_runs(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """One row for each run under a folder: what it trains, its state, its progress, and its last numbers in nats."""
    folders = [config.parent for config in sorted(Path(path).rglob(CONFIG)) if (config.parent / ENVIRONMENT).exists()]
    return [_row(RunFolder(folder)) for folder in folders]


def _row(folder: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"run": str(folder.path), **dict.fromkeys(COLUMNS)}
    try:
        config, status, records = folder.config(), folder.json(STATUS), folder.metrics()
        judged = folder.judged() or (folder.records(EVALUATIONS) or [{}])[-1]
    except IwaxError:
        return row | {"state": "damaged"}
    state = status.get("state", "new")
    return row | {
        **{name: getattr(config, name) for name in ("objective", "model", "dataset", "seed")},
        "options": {name: value for name in OPTIONS if (value := getattr(config, name)) not in (None, "joint")},
        "recipe": config.protocol,
        "state": "interrupted" if state == "running" and not folder.is_locked else state,
        "epochs": f"{status.get('epoch', 0)}/{config.epochs}",
        "seconds": round(status["seconds"]) if "seconds" in status else None,
        "bound": records[-1].get("bound") if records else None,
        "log_p": judged.get("log_p"),
        "iwae_64": judged.get("iwae_64"),
    }
