"""`iwax ssim`, `anneal` and `posterior`: how good a trained model's reconstructions and posteriors are."""

from pathlib import Path
from typing import Any

import click

from iwax.cli.options import data_dir_option, json_option, num_images_option
from iwax.cli.sources import keeping, opened, results_option, run_argument, trust_code_option
from iwax.console import ProgressBar, number, print_table
from iwax.extras import is_installed
from iwax.files import dumps

__all__ = ["anneal", "posterior", "ssim"]


@click.command()
@run_argument
@click.option(
    "--setting", default="wang", show_default=True, help="wang, skimage or pytorch_ssim: window, border and range."
)
@click.option("--reconstruction", help="sample, mean or posterior-mean; the setting's if left out.")
@click.option("--dataset", help="Reconstruct the test images of another data set than the run was trained on.")
@num_images_option("Use only the first this many test images; all if left out.")
@click.option("--num-samples", type=int, default=100, show_default=True, help="Draws of z for means.")
@click.option("--data-range", type=float, help="Largest less smallest possible value; the test images' if left out.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and samples.")
@results_option
@data_dir_option
@trust_code_option
@json_option
def ssim(
    run: Path,
    setting: str,
    reconstruction: str | None,
    dataset: str | None,
    num_images: int | None,
    num_samples: int,
    data_range: float | None,
    seed: int,
    out: Path | None,
    data_dir: str | None,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Structural similarity (SSIM) of test images and what the model reconstructs of them."""
    from iwax.judging import ssim_run

    result = ssim_run(
        opened(run, data_dir, trust_code, out, needs=("skimage", "SSIM")),
        setting=setting,
        reconstruction=reconstruction,
        dataset=dataset,
        num_images=num_images,
        num_samples=num_samples,
        data_range=data_range,
        seed=seed,
        data_dir=data_dir,
    )
    if as_json:
        click.echo(dumps(result, indent=2))
        return
    chosen = result["setting"]
    window = "uniform" if chosen["sigma"] is None else f"Gaussian, sigma {chosen['sigma']}"
    print_table(
        f"{run}: SSIM on {result['num_examples']} test images of {result['dataset']}",
        ["quantity", "value", ""],
        [
            ["SSIM", number(result["ssim"], ".4f"), f"+- {number(result['ssim_test_error'], '.4f')} over test images"],
            ["", number(result["ssim_std"]), "standard deviation of an image"],
            ["window", f"{chosen['window']} x {chosen['window']}", window],
            ["border", chosen["border"], ""],
            ["data range", f"{chosen['data_range']:g}", ""],
            ["reconstruction", chosen["reconstruction"], f"{result['num_samples']} draws"],
            *(
                [["shown of p(x | z)", result["shown"], "as its mean is not finite or not known"]]
                if "shown" in result
                else []
            ),
            ["trained on", result["trained_on"], ""],
        ],
    )


@click.command()
@run_argument
@click.option("--num-distributions", type=int, default=1000, show_default=True, help="T; 1 is importance sampling.")
@click.option("--num-chains", "--chains", type=int, default=16, show_default=True, help="Chains per image.")
@num_images_option("The first this many.", "--images", show_default="100, or all there are")
@click.option(
    "--sandwich/--no-sandwich", default=True, help="Also bounds from both sides on as many simulated images (default)."
)
@click.option("--start", default="posterior", show_default=True, help="Where chains start: posterior (q) or prior.")
@click.option("--leapfrog-steps", type=int, default=10, show_default=True, help="Gradients per Hamiltonian step.")
@click.option("--num-samples", type=int, default=5000, show_default=True, help="k of the IWAE bound beside it.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--time-limit", type=float, metavar="MINUTES", help="Stop after this time; the same command goes on.")
@results_option
@data_dir_option
@trust_code_option
@json_option
def anneal(
    run: Path, time_limit: float | None, out: Path | None, trust_code: bool, as_json: bool, **options: Any
) -> None:
    """Annealed importance sampling: bounds on log p from below on test images, from both sides on simulated ones.

    Finished images are kept: the same command goes on where it was interrupted.
    """
    from iwax.judging import anneal_run

    loaded = opened(run, options["data_dir"], trust_code, out)
    with ProgressBar("annealing") as on_progress:
        seconds = None if time_limit is None else 60 * time_limit
        result = anneal_run(loaded, on_progress=on_progress, time_limit=seconds, **options)
    if as_json:
        click.echo(dumps(result, indent=2))
        return
    if result["state"] == "stopped":
        done = f"{result['num_examples']} of {result['total_examples']} images, {result['seconds']:.0f} s"
        click.echo(f"{run}: stopped after {done}; the same command goes on.")
        return
    n, k = result["num_examples"], result["num_samples"]
    rows = [
        ["AIS (below)", number(result["ais"]), f"{number(result['ais_mc_error'])} over chains"],
        [f"IWAE-{k} (below)", number(result["iwae"]), ""],
        [
            "AIS minus IWAE",
            number(result["ais_minus_iwae"]),
            f"{number(result['ais_minus_iwae_test_error'])} over images",
        ],
    ]
    title = f"{run}: log p of {n} test images, T = {result['num_distributions']} (nats)"
    print_table(title, ["bound", "value", "error"], rows)
    sides = result["sandwich"]
    if sides is not None:
        rows = [
            ["AIS (below)", number(sides["lower"]), ""],
            [f"IWAE-{k} (below)", number(sides["iwae"]), ""],
            ["backward AIS (above)", number(sides["upper"]), ""],
            ["above minus below", number(sides["gap"]), f"{number(sides['gap_test_error'])} over images"],
        ]
        print_table(f"log p of {n} images simulated from the model (nats)", ["bound", "value", "error"], rows)


@click.command()
@run_argument
@click.option("--images", show_default="the first three", help="Numbers of the test images, from 0, by commas.")
@click.option("--num-samples", default="10,100", show_default=True, help="K of q_IW, by commas.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and draws.")
@click.option("--out", type=click.Path(path_type=Path), help="Picture; RUN/figures/posterior.svg, .pdf if left out.")
@data_dir_option
@trust_code_option
@json_option
def posterior(
    run: Path,
    images: str | None,
    num_samples: str,
    seed: int,
    out: Path | None,
    data_dir: str | None,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Picture q, the implicit posterior q_IW, and the true posterior of test images, in the two worst dimensions."""
    numbers = None if images is None else _integers("images", images)
    ks = _integers("num_samples", num_samples)
    from iwax.judging import implicit_run

    loaded = opened(run, data_dir, trust_code)
    keeping(loaded, "the picture", out)
    result = implicit_run(loaded, images=numbers, num_samples=ks, seed=seed, out=out, data_dir=data_dir)
    if as_json:
        click.echo(dumps(result, indent=2))
        return
    columns = ["image", "dimensions", "ELBO", *(f"IWAE-{k}" for k in ks), "log p", "effective samples"]
    rows = []
    for row in result["images"]:
        bounds = [number(bound) for bound in (*row["bounds"].values(), row["log_p"])]
        dimensions = " and ".join(f"z_{i + 1}" for i in row["coordinates"])
        rows.append([str(row["image"]), dimensions, *bounds, number(row["ess"], ".0f")])
    print_table(f"{run}: {result['pool']:,} draws per image (nats)", columns, rows)
    if is_installed("matplotlib"):
        click.echo(out or run / "figures" / "posterior.svg")


def _integers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"Expected {name} to be integers, separated by commas; got {text!r}.") from None
