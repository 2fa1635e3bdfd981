"""Runs a study's demonstrations and writes what they show: results/demonstrations/STUDY-NAME-SCALE.json."""

import datetime
import functools
import importlib
from pathlib import Path
from typing import Any

from iwax.experiments.recording import machine
from iwax.experiments.study import Demonstration, Study
from iwax.files import dumps, make_folder
from iwax.runs import RunFolder, versions_and_commit

__all__ = ["demonstration_path", "run_demonstration"]

SCHEMA = 1


def demonstration_path(results: Path, study: Study, shown: Demonstration, scale: str) -> Path:
    """Where what it shows is written."""
    return results / "demonstrations" / f"{study.name}-{shown.name}-{scale}.json"


def run_demonstration(
    study: Study, shown: Demonstration, scale: str, path: Path, *, seed: int = 0, command: str = ""
) -> str:
    """Compute and write what a demonstration shows; returns its finding, in a sentence.

    The file holds schema, study, name, title, scale, seed, columns, rows (lists of text and numbers), finding, and what
    made it.
    """
    module, name = shown.function.split(":")
    compute = getattr(importlib.import_module(module), name)
    if shown.options:
        compute = functools.partial(compute, folder=path.parent / f"{study.name}-parts", **dict(shown.options))
    found: dict[str, Any] = compute(scale, seed)
    versions, commit = versions_and_commit()
    record = {
        "schema": SCHEMA,
        **{"study": study.name, "name": shown.name, "title": shown.title, "scale": scale, "seed": seed},
        **{key: found[key] for key in ("columns", "rows", "finding")},
        **{"machine": machine(), "versions": versions, "commit": commit, "command": command},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    make_folder(path.parent)
    RunFolder(path.parent).write(path.name, dumps(record, indent=1) + "\n")
    return found["finding"]
