"""Write a report: tables, figures and the page, from records and run folders."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.experiments import PerImage, Record, Study
from iwax.files import make_folder, write_whole
from iwax.judging import group_judged
from iwax.report.against import comparisons, tally
from iwax.report.answers import answers
from iwax.report.cell_runs import cells_done
from iwax.report.cells import numbers, overview
from iwax.report.demonstrations import shown, unshown
from iwax.report.effects import effects
from iwax.report.explorable import explorable
from iwax.report.gather import OWN, gather
from iwax.report.own_runs import own_runs
from iwax.report.page import render
from iwax.report.paired import Pairing
from iwax.report.pictures import Parts
from iwax.report.summary import made_by, progress, runs_sheet, short_runs_sheet, summary
from iwax.report.tables import Sheet, as_csv, as_latex, as_markdown
from iwax.report.verdicts import claim_sheets

__all__ = ["write_report"]

READ = 1000  # lines of a table that is more than CSV
WRITERS = {".md": as_markdown, ".tex": as_latex, ".csv": as_csv}


def write_report(
    results: str | Path | None,
    runs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    studies: Sequence[Study],
    data_dir: str | None = None,
    log: Callable[[str], None] = lambda message: None,
) -> Path:
    """Write out/index.html, out/tables and out/figures; returns the page. Nothing is trained.

    Arguments:
        results: folder of records; None reports runs alone.
        runs: folders of runs, or that hold some. They come first: table, curves, comparison.
        studies: whose tables and figures to fill.
        data_dir: folder of the data sets.
        log: told what is done, and what had to be left out and why.

    Raises:
        ValueError: there is nothing to report.
    """
    folders = [Path(runs)] if isinstance(runs, str | Path) else [Path(path) for path in runs]
    log("reading runs")
    found, out = gather(results, folders, log), Path(out)
    if not found:
        where = ", ".join(map(str, folders))
        raise IwaxError(
            f"Expected {'' if results is None else f'records in {results} or '}runs under {where}; there are none. "
            "`iwax train --dataset mnist-sample "
            "--epochs 5 --out runs/first` makes a run, `iwax reproduce --list` names studies."
        )
    for folder in (out / "figures", out / "tables"):
        make_folder(folder)
    records = tuple(run.record for run in found if run.record.scale != OWN)
    parts = Parts(found, out / "figures", results)
    judged = list({run.folder: run.judged for run in found if run.judged is not None}.values())
    log("drawing")
    place = (*folders, results or ".")[0]  # whose index is asked
    pairing = Pairing(studies, records, PerImage("" if results is None else results, log))
    claims, by_pair = claim_sheets(studies, records, pairing)
    content = {
        "title": "iwax report",
        "own": own_runs(group_judged(judged, place), parts, place),
        "answers": answers(studies, found, parts),
        "summary": summary(studies, found),
        "progress": progress(studies, records) if studies else None,
        "verdicts": claims,
        "claim_pairs": by_pair,
        "studies": [_study(study, records, parts, pairing) for study in studies],
        "cost": parts.cost(),
        "sheets": parts.sheets(),
        "models": explorable(parts.runs, data_dir, log, place),
        "diagrams": parts.diagrams(),
        "runs": short_runs_sheet(found),
        "made_by": made_by(found),
    }
    log("writing tables and the page")
    for sheet in [*_tables(content), runs_sheet(found)]:
        _write(sheet, out / "tables")
    write_whole(out / "index.html", render(content))
    return out / "index.html"


def _write(sheet: Sheet, folder: Path) -> None:
    """A table in every form; one that nobody reads line by line as CSV alone, and what another report left goes."""
    for suffix, writer in WRITERS.items():
        if suffix == ".csv" or len(sheet.rows) <= READ:
            write_whole(folder / (sheet.name + suffix), writer(sheet))
        else:
            (folder / (sheet.name + suffix)).unlink(missing_ok=True)


def _study(study: Study, records: Sequence[Record], parts: Parts, pairing: Pairing) -> dict[str, Any]:
    figures = [(figure.title, parts.figure(study, figure)) for figure in study.figures]
    return {
        **{name: getattr(study, name) for name in ("name", "title", "source")},
        "tables": [
            {"overview": overview(study, table, records, pairing), "numbers": numbers(study, table, records)}
            for table in study.tables
        ],
        "tally": tally(comparisons(study, records)) or _filled(study, records),
        "effects": effects(study, records),
        "shown": shown(study, parts.results),
        "unshown": unshown(study, parts.results),
        "figures": [picture for _, picture in figures if picture],
        "missing": [title for title, picture in figures if not picture],
    }


def _filled(study: Study, records: Sequence[Record]) -> str:
    """How many of its numbers have a run, of a study none of which compares with what was published."""
    done, total = cells_done(study, records)
    return f"{done or 'None'} of its {total} numbers {'has' if done < 2 else 'have'} a run." if total else ""


def _tables(content: Mapping[str, Any]) -> list[Sheet]:
    pairs = [sheet for study in content["studies"] for pair in study["tables"] for sheet in pair.values()]
    findings = [sheet for study in content["studies"] for _, sheet in study["shown"]]
    choices = [study["effects"] for study in content["studies"] if study["effects"]]
    own = [content["own"]["table"], content["own"]["comparison"]] if content["own"] else []
    findings += filter(None, own)
    others = [content["answers"]["best"], content["progress"], content["verdicts"], content["claim_pairs"]]
    return [*pairs, *choices, *findings, *filter(None, others)]
