"""`iwax sample`, `reconstruct` and `encode`: what a trained model draws, and its codes of examples."""

from pathlib import Path
from typing import Any

import click

from iwax.cli.options import checkpoint_option, data_dir_option, json_option, num_images_option
from iwax.cli.sources import keeping, opened, run_argument, trust_code_option
from iwax.console import notices
from iwax.files import dumps

__all__ = ["encode", "reconstruct", "sample"]


@click.command()
@run_argument
@click.option("--num-images", "-n", type=int, default=100, show_default=True, help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the samples.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Picture to write, RUN/samples.png if left out; or an .npy, which gets the values themselves.",
)
@click.option("--drawn", is_flag=True, help="Of an .npy: draws of p(x|z), noise and all, in place of its mean.")
@checkpoint_option
@data_dir_option
@trust_code_option
def sample(
    run: Path,
    num_images: int,
    seed: int,
    out: Path | None,
    drawn: bool,
    checkpoint: str | None,
    data_dir: str | None,
    trust_code: bool,
) -> None:
    """Draw images from a trained model: a picture, or an array of numbers."""
    from iwax.evaluation import shown
    from iwax.judging import sample_run, sample_sheet

    as_array = out is not None and out.suffix == ".npy"
    if drawn and not as_array:
        raise click.UsageError(f"Expected --drawn together with --out FILE.npy; got {out}.")
    needs = None if as_array else ("PIL", "pictures")
    loaded = opened(run, data_dir, trust_code, needs=needs, checkpoint=checkpoint)
    keeping(loaded, "the picture", out)
    common: dict[str, Any] = {"num_images": num_images, "seed": seed, "data_dir": data_dir}
    if out is not None and as_array:
        found = sample_run(loaded, out, drawn=drawn, **common)
        what = "draws of p(x | z)" if drawn else f"the {found['values']} of p(x | z)"
        size = " x ".join(map(str, found["shape"]))
        click.echo(f"{out}: {size}, float32, {what}, from {found['lowest']:.4g} to {found['highest']:.4g}")
        _notice(_scale(found["binarize"]))
        return
    click.echo(sample_sheet(loaded, out=out, **common))
    _say_what_is_shown(shown(loaded.model))


@click.command()
@run_argument
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .npz to write.")
@click.option("--part", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Which examples.")
@click.option("--dataset", help="Encode other data than the run's own, by name or path.")
@num_images_option("The first this many examples; all if left out.")
@click.option("--num-samples", type=int, default=128, show_default=True, help="Draws for moments that q does not know.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and samples.")
@checkpoint_option
@data_dir_option
@trust_code_option
@json_option
def encode(run: Path, out: Path, checkpoint: str | None, trust_code: bool, as_json: bool, **options: Any) -> None:
    """Write latent codes: mean and scale of q(z|x) for each example, and a draw of it, by layer; and its index.

    Row i is example index[i] of the data as they are read, before a random split; of data whose parts are given, i.
    """
    from iwax.judging import encode_run

    found = encode_run(opened(run, options["data_dir"], trust_code, checkpoint=checkpoint), out, **options)
    if as_json:
        click.echo(dumps(found, indent=2))
        return
    arrays = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in found["arrays"].items())
    click.echo(f"{out}: {arrays}")
    click.echo(
        f"row i: {found['part']} example i of {found['dataset']} [{found['split']}], binarize {found['binarize']}"
    )
    if not all(found["exact"]):
        layers = ", ".join(str(number) for number, exact in enumerate(found["exact"], 1) if not exact)
        _notice(f"Mean and scale of layer {layers} are those of {found['num_samples']} draws, as q does not know them.")


@click.command()
@run_argument
@click.option("--num-images", type=int, show_default="20, or all there are", help="How many test images.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and samples.")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write; RUN/reconstructions.png if left out.")
@checkpoint_option
@data_dir_option
@trust_code_option
def reconstruct(
    run: Path,
    num_images: int | None,
    seed: int,
    out: Path | None,
    checkpoint: str | None,
    data_dir: str | None,
    trust_code: bool,
) -> None:
    """Encode test images and decode one sample of each."""
    from iwax.evaluation import shown
    from iwax.judging import reconstruction_sheet

    loaded = opened(run, data_dir, trust_code, needs=("matplotlib", "pictures"), checkpoint=checkpoint)
    keeping(loaded, "the picture", out)
    click.echo(reconstruction_sheet(loaded, num_images=num_images, seed=seed, out=out, data_dir=data_dir))
    _say_what_is_shown(shown(loaded.model, loaded.test_images(seed, 1)))


def _say_what_is_shown(what: str) -> None:
    if what != "mean":
        _notice(f"Shown is the {what} of p(x | z), which has no finite mean.")


def _scale(binarize: str) -> str:
    """In which units the values are."""
    if binarize == "none":
        return "In the units of the data, which the model saw as they are (binarize none)."
    return "From 0 (black) to 1 (white), as the model sees x; times 255 they are grey values."


def _notice(message: str) -> None:
    notices.print(message, markup=False)
