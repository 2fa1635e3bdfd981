"""Pictures, with one look: vector plots for print, sheets of images, and training curves.

Plots are drawn on matplotlib's `Figure` objects: no global state is read or set, and no window is opened.
Matplotlib and Pillow, which the extra `report` brings, are imported when the first picture is drawn; where they are not
installed, whatever draws raises MissingExtraError.
"""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from iwax.errors import IwaxError
from iwax.extras import check_installed, is_installed
from iwax.files import dumps, loads, write_whole

__all__ = [
    "COLOURS",
    "LINE_STYLES",
    "MARKERS",
    "Paths",
    "about",
    "curves",
    "image_rows",
    "image_shape",
    "image_sheet",
    "in_shades",
    "plot",
    "read_about",
]

Paths = str | Path | Sequence[str | Path]  # where a plot is written: a file, or one of each format
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito: for all eyes
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {
    "axes.grid": True,
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
GREY = 0.35  # of the lines between images
SCALE = 3  # screen pixels per image pixel
AIR = 0.08  # inches above and below a title, together
CAPTION, LEAST_WIDTH = 15, 420  # of the letters below a sheet, and of a sheet with words, in pixels
ABOUT = "iwax"  # the entry of a .png that says what it was made from

_about: ContextVar[Mapping[str, Any] | None] = ContextVar("about", default=None)


@contextmanager
def about(facts: Mapping[str, Any]) -> Iterator[None]:
    """A context in which every picture holds what it was made from, as JSON, which `read_about` reads from a .png.

    In .svg and .pdf it is the description, and the subject, of the document.
    """
    token = _about.set(facts)
    try:
        yield
    finally:
        _about.reset(token)


def read_about(path: str | Path) -> dict[str, Any]:
    """What a .png was made from; {} where it does not say, or is none, or where Pillow is not installed."""
    if not is_installed("PIL"):
        return {}
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            found = loads(str(image.info.get(ABOUT, "{}")), path)
    except (OSError, ValueError, SyntaxError):  # Pillow has the last for a file that is damaged
        return {}
    return found if isinstance(found, dict) else {}


def _metadata(suffix: str) -> dict[str, Any]:
    """Of a picture of that format: no date, so that the same picture is the same file, and what it was made from."""
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})
    facts, key = _about.get(), {".svg": "Description", ".pdf": "Subject", ".png": ABOUT}.get(suffix)
    return dates if facts is None or key is None else {**dates, key: dumps(facts)}


def _save(figure: Any, path: str | Path, **options: Any) -> None:
    """Write a figure of matplotlib, whole or not at all."""
    buffer, suffix = io.BytesIO(), Path(path).suffix
    form = suffix.removeprefix(".") or None
    figure.savefig(buffer, format=form, metadata=_metadata(suffix or ".png"), **options)
    write_whole(path, buffer.getvalue())


@contextmanager
def plot(
    path: Paths,
    *,
    rows: int = 1,
    columns: int = 1,
    width: float = 6.4,
    height: float = 4.2,
    formulas: bool = False,
) -> Iterator[Any]:
    """Axes to draw on, an array (rows, columns), or one for 1 x 1; written to `path` (.pdf, .svg or .png) at the end.

    Arguments:
        path: the file, whose suffix says the format; or several, of one layout, which takes a third of the time.
        rows: of axes.
        columns: of axes.
        width: of the whole figure, in inches.
        height: of the whole figure, in inches.
        formulas: whether what stands between $ is one; if not, names of files and columns may have a $ in them.
    """
    check_installed("matplotlib", "pictures")
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}):
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(rows, columns, squeeze=False)
        yield axes if axes.size > 1 else axes[0, 0]
        if not formulas:
            _take_as_it_is(figure)
        for one in [path] if isinstance(path, str | Path) else path:
            _save(figure, one)
            figure.set_layout_engine("none")  # all stays where the first has it


def _take_as_it_is(figure: Any) -> None:
    """Let no text of a figure be read as a formula but the numbers at the ticks, which have powers of ten."""
    from matplotlib.text import Text

    axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    ticks = {label for axis in axes for label in axis.findobj(Text) if label is not axis.label}
    for text in figure.findobj(Text):
        if text not in ticks:
            text.set_parse_math(False)


def image_shape(size: int) -> tuple[int, int]:
    """Height and width of an image of `size` pixels: a square if it is one, else a row."""
    side = round(size**0.5)
    return (side, side) if side * side == size else (1, size)


def image_sheet(
    images: np.ndarray,
    path: str | Path,
    *,
    shades: tuple[float, float] = (0.0, 1.0),
    columns: int = 10,
    scale: int = SCALE,
    caption: str = "",
) -> None:
    """A sheet of images (N, pixels), (N, height, width) or (N, height, width, channels), row by row.

    Grey ones are white ink on black, three channels are red, green and blue, and others stand side by side. `shades`
    are the values that are black and white, beyond which all is; `scale` is how many screen pixels wide a pixel is.
    `caption`, if given, stands below the images on white.
    """
    check_installed("PIL", "pictures")
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    images = in_shades(images, shades)
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    mosaic = _mosaic(rows)
    pixels = np.kron(255 * mosaic, np.ones((scale, scale, *[1] * (mosaic.ndim - 2))))
    buffer, suffix, text = io.BytesIO(), Path(path).suffix.lower(), PngInfo()
    form = Image.registered_extensions().get(suffix)
    if form is None:
        raise IwaxError(f"Expected the picture to be a .png, or of another format that Pillow writes; got {path}.")
    for name, facts in _metadata(".png").items():
        text.add_text(name, facts)
    drawn = Image.fromarray(pixels.astype(np.uint8))
    drawn = _captioned(drawn, caption) if caption else drawn
    drawn.save(buffer, format=form, **({"pnginfo": text} if form == "PNG" else {}))
    write_whole(path, buffer.getvalue())


def _captioned(image: Any, caption: str) -> Any:
    """An image of Pillow with words below it; a narrow one is widened with white, so that they can be read."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(CAPTION)
    width = max(image.width, LEAST_WIDTH)
    lines, line = list[str](), ""
    for word in caption.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width - CAPTION:
            lines, longer = [*lines, line], word
        line = longer
    lines.append(line)
    step = round(1.35 * CAPTION)
    paper = Image.new(image.mode, (width, image.height + step * len(lines) + CAPTION), "white")
    paper.paste(image, (0, 0))
    pen = ImageDraw.Draw(paper)
    for i, words in enumerate(lines):
        pen.text((CAPTION // 2, image.height + CAPTION // 2 + step * i), words, fill="black", font=font)
    return paper


def in_shades(images: np.ndarray, shades: tuple[float, float]) -> np.ndarray:
    """The images with the two values at 0 and 1, those between in proportion; the same bits where they are there."""
    low, high = shades
    return images if (low, high) == (0, 1) else (np.asarray(images) - low) / (high - low)


def image_rows(
    rows: Mapping[str, np.ndarray],
    path: str | Path,
    *,
    shades: tuple[float, float] = (0.0, 1.0),
    captions: Sequence[str] = (),
    title: str = "",
) -> None:
    """One labelled row of images, as for `image_sheet`, for each entry.

    `shades` are the values that are black and white; `captions`, if given, stand below the columns, and `title` above.
    """
    check_installed("matplotlib", "pictures")
    from matplotlib.figure import Figure

    mosaic = _mosaic([in_shades(images, shades) for images in rows.values()])
    height, width = mosaic.shape[:2]
    label_width = 0.2 + 0.09 * max(map(len, rows))  # inches, at the font size below
    caption_height = 0.22 if captions else 0
    across = max(width / 40 + label_width, LEAST_WIDTH / 120 if title else 0)  # inches
    lines = textwrap.wrap(title, round(14 * across))
    size = (across, height / 40 + caption_height + (0.17 * len(lines) + AIR if lines else 0))
    figure = Figure(figsize=size)
    left, bottom = label_width / size[0], caption_height / size[1]
    axis = figure.add_axes((left, bottom, width / 40 / size[0], height / 40 / size[1]))
    figure.text(0.01, 1 - AIR / 2 / size[1], "\n".join(lines), fontsize=8, va="top", linespacing=1.1)
    axis.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    columns = max(map(len, rows.values()))
    axis.set_xticks((np.arange(len(captions)) + 0.5) * width / columns - 0.5, captions, fontsize=9)
    axis.set_yticks((np.arange(len(rows)) + 0.5) * height / len(rows) - 0.5)
    axis.set_yticklabels(list(rows), fontsize=10)
    for label in (*axis.get_xticklabels(), *axis.get_yticklabels()):
        label.set_parse_math(False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    _save(figure, path, dpi=40 * SCALE)


def _mosaic(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of images on a grid (height, width) or, in colour, (height, width, 3); see `_strip`."""
    columns = max(len(row) for row in rows)
    return np.concatenate([_strip(np.asarray(row), columns) for row in rows])


def _strip(images: np.ndarray, columns: int) -> np.ndarray:
    """Images in a row, with a grey line of one pixel around each; a short row ends in grey."""
    if images.ndim == 2:
        images = images.reshape(len(images), *image_shape(images[0].size))
    if images.ndim == 4 and images.shape[3] != 3:
        images = np.concatenate(np.moveaxis(images, 3, 0), axis=2)
    margins = [(0, 0), (1, 1), (1, 1), (0, 0)][: images.ndim]
    framed = np.pad(np.clip(images, 0, 1), margins, constant_values=GREY)
    blank = np.full((columns - len(images), *framed.shape[1:]), GREY)
    return np.concatenate([*framed, *blank], axis=1)


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
    with plot(path) as axis:
        from matplotlib.ticker import MaxNLocator

        for i, (label, (x, y)) in enumerate(lines.items()):
            style = LINE_STYLES[i % len(LINE_STYLES)]
            axis.plot(x, y, label=label, color=COLOURS[i % len(COLOURS)], linestyle=style, marker="o", ms=3)
        axis.set(xlabel=x_label, ylabel=y_label, **axes)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()
