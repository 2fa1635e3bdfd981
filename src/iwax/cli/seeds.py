"""`iwax evaluate FOLDER`: several runs judged, one line each, and the mean over those that differ in the seed only."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from iwax.cli.comparing import khat_advice, khat_share
from iwax.console import ProgressBar, notices, number, print_table
from iwax.files import dumps

__all__ = ["evaluate_seeds"]


def evaluate_seeds(folder: Path, as_json: bool, options: dict[str, Any]) -> None:
    """Judge the runs of a folder, and print them with mean and standard deviation over the seeds."""
    from iwax.judging import evaluate_runs
    from iwax.sweeps import labels

    with ProgressBar("evaluating") as on_progress:
        groups = evaluate_runs(folder, on_progress=on_progress, log=_notice, **options)
    if as_json:
        click.echo(dumps([group.summary() for group in groups], indent=2))
        return
    told = labels(folder)
    for group in groups:
        first = group.summaries[0]
        where = f" of {first['dataset']}" if "dataset" in first else ""
        title = f"{first['num_examples']} test examples{where}, k = {first['num_samples']} (nats)"
        texts = 2 if told else 1
        heads = [*["run", "options"][:texts], *map(_heading, group.means), "k-hat > 0.7"]
        print_table(f"{folder}: {title}", heads, _rows(group, told, texts), texts)
    judged = [pair for group in groups for pair in zip(group.runs, group.summaries, strict=True)]
    for advice in khat_advice({os.path.relpath(run, folder): one["khat_above_0.7"] for run, one in judged}):
        notices.print(advice, style="bold yellow", markup=False)


def _rows(group: Any, told: Mapping[str, str], texts: int) -> list[list[str]]:
    """A line for each run, of several their mean and standard deviation over the seeds, with errors.

    With two columns of text the second has what `told` says of the run.
    """
    names = list(group.means)
    rows = [
        [
            *[run, told.get(Path(run).name, "")][:texts],
            *(_shown(name, summary.get(name)) for name in names),
            khat_share(summary),
        ]
        for run, summary in zip(group.runs, group.summaries, strict=True)
    ]
    means = [group.means[name] for name in names]

    def line(label: str, numbers: Iterable[float | None]) -> list[str]:
        return [*[label, ""][:texts], *("" if value is None else number(value) for value in numbers), ""]

    if len(rows) > 1:
        rows.append(line(f"mean of {len(rows)}", (mean.mean for mean in means)))
        rows.append(line("standard deviation", (mean.sd for mean in means)))
    rows.append(line("± Monte Carlo", (mean.mc_error for mean in means)))
    rows.append(line("± over examples", (mean.data_error for mean in means)))
    return rows


def _heading(name: str) -> str:
    """The name of a number as the table of one run has it."""
    named = {"log_p": "log p", "neg_kl": "-KL(Q||P)", "elbo": "ELBO", "active_units": "active units"}
    return named.get(name, f"IWAE-{name[5:]}")


def _shown(name: str, value: Any) -> str:
    return " + ".join(map(str, value)) if name == "active_units" else number(value)


def _notice(message: str) -> None:
    notices.print(message, markup=False)
