"""The tables of the study of missing values, for its page."""

from pathlib import Path
from typing import Any

from iwax.experiments import Study
from iwax.report.demonstrations import read_shown

__all__ = ["missing_findings", "missing_tables"]

FOREST = "IterativeImputer, forest"
DIGITS = {"splits": "d", "coverage of 90 %": ".0%", "CPU seconds": ".1f"}  # of columns; else .3f


UNCERTAIN = ("IterativeImputer", "iwax", "recipe of the MIWAE notebook")
"""Methods that say how uncertain an imputed value is."""


def missing_findings(study: Study, results: Path) -> str:
    """What the tables say of `Imputer`: its place, its intervals, its time. All of it is of records."""
    every = [one for shown in study.demonstrations if (one := read_shown(study, shown, results))]
    found = [one for one in every if one["name"].endswith("-random")]
    if not found:
        return ""
    tables = [_by_method(one) for one in found]
    splits = sorted({rows["iwax"].get("splits") or 1 for rows in tables})
    behind = ", ".join(one["title"].split(":")[0] for one in found if not _is_as_good(one, UNCERTAIN))
    first = sum(_is_as_good(one) for one in found)
    slower = [rows["iwax"]["CPU seconds"] / max(rows[FOREST]["CPU seconds"], 0.1) for rows in tables]
    return (
        f"Of {len(found)} tables with half of the values missing completely at random, each split "
        f"{' or '.join(map(str, splits))} times: among the methods that say how uncertain they are, `Imputer` has the "
        "least error, or one within a standard error of the least, in "
        f"all{behind and f' but {behind}'}; among all methods in {first} of them.{_below(found)} Its 90 % intervals "
        f"cover {_range([rows['iwax'] for rows in tables])} of the hidden values. It takes {min(slower):.0f} to "
        f"{max(slower):.0f} times the CPU seconds of scikit-learn's `IterativeImputer` with a forest."
        f"{_masked([_by_method(one) for one in every if one not in found])}\n"
    )


def _below(found: list[dict[str, Any]]) -> str:
    """By how much the error of a forest is larger, on the same splits, table by table."""
    differences = []
    for one in found:
        row = _by_method(one)[FOREST]
        if row.get("more than iwax") is not None:
            se = row["s.e. of the difference"]
            by = f"{row['more than iwax']:.3f}".replace("-", "−") + ("" if se is None else f" ± {se:.3f}")
            differences.append(f"{one['title'].split(':')[0]} {by}")
    if not differences:
        return ""
    listed = ", ".join(differences)
    return f" The error of a forest, which gives no intervals, less its own on the same splits: {listed}."


def _masked(tables: list[dict[str, dict[str, Any]]]) -> str:
    """The same of tables whose values are missing because of what they are."""
    if not tables:
        return ""
    ignorable, modelled = ([rows[name] for rows in tables] for name in ("iwax", "iwax, self-masking above"))
    better = sum(new["RMSE"] < old["RMSE"] for old, new in zip(ignorable, modelled, strict=True))
    return (
        f" Of {len(tables)} with all values above the mean missing in half of the columns, intervals that ignore why "
        f"cover {_range(ignorable)}, those of `self-masking-above` {_range(modelled)}; its error is the smaller in "
        f"{better}."
    )


def _range(rows: list[dict[str, Any]]) -> str:
    ends = [f"{end([row['coverage of 90 %'] for row in rows]):.0%}" for end in (min, max)]
    return " to ".join(dict.fromkeys(ends))


def _by_method(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row[0]: dict(zip(found["columns"], row, strict=True)) for row in found["rows"]}


def _is_as_good(found: dict[str, Any], methods: tuple[str, ...] = ()) -> bool:
    """Whether no other of these methods, or of all, has a lower error than iwax by more than a standard error.

    That of the difference over the splits that both have, where a record has it: what is hidden differs more from
    split to split than methods do.
    """
    measured = {name: row for name, row in _by_method(found).items() if row["RMSE"] is not None}
    others = [row for name, row in measured.items() if name != "iwax" and (not methods or name in methods)]
    return all(_lead(row, measured["iwax"]) >= 0 for row in others)


def _lead(row: dict[str, Any], own: dict[str, Any]) -> float:
    """By how much the error of another method exceeds that of iwax, and a standard error more."""
    if row.get("more than iwax") is not None:
        return row["more than iwax"] + (row["s.e. of the difference"] or 0.0)
    return row["RMSE"] - own["RMSE"] + max(one["s.e. over splits"] or 0.0 for one in (row, own))


def missing_tables(study: Study, results: Path) -> str:
    """A table for each demonstration that has been run, in Markdown, and the names of those that have not."""
    parts, open_ = [], []
    for shown in study.demonstrations:
        found = read_shown(study, shown, results)
        if not found:
            open_.append(shown.name)
            continue
        names = found["columns"]
        head = f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"
        rows = "".join(f"| {' | '.join(map(_cell, names, row))} |\n" for row in found["rows"])
        made = f"Scale {found['scale']}, commit {found['commit'][:12]}, {found['date'][:10]}."
        parts.append(f"### {shown.title}\n\n{head}{rows}\n{found['finding']} {made}\n")
    if open_:
        parts.append(f"Not run yet: {', '.join(open_)}.\n")
    return "\n".join(["", *parts])


def _cell(column: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return format(value, DIGITS.get(column, ".3f"))
