"""The first screen: the best models of each data set, and ours against what was published."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from iwax.experiments import Published, Record, Study
from iwax.report.against import comparisons, tally
from iwax.report.cell_runs import without_history
from iwax.report.dots import dots_figure
from iwax.report.format import data_name, legend, nats, objective_name, signed
from iwax.report.gather import OWN, Run
from iwax.report.pictures import Parts
from iwax.report.tables import Datum, Sheet

__all__ = ["answers", "best_models"]

BEST = 3  # models of each data set
COMPARED = (
    "Published: the highest log p in the tables that are reproduced here, not in all of the literature. Difference: "
    "ours minus published. {}."
)
UNTOLD = ("smoke", "trial")  # scales whose numbers are not compared
COLUMNS = (  # in the order of their weight: a phone shows the first three
    *("data", "objective", "log p", "published", "difference", "± images", "model", "epochs", "runs"),
)


def answers(studies: Sequence[Study], runs: Sequence[Run], parts: Parts) -> dict[str, Any]:
    """What the page says first: "best", a table or None; "tally", a sentence; "figures", the dot plots of studies.

    Of the reader's runs alone there is no "best": their own table begins with it.
    """
    records = [run.record for run in runs]
    found = [(study, compared) for study in studies if (compared := comparisons(study, records))]
    found.sort(key=lambda one: -len(one[1]))  # what says most stands first
    figures = [
        parts.draw(
            f"against-{study.name}",
            f"{study.name}: {study.title}. {tally(compared)}",
            partial(dots_figure, compared),
        )
        for study, compared in found
    ]
    every = [one for _, compared in found for one in compared]
    best = None if all(record.scale == OWN for record in records) else best_models(runs, studies)
    return {"best": best, "tally": tally(every), "figures": figures}


def best_models(runs: Sequence[Run], studies: Sequence[Study] = ()) -> Sheet | None:
    """The three best models of each data set by log p of test images, means over seeds; None if nothing is judged."""
    groups: dict[str, dict[tuple[Any, ...], list[Record]]] = defaultdict(lambda: defaultdict(list))
    told = (run.record for run in runs if run.nll is not None and run.record.scale not in UNTOLD)
    for record in without_history(told):
        groups[record.config["dataset"]][_kind(record)].append(record)
    published = _published(studies)
    rows = []
    for dataset, kinds in sorted(groups.items()):
        ranked = sorted(kinds.values(), key=lambda group: -_mean(group))[:BEST]
        alike = len({_how_judged(group[0]) for group in ranked}) == 1  # log p rises with the number of samples
        rows += [_row(group, published.get(dataset), is_best=alike and i == 0) for i, group in enumerate(ranked)]
    compared = {name: one for name, one in published.items() if name in groups}
    notes = (
        "Log p of test images in nats, higher is better; ± is the standard deviation over seeds, if there are several. "
        "± images: the standard error over test images; most of it cancels in a difference of two models.",
        *([COMPARED.format("; ".join(f"{name}: {one.source}" for name, one in compared.items()))] if compared else []),
        *filter(None, [legend(row[1].text for row in rows)]),
    )
    return Sheet("best-models", "The best models of each data set", COLUMNS, tuple(rows), notes, 2) if rows else None


def _kind(record: Record) -> tuple[Any, ...]:
    """What runs have in common that differ by their seed alone, and were judged alike."""
    names = ("model", "protocol", "algorithm", "batch_size", "stages", "init_from", "train_images")
    config, epochs = record.config, record.training["epochs"]
    how = [str(config.get(name)) for name in names]
    return objective_name(config), *how, epochs, *_how_judged(record), record.scale


def _how_judged(record: Record) -> tuple[Any, Any]:
    return record.evaluation.get("num_images"), record.evaluation.get("num_samples")


def _row(group: Sequence[Record], published: Published | None, *, is_best: bool) -> tuple[Datum, ...]:
    first, value = group[0], _mean(group)
    spread = f" ± {stdev(map(_log_p, group)):.2f}" if len(group) > 1 else ""
    error = first.evaluation.get("data_error", {}).get("log_p")
    theirs = None if published is None else -float(published.value)  # type: ignore[arg-type]
    return (
        *(Datum(data_name(first.config)), Datum(objective_name(first.config))),
        Datum(nats(value) + spread, value, kind="best" if is_best else ""),
        Datum("—") if theirs is None else Datum(nats(theirs), theirs),
        Datum("—") if theirs is None else Datum(signed(value - theirs), value - theirs),
        Datum("—") if error is None else Datum(f"{error:.2f}", error),
        Datum(Path(first.config["model"]).name),
        Datum(f"{first.training['epochs']:,}", first.training["epochs"]),
        Datum(str(len(group)), len(group)),
    )


def _published(studies: Sequence[Study]) -> Mapping[str, Published]:
    """The lowest published negative log-likelihood of each data set, of those that ours may be compared with."""
    best: dict[str, Published] = {}
    for cell in (cell for study in studies for cell in study.cells):
        if cell.metric != "nll" or cell.incomparable:
            continue
        here = best.get(cell.config.dataset)
        for one in cell.published:
            if here is None or float(one.value) < float(here.value):  # type: ignore[arg-type]
                here = best[cell.config.dataset] = one
    return best


def _log_p(record: Record) -> float:
    return float(record.evaluation["values"]["log_p"])


def _mean(group: Sequence[Record]) -> float:
    return fmean(map(_log_p, group))
