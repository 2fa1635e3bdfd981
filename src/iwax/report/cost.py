"""What a nat costs: -log p of test images against the arithmetic of training, drawn and in words."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from iwax.experiments import Record
from iwax.figures import COLOURS, MARKERS, Paths, plot
from iwax.report.figures import LEGEND
from iwax.report.format import arithmetic, data_name, nats, objective_name

__all__ = ["cost_figure", "pareto", "priced", "worth"]

WORSE = 6.0  # nats above the best: what failed is not drawn
MANY = 500  # runs
ROOM = (1.25, 0.24)  # a factor of arithmetic and nats, between two labels


def priced(records: Sequence[Record]) -> list[Record]:
    """Those whose whole arithmetic is known: a run that went on from a trained model holds that of its own part."""
    known = [r for r in records if r.training.get("flop") and r.value("nll") is not None]
    return [r for r in known if r.config.get("init_from") is None]


def worth(records: Sequence[Record]) -> str:
    """What the figure shows, and which runs nothing beats at as much arithmetic or less, by data set."""
    sentences = [
        "−log p of test images against the arithmetic of training, for every objective, K and model; what is more than "
        f"{WORSE:g} nats above the best, or went on from a trained model, is left out."
    ]
    for dataset, here in _drawn(records).items():
        averages = _averages(here)
        front = "; ".join(f"{averages[p]}: {nats(p[1])} for {arithmetic(p[0])} FLOP" for p in pareto(list(averages)))
        sentences.append(f"On {data_name({'dataset': dataset})} the Pareto front, means over seeds: {front}.")
    return " ".join(sentences)


def cost_figure(records: Sequence[Record], path: Paths) -> None:
    """-log p of test images against the arithmetic of training; the line joins what nothing beats at less (Pareto).

    Of `priced` records: a panel for each data set, a colour for each objective, a marker for each model; the number is
    K, or M·K, where there is room. What is more than `WORSE` nats above the best is left out. The line is through means
    over seeds.
    """
    drawn = _drawn(records)
    there = [record for here in drawn.values() for record in here]  # in the legend, too
    objectives, models = (list(dict.fromkeys(r.config[name] for r in there)) for name in ("objective", "model"))
    with plot(path, columns=len(drawn), width=5.2 * len(drawn), height=4.4) as axes:
        for axis, here in zip(np.ravel(axes), drawn.values(), strict=True):
            for alike in _alike(here):
                colour = COLOURS[objectives.index(alike[0].config["objective"]) % len(COLOURS)]
                marker = MARKERS[models.index(alike[0].config["model"]) % len(MARKERS)]
                edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
                points = zip(*map(_point, alike), strict=True)
                axis.plot(*points, marker=marker, ms=5, color=colour, linestyle="none", **edge)
            front = np.array(pareto(list(_averages(here))))
            axis.plot(*front.T, color="black", lw=0.8, linestyle="--", drawstyle="steps-post", zorder=1)
            for r in _labelled(here):
                axis.annotate(_count(r), _point(r), xytext=(4, 3), textcoords="offset points", fontsize=6.5)
            axis.set(title=data_name(here[0].config), xscale="log", xlabel="arithmetic of training (FLOP)")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # less than a factor of ten has ticks, too
            axis.xaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))
            axis.xaxis.set_minor_formatter(NullFormatter())  # whose labels run into each other
        first = np.ravel(axes)[0]
        first.set(ylabel="−log p of test images (nats)")
        first.figure.legend(handles=_handles(objectives, models), loc="outside lower center", ncols=5, **LEGEND)


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


def _drawn(records: Sequence[Record]) -> dict[str, list[Record]]:
    """By data set, without what is far above its best."""
    by_data: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        by_data[r.config["dataset"]].append(r)
    best = {dataset: min(_point(r)[1] for r in here) for dataset, here in by_data.items()}
    return {dataset: [r for r in here if _point(r)[1] <= best[dataset] + WORSE] for dataset, here in by_data.items()}


def _alike(records: Sequence[Record]) -> list[list[Record]]:
    """Those that are drawn at once: each alone; of very many all of one objective and model, which is quicker."""
    if len(records) <= MANY:
        return [[record] for record in records]
    kinds: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        kinds[record.config["objective"], record.config["model"]].append(record)
    return list(kinds.values())


def _labelled(records: Sequence[Record]) -> list[Record]:
    """One run of each kind and price, the best first, without those whose label would lie on another."""
    chosen: list[Record] = []
    kinds = {(_name(r), _point(r)[0]): r for r in records}
    for r in sorted(kinds.values(), key=lambda r: _point(r)[1]):
        (cost, loss), others = _point(r), map(_point, chosen)
        if all(max(cost / c, c / cost) > ROOM[0] or abs(loss - other) > ROOM[1] for c, other in others):
            chosen.append(r)
    return chosen


def _averages(records: Sequence[Record]) -> dict[tuple[float, float], str]:
    """The point of each kind of run, its -log p averaged over seeds, with its name."""
    values: dict[tuple[float, str], list[float]] = defaultdict(list)
    for r in records:
        cost, loss = _point(r)
        values[cost, _name(r)].append(loss)
    return {(cost, fmean(losses)): name for (cost, name), losses in values.items()}


def _point(record: Record) -> tuple[float, float]:
    return float(record.training["flop"]), -record.evaluation["values"]["log_p"]


def _name(record: Record) -> str:
    return f"{objective_name(dict(record.config) | {'gradient': None})}, {record.config['model']}"


def _count(record: Record) -> str:
    """The samples of a run, "8·8" for groups."""
    counts = (record.config.get("num_groups"), record.config.get("num_samples"))
    return "·".join(str(count) for count in counts if count is not None)


def _handles(objectives: list[str], models: list[str]) -> list[Any]:
    names = ["VAE" if name == "elbo" else name.upper() for name in objectives]
    handles = [Line2D([], [], color=COLOURS[i % len(COLOURS)], lw=3, label=name) for i, name in enumerate(names)]
    handles += [
        Line2D([], [], color="grey", marker=MARKERS[i % len(MARKERS)], linestyle="none", label=name)
        for i, name in enumerate(models)
    ]
    return [*handles, Line2D([], [], color="black", lw=0.8, linestyle="--", label="nothing better at less")]
