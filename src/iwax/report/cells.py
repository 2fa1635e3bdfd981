"""From the cells of a study and the records of its runs to tables: ours, its errors, what was published, its price."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from iwax.experiments import Cell, Published, Record, Study, Table
from iwax.report.against import compare
from iwax.report.cell_runs import SCALES, Found, find
from iwax.report.format import METRICS, arithmetic, backward, counted, nats, signed
from iwax.report.paired import Pairing
from iwax.report.ranking import orders
from iwax.report.tables import PLAIN, RAISED, Datum, Sheet

__all__ = ["OPEN", "count", "flop", "number", "numbers", "overview", "seconds", "small"]

BIASED = "trained with a biased backward pass, to be retrained"
OPEN = Datum("open", kind="open")
LETTERS, DIGITS = RAISED[PLAIN.index("a") :], RAISED[PLAIN.index("1") : PLAIN.index("9") + 1]


def overview(study: Study, table: Table, records: Sequence[Record], pairing: Pairing | None = None) -> Sheet:
    """The table in the form of its source: rows by columns, ours above what was published."""
    letters = _letters(table)
    rows, columns = (tuple(dict.fromkeys(getattr(cell, name) for cell in table.cells)) for name in ("row", "column"))
    entries = {(cell.row, cell.column): _entry(find(study, cell, records), cell, letters) for cell in table.cells}
    body = tuple((Datum(row), *(entries.get((row, column), Datum("")) for column in columns)) for row in rows)
    notes = (*_sources(letters), *filter(None, [table.note]), *orders(study, table, records, pairing))
    return Sheet(f"{study.name}-{table.name}", table.title, ("", *columns), body, notes)


def numbers(study: Study, table: Table, records: Sequence[Record]) -> Sheet:
    """One line for each cell: every error, every difference, arithmetic and seconds, scale and seeds, its records."""
    letters, reasons = (
        _letters(table),
        dict.fromkeys(reason for cell in table.cells if (reason := _incomparable(find(study, cell, records), cell))),
    )
    marks = dict(zip(reasons, DIGITS, strict=False))
    columns = (
        *("row", "column", "metric", "ours", "s.d. over seeds", "Monte-Carlo error", "error over images", "published"),
        *("ours less published", "FLOP", "seconds", "processor", "epochs", "backward", "seeds", "test images"),
        *("k", "scale", "records"),
    )
    body = tuple(_line(find(study, cell, records), cell, letters, marks) for cell in table.cells)
    notes = (*_sources(letters), *(f"{mark} Not comparable: {reason}" for reason, mark in marks.items()))
    return Sheet(f"{study.name}-{table.name}-numbers", f"{table.title}: every number", columns, body, notes, labels=3)


def _line(found: Found | None, cell: Cell, letters: dict[str, str], marks: dict[str, str]) -> tuple[Datum, ...]:
    head = (Datum(cell.row), Datum(cell.column), Datum(METRICS.get(cell.metric, cell.metric)))
    published = Datum("; ".join(_printed(one, cell.metric) + letters[one.source] for one in cell.published) or "—")
    if found is None:
        return (*head, OPEN, *[Datum("")] * 3, published, *[Datum("")] * 11)
    reason = _incomparable(found, cell)
    differences = Datum(f"—{marks.get(reason, '')}") if reason else _differences(found, cell)
    evaluation = found.records[0].evaluation
    return (
        *head,
        number(found.value, cell.metric),
        *(small(error) for error in (found.spread, found.error("mc_error"), found.error("data_error"))),
        published,
        differences,
        flop(found.average("training", "flop")),
        *seconds(found),
        count(found.average("training", "epochs")),
        Datum(backward(found.records[0].config)),
        *(count(value) for value in (len(found.records), evaluation.get("num_images"), evaluation.get("num_samples"))),
        Datum(found.scale, SCALES.index(found.scale)),
        Datum(" ".join(record.id for record in found.records)),  # results/ID.json says which command made it
    )


def _entry(found: Found | None, cell: Cell, letters: dict[str, str]) -> Datum:
    """Ours ± its spread over seeds; below, how far from the published recipe it was trained, and what was published.

    Of active units also how many are active by KL, where these are others.
    """
    published = "; ".join(_printed(one, cell.metric) + letters[one.source] for one in cell.published)
    if found is None:
        return dataclasses.replace(OPEN, below=(published,) if published else ())
    ours = number(found.value, cell.metric)
    spread = f" ± {found.spread:.{_digits(cell.metric)}f}" if found.spread is not None else ""
    label = "" if found.scale == "full" else f"{found.scale}, {counted(found.epochs, 'epoch')}"
    biased = BIASED if found.is_biased else ""
    differs = cell.metric == "active_units" and found.active_by_kl not in (None, found.value)
    held = f"{number(found.active_by_kl, cell.metric).text} by KL" if differs else ""
    below = tuple(filter(None, (held, label, biased, published)))
    gains = tuple((one.verdict, one.text, letters[one.published.source]) for one in compare(found, cell))
    return Datum(ours.text + spread, ours.key, below, "smoke" if found.scale == "smoke" else "", gains)


def _incomparable(found: Found | None, cell: Cell) -> str:
    if found is None or not cell.published:
        return ""
    if found.is_of_sample:
        return "trained and judged on the bundled sample (2,000 and 500 images), a smoke test."
    return cell.incomparable


def _differences(found: Found, cell: Cell) -> Datum:
    if cell.metric == "active_units" or not cell.published:
        return Datum("")
    values = [found.value - _plain(one) for one in cell.published]
    return Datum("; ".join(signed(value, _digits(cell.metric)) for value in values), values[0])


def _plain(published: Published) -> float:
    assert not isinstance(published.value, tuple)
    return published.value


def _printed(published: Published, metric: str) -> str:
    error = "" if published.error is None else f" ± {published.error:.{_digits(metric)}f}"
    return number(published.value, metric).text + error


def number(value: Any, metric: str) -> Datum:
    """A value of a metric as tables write it."""
    if metric == "active_units":
        return Datum(" + ".join(f"{units:.1f}".removesuffix(".0") for units in value), float(sum(value)))
    return Datum(nats(value, _digits(metric)), float(value))


def _digits(metric: str) -> int:
    return 3 if metric == "ssim" else 2


def small(error: float | None) -> Datum:
    """An error, if it is known."""
    return Datum("—") if error is None else Datum(f"{error:.3f}", error)


def seconds(found: Found) -> tuple[Datum, Datum]:
    """How long a run trained, and on what."""
    return count(found.average("training", "seconds")), Datum(found.processors)


def count(value: float | int | None) -> Datum:
    """Something counted: seconds, epochs, images."""
    return Datum("—") if value is None else Datum(f"{value:,.0f}", value)


def flop(value: float | int | None) -> Datum:
    """An amount of arithmetic."""
    return Datum(arithmetic(value), value or "")


def _letters(table: Table) -> dict[str, str]:
    """A raised letter for each source of published numbers."""
    return dict(zip(dict.fromkeys(one.source for cell in table.cells for one in cell.published), LETTERS, strict=False))


def _sources(letters: dict[str, str]) -> list[str]:
    return ["; ".join(f"{letter} {source}" for source, letter in letters.items()) + "."] if letters else []
