"""Pictures of what the model of a run makes: samples, and reconstructions of test images."""

from pathlib import Path

from iwax.checks import check_positive_integer
from iwax.data import Dataset, channels_last
from iwax.evaluation import reconstruct, sample_images
from iwax.extras import check_installed
from iwax.figures import about, image_rows, image_sheet
from iwax.keys import EvaluationKeys
from iwax.runs import LoadedRun
from iwax.zoo import open_run

__all__ = ["reconstruction_sheet", "sample_sheet"]

MOST = 10_000  # images that one picture holds
RECONSTRUCTED = 20  # unless another number is asked for


def sample_sheet(
    run: str | Path | LoadedRun,
    *,
    num_images: int = 100,
    seed: int = 0,
    out: Path | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> Path:
    """A picture of images drawn from the model of a run, in the range of its test images; returns where it is.

    The data set need not be there, except for a model of one's own, and for values that are not from 0 to 1.
    """
    check_positive_integer("num_images", num_images, most=MOST)
    check_installed("PIL", "pictures")  # before anything is computed
    run = open_run(run, data_dir=data_dir, data=data)
    out = out or run.folder.path / "samples.png"
    images = sample_images(run.model, num_images, EvaluationKeys.of_seed(seed).prior_samples)
    with about(run.made_from):
        sheet = channels_last(images.reshape(-1, *run.example_shape))
        text = f"{len(sheet)} samples: means of p(x | z), z from the prior. {_words(run)}"
        image_sheet(sheet, out, shades=run.shades, caption=text)
    return out


def reconstruction_sheet(
    run: str | Path | LoadedRun,
    *,
    num_images: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> Path:
    """A picture of test images above what the model of a run makes of them; returns where it is.

    `num_images` are 20 if left out, or all where there are fewer.
    """
    if num_images is not None:
        check_positive_integer("num_images", num_images, most=MOST)
    check_installed("matplotlib", "pictures")
    run = open_run(run, data_dir=data_dir, data=data)
    out = out or run.folder.path / "reconstructions.png"
    x = run.test_images(seed, num_images, most=RECONSTRUCTED)
    decoded = reconstruct(run.model, x, EvaluationKeys.of_seed(seed).reconstructions)
    rows = {"test": channels_last(x), "decoded": channels_last(decoded.reshape(x.shape))}
    with about(run.made_from):
        title = f"Test images, and below them the mean of p(x | z) for one z from q(z | x). {_words(run)}"
        image_rows(rows, out, shades=run.shades, title=title)
    return out


def _words(run: LoadedRun) -> str:
    """What made a picture, and what its shades are."""
    config = run.config
    sizes = ", ".join(str(size) for size in (config.num_groups, config.num_samples) if size is not None)
    objective = f"{config.objective.upper()}({sizes})"
    names = [objective, Path(config.model).name, Path(config.dataset).name, f"seed {config.seed}"]
    return f"{', '.join(names)}. Black is {run.shades[0]:g}, white is {run.shades[1]:g}."
