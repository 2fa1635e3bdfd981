"""Slopes, table and figures of `iwax.experiments.rainforth_snr`."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from iwax.diagnostics import GroupSNR
from iwax.experiments.rainforth_snr import LINES, closed_form_snr, group_of, toy_of
from iwax.figures import COLOURS, LINE_STYLES, plot

__all__ = ["Line", "Slope", "figures", "lines", "table"]

GROUPS = {"generative": "theta", "inference": "phi"}
LABELS = {
    ("M", "reparameterized"): "M (K = 1)",
    ("K", "reparameterized"): "K (M = 1)",
    ("K", "doubly-reparameterized"): "K, doubly reparameterized",
    ("K", "sticking-the-landing"): "K, sticking the landing",
}
FALLING = ("K", "reparameterized", "inference")  # SNR goes as 1 / sqrt(K); all others as the root of M or K
PLAIN = "reparameterized"
LEAST_K = 10  # of the fit in K, which is about large K


class Slope(NamedTuple):
    """Of log SNR against log count, and its standard error (an upper limit)."""

    value: float
    error: float


class Line(NamedTuple):
    """The mean SNR over the parameters of a group, against M or K."""

    deviation: float
    varied: str
    gradient: str
    group: str
    counts: list[int]
    snr: np.ndarray
    error: np.ndarray
    quartiles: np.ndarray
    """Of the parameters: (counts, 3)."""
    dsnr: np.ndarray
    dsnr_along: np.ndarray
    closed_form: np.ndarray
    """Mean SNR in closed form; NaN for other than the plain estimator, and where K is not large."""

    @property
    def slope(self) -> Slope:
        """By least squares; in K from 10 on."""
        fitted = [i for i, count in enumerate(self.counts) if self.varied == "M" or count >= LEAST_K]
        return fit_slope(np.take(self.counts, fitted), self.snr[fitted], self.error[fitted])

    @property
    def expected(self) -> float:
        """The slope of theory, for large K near the optimum."""
        return -0.5 if (self.varied, self.gradient, self.group) == FALLING else 0.5


def fit_slope(counts: np.ndarray, snr: np.ndarray, error: np.ndarray) -> Slope:
    """Of log SNR in log count by least squares, with the errors of the SNRs carried through; NaN of fewer than two."""
    if len(counts) < 2:
        return Slope(math.nan, math.nan)
    t = np.log(counts) - np.mean(np.log(counts))
    weights = t / np.sum(t**2)
    return Slope(float(weights @ np.log(snr)), float(np.sqrt(np.sum((weights * error / snr) ** 2))))


def lines(records: Sequence[dict[str, Any]]) -> list[Line]:
    """One for each deviation, estimator and group.

    The plain estimator of phi in K has its signal from the doubly-reparameterized one, whose expectation is the same:
    its own would be lost in its noise.
    """
    named = ("deviation", "varied", "gradient", "count")
    found = {tuple(record["point"][name] for name in named): record for record in records}
    deviations, counts = (sorted({record["point"][name] for record in records}) for name in ("deviation", "count"))

    def group_at(deviation: float, varied: str, gradient: str, count: int, group: str) -> GroupSNR:
        own = group_of(found[deviation, varied, gradient, count], group)
        if (varied, gradient, group) != FALLING:
            return own
        return own.with_mean_of(group_of(found[deviation, varied, "doubly-reparameterized", count], group))

    def closed_form_at(deviation: float, varied: str, gradient: str, count: int, group: str) -> float:
        if gradient != PLAIN:
            return float("nan")
        point = found[deviation, varied, gradient, count]["point"]
        return float(np.mean(closed_form_snr(*toy_of(point), varied=varied, count=count)[group]))

    return [
        _line(
            (*line, group),
            counts,
            [group_at(*line, count, group) for count in counts],
            np.array([closed_form_at(*line, count, group) for count in counts]),
        )
        for deviation in deviations
        for line in ((deviation, *estimator) for estimator in LINES)
        for group in GROUPS
    ]


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: mean SNR at each count, its slope, and the slope of theory."""
    found = lines(records)
    counts = found[0].counts
    head = ["deviation", "group", "varied", *map(str, counts), "slope", "theory, near"]
    rows = [head, ["---"] * len(head)]
    for line in sorted(found, key=lambda line: (line.deviation, line.group)):
        values = [f"{_shown(snr, 3)} ± {_shown(error, 2)}" for snr, error in zip(line.snr, line.error, strict=True)]
        slope = f"{line.slope.value:+.2f} ± {line.slope.error:.2f}" if math.isfinite(line.slope.value) else "—"
        name = LABELS[line.varied, line.gradient]
        rows.append([f"{line.deviation:g}", GROUPS[line.group], name, *values, slope, f"{line.expected:+.1f}"])
        if np.isfinite(line.closed_form).any():
            exact = [_shown(value, 3) if np.isfinite(value) else "" for value in line.closed_form]
            rows.append(["", "", "in closed form", *exact, "", ""])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _shown(value: float, digits: int) -> str:
    """To so many significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 10**digits else f"{value:.{digits}g}"


def figures(records: Sequence[dict[str, Any]], out: Path, suffixes: Sequence[str] = (".svg", ".pdf")) -> list[Path]:
    """SNR and directional SNR against M and K, and histograms of one parameter's gradient; where they are."""
    paths = []
    for suffix in suffixes:
        for name, draw in (("snr", _draw_snr), ("dsnr", _draw_dsnr), ("histograms", _draw_histograms)):
            paths.append(out / f"{name}{suffix}")
            draw(records, paths[-1])
    return paths


def _panels(found: Sequence[Line], axes: np.ndarray) -> Iterator[tuple[Any, list[tuple[Line, dict[str, Any]]]]]:
    """Axes with their lines and the looks of these: deviations downwards, groups across."""
    from matplotlib.ticker import NullLocator

    deviations = sorted({line.deviation for line in found})
    looks = {
        (varied, gradient): {"color": colour, "linestyle": style, "marker": marker, "ms": 4}
        for (varied, gradient), colour, style, marker in zip(LINES, COLOURS, LINE_STYLES, "osD^", strict=False)
    }
    for row, deviation in zip(np.atleast_2d(axes), deviations, strict=True):
        for axis, (group, symbol) in zip(row, GROUPS.items(), strict=True):
            axis.set(xscale="log", yscale="log", xlabel="samples M or K")
            axis.set_title(f"{symbol}, parameters moved by {deviation:g}")
            chosen = [line for line in found if (line.deviation, line.group) == (deviation, group)]
            axis.set_xticks(chosen[0].counts, map(str, chosen[0].counts))
            axis.xaxis.set_minor_locator(NullLocator())
            yield axis, [(line, looks[line.varied, line.gradient]) for line in chosen]


def _draw_snr(records: Sequence[dict[str, Any]], path: Path) -> None:
    """A cross where there is a closed form."""
    found = lines(records)
    with plot(path, rows=len({line.deviation for line in found}), columns=2, height=5.6) as axes:
        for axis, panel in _panels(found, axes):
            for i, (line, look) in enumerate(panel):
                axis.plot(line.counts, line.snr, label=LABELS[line.varied, line.gradient], **look)
                cross = "closed form" if i == 0 else None  # once in the legend
                axis.plot(line.counts, line.closed_form, "x", color="black", ms=5, zorder=3, label=cross)
                axis.fill_between(line.counts, *line.quartiles[:, (0, 2)].T, color=look["color"], alpha=0.12, lw=0)
        _legend_below(np.ravel(axes)[0])
        for axis in np.atleast_2d(axes)[:, 0]:
            axis.set_ylabel("mean SNR (quartiles shaded)")


def _draw_dsnr(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Along the limit of large K with a line, along the estimator's own mean with open markers."""
    found = lines(records)
    with plot(path, rows=len({line.deviation for line in found}), columns=2, height=5.6) as axes:
        for axis, panel in _panels(found, axes):
            for i, (line, look) in enumerate(panel):
                axis.plot(line.counts, line.dsnr_along, label=LABELS[line.varied, line.gradient], **look)
                own = look | {"linestyle": "none", "mfc": "none", "ms": 7}
                axis.plot(line.counts, line.dsnr, label="open: along its own mean" if i == 0 else None, **own)
        _legend_below(np.ravel(axes)[0])
        for axis in np.atleast_2d(axes)[:, 0]:
            axis.set_ylabel("directional SNR")


def _draw_histograms(records: Sequence[dict[str, Any]], path: Path) -> None:
    """One component of mu and one of b near the optimum, plain estimator, in their own standard deviations."""
    near = min(record["point"]["deviation"] for record in records)
    chosen = [r["point"] | r for r in records if (r["point"]["deviation"], r["point"]["gradient"]) == (near, PLAIN)]
    with plot(path, rows=2, columns=2, height=4.6) as axes:
        for row, varied in zip(axes, ("M", "K"), strict=True):
            for axis, (group, symbol) in zip(row, {"generative": "mu", "inference": "b"}.items(), strict=True):
                for record, colour, style in zip(
                    (r for r in chosen if r["varied"] == varied), COLOURS, LINE_STYLES, strict=False
                ):
                    values = np.array(record[group]["shown"]) / np.std(record[group]["shown"], ddof=1)
                    look = {"color": colour, "linestyle": style, "label": f"{varied} = {record['count']}"}
                    axis.hist(values, bins=round(2 * len(values) ** (1 / 3)), density=True, histtype="step", **look)
                axis.axvline(0, color="black", lw=0.6)
                axis.set(xlabel=f"gradient of one {symbol} / its sd", ylabel="density")
        for axis in axes[:, 1]:
            axis.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _legend_below(axis: Any) -> None:
    """One legend for all panels, under them."""
    axis.figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _line(
    names: tuple[float, str, str, str], counts: list[int], groups: list[GroupSNR], closed_form: np.ndarray
) -> Line:
    summaries = [group.summary() for group in groups]
    named = {"error": "snr_error", "quartiles": "snr_quartiles"}
    columns: dict[str, Any] = {
        name: np.array([summary[named.get(name, name)] for summary in summaries])
        for name in ("snr", "error", "quartiles", "dsnr", "dsnr_along")
    }
    return Line(*names, counts=counts, closed_form=closed_form, **columns)
