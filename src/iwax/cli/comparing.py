"""`iwax compare` and `iwax table`: models, and runs, beside each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from iwax.cli.options import data_dir_option, json_option, num_images_option
from iwax.cli.stores import FOLDER
from iwax.console import notices, number, print_table
from iwax.files import dumps

__all__ = ["compare", "khat_advice", "khat_share", "table"]

COLUMNS = ["model", "log p", "less the first", "± over examples", "± Monte Carlo", "95 %, t", "95 %, bootstrap"]
COLUMNS += ["better", "worse", "undecided", "k-hat > 0.7"]


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="A B [C ...]")
@click.option("--num-samples", type=int, help="k where a model is judged here; that of the others, or 5000.")
@num_images_option("The first this many test images, where a model is judged here.")
@click.option("--seed", type=int, help="Seed of binarisation and samples, where a model is judged here; 0 if left out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="iwax-compare",
    show_default=True,
    help="Folder of the pictures, one example's log p against the other's.",
)
@data_dir_option
@click.option(
    "--trust-code",
    is_flag=True,
    help="Of exported files of models of their author's own: run the Python code that they hold.",
)
@json_option
def compare(models: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Compare models on the same test examples: the difference of log p, paired by example, with its errors.

    Each is a run's folder, a trained model that comes with iwax, an evaluation.npz, or a .npy file of log-weights
    (samples, examples). Those judged already are taken as they are; refused where they were judged on other examples.
    """
    from iwax.judging import compare as compare_models

    found = compare_models(models, log=_notice, **options)
    if as_json:
        click.echo(dumps(found.summary(), indent=2))
    else:
        count = len(found.evaluations[0].log_likelihood)
        print_table(f"{count} examples, paired (nats)", COLUMNS, _rows(found.summary()["models"]))
    messages = dict.fromkeys(note for one in found.comparisons for note in one.notes)
    for message in (*messages, *found.notes, *_advice(found)):
        notices.print(message, style="bold yellow", markup=False)
    for picture in found.pictures:
        notices.print(f"picture: {picture}", markup=False)


def _rows(models: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for model in models:
        row = [model["name"], number(model["log_p"])]
        if less := model.get("less_first"):
            numbers = [number(less["difference"], "+.3f"), number(less["error"]), number(less["difference_mc_error"])]
            intervals = [
                " to ".join(number(end, "+.3f") for end in less[name]) for name in ("t_interval", "bootstrap_interval")
            ]
            counts = [str(less[name]) for name in ("prefer_first", "prefer_second", "undecided")]
            row += [*numbers, *intervals, *counts]
        else:
            row += [""] * 8
        rows.append([*row, khat_share(model)])
    return rows


def _advice(found: Any) -> list[str]:
    """What a difference within the bias of its parts is worth."""
    named = zip(found.names, found.evaluations, strict=True)
    return khat_advice({name: one.khat_above_limit for name, one in named})


def khat_share(found: Mapping[str, Any]) -> str:
    """The share of an evaluation's examples with k-hat above 0.7, in words."""
    share = found["khat_above_0.7"]
    return "unknown" if share is None else f"{share:.1%}"


def khat_advice(shares: Mapping[str, float | None]) -> list[str]:
    """What is to be said of those that are not to be trusted: name -> the share of examples with k-hat above 0.7."""
    doubtful = [name for name, share in shares.items() if share is not None and share > 0.05]
    if not doubtful:
        return []
    return [
        f"k-hat is above 0.7 for more than one in twenty examples of {', '.join(doubtful)}: its log p lies below the "
        "truth by an unknown amount, which no error here holds. Draw more samples, or check by iwax anneal RUN, "
        'which takes pip install "iwax[diagnostics]".'
    ]


def _notice(message: str) -> None:
    notices.print(message, markup=False)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=FOLDER)
@click.option("--columns", help="Which numbers, with commas between; --columns list names them.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["plain", "markdown", "latex", "csv"]),
    default="plain",
    show_default=True,
    help="Of what is printed; LaTeX is for the package booktabs.",
)
@json_option
def table(runs: tuple[Path, ...], columns: str | None, form: str, as_json: bool) -> None:
    """A table of runs: those that differ in the seed only are one line, mean ± standard deviation with its errors.

    RUNS are folders of runs, or that hold some, URLs of stores, or models that come with iwax. The best of a column
    is marked only where the difference, paired by test example, is beyond its error. Nothing is computed: `iwax
    evaluate` first.
    """
    from iwax.judging import group_runs
    from iwax.report import COLUMNS as KNOWN
    from iwax.report import DEFAULT_COLUMNS, as_csv, as_latex, as_markdown, seed_sheet, seed_values

    if columns == "list":
        for name, (heading, _) in KNOWN.items():
            click.echo(f"{name:18} {heading}")
        return
    names = DEFAULT_COLUMNS if columns is None else tuple(columns.split(","))
    groups = group_runs(runs, _notice)
    if as_json:
        click.echo(dumps(seed_values(groups, names), indent=2))
        return
    if form == "csv":
        click.echo(as_csv(_wide(seed_values(groups, names))), nl=False)
        return
    sheet = seed_sheet(groups, names)
    if form == "plain":
        print_table(sheet.title, list(sheet.columns), [[_plain(datum) for datum in row] for row in sheet.rows])
        for note in sheet.notes:
            notices.print(note.replace("Bold:", "*:").replace("below it,", "in brackets"), markup=False)
    else:
        click.echo({"markdown": as_markdown, "latex": as_latex}[form](sheet), nl=False)


def _plain(datum: Any) -> str:
    errors = f" ({', '.join(datum.below)})" if datum.below else ""
    return datum.text + errors + (" *" if datum.kind == "best" else "")


def _wide(values: list[dict[str, Any]]) -> Any:
    """A column for every number, and the runs in the last."""
    from iwax.report import Datum, Sheet

    rows = [{**row, "runs": " ".join(row["runs"])} for row in values]
    data = tuple(tuple(_exact(value, Datum) for value in row.values()) for row in rows)
    return Sheet("own-runs", "Runs", tuple(rows[0]), data)


def _exact(value: Any, datum: Any) -> Any:
    return datum("" if value is None else str(value))
