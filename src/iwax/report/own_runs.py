"""The reader's own runs, which the report shows first: their table, their curves, how they compare with the best."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.evaluation import compare_evaluations
from iwax.files import dumps
from iwax.judging import SeedGroup, group_runs, read_evaluation
from iwax.report.format import nats, signed
from iwax.report.pictures import Parts
from iwax.report.seed_table import seed_labels, seed_sheet
from iwax.report.tables import Datum, Sheet
from iwax.runs import JUDGED, RunIndex, file_signature

__all__ = ["own_runs"]

COMPARED = 100  # lines; a longer table is not read
ARRAYS = "evaluation.npz"


def own_runs(
    folders: Sequence[Path],
    parts: Parts,
    left_out: Callable[[str], None] = lambda message: None,
    places: Sequence[Path] | None = None,
) -> dict[str, Any] | None:
    """The content of the page's first section; None where there are no runs of one's own.

    Arguments:
        folders: of runs.
        left_out: told of each run that is damaged, and so is left out.
        places: folders in which they are found, together; each by itself if left out.
        parts: draws; its runs without a record are those whose curves are shown.
    """
    if not folders:
        return None
    groups = group_runs(folders, left_out) if places is None else group_runs(places, left_out, set(folders))
    with RunIndex((places or folders)[0], len(folders)) as index:
        compared = _comparison(groups, index)
    return {"table": seed_sheet(groups), "comparison": compared, "figures": parts.own_curves()}


def _comparison(groups: Sequence[SeedGroup], index: RunIndex) -> Sheet | None:
    """Of each line its best seed, less the best run of all, paired by test example; None unless there are two."""
    judged = [group for group in groups if group.number("log_p") is not None]
    if len(judged) < 2:
        return None
    judged.sort(key=lambda group: -_best(group)[0])
    labels, _ = seed_labels(judged, short=True)
    (_, reference), *others = (_best(group) for group in judged)
    rows, notes = [], [] if len(others) <= COMPARED else [f"The best {COMPARED} of {len(others)} lines below it."]
    for (value, path), label in zip(others[:COMPARED], labels[1:], strict=False):
        try:
            found = _difference(path, reference, index)
        except IwaxError as error:
            notes.append(f"{path.name}: {error}")
            continue
        low, high = found["low"], found["high"]
        better, worse, neither = found["prefer"]
        rows.append(
            (
                *(Datum(", ".join(label)), Datum(path.name), Datum(nats(value), value)),
                Datum(f"{signed(found['difference'], 3)} ± {found['error']:.3f}", found["difference"]),
                Datum(f"{signed(low, 3)} to {signed(high, 3)}", low),
                *(Datum(str(count), count) for count in (better, worse, neither)),
            )
        )
    title = f"The best run of each line, less {reference.name} ({', '.join(labels[0])})"
    columns = ("objective", "run", "log p", "difference", "95 %", "better", "worse", "neither")
    notes.insert(0, "Paired by test example, in nats; ± is over examples. Neither: within two Monte-Carlo errors.")
    return Sheet("own-comparison", title, columns, tuple(rows), notes=tuple(notes), labels=2)


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


def _best(group: SeedGroup) -> tuple[float, Path]:
    """log p and the folder of the best judged run."""
    return max((run.value("log_p") or 0.0, run.folder.path) for run in group.runs if run.value("log_p") is not None)
