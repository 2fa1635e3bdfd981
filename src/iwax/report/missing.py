"""The tables of the study of missing values, for its page."""

from pathlib import Path
from typing import Any

from iwax.experiments import Study
from iwax.report.demonstrations import read_shown

__all__ = ["missing_tables"]

HEAD = (
    "| method | RMSE | s.e. over splits | mean-squared error | coverage of 90 % | CPU seconds |\n"
    "|---|---|---|---|---|---|\n"
)


def missing_tables(study: Study, results: Path) -> str:
    """A table for each demonstration that has been run, in Markdown, and the names of those that have not."""
    parts, open_ = [], []
    for shown in study.demonstrations:
        found = read_shown(study, shown, results)
        if not found:
            open_.append(shown.name)
            continue
        rows = "".join(f"| {' | '.join(_cell(i, value) for i, value in enumerate(row))} |\n" for row in found["rows"])
        made = f"Scale {found['scale']}, commit {found['commit'][:12]}, {found['date'][:10]}."
        parts.append(f"### {shown.title}\n\n{HEAD}{rows}\n{found['finding']} {made}\n")
    if open_:
        parts.append(f"Not run yet: {', '.join(open_)}.\n")
    return "\n".join(["", *parts])


def _cell(column: int, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if column == 4:
        return f"{value:.0%}"
    return f"{value:.1f}" if column == 5 else f"{value:.3f}"
