"""The command line: a thin shell over the library. Heavy imports wait inside the commands, so that --help is quick."""

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import click

from iwax import __version__
from iwax.config import RunConfig
from iwax.console import ProgressBar, print_table, say_source

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Entry point: one line for bad input and exit status 2, 1 for a run that failed, 0 only for success."""
    try:
        status = iwax.main(args=arguments, prog_name="iwax", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; `iwax train --resume RUN` goes on from the last checkpoint.", 130)
    except FloatingPointError as error:
        _fail(str(error), 1)
    except (ValueError, TypeError, OSError) as error:
        _fail(str(error), 2)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    click.echo("iwax: " + " ".join(message.split()), err=True)
    sys.exit(status)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def iwax() -> None:
    """Train and judge latent-variable models with importance-weighted bounds. All bounds are in nats."""


def _config_options(command: Callable) -> Callable:
    """One option for each field of RunConfig."""
    hints = get_type_hints(RunConfig)
    for field in reversed(dataclasses.fields(RunConfig)):
        kind = next(t for t in getattr(hints[field.name], "__args__", (hints[field.name],)) if t is not type(None))
        command = click.option(
            "--" + field.name.replace("_", "-"),
            type=kind,
            default=None,
            help=field.metadata["help"] + ("" if field.default is None else f"  [default: {field.default}]"),
        )(command)
    return command


data_dir_option = click.option("--data-dir", type=click.Path(), help="Folder of data sets, before all other sources.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@iwax.command()
@_config_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the new run.")
@click.option("--overwrite", is_flag=True, help="Replace the run in --out.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a stopped run instead.")
@click.option("--force", is_flag=True, help="With --resume: go on with other versions of the code or libraries, too.")
@click.option("--time-limit", type=float, metavar="MINUTES", help="Stop at a checkpoint after this time.")
@data_dir_option
@json_option
def train(
    out: Path | None,
    overwrite: bool,
    resume: Path | None,
    force: bool,
    time_limit: float | None,
    data_dir: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a model; its folder then serves `iwax evaluate`, `sample` and `reconstruct`."""
    given = {name: value for name, value in options.items() if value is not None}
    if (out is None) == (resume is None):
        raise click.UsageError("Expected either --out RUN, for a new run, or --resume RUN; got both or neither.")
    if force and resume is None:
        raise click.UsageError("Expected --force together with --resume RUN; got it alone.")
    if overwrite and resume is not None:
        raise click.UsageError(
            "Expected --overwrite together with --out RUN; got it with --resume, which keeps the run."
        )
    from iwax.launch import new_run, resume_run

    seconds = None if time_limit is None else 60 * time_limit
    with ProgressBar() as on_progress:
        common: dict[str, Any] = {"data_dir": data_dir, "time_limit": seconds, "on_progress": on_progress}
        if resume is not None:
            folder = resume_run(resume, options=given, force=force, **common)
        else:
            assert out is not None
            config = RunConfig(**given)
            folder = new_run(config, out, data=_load_data(config, data_dir), overwrite=overwrite, **common)
    records, status = folder.metrics(), folder.json("status.json")
    result = {"run": str(folder.path), **status, **(records[-1] if records else {})}
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        bound = f", training bound {records[-1]['bound']:.3f} nats" if records else ""
        click.echo(
            f"{folder.path}: {status['state']} after {status['epoch']} of {status['epochs']} epochs, "
            f"{status['seconds']:.0f} s{bound}"
        )


@iwax.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--num-samples", type=int, default=5000, show_default=True, help="k: importance samples per image.")
@click.option("--test-images", type=int, help="Use only the first this many test images; all if left out.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and samples.")
@data_dir_option
@json_option
def evaluate(
    run: Path, num_samples: int, test_images: int | None, seed: int, data_dir: str | None, as_json: bool
) -> None:
    """Judge a run on test images: log p, IWAE-64 and -KL(Q||P) from the same samples, and active units."""
    from iwax.judge import evaluate_run

    with ProgressBar("evaluating") as on_progress:
        result = evaluate_run(
            run, num_samples=num_samples, test_images=test_images, seed=seed, data_dir=data_dir, on_progress=on_progress
        )
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    print_table(
        f"{run}: {result['num_examples']} test images, k = {result['num_samples']} (nats)",
        ["quantity", "value", "error"],
        [
            ["log p", f"{result['log_p']:.3f}", f"{result['log_p_mc_error']:.3f} Monte Carlo"],
            ["", "", f"{result['log_p_bias']:.3f} bias"],
            ["", "", f"{result['log_p_test_error']:.3f} over test images"],
            ["IWAE-64", f"{result['iwae_64']:.3f}", ""],
            ["-KL(Q||P)", f"{result['neg_kl']:.3f}", f"{result['neg_kl_test_error']:.3f} over test images"],
            ["active units", " + ".join(map(str, result["active_units"])), ""],
            ["effective samples", f"{result['ess']:.0f}", ""],
            ["test set", result["test_hash"][:16], "SHA-256"],
        ],
    )


@iwax.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--num-images", type=int, default=100, show_default=True, help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the samples.")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write; RUN/samples.png if left out.")
@data_dir_option
def sample(run: Path, num_images: int, seed: int, out: Path | None, data_dir: str | None) -> None:
    """Draw images from a trained model."""
    from iwax.judge import sample_sheet

    click.echo(sample_sheet(run, num_images=num_images, seed=seed, out=out, data_dir=data_dir))


@iwax.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--num-images", type=int, default=20, show_default=True, help="How many test images.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and samples.")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write; RUN/reconstructions.png if left out.")
@data_dir_option
def reconstruct(run: Path, num_images: int, seed: int, out: Path | None, data_dir: str | None) -> None:
    """Encode test images and decode one sample of each."""
    from iwax.judge import reconstruction_sheet

    click.echo(reconstruction_sheet(run, num_images=num_images, seed=seed, out=out, data_dir=data_dir))


@iwax.command()
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@json_option
def runs(folder: Path, as_json: bool) -> None:
    """List the runs under FOLDER (./runs): state, progress and last numbers."""
    from iwax.runs import list_runs

    rows = list_runs(folder)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        raise click.ClickException(f"Expected runs under {folder}; there are none.")
    else:
        print_table(f"runs under {folder} (nats)", list(rows[0]), [[_shown(v) for v in row.values()] for row in rows])


@iwax.group(invoke_without_command=True)
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
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2, default=dict))
        return
    for row in rows:
        size = "x".join(map(str, row.shape))
        click.echo(f"{row.name} [{row.split}]: {row.train:,} training and {row.test:,} test examples, {size}")
        click.echo(f"    {row.description}; {row.licence}\n    from: {row.source}")
        for name, checksum in row.checksums.items():
            click.echo(f"    sha256 {checksum}  {name}")


@data.command()
@click.argument("name")
@data_dir_option
def fetch(name: str, data_dir: str | None) -> None:
    """Put a data set into the cache, verified."""
    from iwax.data import fetch as fetch_data

    dataset = fetch_data(name, data_dir)
    say_source(dataset)
    click.echo(
        f"{dataset.name} [{dataset.split}]: {len(dataset.train):,} training and {len(dataset.test):,} test examples"
    )


@iwax.command()
@click.argument("name", required=False)
@json_option
def objectives(name: str | None, as_json: bool) -> None:
    """List the objectives: bound, options, and what each gradient estimator is unbiased for. NAME: all about one."""
    from iwax.checks import check_choice
    from iwax.objectives import OBJECTIVES
    from iwax.objectives.catalog import describe

    if name is not None:
        check_choice("objective", name, OBJECTIVES)
    rows = [row for row in describe() if name in (None, row.name)]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    elif name is not None:
        click.echo(inspect.cleandoc(OBJECTIVES[name].__doc__ or ""))
    else:
        for row in rows:
            click.echo(_objective_text(row))


def _objective_text(row: Any) -> str:
    options = ", ".join(f"{key}={value}" for key, value in row.options.items() if key != "gradient")
    width = max(map(len, row.targets))
    targets = "".join(f"\n    {gradient:{width}}  {target}" for gradient, target in row.targets.items())
    learned = "".join(f"\n    beta_rule={rule}: {what}" for rule, what in row.learned.items())
    return f"{row.name}: {row.bound}\n    {row.class_name}({options}){targets}{learned}\n    {row.reference}\n"


def _load_data(config: RunConfig, data_dir: str | None) -> Any:
    """The data of a new run, once all that needs no data has been checked; says where they come from."""
    from iwax.build import resolve
    from iwax.data import load

    resolve(config)
    dataset = load(config.dataset, config.split, data_dir)
    say_source(dataset)
    return dataset


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
