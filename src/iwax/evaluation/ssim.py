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
from typing import Any

import numpy as np
from jaxtyping import Float

from iwax.checks import check_choice, check_positive_integer
from iwax.errors import IwaxError
from iwax.evaluation.decoding import RULES
from iwax.evaluation.value_range import value_range
from iwax.extras import check_installed

__all__ = ["SETTINGS", "Setting", "get_setting", "ssim"]

BORDERS = ("interior", "zero")
FORMER_NAMES = {"seed002": "pytorch_ssim"}  # which records and commands of before hold


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
            raise IwaxError(f"Expected window to be odd, so that it has a centre; got {self.window}.")
        if self.sigma is not None and not self.sigma > 0:
            raise IwaxError(f"Expected sigma to be positive, or None for a uniform window; got {self.sigma!r}.")
        if self.sigma is not None and self.window != (width := 2 * int(3.5 * self.sigma + 0.5) + 1):
            raise IwaxError(f"Expected window to be {width}, for a Gaussian of sigma {self.sigma}; got {self.window}.")
        if self.data_range is not None and not 0 < self.data_range < np.inf:
            raise IwaxError(f"Expected data_range to be positive, or None for the images'; got {self.data_range!r}.")
        check_choice("border", self.border, BORDERS)
        check_choice("reconstruction", self.reconstruction, RULES)


SETTINGS: dict[str, Setting] = {
    "wang": Setting(window=11, sigma=1.5),
    "skimage": Setting(window=7, sample_covariance=True),
    "pytorch_ssim": Setting(window=11, sigma=1.5, border="zero"),
}
"""Name -> setting: Wang et al. (2004); scikit-image's defaults; the second source report, which used pytorch_ssim."""


def ssim(
    images: Float[np.ndarray, "n height width *channels"],
    others: Float[np.ndarray, "n height width *channels"],
    *,
    setting: str | Setting = "wang",
) -> Float[np.ndarray, " n"]:
    """The SSIM of each image with its other one, float64, from -1 to 1 (equal images), by scikit-image.

    Of images with channels, (N, height, width, channels), it is the mean over the channels.
    The range is the setting's, or that of all `images`: of what is judged, not of what is made of it.

    Raises:
        ValueError: an unknown setting, no two equal shapes of images, a window larger than the images, or images
            without a range.
        MissingExtraError: scikit-image is not installed.

    >>> image = np.random.default_rng(0).uniform(size=(1, 28, 28))
    >>> [round(float(ssim(image, 1 - image, setting=name)[0]), 3) for name in SETTINGS]
    [-0.969, -0.973, -0.711]
    """
    check_installed("skimage", "SSIM")
    from skimage.metrics import structural_similarity

    chosen = get_setting(setting)
    images, others = np.asarray(images), np.asarray(others)
    if images.ndim not in (3, 4):
        raise IwaxError(
            "Expected images of shape (N, height, width) or (N, height, width, channels), where one image has N = 1; "
            f"got shape {images.shape}."
        )
    if images.shape != others.shape:
        raise IwaxError(f"Expected others to have the shape of images, {images.shape}; got {others.shape}.")
    shortest = min(images.shape[1:3])
    if chosen.border == "interior" and chosen.window > shortest:
        raise IwaxError(
            f"Expected window to be at most the shorter side of the images, {shortest}; got {chosen.window}. Choose "
            "a smaller one, or border='zero'."
        )
    low, high = value_range(images) if chosen.data_range is None else (0.0, chosen.data_range)
    options: dict[str, Any] = {"win_size": chosen.window, "data_range": high - low}
    options["use_sample_covariance"] = chosen.sample_covariance
    if chosen.sigma is not None:
        options |= {"gaussian_weights": True, "sigma": chosen.sigma}
    margin = chosen.window // 2 if chosen.border == "zero" else 0  # just what the mean over the interior leaves out
    if images.ndim == 4:
        options["channel_axis"] = -1
    margins = [(0, 0), (margin, margin), (margin, margin), (0, 0)][: images.ndim]
    a, b = (np.pad(np.asarray(v, np.float64), margins) for v in (images, others))
    return np.array([structural_similarity(x, y, **options) for x, y in zip(a, b, strict=True)])


def get_setting(setting: str | Setting) -> Setting:
    """A setting by name, or the one given.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(setting, Setting):
        return setting
    setting = FORMER_NAMES.get(setting, setting)
    check_choice("setting", setting, SETTINGS)
    return SETTINGS[setting]
