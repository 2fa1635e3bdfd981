"""`iwax judge`: files of log-weights, from whatever program, judged as a run is."""

import csv
import sys
from pathlib import Path
from typing import Any

import click

from iwax.cli.judging import evaluation_rows
from iwax.cli.options import iwae_samples_option, json_option
from iwax.console import notices, print_table
from iwax.files import dumps

__all__ = ["judge"]


@click.command()
@click.argument("weights", nargs=-1, required=True, type=click.Path(path_type=Path))
@iwae_samples_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The examples as they were judged, .npy (examples, ...): their hash says what may be compared.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Start of the names of files; WEIGHTS if left out.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print the numbers of each example as CSV.")
def judge(
    weights: tuple[Path, ...],
    iwae_samples: tuple[int, ...],
    data: Path | None,
    out: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Judge log-weights of any program: log p with its errors, IWAE-K, -KL(Q||P), ELBO, k-hat, advice.

    WEIGHTS are .npy or .npz files of log p(x, z_s) - log q(z_s | x) in nats, each (samples, examples); several hold
    further samples of the same examples. Written beside the first: WEIGHTS.evaluation.json, and .npz per example.
    """
    if as_json and as_csv:
        raise click.UsageError("Expected --json or --csv; got both.")
    from iwax.evaluation import heading
    from iwax.judging import judge_weights, write_evaluation

    evaluation = judge_weights(weights, data=data, iwae_samples=iwae_samples)
    written, _ = write_evaluation(evaluation, out or weights[0], weights=[path.name for path in weights])
    result = evaluation.summary()
    if as_json:
        click.echo(dumps(result, indent=2))
    elif as_csv:
        _print_csv(evaluation)
    else:
        print_table(
            f"{weights[0].name}: {heading([result])}",
            ["quantity", "value", "error"],
            evaluation_rows(result),
        )
        notices.print(f"written: {written}, and the numbers of each example beside it", markup=False)
    for warning in filter(None, (*result["notes"], result["advice"])):
        notices.print(warning, style="bold yellow", markup=False)


def _print_csv(evaluation: Any) -> None:
    """A line for each example."""
    count = len(evaluation.log_likelihood)
    columns = {name: values for name, values in evaluation.to_numpy().items() if not name.startswith("unit_variances_")}
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["example", *columns])
    writer.writerows([i, *(float(values[i]) for values in columns.values())] for i in range(count))
