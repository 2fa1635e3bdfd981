"""`iwax ssim`, `anneal` and `posterior`: how good a trained model's reconstructions and posteriors are."""

import json
from pathlib import Path

import click

from iwax.cli.options import data_dir_option, json_option
from iwax.console import print_table

__all__ = ["ssim"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--setting", default="wang", show_default=True, help="wang, skimage or seed002: window, border and range."
)
@click.option("--reconstruction", help="sample, mean or posterior-mean; the setting's if left out.")
@click.option("--dataset", help="Reconstruct the test images of another data set than the run was trained on.")
@click.option("--test-images", type=int, help="Use only the first this many test images; all if left out.")
@click.option("--num-samples", type=int, default=100, show_default=True, help="Draws of z for means.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and samples.")
@data_dir_option
@json_option
def ssim(
    run: Path,
    setting: str,
    reconstruction: str | None,
    dataset: str | None,
    test_images: int | None,
    num_samples: int,
    seed: int,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Structural similarity (SSIM) of test images and what the model reconstructs of them."""
    from iwax.similarity import ssim_run

    result = ssim_run(
        run,
        setting=setting,
        reconstruction=reconstruction,
        dataset=dataset,
        test_images=test_images,
        num_samples=num_samples,
        seed=seed,
        data_dir=data_dir,
    )
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    chosen = result["setting"]
    window = "uniform" if chosen["sigma"] is None else f"Gaussian, sigma {chosen['sigma']}"
    print_table(
        f"{run}: SSIM on {result['num_examples']} test images of {result['dataset']}",
        ["quantity", "value", ""],
        [
            ["SSIM", f"{result['ssim']:.4f}", f"+- {result['ssim_test_error']:.4f} over test images"],
            ["", f"{result['ssim_std']:.3f}", "standard deviation of an image"],
            ["window", f"{chosen['window']} x {chosen['window']}", window],
            ["border", chosen["border"], ""],
            ["reconstruction", chosen["reconstruction"], f"{result['num_samples']} draws"],
            ["trained on", result["trained_on"], ""],
        ],
    )
