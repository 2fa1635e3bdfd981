"""What of the studies is done and what is open: rows for `iwax reproduce --list`."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from iwax.experiments.demonstrate import demonstration_path
from iwax.experiments.identity import non_default_fields, run_name
from iwax.experiments.listed import list_records
from iwax.experiments.matching import matching_records
from iwax.experiments.reproduction import Reproduction, record_id
from iwax.experiments.scales import SCALES
from iwax.experiments.study import ALONG, Study
from iwax.runs import STATUS, RunConfig, RunFolder

__all__ = ["demonstration_rows", "run_rows", "study_rows"]

IN_RUN_NAME = (
    "objective",
    "num_groups",
    "num_samples",
    "beta",
    "model",
    "dataset",
    "seed",
    *ALONG,
)  # in a run's name, or of no interest


def study_rows(
    studies: Iterable[Study], results: Path, left_out: Callable[[str], None] | None = None
) -> list[dict[str, Any]]:
    """One row for each study: its cells, and at each scale how many of them have a record and how many are open.

    `left_out` is told of files that are no records; such a file is an error if it is left out.
    """
    records = list_records(results, left_out)
    return [_study_row(study, records, results) for study in studies]


def run_rows(configs: Sequence[RunConfig], how: Reproduction) -> list[dict[str, Any]]:
    """One row for each run: its name, its state, its epochs, its record, and what its name does not say of it."""
    rows, records = [], [record for record in list_records(how.results, how.log) if record.scale == how.scale]
    for config in configs:
        name, id, own = run_name(config), record_id(config, how), non_default_fields(config)
        folder = RunFolder(how.runs / name)
        status = folder.json(STATUS)
        found = {record.id: record for record in records if record.asked == own}  # judged with whatever k
        state = "done" if id in found else status.get("state", "open")
        if found and id not in found:
            id, record = next(iter(found.items()))
            state = f"done, k = {record.num_samples}"
        if state == "running" and not folder.is_locked:
            state = "interrupted"
        epochs = f"{status['epoch']}/{status['epochs']}" if status else ""
        recipe = " ".join(f"{field}={value}" for field, value in own.items() if field not in IN_RUN_NAME)
        rows.append({"run": name, "state": state, "epochs": epochs, "record": id, "recipe": recipe})
    return rows


def demonstration_rows(study: Study, how: Reproduction) -> list[dict[str, Any]]:
    """One row, as of a run, for each demonstration; its record is the name of its file in results/demonstrations."""
    rows = []
    for shown in study.demonstrations:
        path = demonstration_path(how.results, study, shown, how.scale)
        done = path.is_file()
        row = {"run": shown.name, "state": "done" if done else "open", "epochs": ""}
        rows.append(row | {"record": path.stem if done else "", "recipe": shown.title})
    return rows


def _study_row(study: Study, records: list[Any], results: Path) -> dict[str, Any]:
    cells = list(study.cells)
    by_cell = [matching_records(study, cell.config, records, cell.start) for cell in cells]
    row: dict[str, Any] = {"study": study.name, "cells": len(cells)}
    for scale in SCALES:
        done = sum(any(record.scale == scale for record in found) for found in by_cell)
        row[scale] = f"{done} done, {len(cells) - done} open"
    shown = sum(
        any((results / "demonstrations").glob(f"{study.name}-{shown.name}-*.json")) for shown in study.demonstrations
    )
    row["demonstrations"] = f"{shown} of {len(study.demonstrations)}" if study.demonstrations else ""
    return row
