"""What the studies' demonstrations have shown: each a small table with a finding, as results/demonstrations has it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from iwax.errors import IwaxError
from iwax.experiments import Demonstration, Study, demonstration_path
from iwax.reading import read_typed
from iwax.report.cell_runs import SCALES
from iwax.report.tables import Datum, Sheet

__all__ = ["read_shown", "shown", "unshown"]

AGAIN = "Delete it: `iwax reproduce` makes it again."


class Shown(TypedDict):
    """A file of results/demonstrations."""

    name: str
    title: str
    finding: str
    columns: list[str]
    rows: list[list[Any]]
    seed: int
    scale: str
    date: str
    command: str


def shown(study: Study, results: str | Path) -> list[tuple[str, Sheet]]:
    """The finding and the table of each demonstration that has been run, at its largest scale."""
    found = [read_shown(study, demonstration, results) for demonstration in study.demonstrations]
    return [(one["finding"], _sheet(study, one)) for one in found if one]


def unshown(study: Study, results: str | Path) -> list[str]:
    """The titles of those that have not."""
    return [one.title for one in study.demonstrations if not read_shown(study, one, results)]


def read_shown(study: Study, demonstration: Demonstration, results: str | Path) -> dict[str, Any]:
    """What a demonstration has shown, at the largest scale at which it has been run; {} if it has not."""
    for scale in reversed(SCALES):
        path = demonstration_path(Path(results), study, demonstration, scale)
        if path.exists():
            found = read_typed(path, Shown, AGAIN)
            if found["name"] != demonstration.name or any(len(row) != len(found["columns"]) for row in found["rows"]):
                raise IwaxError(f"Expected {path} to be what {demonstration.name} has shown; got another. {AGAIN}")
            return found
    return {}


def _sheet(study: Study, one: dict[str, Any]) -> Sheet:
    rows: Sequence[Sequence[Any]] = one["rows"]
    words = [any(isinstance(row[i], str) for row in rows) for i in range(len(one["columns"]))]
    labels = words.index(False) if False in words else len(words)
    note = f"Seed {one['seed']}, scale {one['scale']}; made on {one['date'][:10]} by `{one['command']}`."
    body = tuple(tuple(map(_datum, row)) for row in rows)
    return Sheet(f"{study.name}-{one['name']}", one["title"], tuple(one["columns"]), body, (note,), labels)


def _datum(value: Any) -> Datum:
    """Numbers to four digits; a list is a range or a set of them."""
    if isinstance(value, str):
        return Datum(value)
    if value is None or isinstance(value, bool):
        return Datum({True: "yes", False: "no", None: "—"}[value])
    if isinstance(value, list):
        return Datum(", ".join(_datum(part).text for part in value))
    text = f"{value:,}" if isinstance(value, int) else f"{value:#.4g}" if value else "0"
    return Datum(text.replace("-", "−"), value)
