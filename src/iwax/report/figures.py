"""Figures of records: training curves, test metrics along training, sheets side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from iwax.experiments import Record
from iwax.figures import COLOURS, LINE_STYLES, MARKERS, Paths, plot
from iwax.report.format import METRICS, data_name

__all__ = ["FIGURES", "LEGEND", "sheets_figure", "snr_figure"]

Runs = dict[str, list[Record]]
"""Name of a line -> its runs, one for each seed."""
LEGEND = {"fontsize": 7, "handlelength": 2.4}
SHEET = 2.7  # inches, the width of one
LETTERS = 42  # that fit above a sheet


def training_figure(runs: Runs, path: Paths) -> None:
    """The training loss, -bound in nats, against the epoch; a panel for each data set and model, a band over seeds.

    Of a run with an early part of fewer samples, from its end on: another bound is no part of the same line.
    """
    panels = _panels(runs)
    width = max(4.6, 3.5 * len(panels))
    columns, below = _below(list(runs), width)
    with plot(path, columns=len(panels), width=width, height=3.0 + below) as axes:
        for axis, (title, lines) in zip(np.ravel(axes), panels.items(), strict=True):
            for name, records in lines.items():
                curves = [np.array(record.curve, float) for record in records]
                _line(axis, list(runs).index(name), name, [(curve[:, 0], -curve[:, 1]) for curve in curves])
            axis.set(title=title, xlabel="epoch")
            _scale(axis)
        np.ravel(axes)[0].set(ylabel="training loss, −bound (nats)")
        _legend(axes, columns)


def along_figure(runs: Runs, path: Paths) -> None:
    """log p, IWAE-64 and -KL of test images against the epoch, a panel each; for runs that recorded them."""
    runs = {name: [r for r in records if r.along] for name, records in runs.items()}
    runs = {name: records for name, records in runs.items() if records}
    recorded = {metric for records in runs.values() for r in records for metric in r.along[0][1]}
    metrics = [metric for metric in ("log_p", "iwae_64", "minus_kl") if metric in recorded]
    width = 3.2 * len(metrics)
    columns, below = _below(list(runs), width)
    with plot(path, columns=len(metrics), width=width, height=2.8 + below) as axes:
        for axis, metric in zip(np.ravel(axes), metrics, strict=True):
            for i, (name, records) in enumerate(runs.items()):
                points = [[(epoch, values[metric]) for epoch, values in r.along if metric in values] for r in records]
                _line(axis, i, name, [tuple(np.array(line, float).T) for line in points if line])
            axis.set(title=METRICS[metric], xlabel="epoch")
            _scale(axis)
        np.ravel(axes)[0].set(ylabel="test images (nats)")
        _legend(axes, columns)


def betas_figure(runs: Runs, path: Paths) -> None:
    """IWAE-64 of test images above CIWAE's beta, against the epoch: a panel for each rule, a line for each value."""
    rules: dict[str, Runs] = {}
    for records in runs.values():
        config = records[0].config
        rules.setdefault(str(config["beta_rule"]), {})[f"β {config['beta']:g}"] = records
    width = 3.2 * len(rules)
    columns, below_all = _below(sorted({name for lines in rules.values() for name in lines}), width)
    with plot(path, rows=2, columns=len(rules), width=width, height=4.6 + below_all) as axes:
        for (above, below), (rule, lines) in zip(np.transpose(axes), rules.items(), strict=True):
            for i, (name, records) in enumerate(sorted(lines.items())):
                points = [[(epoch, values["iwae_64"]) for epoch, values in record.along] for record in records]
                _line(above, i, name, [tuple(np.array(line, float).T) for line in points])
                betas = [np.array(record.training["beta"], float) for record in records]
                _line(below, i, name, [(curve[:, 0], curve[:, 1]) for curve in betas])
            above.sharey(axes[0, 0])
            above.set(title=rule)
            below.set(xlabel="epoch", ylim=(-0.03, 1.03))
            _scale(above)
            _scale(below)
        tenth = [y[len(y) // 10] for axis in axes[0] for y in (line.get_ydata() for line in axis.get_lines())]
        axes[0, 0].set(ylabel="IWAE-64, test images (nats)", ylim=(min(tenth), None))  # after the steep rise
        axes[1, 0].set(ylabel="beta")
        _legend(axes, columns)


def sheets_figure(sheets: dict[str, np.ndarray], path: Paths) -> None:
    """Pictures, as Matplotlib reads them, side by side under their names."""
    columns = min(len(sheets), min((4, 3), key=lambda n: -len(sheets) % n))  # as few empty places as can be
    rows = -(-len(sheets) // columns)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in sheets.values())
    titles = ["\n".join(fill(line, LETTERS) for line in name.split("\n")) for name in sheets]
    height = SHEET * tallest + 0.25 + 0.15 * (1 + max(title.count("\n") for title in titles))
    with plot(path, rows=rows, columns=columns, width=SHEET * columns, height=height * rows) as axes:
        for axis in np.ravel(axes):
            axis.axis("off")
        for axis, title, picture in zip(np.ravel(axes), titles, sheets.values(), strict=False):
            axis.imshow(picture, cmap="gray", interpolation="nearest")
            axis.set_title(title, fontsize=8)


def snr_figure(rows: Sequence[Sequence[int | float]], path: Paths) -> None:
    """Directional signal-to-noise ratios against K at M = 1 and against M at K = 1; rows: M, K, one of each network."""
    ratios = [ratio for row in rows if 1 in row[:2] for ratio in row[2:]]
    limits = min(ratios) / 1.3, max(ratios) * 1.3
    with plot(path, columns=2, width=6.4, height=3.0) as axes:
        for axis, name, varied, held in zip(np.ravel(axes), ("K (M = 1)", "M (K = 1)"), (1, 0), (0, 1), strict=True):
            points = np.array(sorted((row for row in rows if row[held] == 1), key=lambda row: row[varied]))
            for i, network in enumerate(("inference network", "generative network")):
                axis.plot(points[:, varied], points[:, 2 + i], marker=MARKERS[i], ms=4, lw=1.2, label=network)
            axis.set(xlabel=name, xscale="log", yscale="log", ylim=limits)
        np.ravel(axes)[0].set(ylabel="directional signal-to-noise ratio")
        np.ravel(axes)[1].legend(**LEGEND)


FIGURES: dict[str, tuple[Callable[[Runs, Paths], None], Callable[[Record], Any]]] = {
    "training": (training_figure, lambda record: record.curve),
    "along": (along_figure, lambda record: record.along),
    "betas": (betas_figure, lambda record: record.training.get("beta") and record.along),
}
"""Kind of a study's figure -> the function that draws it, and what a record must have for it."""


def _panels(runs: Runs) -> dict[str, Runs]:
    """The lines of each data set and model."""
    panels: dict[str, Runs] = {}
    for name, records in runs.items():
        for record in records:
            panel = panels.setdefault(f"{data_name(record.config)}, {Path(record.config['model']).name}", {})
            panel.setdefault(name, []).append(record)
    return panels


def _line(axis: Any, i: int, name: str, curves: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """The mean over seeds, with a band from the least to the largest."""
    style = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINE_STYLES[i // len(COLOURS) % len(LINE_STYLES)]}
    shortest = min(len(x) for x, _ in curves)
    x, y = curves[0][0][:shortest], np.array([y[:shortest] for _, y in curves])
    axis.plot(x, y.mean(axis=0), lw=1.2, label=name, **style)
    if len(y) > 1:
        axis.fill_between(x, y.min(axis=0), y.max(axis=0), color=style["color"], alpha=0.2, lw=0)


def _below(names: Sequence[str], width: float) -> tuple[int, float]:
    """In how many columns a legend of those names fits a figure of that width, and how high it is; both in inches."""
    letters = max(map(len, names), default=0)
    columns = max(1, min(len(names), int(width / (0.55 + 0.055 * letters))))
    return columns, 0.2 + 0.15 * -(-len(names) // columns)


def _legend(axes: Any, columns: int) -> None:
    """One legend of all panels, below them, where it lies on no line."""
    figure = np.ravel(axes)[0].figure
    labelled = [axis.get_legend_handles_labels() for axis in np.ravel(axes)]
    named = {name: handle for handles, names in labelled for handle, name in zip(handles, names, strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns, **LEGEND)


def _scale(axis: Any) -> None:
    """Epochs by their logarithm where there are many, as schedules are; else at whole numbers."""
    last = max((line.get_xdata()[-1] for line in axis.get_lines() if len(line.get_xdata())), default=1)
    if last > 30:
        axis.set_xscale("log")
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
