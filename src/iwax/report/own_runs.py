"""The reader's own runs, which the report shows first: their table, their curves, how they compare with the best."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.evaluation import compare_evaluations
from iwax.files import dumps
from iwax.judging import SeedGroup, read_evaluation
from iwax.report.format import nats, signed
from iwax.report.pictures import Parts
from iwax.report.seed_table import seed_labels, seed_sheet
from iwax.report.tables import Datum, Sheet
from iwax.runs import JUDGED, RunIndex, file_signature

__all__ = ["own_runs"]

COMPARED = 100  # lines; a longer table is not read
ARRAYS = "evaluation.npz"


def own_runs(groups: Sequence[SeedGroup], parts: Parts, place: str | Path = ".") -> dict[str, Any] | None:
    """The content of the page's first section; None where there are no runs of one's own.

    Arguments:
        groups: of `iwax.judging.group_judged`, or `group_runs`.
        parts: draws; its runs without a record are those whose curves are shown.
        place: the folder of the runs; where they are very many, its index knows what was compared before.
    """
    if not groups:
        return None
    with RunIndex(place, sum(len(group.runs) for group in groups)) as index:
        compared = _comparison(groups, index)
    return {"table": seed_sheet(groups), "comparison": compared, "figures": parts.own_curves()}


def _comparison(groups: Sequence[SeedGroup], index: RunIndex) -> Sheet | None:
    """Of each line its best seed, less the best run on the same test examples, paired by these; None without a pair."""
    judged = sorted((group for group in groups if group.number("log_p") is not None), key=lambda one: -_best(one)[0])
    labels = seed_labels(judged, short=True)[0] if judged else []
    families: dict[str, list[tuple[float, Path, str]]] = defaultdict(list)  # by their examples
    for group, label in zip(judged, labels, strict=True):
        value, path, examples = _best(group)
        families[examples].append((value, path, ", ".join(label)))
    pairs = [(family[0], other) for family in families.values() for other in family[1:]]
    if not pairs:
        return None
    notes = ["Paired by test example, in nats; ± is over examples. Neither: within two Monte-Carlo errors."]
    notes += [] if len(pairs) <= COMPARED else [f"The best {COMPARED} of {len(pairs)} lines below it."]
    if alone := [family[0][1].name for family in families.values() if len(family) == 1]:
        notes.append(f"Not compared, as no other line was judged on the same test examples: {', '.join(alone)}.")
    several = len({reference for reference, _ in pairs}) > 1
    rows = []
    for (_, reference, _), (value, path, name) in pairs[:COMPARED]:
        try:
            found = _difference(path, reference, index)
        except IwaxError as error:
            notes.append(f"{path.name}: {error}")
            continue
        less = (Datum(reference.name),) if several else ()
        rows.append((Datum(name), Datum(path.name), *less, *_row(value, found)))
    (_, reference, best), _ = pairs[0]
    title = "The best run of each line, less " + (
        "the best on the same test examples" if several else f"{reference.name} ({best})"
    )
    columns = ("objective", "run", *(("less",) if several else ()), "log p", "difference", "95 %")
    columns += ("better", "worse", "neither")
    return Sheet("own-comparison", title, columns, tuple(rows), notes=tuple(notes), labels=3 if several else 2)


def _row(value: float, found: dict[str, Any]) -> list[Datum]:
    """The numbers of a line: its log p, and how it differs from the reference."""
    low, high = found["low"], found["high"]
    return [
        Datum(nats(value), value),
        Datum(f"{signed(found['difference'], 3)} ± {found['error']:.3f}", found["difference"]),
        Datum(f"{signed(low, 3)} to {signed(high, 3)}", low),
        *(Datum(str(count), count) for count in found["prefer"]),
    ]


def _difference(path: Path, reference: Path, index: RunIndex) -> dict[str, Any]:
    """Of two runs what the table says of their comparison; both files are read only if one of them has changed."""

    def read() -> dict[str, Any]:
        found = compare_evaluations(read_evaluation(path), read_evaluation(reference))
        return {
            **{"difference": found.difference, "error": found.error, "prefer": found.prefer},
            **dict(zip(("low", "high"), found.t_interval, strict=True)),
        }

    signatures = [file_signature(folder / name) for folder in (path, reference) for name in (ARRAYS, JUDGED)]
    names = [index.key(folder) for folder in (path, reference)]
    signature = " ".join(signatures) if all(signatures) else ""
    known = index.value("compared", dumps(names), signature, read)
    return {name: math.nan if value is None else value for name, value in known.items()}


def _best(group: SeedGroup) -> tuple[float, Path, str]:
    """log p and the folder of the best judged run, and the hash of the examples that it was judged on."""
    judged = [run for run in group.runs if run.value("log_p") is not None]
    return max((run.value("log_p") or 0.0, run.folder.path, run.summary["test_hash"]) for run in judged)
