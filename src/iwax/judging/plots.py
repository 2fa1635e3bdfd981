"""Pictures of an evaluation: can its weights be trusted, which units are active, what each estimator lacks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iwax.evaluation import ACTIVE, LIMIT, EstimatorCurves, Evaluation, has_tail
from iwax.figures import COLOURS, LINE_STYLES, plot

__all__ = ["estimator_plot", "scatter_plot", "trust_plot", "unit_plot"]

WIDEST = 5  # how far k-hat is drawn on either side of its limit; what lies beyond is in the last bin
SMALLEST = 1e-5  # A_u at or below which units share a bin: estimates of zero lie on either side of it


def trust_plot(khat: np.ndarray, ess: np.ndarray, num_samples: int, path: str | Path) -> None:
    """How k-hat and the effective sample size are distributed over the examples.

    What could not be computed is drawn as the worst: k-hat in the last bin, one effective sample.
    """
    ess = np.nan_to_num(ess, nan=1.0)
    with plot(path, columns=2, width=7.0, height=2.8) as axes:
        left, right = axes[0]
        if has_tail(num_samples):
            shown = np.clip(np.where(np.isnan(khat), np.inf, khat), LIMIT - WIDEST, LIMIT + WIDEST)
            low, high = np.floor(10 * (shown.min() - LIMIT)), np.ceil(10 * (shown.max() - LIMIT))
            left.hist(shown, bins=LIMIT + np.arange(low, high + 2) / 10, color=COLOURS[0])
            left.set_title(f"{np.mean(shown > LIMIT):.0%} above {LIMIT}", fontsize=9)
        limit = f"{LIMIT}: right of it, do not trust the estimate"
        left.axvline(LIMIT, color=COLOURS[1], linestyle=LINE_STYLES[1], label=limit)
        left.set(xlabel="Pareto k-hat of an image's weights", ylabel="images")
        axes[0, 0].figure.legend(loc="outside lower left")
        bins = np.geomspace(max(1, 0.9 * ess.min()), min(num_samples, 1.1 * ess.max()) * 1.001, 31)
        right.hist(ess, bins=bins, color=COLOURS[0])
        right.set(xscale="log", xlabel=f"effective samples of k = {num_samples:,}", ylabel="images")
        right.set_title(f"median {np.median(ess):.1f}", fontsize=9)


def unit_plot(unit_variances: Sequence[np.ndarray], path: str | Path) -> None:
    """The histogram of log A_u of each stochastic layer: two heaps, if the count of active units means anything."""
    with plot(path, columns=len(unit_variances), width=3.6 * len(unit_variances), height=2.8) as axes:
        largest = max(float(np.max(layer)) for layer in unit_variances)
        decades = np.log10([SMALLEST / ACTIVE, max(2 * largest, 10 * ACTIVE) / ACTIVE])
        bins = ACTIVE * 10 ** (np.arange(8 * decades[0], 8 * decades[1] + 1) / 8)  # one edge is the limit
        for i, (axis, layer) in enumerate(zip(np.ravel(axes), unit_variances, strict=True)):
            axis.hist(np.clip(layer, bins[0], bins[-1]), bins=bins, color=COLOURS[0])
            limit = f"{ACTIVE:g}: right of it a unit is active"
            axis.axvline(ACTIVE, color=COLOURS[1], linestyle=LINE_STYLES[1], label=limit if i == 0 else None)
            axis.set(xscale="log", xlabel="variance of the posterior mean, A_u", ylabel="units")
            axis.set_title(f"layer {i + 1}: {np.sum(layer > ACTIVE)} of {len(layer)} active", fontsize=9)
        np.ravel(axes)[0].figure.legend(loc="outside lower left")


def estimator_plot(curves: EstimatorCurves, path: str | Path) -> None:
    """Bias and standard deviation of each estimator of log p(x) against K, over the examples."""
    summary = curves.summary()["estimators"]
    with plot(path, columns=2, width=7.4, height=3.0) as axes:
        from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

        left, right = axes[0]
        for i, (name, found) in enumerate(summary.items()):
            style = {"color": COLOURS[i], "linestyle": LINE_STYLES[i], "marker": "o", "ms": 3, "label": name}
            bias, error, sd = (np.array(found[key], float) for key in ("bias", "bias_error", "sd"))
            left.errorbar(curves.sizes, bias, error, **style)
            right.plot(curves.sizes, sd, **style)
        left.axhline(0, color="black", lw=0.8)
        left.set(xscale="log", xlabel="K, samples", ylabel=f"less log p of k = {curves.num_samples:,} (nats)")
        right.set(xscale="log", yscale="log", xlabel="K, samples", ylabel="standard deviation (nats)")
        for axis in (left, right):
            axis.set_xticks(curves.sizes, [str(size) for size in curves.sizes])
            axis.xaxis.minorticks_off()
        right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # the curves may lie within a decade
        right.yaxis.set_major_formatter(ScalarFormatter())
        right.yaxis.set_minor_formatter(NullFormatter())
        right.legend()


def scatter_plot(first: Evaluation, second: Evaluation, names: tuple[str, str], path: str | Path) -> None:
    """log p of each example by two models, and how the differences are distributed.

    What is not finite is left out.
    """
    with np.errstate(invalid="ignore"):
        known = np.isfinite(second.log_likelihood - first.log_likelihood)
    x, y = first.log_likelihood[known], second.log_likelihood[known]
    with plot(path, columns=2, width=7.4, height=3.4) as axes:
        left, right = axes[0]
        left.scatter(x, y, s=6, alpha=0.5, color=COLOURS[0], linewidths=0)
        if len(x):
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            left.plot(ends, ends, color=COLOURS[1], linestyle=LINE_STYLES[1], linewidth=1, label="equal")
            left.legend()
            right.hist(y - x, bins=40, color=COLOURS[0])
            right.axvline(np.mean(y - x), color=COLOURS[1], linestyle=LINE_STYLES[1], label="mean")
            right.set_title(f"mean {np.mean(y - x):+.3f} nats", fontsize=9)
            right.legend()
        left.set(xlabel=f"log p by {_short(names[0])} (nats)", ylabel=f"log p by {_short(names[1])} (nats)")
        right.set(xlabel=f"{_short(names[1])} less {_short(names[0])} (nats)", ylabel="examples")


def _short(name: str) -> str:
    """The end of a path, or the name."""
    return Path(name).name if len(name) > 24 else name
