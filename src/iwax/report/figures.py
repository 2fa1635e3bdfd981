"""Figures of records: training curves, test metrics along training, -log p against arithmetic, sheets side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator, NullFormatter

from iwax.experiments.records import Record
from iwax.plots import COLOURS, LINE_STYLES, plot
from iwax.report.words import METRICS, objective_name

__all__ = ["FIGURES", "WORSE", "cost_figure", "pareto", "priced", "sheets_figure", "snr_figure"]

Runs = dict[str, list[Record]]
"""Name of a line -> its runs, one for each seed."""
MARKERS = ("o", "s", "^", "D", "v", "P")
WORSE = 6.0  # nats above the best: what failed is not drawn
LEGEND = {"fontsize": 7, "handlelength": 2.4}


def training_figure(runs: Runs, path: str | Path) -> None:
    """The training loss, -bound in nats, against the epoch; a panel for each data set and model, a band over seeds."""
    panels = _panels(runs)
    with plot(path, columns=len(panels), width=max(4.6, 3.5 * len(panels)), height=3.2) as axes:
        for axis, (title, lines) in zip(np.ravel(axes), panels.items(), strict=True):
            for name, records in lines.items():
                curves = [np.array(record.training["curve"], float) for record in records]
                _line(axis, list(runs).index(name), name, [(curve[:, 0], -curve[:, 1]) for curve in curves])
            axis.set(title=title, xlabel="epoch", xscale=_scale(axis))
            axis.legend(**LEGEND)
        np.ravel(axes)[0].set(ylabel="training loss, −bound (nats)")


def along_figure(runs: Runs, path: str | Path) -> None:
    """log p, IWAE-64 and -KL of test images against the epoch, a panel each; for runs that recorded them."""
    runs = {name: [r for r in records if r.along] for name, records in runs.items()}
    runs = {name: records for name, records in runs.items() if records}
    recorded = {metric for records in runs.values() for r in records for metric in r.along[0][1]}
    metrics = [metric for metric in ("log_p", "iwae_64", "minus_kl") if metric in recorded]
    with plot(path, columns=len(metrics), width=3.2 * len(metrics), height=3.0) as axes:
        for axis, metric in zip(np.ravel(axes), metrics, strict=True):
            for i, (name, records) in enumerate(runs.items()):
                points = [[(epoch, values[metric]) for epoch, values in r.along if metric in values] for r in records]
                _line(axis, i, name, [tuple(np.array(line, float).T) for line in points if line])
            axis.set(title=METRICS[metric], xlabel="epoch", xscale=_scale(axis))
        np.ravel(axes)[0].set(ylabel="test images (nats)")
        np.ravel(axes)[0].legend(**LEGEND)


def betas_figure(runs: Runs, path: str | Path) -> None:
    """CIWAE's beta against the epoch, for runs that recorded it."""
    runs = {name: [r for r in records if r.training.get("beta")] for name, records in runs.items()}
    with plot(path, width=4.6, height=3.2) as axis:
        for i, (name, records) in enumerate((name, records) for name, records in runs.items() if records):
            curves = [np.array(record.training["beta"], float) for record in records]
            _line(axis, i, name, [(curve[:, 0], curve[:, 1]) for curve in curves])
        axis.set(xlabel="epoch", ylabel="beta", xscale=_scale(axis))
        axis.legend(**LEGEND)


def priced(records: Sequence[Record]) -> list[Record]:
    """Those whose whole arithmetic is known: a run that went on from a trained model holds that of its own part."""
    return [r for r in records if r.training.get("flop") and r.config.get("init_from") is None]


def cost_figure(records: Sequence[Record], path: str | Path) -> None:
    """-log p of test images against the arithmetic of training; the line joins what nothing beats at less (Pareto).

    Of `priced` records: a panel for each data set, a colour for each objective, a marker for each model; the number is
    K, or M·K. What is more than `WORSE` nats above the best is left out.
    """
    datasets = list(dict.fromkeys(r.config["dataset"] for r in records))
    objectives, models = (list(dict.fromkeys(r.config[name] for r in records)) for name in ("objective", "model"))
    with plot(path, columns=len(datasets), width=max(5.2, 4.2 * len(datasets)), height=3.8) as axes:
        for axis, dataset in zip(np.ravel(axes), datasets, strict=True):
            all_here = [r for r in records if r.config["dataset"] == dataset]
            best = min(_point(r)[1] for r in all_here)
            here = [r for r in all_here if _point(r)[1] <= best + WORSE]
            for r in here:
                colour = COLOURS[objectives.index(r.config["objective"]) % len(COLOURS)]
                marker = MARKERS[models.index(r.config["model"]) % len(MARKERS)]
                edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
                axis.plot(*_point(r), marker=marker, ms=5, color=colour, linestyle="none", **edge)
            front = pareto([_point(r) for r in here])
            axis.plot(*np.array(front).T, color="black", lw=0.8, linestyle="--", drawstyle="steps-post", zorder=1)
            for r in {(_key(r)): r for r in here}.values():
                axis.annotate(_count(r), _point(r), xytext=(4, 3), textcoords="offset points", fontsize=6.5)
            axis.set(title=dataset, xscale="log", xlabel="arithmetic of training (FLOP)")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # less than a factor of ten has ticks, too
            axis.xaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))
            axis.xaxis.set_minor_formatter(NullFormatter())  # whose labels run into each other
        first = np.ravel(axes)[0]
        first.set(ylabel="−log p of test images (nats)")
        first.figure.legend(handles=_cost_handles(objectives, models), loc="outside lower center", ncols=5, **LEGEND)


def sheets_figure(sheets: dict[str, Path], path: str | Path) -> None:
    """Pictures side by side under their names."""
    drawn = {name: matplotlib.image.imread(picture) for name, picture in sheets.items()}
    columns = min(len(drawn), 4)
    rows = -(-len(drawn) // columns)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in drawn.values())
    with plot(path, rows=rows, columns=columns, width=2.2 * columns, height=(2.2 * tallest + 0.6) * rows) as axes:
        for axis in np.ravel(axes):
            axis.axis("off")
        for axis, (name, picture) in zip(np.ravel(axes), drawn.items(), strict=False):
            axis.imshow(picture, cmap="gray", interpolation="nearest")
            axis.set_title(name, fontsize=8)


def snr_figure(rows: Sequence[Sequence[int | float]], path: str | Path) -> None:
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


FIGURES: dict[str, tuple[Callable[[Runs, str | Path], None], Callable[[Record], Any]]] = {
    "training": (training_figure, lambda record: record.training["curve"]),
    "along": (along_figure, lambda record: record.along),
    "betas": (betas_figure, lambda record: record.training.get("beta")),
}
"""Kind of a study's figure -> the function that draws it, and what a record must have for it."""


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, loss) that no other beats at the same cost or less, by cost.

    >>> pareto([(1.0, 5.0), (2.0, 6.0), (4.0, 3.0), (3.0, 4.0)])
    [(1.0, 5.0), (3.0, 4.0), (4.0, 3.0)]
    """
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _panels(runs: Runs) -> dict[str, Runs]:
    """The lines of each data set and model."""
    panels: dict[str, Runs] = {}
    for name, records in runs.items():
        for record in records:
            panel = panels.setdefault(f"{record.config['dataset']}, {record.config['model']}", {})
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


def _scale(axis: Any) -> str:
    """Epochs by their logarithm where there are many, as schedules are."""
    last = max((line.get_xdata()[-1] for line in axis.get_lines() if len(line.get_xdata())), default=1)
    if last <= 30:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return "log" if last > 30 else "linear"


def _point(record: Record) -> tuple[float, float]:
    return float(record.training["flop"]), -record.evaluation["values"]["log_p"]


def _key(record: Record) -> tuple[str, str]:
    return objective_name(record.config), record.config["model"]


def _count(record: Record) -> str:
    """The samples of a run, "8·8" for groups."""
    counts = (record.config.get("num_groups"), record.config.get("num_samples"))
    return "·".join(str(count) for count in counts if count is not None)


def _cost_handles(objectives: list[str], models: list[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    names = ["VAE" if name == "elbo" else name.upper() for name in objectives]
    handles = [Line2D([], [], color=COLOURS[i % len(COLOURS)], lw=3, label=name) for i, name in enumerate(names)]
    handles += [
        Line2D([], [], color="grey", marker=MARKERS[i % len(MARKERS)], linestyle="none", label=name)
        for i, name in enumerate(models)
    ]
    return [*handles, Line2D([], [], color="black", lw=0.8, linestyle="--", label="nothing better at less")]
