"""Pictures of what the model of a run makes: samples, and reconstructions of test images."""

from pathlib import Path

import jax
import numpy as np

from iwax.checks import check_positive_integer
from iwax.data import Dataset
from iwax.evaluation import first_examples, range_of, reconstruct, sample_images
from iwax.extras import check_installed
from iwax.figures import image_rows, image_sheet
from iwax.keys import stream
from iwax.runs import load_run

__all__ = ["reconstruction_sheet", "sample_sheet"]


def sample_sheet(
    path: str | Path,
    *,
    num_images: int = 100,
    seed: int = 0,
    out: Path | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> Path:
    """A picture of images drawn from the model of a run, in the range of its test images; returns where it is."""
    check_positive_integer("num_images", num_images)
    check_installed("PIL", "pictures")  # before anything is computed
    config, model, _, loaded = load_run(path, data_dir=data_dir, data=data)
    out = out or Path(path) / "samples.png"
    images = _as_images(sample_images(model, num_images, stream(jax.random.key(seed), "samples")), loaded)
    image_sheet(images, out, shades=range_of(loaded, config.test_binarize))
    return out


def reconstruction_sheet(
    path: str | Path,
    *,
    num_images: int = 20,
    seed: int = 0,
    out: Path | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> Path:
    """A picture of test images above what the model of a run makes of them; returns where it is."""
    check_positive_integer("num_images", num_images)
    check_installed("matplotlib", "pictures")
    config, model, _, loaded = load_run(path, data_dir=data_dir, data=data)
    key = stream(jax.random.key(seed), "reconstructions")
    x = first_examples(loaded, config.test_binarize, seed=seed, count=num_images)
    out = out or Path(path) / "reconstructions.png"
    rows = {"test": _as_images(x, loaded), "decoded": _as_images(reconstruct(model, x, key), loaded)}
    image_rows(rows, out, shades=range_of(loaded, config.test_binarize))
    return out


def _as_images(values: np.ndarray, data: Dataset) -> np.ndarray:
    return values.reshape(len(values), *data.test.shape[1:])
