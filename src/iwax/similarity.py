"""Structural similarity (SSIM) of images and their reconstructions, with everything that decides its value explicit.

    SSIM(x, y) at a pixel = (2 m_x m_y + C1) (2 c_xy + C2) / ((m_x^2 + m_y^2 + C1) (v_x + v_y + C2)),
    C1 = (0.01 R)^2,  C2 = (0.03 R)^2

with means m, variances v and covariance c over a window about the pixel, and R the range of the data: 1 for images of
values from 0 to 1, else the highest value of the images less the lowest. An image's SSIM is the mean over pixels.
Window, border, range, and what "the reconstruction" is, all move it: a number without them says nothing.

Reference: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
similarity" (2004), IEEE Transactions on Image Processing 13(4).
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from iwax.checks import check_choice, check_positive_integer
from iwax.data import Dataset, load
from iwax.decoding import RULES, reconstruct
from iwax.evaluation import standard_error
from iwax.examples import first_examples
from iwax.figures import image_rows, image_shape
from iwax.keys import stream
from iwax.launch import load_run
from iwax.runs import RunFolder
from iwax.value_range import range_of, value_range

__all__ = ["SETTINGS", "Setting", "ssim", "ssim_run"]

BORDERS = ("interior", "zero")
SHOWN = 10  # images in the picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What decides the value of SSIM.

    Attributes:
        window: width of the window in pixels, odd.
        sigma: standard deviation of a Gaussian window, in pixels, cut off at 3.5 of them, which must be where the
            window ends (scikit-image's rule; sigma 1.5 goes with window 11); None: a uniform window.
        sample_covariance: variances with the factor n / (n - 1), n = window^2 (for a uniform window).
        border: "interior", the mean over pixels whose window lies inside the image; or "zero", over all pixels, with
            zeros around the image.
        data_range: R, largest minus smallest possible value; None: that of the images, as above.
        reconstruction: the rule of `reconstruct`, unless another is asked for.
    """

    window: int
    sigma: float | None = None
    sample_covariance: bool = False
    border: str = "interior"
    data_range: float | None = None
    reconstruction: str = "sample"

    def __post_init__(self) -> None:
        check_positive_integer("window", self.window)
        if self.window % 2 == 0:
            raise ValueError(f"Expected window to be odd, so that it has a centre; got {self.window}.")
        if self.sigma is not None and not self.sigma > 0:
            raise ValueError(f"Expected sigma to be positive, or None for a uniform window; got {self.sigma!r}.")
        if self.sigma is not None and self.window != (width := 2 * int(3.5 * self.sigma + 0.5) + 1):
            raise ValueError(f"Expected window to be {width}, for a Gaussian of sigma {self.sigma}; got {self.window}.")
        if self.data_range is not None and not 0 < self.data_range < np.inf:
            raise ValueError(f"Expected data_range to be positive, or None for the images'; got {self.data_range!r}.")
        check_choice("border", self.border, BORDERS)
        check_choice("reconstruction", self.reconstruction, RULES)


SETTINGS: dict[str, Setting] = {
    "wang": Setting(window=11, sigma=1.5),
    "skimage": Setting(window=7, sample_covariance=True),
    "seed002": Setting(window=11, sigma=1.5, border="zero"),
}
"""Name -> setting: Wang et al. (2004); scikit-image's defaults; the second source report, which used pytorch_ssim."""


def ssim(
    images: Float[np.ndarray, "n height width"],
    others: Float[np.ndarray, "n height width"],
    *,
    setting: str | Setting = "wang",
) -> Float[np.ndarray, " n"]:
    """The SSIM of each image with its other one, float64, from -1 to 1 (equal images), by scikit-image.

    The range is the setting's, or that of all `images`: of what is judged, not of what is made of it.

    Raises:
        ValueError: an unknown setting, a window larger than the images, or images without a range.

    >>> image = np.random.default_rng(0).uniform(size=(1, 28, 28))
    >>> [round(float(ssim(image, 1 - image, setting=name)[0]), 3) for name in SETTINGS]
    [-0.969, -0.973, -0.711]
    """
    from skimage.metrics import structural_similarity

    chosen = get_setting(setting)
    shortest = min(images.shape[1:])
    if chosen.border == "interior" and chosen.window > shortest:
        raise ValueError(
            f"Expected window to be at most the shorter side of the images, {shortest}; got {chosen.window}. Choose "
            "a smaller one, or border='zero'."
        )
    low, high = value_range(images) if chosen.data_range is None else (0.0, chosen.data_range)
    options: dict[str, Any] = {"win_size": chosen.window, "data_range": high - low}
    options["use_sample_covariance"] = chosen.sample_covariance
    if chosen.sigma is not None:
        options |= {"gaussian_weights": True, "sigma": chosen.sigma}
    margin = chosen.window // 2 if chosen.border == "zero" else 0  # just what the mean over the interior leaves out
    a, b = (np.pad(np.asarray(v, np.float64), ((0, 0), (margin, margin), (margin, margin))) for v in (images, others))
    return np.array([structural_similarity(x, y, **options) for x, y in zip(a, b, strict=True)])


def get_setting(setting: str | Setting) -> Setting:
    """A setting by name, or the one given.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(setting, Setting):
        return setting
    check_choice("setting", setting, SETTINGS)
    return SETTINGS[setting]


def ssim_run(
    path: str | Path,
    *,
    setting: str = "wang",
    reconstruction: str | None = None,
    dataset: str | None = None,
    test_images: int | None = None,
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
        path: the run's folder.
        setting: a name in SETTINGS.
        reconstruction: the rule of `reconstruct`; the setting's if left out.
        dataset: whose test images; the run's own if left out.
        test_images: the first this many; all if left out.
        num_samples: draws of the rules that average.
        data_range: R; if left out 1 for images of values from 0 to 1, and else that of all test images of the data set.
            The result has it, under "setting".
        seed: of the binarisation and the samples.
        data_dir: folder of the data sets.
        data: the run's own data set, if it is loaded already.

    Raises:
        ValueError: no run, an unknown name, or images of another size than the model's.
    """
    chosen = get_setting(setting)
    if data_range is not None:
        chosen = dataclasses.replace(chosen, data_range=data_range)
    rule = chosen.reconstruction if reconstruction is None else reconstruction
    check_choice("reconstruction", rule, RULES)
    config, model, _, own = load_run(path, data_dir=data_dir, data=data)
    other = own if dataset in (None, own.name) else load(dataset, None, data_dir)
    _check_size(own, other)
    x = first_examples(other, config.test_binarize, seed=seed, count=test_images)
    images = x.reshape(len(x), *_image_shape(other))
    decoded = reconstruct(
        model, x, stream(jax.random.key(seed), "similarity"), rule=rule, num_samples=num_samples
    ).reshape(images.shape)
    low, high = range_of(other, config.test_binarize)
    if chosen.data_range is None:
        chosen = dataclasses.replace(chosen, data_range=high - low)
    values = ssim(images, decoded, setting=chosen)
    summary = {
        "ssim": float(np.mean(values)),
        "ssim_test_error": standard_error(values),
        "ssim_std": float(np.std(values)),
        "num_examples": len(values),
        "setting": {"name": setting, **dataclasses.asdict(chosen), "reconstruction": rule},
        "num_samples": 1 if rule == "sample" else num_samples,
        "trained_on": own.name,
        "dataset": other.name,
        "binarize": config.test_binarize,
        "seed": seed,
    }
    _write(RunFolder(path), summary, images, decoded, values, (low, high))
    return summary


def _write(
    folder: RunFolder,
    summary: dict[str, Any],
    images: np.ndarray,
    decoded: np.ndarray,
    values: np.ndarray,
    shades: tuple[float, float],
) -> None:
    name = "ssim" if summary["dataset"] == summary["trained_on"] else f"ssim-{Path(summary['dataset']).stem}"
    folder.write_json(f"{name}.json", summary)
    (folder.path / "figures").mkdir(exist_ok=True)
    rows = {summary["dataset"]: images[:SHOWN], "decoded": decoded[:SHOWN]}
    captions = [f"{value:.2f}" for value in values[:SHOWN]]
    image_rows(rows, folder.path / "figures" / f"{name}.png", shades=shades, captions=captions)


def _check_size(own: Dataset, other: Dataset) -> None:
    sizes = [int(np.prod(data.test.shape[1:])) for data in (own, other)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"Expected dataset to have images of {sizes[0]} pixels, as {own.name}, on which the run was trained; got "
            f"{other.name} with {sizes[1]}."
        )


def _image_shape(data: Dataset) -> tuple[int, int]:
    """Height and width of the images; vectors count as squares, if they can."""
    shape = data.test.shape[1:]
    return (shape[0], shape[1]) if len(shape) == 2 else image_shape(int(np.prod(shape)))
