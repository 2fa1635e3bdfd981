"""The look of every plot: for print, vector output, the colour-blind-safe palette of Okabe and Ito, axes with units."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler

matplotlib.use("Agg")  # files only: no display is needed, and none is opened
import matplotlib.pyplot as plt

__all__ = ["COLOURS", "LINE_STYLES", "MARKERS", "plot"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 160,
    "svg.fonttype": "none",
    "svg.hashsalt": "iwax",  # the same picture is the same file
}


@contextmanager
def plot(
    path: str | Path, *, rows: int = 1, columns: int = 1, width: float = 6.4, height: float = 4.2
) -> Iterator[Any]:
    """Axes to draw on, an array (rows, columns), or one for 1 x 1; written to `path` (.pdf, .svg or .png) at the end.

    Arguments:
        path: the file; its suffix says the format.
        rows: of axes.
        columns: of axes.
        width: of the whole figure, in inches.
        height: of the whole figure, in inches.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
        try:
            yield axes if axes.size > 1 else axes[0, 0]
            metadata = {"Date": None} if Path(path).suffix == ".svg" else {}
            metadata |= {"CreationDate": None} if Path(path).suffix == ".pdf" else {}
            figure.savefig(path, metadata=metadata)
        finally:
            plt.close(figure)
