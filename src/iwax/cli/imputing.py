"""`iwax impute`: what is missing in a table, filled."""

import math
from pathlib import Path
from typing import Any

import click

from iwax.cli.options import json_option
from iwax.console import ProgressBar, notices, number, print_table
from iwax.extras import beside_numbers
from iwax.files import dumps

__all__ = ["impute"]


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The completed table, .csv or .parquet.")
@click.option("--multiple", type=int, default=0, show_default=True, help="Completed tables to draw (OUT-multiple).")
@click.option("--kind", "kinds", multiple=True, metavar="COLUMN=KIND", help="Of a column; others are inferred.")
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column out; may be repeated.")
@click.option("--no-header", is_flag=True, help="The first line of the .csv is a row; columns are x0, x1, ...")
@click.option(
    "--missingness",
    default="ignorable",
    show_default=True,
    help="Or values are missing because of what they are: self-masking-above (the large ones), self-masking-below, "
    "self-masking, self-masking-nonlinear.",
)
@click.option("--num-samples", type=int, default=1000, show_default=True, help="Importance samples for each row.")
@click.option("--train-samples", type=int, help="K of the bound IWAE-K in training; 5, or 20 with --missingness.")
@click.option("--latent-size", type=int, default=10, show_default=True, help="Of z.")
@click.option(
    "--epochs", type=int, help="Passes over the table; at least 50, and 12,000 steps (4,000 below 1,000 rows)."
)
@click.option(
    "--validation",
    type=float,
    help="Part of the rows, by which the epoch to keep is chosen; 0.1 of small tables, else 0.",
)
@click.option("--held-out", type=float, default=0.05, show_default=True, help="Of observed values, to measure errors.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@click.option("--report/--no-report", default=True, show_default=True, help="Write the page OUT-report.html.")
@json_option
def impute(
    table: Path, out: Path, kinds: tuple[str, ...], no_header: bool, report: bool, as_json: bool, **options: Any
) -> None:
    """Fill what is missing in TABLE (.csv, .parquet) by a latent-variable model of its rows.

    Kinds of columns: continuous, gaussian, positive, count, poisson, binary, categorical. Empty cells, NA, NaN, null
    and ? are missing. Written: OUT; OUT-rows.csv, of each row log p and k-hat; OUT-multiple; OUT-report.html.
    """
    from iwax.impute import Settings, complete_file

    names = ("missingness", "train_samples", "latent_size", "epochs", "validation")
    settings = Settings(kinds=_pairs(kinds), **{name: options.pop(name) for name in names})
    with ProgressBar("imputing") as on_progress:
        done = complete_file(table, out, settings, header=not no_header, on_progress=on_progress, **options)
    if report:
        page = out.with_name(f"{out.stem}-report.html")
        with beside_numbers(str(page)):
            from iwax.report import write_imputation_page

            write_imputation_page(page, done, title=f"{table.name}, completed")
            done.written.append(page)
    result = done.summary()
    if as_json:
        click.echo(dumps(result, indent=2))
        return
    _print(result)


def _print(result: dict[str, Any]) -> None:
    """The summary as a table, and the advice."""
    rows = []
    for column in result["columns"]:
        held_out = column.get("held_out")
        row = [column["name"], column["kind"], f"{column['missing']:,}"]
        if held_out is None:
            rows.append([*row, "", "", "", ""])
            continue
        coverage = held_out["coverage"]
        covered = "" if math.isnan(coverage) else f"{coverage:.0%}"
        error, baseline = number(held_out["error"]), number(held_out["baseline"])
        rows.append([*row, error, f"± {number(held_out['se'])}", baseline, covered])
    print_table(
        f"{result['incomplete_rows']:,} of {result['rows']:,} rows completed; errors are of held-out values: "
        "standard deviations, or fraction wrong",
        ["column", "kind", "missing", "error", "", "mean or mode", "in 90 %"],
        rows,
    )
    low, middle, high = (number(result["khat_quantiles"][q], ".2f") for q in ("0.05", "0.5", "0.95"))
    if (kept := result["kept_epoch"]) < result["epochs"]:
        click.echo(
            f"Log p of rows held out was highest after {kept} of {result['epochs']} epochs: as long on all rows."
        )
    click.echo(f"Pareto k-hat {middle} ({low} to {high} in 90 % of incomplete rows)")
    click.echo("\n".join(result["written"]))
    if result["advice"]:
        notices.print(result["advice"], style="bold yellow", markup=False)


def _pairs(kinds: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in kinds:
        name, equals, kind = text.rpartition("=")
        if not equals:
            raise click.UsageError(f"Expected --kind COLUMN=KIND; got {text!r}.")
        pairs[name] = kind
    return pairs
