"""Pictures: sheets of images, and training curves, in the colour-blind-safe palette of Okabe and Ito."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only: no display is needed, and none is opened
import matplotlib.pyplot as plt

__all__ = ["curves", "image_rows", "image_sheet"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def image_shape(size: int) -> tuple[int, int]:
    """Height and width of an image of `size` pixels: a square if it is one, else a row."""
    side = round(size**0.5)
    return (side, side) if side * side == size else (1, size)


def image_sheet(images: np.ndarray, path: str | Path, *, columns: int = 10, title: str | None = None) -> None:
    """A sheet of images (N, pixels) or (N, height, width), values in [0, 1], white ink on black.

    Arguments:
        images: row by row.
        path: a .png, .pdf or .svg file.
    """
    rows = -(-len(images) // columns)
    groups = {"" if i else (title or ""): images[i * columns : (i + 1) * columns] for i in range(min(rows, 1))}
    image_rows(groups | {" " * i: images[i * columns : (i + 1) * columns] for i in range(1, rows)}, path)


def image_rows(rows: Mapping[str, np.ndarray], path: str | Path) -> None:
    """One labelled row of images (N, pixels) or (N, height, width) for each entry, values in [0, 1]."""
    strips = {label: _strip(np.asarray(images)) for label, images in rows.items()}
    width = max(strip.shape[1] for strip in strips.values())
    height = sum(strip.shape[0] for strip in strips.values())
    labelled = any(label.strip() for label in strips)
    figure, axes = plt.subplots(
        len(strips),
        1,
        squeeze=False,
        figsize=(width / 40 + 1.6 * labelled, height / 40),
        gridspec_kw={
            "hspace": 0.02,
            "left": 1.6 / (width / 40 + 1.6) if labelled else 0,
            "right": 1,
            "top": 1,
            "bottom": 0,
        },
    )
    for axis, (label, strip) in zip(axes[:, 0], strips.items(), strict=True):
        axis.imshow(strip, cmap="gray", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        axis.spines[:].set_visible(False)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _strip(images: np.ndarray) -> np.ndarray:
    """Images side by side, two grey pixels apart."""
    images = images.reshape(len(images), *(image_shape(images[0].size) if images.ndim == 2 else images.shape[1:]))
    padded = np.pad(np.clip(images, 0, 1), ((0, 0), (1, 1), (1, 1)), constant_values=0.35)
    return np.concatenate(list(padded), axis=1)


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    path: str | Path,
    *,
    x_label: str,
    y_label: str,
    **axes: Any,
) -> None:
    """Lines (x, y) by label, each named at its end as well as in the legend's colours.

    Arguments:
        lines: label -> (x, y).
        path: a .png, .pdf or .svg file.
        axes: further properties of the axes (title, xscale, ...).
    """
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    styles = ("-", "--", "-.", ":")
    for i, (label, (x, y)) in enumerate(lines.items()):
        axis.plot(
            x, y, label=label, color=COLOURS[i % len(COLOURS)], linestyle=styles[i % len(styles)], marker="o", ms=3
        )
    axis.set(xlabel=x_label, ylabel=y_label, **axes)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)
