"""What of a sweep is done: a row for each run, with what tells it from the others."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iwax.runs import RunConfig
from iwax.sweeps.folder import SweepFolder

__all__ = ["differing", "labels", "sweep_rows"]


def sweep_rows(folder: SweepFolder) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """One row for each run (ID, what tells it from others, state, epochs, seconds, note); how many of each state.

    Raises:
        ValueError: it is no folder of a sweep.
    """
    runs = folder.runs()
    rows = [_row(folder, id, words) for id, words in differing(runs).items()]
    return rows, dict(Counter(row["state"] for row in rows))


def _row(folder: SweepFolder, id: str, words: str) -> dict[str, Any]:
    status, (state, note) = folder.status(id), folder.state(id)
    if state == "failed":
        note = f"{note} Its log: {folder.log(id)}".strip()
    epochs = f"{status['epoch']}/{status['epochs']}" if status else ""
    return {
        "run": id,
        "options": words,
        "state": state,
        "epochs": epochs,
        "seconds": round(status["seconds"]) if "seconds" in status else None,
        "note": note,
    }


def differing(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """ID -> the options in which runs differ, in words; in their order.

    >>> differing({"b": {"seed": 1, "epochs": 2}, "a": {"epochs": 2}})
    {'a': 'seed=0', 'b': 'seed=1'}
    """
    names = list(dict.fromkeys(name for options in runs.values() for name in options))
    whole = {id: {name: options.get(name, getattr(RunConfig, name)) for name in names} for id, options in runs.items()}
    varied = [name for name in names if len({repr(options[name]) for options in whole.values()}) > 1]
    ids = sorted(whole, key=lambda id: [_order(whole[id][name]) for name in varied])
    return {id: " ".join(f"{name}={_shown(whole[id][name])}" for name in varied) for id in ids}


def labels(path: Path) -> dict[str, str]:
    """Name of a run's folder -> the options in which runs of the sweep differ; none where `path` is no sweep."""
    folder = SweepFolder(path)
    return differing(folder.runs()) if folder.is_one else {}


def _order(value: Any) -> tuple[int, float, str]:
    """Options that are left out first, then numbers, then words."""
    return (0, 0.0, "") if value is None else (2, 0.0, value) if isinstance(value, str) else (1, value, "")


def _shown(value: Any) -> str:
    return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
