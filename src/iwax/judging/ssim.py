"""Judge a run by the structural similarity of its reconstructions; the index is in `iwax.evaluation.ssim`."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from iwax.checks import check_choice
from iwax.data import Dataset, channels_last
from iwax.evaluation import RULES, first_examples, get_setting, range_of, reconstruct, shown, ssim, standard_error
from iwax.extras import beside_numbers, check_installed
from iwax.figures import about, image_rows, image_shape
from iwax.files import make_folder
from iwax.judging.other_data import judged_data, name_beside
from iwax.keys import EvaluationKeys
from iwax.runs import LoadedRun, RunFolder
from iwax.zoo import open_run

__all__ = ["ssim_run"]

SHOWN = 10  # images in the picture


def ssim_run(
    run: str | Path | LoadedRun,
    *,
    setting: str = "wang",
    reconstruction: str | None = None,
    dataset: str | None = None,
    num_images: int | None = None,
    num_samples: int = 100,
    data_range: float | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> dict[str, Any]:
    """SSIM of a run's reconstructions of test images with those images, as binarised; written to ssim.json.

    A picture of the first ten, figures/ssim.png, has the SSIM of each below it. For another data set than the run was
    trained on, both names carry that, after a hyphen (ssim-omniglot.json).

    Arguments:
        run: its folder, or the run itself, loaded.
        setting: a name in SETTINGS.
        reconstruction: the rule of `reconstruct`; the setting's if left out.
        dataset: whose test images; the run's own if left out.
        num_images: the first this many; all if left out.
        num_samples: draws of the rules that average.
        data_range: R; if left out 1 for images of values from 0 to 1, and else that of all test images of the data set.
            The result has it, under "setting".
        seed: of the binarisation and the samples.
        data_dir: folder of the data sets.
        data: the run's own data set, if it is loaded already.

    Raises:
        ValueError: no run, an unknown name, images of another shape than the run's, or a name that is taken.
        MissingExtraError: scikit-image is not installed.
    """
    check_installed("skimage", "SSIM")
    chosen = get_setting(setting)
    if data_range is not None:
        chosen = dataclasses.replace(chosen, data_range=data_range)
    rule = chosen.reconstruction if reconstruction is None else reconstruction
    check_choice("reconstruction", rule, RULES)
    run = open_run(run, data_dir=data_dir, data=data)
    own, binarized = run.data, run.resolved.test_binarize
    other = own if dataset in (None, own.name) else judged_data(run, dataset, data_dir)
    name = "ssim" if other.name == own.name else name_beside("ssim", run, other)
    x = first_examples(other, binarized, seed=seed, count=num_images)
    shape = (len(x), *_image_shape(other))
    images = channels_last(x.reshape(shape))
    decoded = reconstruct(run.model, x, EvaluationKeys.of_seed(seed).similarity, rule=rule, num_samples=num_samples)
    decoded = channels_last(decoded.reshape(shape))
    low, high = range_of(other, binarized)
    if chosen.data_range is None:
        chosen = dataclasses.replace(chosen, data_range=high - low)
    values = ssim(images, decoded, setting=chosen)
    summary: dict[str, Any] = {
        "ssim": float(np.mean(values)),
        "ssim_test_error": standard_error(values),
        "ssim_std": float(np.std(values)),
        "num_examples": len(values),
        "setting": {"name": setting, **dataclasses.asdict(chosen), "reconstruction": rule},
        "num_samples": 1 if rule == "sample" else num_samples,
        "trained_on": own.name,
        "dataset": other.name,
        "binarize": binarized,
        "seed": seed,
        "made_from": run.made_from | {"images": dict(other.checksums)},
    }
    if (what := shown(run.model, x)) != "mean":  # of p(x | z), which has none then
        summary["shown"] = what
    with about(summary["made_from"]):
        _write(run.folder, name, summary, images, decoded, values, (low, high))
    return summary


def _write(
    folder: RunFolder,
    name: str,
    summary: dict[str, Any],
    images: np.ndarray,
    decoded: np.ndarray,
    values: np.ndarray,
    shades: tuple[float, float],
) -> None:
    folder.write_json(f"{name}.json", summary)
    make_folder(folder.path / "figures")
    rows = {"test": images[:SHOWN], "decoded": decoded[:SHOWN]}
    captions = [f"{value:.2f}" for value in values[:SHOWN]]
    images_of = Path(summary["dataset"]).name
    title = f"Test images of {images_of} and their reconstructions; below, the SSIM of each pair (1: equal)."
    with beside_numbers(f"figures/{name}.png"):
        image_rows(rows, folder.path / "figures" / f"{name}.png", shades=shades, captions=captions, title=title)


def _image_shape(data: Dataset) -> tuple[int, ...]:
    """Height and width of the images, and their channels if they have some; vectors count as squares, if they can."""
    shape = data.test.shape[1:]
    return image_shape(shape[0]) if len(shape) == 1 else shape
