"""`iwax train`."""

import json
from pathlib import Path
from typing import Any

import click

from iwax.cli.options import config_options, data_dir_option, json_option
from iwax.config import RunConfig
from iwax.console import ProgressBar, say_source

__all__ = ["train"]


@click.command()
@config_options
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


def _load_data(config: RunConfig, data_dir: str | None) -> Any:
    """The data of a new run, once all that needs no data has been checked; says where they come from."""
    from iwax.build import resolve
    from iwax.data import load
    from iwax.launch import check_own

    check_own(resolve(config))
    dataset = load(config.dataset, config.split, data_dir)
    say_source(dataset)
    return dataset
