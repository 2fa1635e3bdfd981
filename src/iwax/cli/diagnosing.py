"""`iwax snr`: signal-to-noise of gradients."""

from pathlib import Path
from typing import Any

import click

from iwax.cli.options import data_dir_option, json_option
from iwax.cli.sources import keeping, opened, run_argument, trust_code_option
from iwax.console import ProgressBar, say_source
from iwax.errors import IwaxError
from iwax.extras import beside_numbers
from iwax.files import dumps, write_whole
from iwax.runs import RunConfig

__all__ = ["snr"]

out_option = click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder; the same command again goes on there."
)


def measuring_options(command: Any) -> Any:
    """How an estimator is measured on a network."""
    for option in (
        click.option("--seed", type=int, default=0, show_default=True, help="Seed of images and samples."),
        click.option("--num-replicates", type=int, default=200, show_default=True, help="Gradients per estimator."),
        click.option("--num-examples", type=int, default=20, show_default=True, help="N: images in each gradient."),
        click.option("--num-samples", type=int, default=64, show_default=True, help="S: samples of z per image."),
        click.option("--objectives", metavar="NAME,NAME", help="Which ones; all if left out."),
    ):
        command = option(command)
    return command


@click.group()
def snr() -> None:
    """Signal-to-noise of gradients: |mean| / standard deviation, per parameter and along the mean's direction."""


@snr.command()
@out_option
@click.option("--replicates", type=int, default=100, show_default=True, help="Gradients at the largest M and K.")
@click.option("--counts", default="1,10,100,1000", show_default=True, help="Values of M and of K.")
@click.option("--deviations", default="0.01,0.5", show_default=True, help="Of the random moves from the optimum.")
@click.option("--size", type=int, default=20, show_default=True, help="D: dimensions of x and z.")
@click.option("--num-examples", type=int, default=1024, show_default=True, help="N: points in each gradient.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of points, moves and samples.")
@json_option
def toy(out: Path, counts: str, deviations: str, as_json: bool, **options: Any) -> None:
    """The linear-Gaussian study of Rainforth et al. (2018): SNR against M and K, slopes, histograms."""
    from iwax.experiments import ToyStudy, rainforth_snr_report

    moves = _numbers("deviations", deviations, float, 0)
    study = ToyStudy(counts=_numbers("counts", counts, int, 1), deviations=moves, **options)
    with ProgressBar("measuring") as on_progress:
        records = study.run(out, on_progress)
    write_whole(out / "table.md", rainforth_snr_report.table(records))
    paths: list[Path] = []
    with beside_numbers("snr, dsnr and histograms"):
        paths = rainforth_snr_report.figures(records, out)
    if as_json:
        names = ("deviation", "varied", "gradient", "group", "counts")
        rows = [
            {name: getattr(line, name) for name in names}
            | {"snr": line.snr.tolist(), "slope": line.slope._asdict(), "expected": line.expected}
            for line in rainforth_snr_report.lines(records)
        ]
        click.echo(dumps(rows, indent=2))
    else:
        _say(rainforth_snr_report.table(records), [out / "table.md", *paths])


@snr.command()
@run_argument
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; RUN/snr if left out.")
@measuring_options
@data_dir_option
@trust_code_option
@json_option
def run(run: Path, out: Path | None, data_dir: str | None, trust_code: bool, as_json: bool, **options: Any) -> None:
    """Every objective and estimator on a trained run, all with the same number of samples."""
    from iwax.experiments import training_snr

    loaded = opened(run, data_dir, trust_code, checkpoint="last")
    keeping(loaded, "the measurement", out)
    out = out or run / "snr"
    with ProgressBar("measuring") as on_progress:
        records = training_snr.measure_run(loaded, out, _settings(options), data_dir=data_dir, on_progress=on_progress)
    _report(records, out, as_json)


@snr.command()
@out_option
@click.option("--epochs", default="0,1,10", show_default=True, help="When to measure, in passes over the data.")
@click.option("--dataset", default="mnist", show_default=True, help="Data set to train on.")
@click.option("--model", default="one-layer", show_default=True, help="Architecture.")
@click.option("--objective", default="iwae", show_default=True, help="What it is trained on, with S samples.")
@click.option("--train-images", type=int, help="Use only the first this many training images; all if left out.")
@measuring_options
@data_dir_option
@json_option
def training(
    out: Path,
    epochs: str,
    dataset: str,
    model: str,
    objective: str,
    train_images: int | None,
    data_dir: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a network, and measure every objective and estimator at several points on the way."""
    from iwax.checks import check_choice
    from iwax.data import load
    from iwax.experiments import training_snr
    from iwax.objectives import OBJECTIVES

    settings, stages = _settings(options), _numbers("epochs", epochs, int, 0)
    check_choice("objective", objective, OBJECTIVES)
    own: dict[str, Any] = training_snr.sizes(objective, settings.num_samples)
    what: dict[str, Any] = {"dataset": dataset, "model": model, "objective": objective, "train_images": train_images}
    config = RunConfig(**what, **own, protocol="burda-paper")  # long enough for any `epochs`, and plain Adam
    data = load(dataset, None, data_dir)
    say_source(data)
    with ProgressBar("measuring") as on_progress:
        records = training_snr.measure_training(
            config, out, settings, epochs=stages, data=data, on_progress=on_progress
        )
    _report(records, out, as_json)


def _settings(options: dict[str, Any]) -> Any:
    from iwax.experiments import training_snr

    names = options.pop("objectives")
    chosen = {} if names is None else {"objectives": names.split(",")}
    return training_snr.Settings(**options, **chosen)


def _report(records: list[dict[str, Any]], out: Path, as_json: bool) -> None:
    from iwax.experiments import training_snr

    write_whole(out / "table.md", training_snr.table(records))
    paths = []
    with beside_numbers("snr.svg and snr.pdf"):
        for path in (out / f"snr{suffix}" for suffix in (".svg", ".pdf")):
            training_snr.figure(records, path)
            paths.append(path)
    if as_json:
        click.echo(dumps(records, indent=2))
    else:
        _say(training_snr.table(records), [out / "table.md", *paths])


def _say(text: str, paths: list[Path]) -> None:
    click.echo(text)
    click.echo("\n".join(map(str, paths)))


def _numbers(name: str, text: str, kind: type[int] | type[float], least: int) -> tuple[Any, ...]:
    """Numbers with commas between, in ascending order."""
    try:
        values = tuple(sorted({kind(part) for part in text.split(",")}))
    except ValueError:
        values = ()
    if not values or values[0] < least:
        what = "integers" if kind is int else "numbers"
        raise IwaxError(f"Expected {name} to be {what} of at least {least} with commas between; got {text!r}.")
    return values
