"""What a report says first: what was run, at what scale, what is open, and what made it."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iwax.experiments import Record, Study
from iwax.report.cell_runs import SCALES, cells_done, find
from iwax.report.format import arithmetic, counted, data_name, nats, objective_name
from iwax.report.gather import OWN, Run
from iwax.report.tables import Datum, Sheet

__all__ = ["made_by", "progress", "runs_sheet", "short_runs_sheet", "summary"]

BEST, NEWEST = 100, 50  # runs of a page that has no room for all
MEANINGS = {
    "full": "the published recipe",
    "short": "all the data, as many epochs as two cores do in 140 minutes a run",
    "trial": "a recipe tried, judged on the first 1,000 test images",
    "smoke": "a few seconds, to see that all works; its numbers mean nothing",
    OWN: "runs that no study made",
}


def summary(studies: Sequence[Study], runs: Sequence[Run]) -> list[str]:
    """Sentences: how many runs of which scale, how much of what is published they fill, the best of each data set."""
    records = [run.record for run in runs]
    scales = Counter(record.scale for record in records)
    parts = [f"{scales[scale]} {scale} ({MEANINGS[scale]})" for scale in (*reversed(SCALES), OWN) if scales[scale]]
    count = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    sentences = [f"{count}: {', '.join(parts)}." if runs else "No run has a record yet."]
    of_studies = [record for record in records if record.scale != OWN]
    counts = [cells_done(study, of_studies) for study in studies]
    if studies:
        done, total = (sum(column) for column in zip(*counts, strict=True))
        others = "none is open" if done == total else "the others are open"
        sentences.append(
            f"{done} of {total} numbers in the tables of {len(studies)} studies have a run; {others}. "
            "Likelihoods and bounds are in nats; ± is the standard deviation over seeds."
        )
    return [*sentences, *_best(runs)]


def progress(studies: Sequence[Study], records: Sequence[Record]) -> Sheet:
    """One line for each study: its numbers done and open, at what scale, and what its runs cost."""
    columns = ("study", "document", "numbers", "with a run", "open", "scale", "FLOP", "hours")
    return Sheet("progress", "Studies", columns, tuple(_progress(study, records) for study in studies), labels=2)


def runs_sheet(runs: Sequence[Run]) -> Sheet:
    """One line for each run."""
    columns = (
        *("objective", "model", "data", "recipe", "scale", "epochs", "log p", "± Monte Carlo", "IWAE-64"),
        *("−KL(Q‖P)", "active units", "FLOP", "seconds", "seed", "name"),
    )
    return Sheet("all-runs", "All runs", columns, tuple(_run(run) for run in runs), labels=5)


def short_runs_sheet(runs: Sequence[Run]) -> Sheet:
    """The same for a browser to show: of very many runs the best of each data set, then the newest of the others."""
    if len(runs) <= BEST + NEWEST:
        return runs_sheet(runs)
    best = _ranked(runs)[:BEST]
    shown = set(map(id, best))
    others = [run for run in runs if id(run) not in shown]
    newest = sorted(others, key=lambda run: run.record.date, reverse=True)[:NEWEST]
    sheet = runs_sheet([*best, *newest])
    title = f"The best {BEST} of {len(runs):,} runs by log p, and the newest {NEWEST} of the others"
    return dataclasses.replace(sheet, title=title, notes=(f"All {len(runs):,} are in `tables/{sheet.name}.csv`.",))


def _ranked(runs: Sequence[Run]) -> list[Run]:
    """The best of each data set, then the second best of each, and so on; those without log p come last."""
    places: Counter[str] = Counter()
    ranks: list[tuple[bool, int, int, Run]] = []
    for run in sorted(runs, key=lambda run: math.inf if run.nll is None else run.nll):
        dataset = run.record.config["dataset"]
        ranks.append((run.nll is None, places[dataset], len(ranks), run))
        places[dataset] += 1
    return [run for *_, run in sorted(ranks, key=lambda rank: rank[:3])]


def made_by(runs: Sequence[Run]) -> list[str]:
    """Versions, machines, commits and dates, each once."""
    records = [run.record for run in runs]
    dates = sorted(record.date[:10] for record in records if record.date)
    versions = {f"{name} {version}" for record in records for name, version in record.versions.items()}
    machines = {", ".join(_part(*part) for part in _telling(record.machine)) for record in records}
    commits = {record.commit[:12] for record in records if record.commit}
    lines = {
        "Made": " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "",
        "With": ", ".join(sorted(versions)),
        "On": "; ".join(sorted(machines)),
        "Commits": ", ".join(sorted(commits)),
    }
    return [f"{what}: {text}." for what, text in lines.items() if text]


def _telling(machine: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What a machine is; of a processor with a name not that it is one, "cpu (cpu)"."""
    named = {name: value for name, value in machine.items() if value}
    silent = ("device", "cpu (cpu)") if len(named) > 1 else None
    return [part for part in named.items() if part != silent]


def _part(name: str, value: Any) -> str:
    return f"{value} core{'s' * (value > 1)}" if name == "cores" else str(value)


def _best(runs: Sequence[Run]) -> list[str]:
    """The run with the highest log p of each data set."""
    best: dict[str, Run] = {}
    for run in sorted((run for run in runs if run.nll is not None), key=lambda run: run.nll or 0.0):
        best.setdefault(run.record.config["dataset"], run)
    return [
        f"Best on {data_name(run.record.config)}: log p {nats(-(run.nll or 0))} by "
        f"{objective_name(run.record.config)}, {run.record.config['model']}, "
        f"after {counted(run.record.training['epochs'], 'epoch')} ({run.record.scale})."
        for run in best.values()
    ]


def _progress(study: Study, records: Sequence[Record]) -> tuple[Datum, ...]:
    done, total = cells_done(study, records)
    found = [one for cell in study.cells if (one := find(study, cell, records))]
    used = {record.id: record for one in found for record in one.records}.values()
    flop = sum(record.training.get("flop") or 0 for record in used)
    hours = sum(record.training.get("seconds") or 0 for record in used) / 3600
    scales = [scale for scale in SCALES if any(record.scale == scale for record in used)]
    return (
        *(Datum(study.name), Datum(study.title), Datum(str(total), total), Datum(str(done), done)),
        *(Datum(str(total - done), total - done), Datum(", ".join(scales) or "—")),
        *(Datum(arithmetic(flop), flop), Datum(f"{hours:.1f}" if used else "—", hours)),
    )


def _run(run: Run) -> tuple[Datum, ...]:
    record = run.record
    config, training, evaluation = record.config, record.training, record.evaluation
    errors = evaluation.get("mc_error", {})
    units = evaluation.get("active_units") or []
    name = run.folder.name if run.folder is not None else record.id
    return (
        *(Datum(objective_name(config)), Datum(Path(config["model"]).name), Datum(data_name(config))),
        Datum(str(config["protocol"])),
        Datum(record.scale),
        Datum(f"{training['epochs']:,}", training["epochs"]),
        _value(evaluation["values"].get("log_p")),
        _value(errors.get("log_p"), 3),
        *(_value(evaluation["values"].get(key)) for key in ("iwae_64", "minus_kl")),
        Datum(" + ".join(map(str, units)), sum(units)) if units else Datum("—"),
        Datum(arithmetic(training.get("flop")), training.get("flop") or ""),
        _value(training.get("seconds"), 0),
        Datum(str(config["seed"]), config["seed"]),
        Datum(name),
    )


def _value(value: float | int | None, digits: int = 2) -> Datum:
    return Datum("—") if value is None else Datum(nats(value, digits), value)
