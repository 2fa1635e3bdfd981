"""docs/reproductions.md: what has been reproduced, at what scale, from the committed records."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from iwax.experiments import PerImage, Record, Study
from iwax.report.cells import OPEN, numbers, overview
from iwax.report.demonstrations import shown, unshown
from iwax.report.effects import effects
from iwax.report.gather import Run
from iwax.report.paired import Pairing
from iwax.report.summary import made_by, progress, summary
from iwax.report.tables import Sheet, as_markdown
from iwax.report.verdicts import claim_sheets, outcome

__all__ = ["reproductions_page"]

HEAD = """# Reproductions

Published tables on importance weighted autoencoders, made again: which claims hold, and every number beside what was
published. Each names its records: the command that made it, its commit, machine, errors and checks are in
`results/ID.json`. `iwax report --studies` makes the same tables as LaTeX and CSV, figures, and one HTML page with a
latent explorer. (Made from the records by `make pages`; do not edit.)

"""
COMMAND = (
    "`iwax reproduce {name} --scale short` makes these records: where they are there already, as in a clone, it finds "
    "them, and with `--results mine` it makes them afresh."
)


def reproductions_page(
    studies: Sequence[Study], runs: Sequence[Run], results: str | Path, figures: Mapping[str, str] | None = None
) -> str:
    """The text of the page.

    Arguments:
        studies: in the order of the page.
        runs: of the records.
        results: their folder, where demonstrations lie, too.
        figures: title -> file name of a picture beside the page.
    """
    records = [run.record for run in runs]
    parts = [HEAD, "\n\n".join(summary(studies, runs)), "\n\n", _table(progress(studies, records))]
    pairing = Pairing(studies, records, PerImage(results))
    held, by_pair = claim_sheets(studies, records, pairing)
    parts += [f"## {held.title}\n\n{outcome(held)}\n\n{_table(held)}"] if held else []
    parts += [_folded("Every pair that a claim orders, with the errors of its difference", by_pair)] if by_pair else []
    parts += [
        f"## What it costs\n\n![−log p against arithmetic]({name})\n\n{title}\n\n"
        for title, name in (figures or {}).items()
    ]
    for study in studies:
        parts.append(f"## {study.name}: {study.title}\n\n{study.source}. {COMMAND.format(name=study.name)}\n\n")
        parts += [_both(study, records, i, pairing) for i in range(len(study.tables))]
        choices = effects(study, records)
        parts += [f"### {choices.title}\n\n{_table(choices)}"] if choices else []
        parts += [f"### {sheet.title}\n\n{finding}\n\n{_table(sheet)}" for finding, sheet in shown(study, results)]
        left = unshown(study, results)
        parts += [f"Not yet demonstrated: {'; '.join(left)}.\n\n"] if left else []
    if runs:
        parts.append("## What made them\n\n" + "\n".join(f"- {line}" for line in made_by(runs)))
    return "".join(parts).rstrip() + "\n"


def _both(study: Study, records: Sequence[Record], i: int, pairing: Pairing) -> str:
    """A table in its source's form, and every number of it that is not open to unfold."""
    table = study.tables[i]
    text = f"### {table.title[:1].upper() + table.title[1:]}\n\n{_table(overview(study, table, records, pairing))}"
    every = numbers(study, table, records)
    done = tuple(row for row in every.rows if OPEN not in row)
    if not done:
        return text
    return text + _folded("Every number, with its errors and its price", dataclasses.replace(every, rows=done))


def _folded(title: str, sheet: Sheet) -> str:
    """A table to unfold."""
    indented = "".join(f"    {line}".rstrip() + "\n" for line in as_markdown(sheet).splitlines())
    return f'??? note "{title}"\n\n{indented}\n'


def _table(sheet: Sheet) -> str:
    return as_markdown(sheet) + "\n"
