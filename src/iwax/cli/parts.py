"""`iwax evaluate RUNS... --executor NAME`, and the hidden `iwax evaluate-part` that its tasks are."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from iwax.cli.comparing import khat_advice, khat_share
from iwax.cli.executing import executor_of, failed_lines, watched
from iwax.console import notices, number, print_table
from iwax.files import dumps, loads, write_whole

__all__ = ["evaluate_by_executor", "evaluate_part"]

COLUMNS = {"log p": "log_p", "± Monte Carlo": "log_p_mc_error", "± over examples": "log_p_test_error", "ELBO": "elbo"}


TEXT, NUMBER = (str, type(None)), (int, type(None))
OPTIONS: dict[str, Any] = {
    **{"num_samples": int, "num_images": NUMBER, "dataset": TEXT, "seed": int, "rows": int},
    **{"checkpoint": TEXT, "iwae_samples": list, "data_dir": TEXT},
}
"""Of a part's evaluation: name -> type, as `evaluate_by_executor` hands them on."""


@click.command("evaluate-part", hidden=True)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("part")
@click.argument("options")
def evaluate_part(run: Path, folder: Path, part: str, options: str) -> None:
    """Judge PART of the examples of RUN, I-of-N, into FOLDER; or put them together, whole."""
    from iwax.judging import evaluate_run
    from iwax.runs import BusyError
    from iwax.sweeps import BUSY
    from iwax.zoo import open_run

    own, place = _options(options), _place(part)
    try:
        loaded = open_run(run, data_dir=own.pop("data_dir"), checkpoint=own.pop("checkpoint"))
        summary = evaluate_run(loaded, parts=folder, part=place, log=click.echo, **own)
    except BusyError as error:
        click.echo(f"iwax: {error}", err=True)
        sys.exit(BUSY)
    write_whole(folder / f"{part}.json", dumps(summary, indent=2) + "\n")
    click.echo(f"{run}, {part}: {summary['state']}, {summary['num_examples']} examples, {summary['seconds']:.0f} s")


def _options(text: str) -> dict[str, Any]:
    """The options of an evaluation, as `evaluate_by_executor` gives them to its tasks."""
    own = loads(text, "the options")
    if not isinstance(own, dict) or set(own) != set(OPTIONS):
        raise click.UsageError(f"Expected OPTIONS to be a JSON object of {', '.join(OPTIONS)}; got {text!r}.")
    for name, kinds in OPTIONS.items():
        if not isinstance(own[name], kinds):
            raise click.UsageError(f"Expected {name} of OPTIONS to be of another type; got {own[name]!r}.")
    return own


def _place(part: str) -> tuple[int, int] | None:
    """Which part of how many; None for all of them put together."""
    if part == "whole":
        return None
    match = re.fullmatch(r"(\d{1,6})-of-(\d{1,6})", part, re.ASCII)
    if match is None:
        raise click.UsageError(f"Expected PART to be I-of-N, or whole; got {part!r}.")
    return int(match[1]), int(match[2])


def evaluate_by_executor(runs: Sequence[Path], as_json: bool, shards: int | None, options: dict[str, Any]) -> None:
    """Judge runs, in parts, wherever the executor runs them; and print a line for each."""
    from iwax.sweeps import evaluate_by_executor as evaluate
    from iwax.sweeps import runs_of

    folders = runs_of(runs)
    own = {name: options[name] for name in OPTIONS} | {"iwae_samples": list(options["iwae_samples"])}
    if options["dataset"] is not None and Path(options["dataset"]).exists():
        own["dataset"] = str(Path(options["dataset"]).absolute())
    own |= {"data_dir": None if options["data_dir"] is None else str(Path(options["data_dir"]).absolute())}
    executor = executor_of(folders[0].parent / ".executor", options)
    bar, log = watched("evaluating")
    with bar as on_progress:
        summaries, outcomes = evaluate(
            folders, executor, own, parts=shards, max_failures=options["max_failures"], log=log, on_progress=on_progress
        )
    if as_json:
        click.echo(dumps([{"run": str(run), **summary} for run, summary in summaries.items()], indent=2))
    elif summaries:
        _print(summaries)
        if len(summaries) > 1:
            where = " ".join(str(run) for run in runs)
            notices.print(f"iwax table {where} has the means and spreads over the seeds.", markup=False)
    bad = [line for outcome in outcomes for line in failed_lines(outcome)]
    if bad:
        click.echo("\n".join([f"{len(folders) - len(summaries)} of {len(folders)} runs are not judged:", *bad]))
        sys.exit(1)


def _print(summaries: Mapping[Path, Mapping[str, Any]]) -> None:
    """A line for each run that is judged, and what keeps it from being taken at its word."""
    from iwax.evaluation import heading
    from iwax.runs import RunFolder, which_checkpoint
    from iwax.sweeps import labels

    told = {folder: labels(folder) for folder in {run.parent for run in summaries}}
    texts = 2 if any(told.values()) else 1
    above = os.path.commonpath([run.parent for run in summaries])
    names = {run: os.path.relpath(run, above) for run in summaries}
    cells = []
    for run, one in summaries.items():
        words = [names[run], told[run.parent].get(run.name, "")][:texts]
        cells.append([*words, *(number(one[name]) for name in COLUMNS.values()), khat_share(one)])
    title = heading([*summaries.values()], "test example")
    print_table(title, [*["run", "options"][:texts], *COLUMNS, "k-hat > 0.7"], cells, texts)
    for run, one in summaries.items():
        for note in filter(None, [which_checkpoint(one.get("selected", {})), RunFolder(run).how_far]):
            notices.print(f"{names[run]}: {note}", markup=False)
    for advice in khat_advice({names[run]: one["khat_above_0.7"] for run, one in summaries.items()}):
        notices.print(advice, style="bold yellow", markup=False)
