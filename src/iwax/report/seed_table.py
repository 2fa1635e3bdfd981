"""The table of one's own runs: a line for what differs in the seed only, each number with its spread and its errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iwax.checks import check_choice
from iwax.judging import MeanOverSeeds, SeedGroup, best_group, samples_judged
from iwax.report.format import counted, nats, objective_name
from iwax.report.tables import Datum, Sheet
from iwax.runs import OBJECTIVE_FIELDS

__all__ = ["COLUMNS", "DEFAULT_COLUMNS", "seed_labels", "seed_sheet", "seed_values"]

COLUMNS = {  # number of an evaluation, or of training -> its heading, and digits
    "log_p": ("log p", 2),
    "log_p_jackknife": ("log p, jackknife", 2),
    "iwae_64": ("IWAE-64", 2),
    "neg_kl": ("−KL(Q‖P)", 2),
    "elbo": ("ELBO", 2),
    "kl": ("KL(q‖p)", 2),
    "reconstruction": ("E_q log p(x|z)", 2),
    "ess": ("effective samples", 1),
    "khat_above_0.7": ("k-hat above 0.7", 3),
    "active_units": ("active units", 1),
    "epochs": ("epochs", 0),
    "seconds": ("seconds", 0),
}
DEFAULT_COLUMNS = ("log_p", "iwae_64", "neg_kl", "active_units")


def seed_sheet(groups: Sequence[SeedGroup], columns: Sequence[str] = DEFAULT_COLUMNS) -> Sheet:
    """A line for each group: mean ± standard deviation over seeds, with Monte-Carlo and data error below.

    The best of a column is marked ("best", bold) only where it is above every other line by more than the error of the
    paired difference; see `iwax.judging.best_group`. The best log p comes first.

    Arguments:
        groups: of `iwax.judging.group_runs`.
        columns: of `COLUMNS`.

    Raises:
        ValueError: a column that is none of these.
    """
    for column in columns:
        check_choice("columns", column, COLUMNS)
    groups = _ordered(groups)
    labels, names = seed_labels(groups, short=True)
    best = {column: best_group(groups, column) for column in columns}
    rows = tuple(
        (
            *(Datum(word) for word in label),
            Datum(str(len(group.runs)), len(group.runs)),
            *(_datum(group.number(column), column, best[column] == i) for column in columns),
        )
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    )
    headings = (*names, "seeds", *(COLUMNS[column][0] for column in columns))
    return Sheet("own-runs", "Runs", headings, rows, notes=_notes(groups, best), labels=len(names))


def seed_values(groups: Sequence[SeedGroup], columns: Sequence[str] = DEFAULT_COLUMNS) -> list[dict[str, Any]]:
    """The same as values: for each group its labels, its runs, and for each column every number of `MeanOverSeeds`."""
    for column in columns:
        check_choice("columns", column, COLUMNS)
    groups = _ordered(groups)
    labels, names = seed_labels(groups)
    best = {column: best_group(groups, column) for column in columns}
    found = []
    for i, (label, group) in enumerate(zip(labels, groups, strict=True)):
        row: dict[str, Any] = dict(zip(names, label, strict=True)) | {"seeds": len(group.runs)}
        for column in columns:
            number = group.number(column)
            row[column] = None if number is None else number.mean
            for what in ("sd", "mc_error", "data_error"):
                row[f"{column}_{what}"] = None if number is None else getattr(number, what)
            row[f"{column}_best"] = best[column] == i
        found.append(row | {"runs": [str(run.folder.path) for run in group.runs]})
    return found


def _ordered(groups: Sequence[SeedGroup]) -> list[SeedGroup]:
    """By data set, then the best log p first; those without come last."""

    def key(group: SeedGroup) -> tuple[str, float]:
        number = group.number("log_p")
        return group.config.dataset, float("inf") if number is None else -number.mean

    return sorted(groups, key=key)


def seed_labels(groups: Sequence[SeedGroup], *, short: bool = False) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """For each group its objective and the fields in which groups differ; and the names of these.

    `short` is for eyes: of a path its last part, where that tells them apart, no trained epochs beside as many, and no
    split beside data sets that have one each.
    """
    configs = [vars(group.config) | {"trained_epochs": group.epochs} for group in groups]
    objectives = [objective_name(config) for config in configs]
    differing = [
        name for name in configs[0] if name != "seed" and len({str(config.get(name)) for config in configs}) > 1
    ]
    named = [name for name in differing if name not in (*OBJECTIVE_FIELDS, "objective", "update", "init_from")]
    labels = [
        (objective, *(str(config[name]) for name in named))
        for objective, config in zip(objectives, configs, strict=True)
    ]
    if len(set(labels)) < len(labels):  # an option of the objective that its name does not tell
        named = [name for name in differing if name != "objective"]
        labels = [
            (objective, *(str(config[name]) for name in named))
            for objective, config in zip(objectives, configs, strict=True)
        ]
    names = ("objective", *("recipe" if name == "protocol" else name.replace("_", " ") for name in named))
    return _shortened(labels, names) if short and labels else (labels, names)


def _shortened(
    labels: Sequence[tuple[str, ...]], names: tuple[str, ...]
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    columns = dict(zip(names, zip(*labels, strict=True), strict=True))
    if "epochs" in columns and columns["epochs"] == columns.get("trained epochs"):
        del columns["trained epochs"]
    data, split = columns.get("dataset", ()), columns.get("split", ())
    if data and split and len(set(data)) == len(set(zip(data, split, strict=True))):
        del columns["split"]  # each data set has one
    for name in {"dataset", "model"} & columns.keys():
        last = tuple(Path(word).name for word in columns[name])
        columns[name] = last if len(set(last)) == len(set(columns[name])) else columns[name]
    return list(zip(*columns.values(), strict=True)), tuple(columns)


def _datum(number: MeanOverSeeds | None, column: str, best: bool) -> Datum:
    if number is None:
        return Datum("—")
    digits = COLUMNS[column][1]
    spread = "" if number.sd is None else f" ± {nats(number.sd, max(digits, 1))}"
    errors = {"Monte Carlo": number.mc_error, "over examples": number.data_error}
    below = tuple(f"± {error:.3f} {what}" for what, error in errors.items() if error is not None)
    return Datum(nats(number.mean, digits) + spread, number.mean, below, "best" if best else "")


def _notes(groups: Sequence[SeedGroup], best: dict[str, int | None]) -> tuple[str, ...]:
    notes = ["± is the standard deviation over seeds; below it, the errors of the mean. Likelihoods are in nats."]
    if unjudged := sum(not run.summary for group in groups for run in group.runs):
        notes.append(f"{counted(unjudged, 'run')} without an evaluation: run `iwax evaluate RUN`.")
    if len({group.test_hash for group in groups if any(run.summary for run in group.runs)}) > 1:
        notes.append("Not all were judged on the same binarised examples, so that nothing is marked as best.")
    if len(counts := samples_judged(groups)) > 1:
        few_to_many = ", ".join(f"{count:,}" for count in counts)
        notes.append(
            f"log p rests on {few_to_many} samples, and rises with their number: neither it nor −KL is marked. "
            f"`iwax evaluate RUN --num-samples {counts[-1]}` judges with as many."
        )
    if any(best[column] is not None for column in best):
        notes.append("Bold: above every other line by more than 1.96 errors of the paired difference.")
    if doubtful := [group for group in groups if (found := group.number("khat_above_0.7")) and found.mean > 0.05]:
        notes.append(
            f"k-hat is above 0.7 for more than one in twenty examples in {counted(len(doubtful), 'line')}: log p lies "
            "below the truth there by an unknown amount."
        )
    return tuple(notes)
