"""The dot plot of a study: each number of ours less the published one, with its error."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from iwax.figures import COLOURS, Paths, plot
from iwax.report.against import Comparison

__all__ = ["dots_figure"]

LOOKS = {"better": (COLOURS[0], ">"), "near": ("#777777", "o"), "worse": (COLOURS[1], "<")}
NAMES = {"better": "better", "near": "within tolerance", "worse": "worse"}
ROW, REST = 0.17, 1.15  # inches, of a line and of all else


def dots_figure(found: Sequence[Comparison], path: Paths) -> None:
    """A line for each comparison: its gain in nats, right of zero where ours is better; in grey, the tolerance.

    Bars are one standard error of the difference. Dots are hollow where ours is one run, whose spread over seeds
    nobody knows.
    """
    with plot(path, width=3.4, height=REST + ROW * len(found)) as axis:
        axis.use_sticky_edges = False  # a tolerance, of nothing too, ends the axis at its edge, and cuts a dot there
        for y, one in enumerate(reversed(found)):
            colour, marker = LOOKS[one.verdict]
            tolerance, single = one.published.tolerance or 0.0, len(one.found.records) == 1
            axis.barh(y, 2 * tolerance, left=-tolerance, height=1.0, color="#888888", alpha=0.22, lw=0)
            face = "none" if single else colour
            style = {"color": colour, "marker": marker, "ms": 4.5, "markerfacecolor": face, "elinewidth": 1.2}
            axis.errorbar(one.gain, y, xerr=one.error, linestyle="none", **style)
        axis.axvline(0, color="black", lw=0.8)
        axis.set_ylim(-0.7, len(found) - 0.3)
        # In the middle of narrow axes, beside long names, it would reach beyond the picture.
        axis.set_xlabel("by how much ours is better (nats)", loc="right", fontsize=7.5)
        axis.set_yticks(range(len(found)), [*reversed(_names(found))], fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
        axis.figure.legend(handles=_handles(found), loc="outside lower center", ncols=2, fontsize=7, handlelength=1.4)


def _names(found: Sequence[Comparison]) -> list[str]:
    """Row and column of each; with data and model where two are alike."""
    names = [f"{one.cell.row}, {one.cell.column}" for one in found]
    counts = Counter(names)
    places = [f" ({one.cell.config.dataset}, {one.cell.config.model})" for one in found]
    return [name + (place if counts[name] > 1 else "") for name, place in zip(names, places, strict=True)]


def _handles(found: Sequence[Comparison]) -> list[Any]:
    """Of what is drawn, and of nothing else."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    there = {one.verdict for one in found}
    looks = {NAMES[verdict]: look for verdict, look in LOOKS.items() if verdict in there}
    handles: list[Any] = [
        Line2D([], [], color=colour, marker=marker, ms=4.5, linestyle="none", label=name)
        for name, (colour, marker) in looks.items()
    ]
    if any(len(one.found.records) == 1 for one in found):
        hollow: dict[str, Any] = {"color": "#777777", "markerfacecolor": "none", "linestyle": "none"}
        handles.append(Line2D([], [], marker="o", ms=4.5, label="hollow: one run", **hollow))
    if any(one.published.tolerance for one in found):
        handles.append(Patch(color="#888888", alpha=0.22, lw=0, label="published tolerance"))
    return handles
