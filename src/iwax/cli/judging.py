"""`iwax evaluate`, `sample` and `reconstruct`: a trained model looked at."""

import json
from pathlib import Path

import click

from iwax.cli.options import data_dir_option, json_option
from iwax.console import ProgressBar, print_table

__all__ = ["evaluate", "reconstruct", "sample"]


@click.command()
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


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--num-images", type=int, default=100, show_default=True, help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the samples.")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write; RUN/samples.png if left out.")
@data_dir_option
def sample(run: Path, num_images: int, seed: int, out: Path | None, data_dir: str | None) -> None:
    """Draw images from a trained model."""
    from iwax.judge import sample_sheet

    click.echo(sample_sheet(run, num_images=num_images, seed=seed, out=out, data_dir=data_dir))


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--num-images", type=int, default=20, show_default=True, help="How many test images.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and samples.")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write; RUN/reconstructions.png if left out.")
@data_dir_option
def reconstruct(run: Path, num_images: int, seed: int, out: Path | None, data_dir: str | None) -> None:
    """Encode test images and decode one sample of each."""
    from iwax.judge import reconstruction_sheet

    click.echo(reconstruction_sheet(run, num_images=num_images, seed=seed, out=out, data_dir=data_dir))
