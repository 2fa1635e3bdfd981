"""`iwax train`."""

import os
import warnings
from pathlib import Path
from typing import Any

import click

from iwax.cli.grouped import Grouped
from iwax.cli.kinds import check_dataset
from iwax.cli.options import config_options, data_dir_option, json_option
from iwax.console import ProgressBar, say_source
from iwax.files import dumps
from iwax.runs import RunConfig

__all__ = ["train"]


@click.command(cls=Grouped)
@config_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the new run.")
@click.option("--overwrite", is_flag=True, help="Replace the run in --out.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    help="N runs at once: --seed and those after it, in OUT/seed0, OUT/seed1, ...; --resume OUT goes on with all.",
)
@click.option(
    "--vectorized/--no-vectorized",
    default=None,
    help="Of several seeds: one program for all, shared out among the devices; or each by itself, one on each core.  "
    "[default: what is quicker, the one on a GPU, the other on a CPU]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a stopped run instead, or with --epochs N extend a finished one.",
)
@click.option("--force", is_flag=True, help="With --resume: go on with other versions of the code or libraries, too.")
@click.option("--time-limit", type=float, metavar="MINUTES", help="Stop at a checkpoint after this time.")
@data_dir_option
@json_option
def train(
    out: Path | None,
    overwrite: bool,
    seeds: int | None,
    vectorized: bool | None,
    resume: Path | None,
    force: bool,
    time_limit: float | None,
    data_dir: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a model; its folder then serves `iwax evaluate`, `sample` and `reconstruct`."""
    given = {name: value for name, value in options.items() if value is not None}
    _check_usage(out, overwrite, seeds, vectorized, resume, force)
    check_dataset(given.get("dataset"), data_dir)
    from iwax.runs import COHORT, RunFolder, new_cohort, new_run, resolve, resume_cohort, resume_run
    from iwax.runs import seeds as with_seeds

    several = seeds is not None or (resume is not None and os.path.lexists(resume / COHORT))
    if vectorized is not None and not several:
        raise click.UsageError(f"Expected --vectorized with --seeds, or --resume of several runs; got {resume}.")
    seconds = None if time_limit is None else 60 * time_limit
    with ProgressBar() as on_progress:
        common: dict[str, Any] = {"data_dir": data_dir, "time_limit": seconds, "on_progress": on_progress}
        if several:
            common["vectorized"] = vectorized
        if resume is not None:
            folders = (resume_cohort if several else resume_run)(resume, options=given, force=force, **common)
        else:
            config = RunConfig(**given)
            runs = {name: resolve(one) for name, one in with_seeds(config, seeds or 1).items()}
            first = next(iter(runs.values()))
            assert out is not None
            if seeds is None:
                RunFolder(out).check_free(overwrite)  # before the data are read
            common |= {"data": _load_data(first, data_dir), "overwrite": overwrite}
            folders = new_run(first, out, **common) if seeds is None else new_cohort(runs, out, **common)
    results = [_result(folder) for folder in (folders if isinstance(folders, list) else [folders])]
    if as_json:
        click.echo(dumps(results if several else results[0], indent=2))
    else:
        for result in results:
            click.echo(_line(result))


def _check_usage(
    out: Path | None, overwrite: bool, seeds: int | None, vectorized: bool | None, resume: Path | None, force: bool
) -> None:
    """Raises UsageError for options that do not go together."""
    if (out is None) == (resume is None):
        raise click.UsageError("Expected either --out RUN, for a new run, or --resume RUN; got both or neither.")
    if force and resume is None:
        raise click.UsageError("Expected --force together with --resume RUN; got it alone.")
    if overwrite and resume is not None:
        raise click.UsageError(
            "Expected --overwrite together with --out RUN; got it with --resume, which keeps the run."
        )
    if seeds is not None and resume is not None:
        raise click.UsageError("Expected --seeds together with --out RUN; got it with --resume, which keeps them.")
    if vectorized is not None and seeds is None and resume is None:
        raise click.UsageError("Expected --vectorized or --no-vectorized together with --seeds; got it for one run.")


def _result(folder: Any) -> dict[str, Any]:
    records, status = folder.metrics(), folder.json("status.json")
    return {"run": str(folder.path), **status, **(records[-1] if records else {})}


def _line(result: dict[str, Any]) -> str:
    """A run's state in words."""
    bound = "" if result.get("bound") is None else f", training bound {result['bound']:.3f} nats"
    bound += f" of {result['samples']} samples" if "samples" in result and bound else ""
    if "state" not in result:
        return f"{result['run']}: not yet begun"
    early = f" ({result['stopped_early']} judgements without a better one)" if "stopped_early" in result else ""
    best = "; epoch {epoch} is the best, {by} {value:.3f} nats".format(**result["best"]) if "best" in result else ""
    epochs = f"{result.get('epoch', 0)} of {result.get('epochs', 'unknown')} epochs{early}"
    return f"{result['run']}: {result['state']} after {epochs}, {result.get('seconds', 0.0):.0f} s{bound}{best}"


def _load_data(run: Any, data_dir: str | None) -> Any:
    """The data of a new run, once all that needs no data has been checked; says where they come from."""
    from iwax.data import DataWarning
    from iwax.runs import check_own, load_data

    check_own(run.config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # its notice is said with the source
        dataset = load_data(run.config, data_dir)
    say_source(dataset)
    return dataset
