"""How often the 95 % interval of a mean log p holds the truth, by Pareto k-hat: the table in docs/evaluation.md.

    python scripts/coverage_page.py            # computes it, in some minutes on one core, and writes it into the page
    python scripts/coverage_page.py --print    # prints it instead

Weights of known log p(x) = 0, by nothing but NumPy: log w ~ N(-s^2 / 2, s^2), and a standard normal posterior in D
dimensions whose proposal has a smaller variance v. Each of the replications draws `EXAMPLES` sets of `SAMPLES` weights.
"""

import pathlib
import sys
from collections.abc import Callable

import numpy as np

from iwax.evaluation.leave_one_out import jackknife, kept_size
from iwax.evaluation.pareto import fit_pareto, pareto_khat, tail_size
from iwax.evaluation.streaming import Tally

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "evaluation.md"
BEGIN, END = "<!-- coverage: begin -->\n", "<!-- coverage: end -->\n"
REPLICATIONS, EXAMPLES, SAMPLES = 200, 50, 5000
HEAD = """| weights | median k-hat | mean log p less the truth | its true error over the printed one | \
95 % interval, as printed | smoothed | jackknife | jackknife, bias counted |
|---|---|---|---|---|---|---|---|
"""


def log_normal(s: float) -> Callable:
    """log w ~ N(-s^2 / 2, s^2)."""
    return lambda rng, shape: s * rng.standard_normal(shape) - s**2 / 2


def narrow(dimensions: int, variance: float) -> Callable:
    """Weights of N(0, I) from N(0, variance I): k = 1 - variance in the limit."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        squares = variance * rng.chisquare(dimensions, shape)
        return dimensions / 2 * np.log(variance) + squares / 2 * (1 / variance - 1)

    return draw


CASES = {f"log-normal, s = {s:g}": log_normal(s) for s in (0.5, 1, 1.5, 1.75, 2, 2.25, 2.5, 3, 4, 12)} | {
    f"normal in {d}, v = {v:g}": narrow(d, v) for d, v in ((1, 0.7), (1, 0.5), (1, 0.3), (1, 0.2), (20, 0.7), (20, 0.5))
}


def smoothed(log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log p^ and its relative variance from Pareto-smoothed weights (Vehtari et al., arXiv:1507.02646)."""
    size = tail_size(log_w.shape[1])
    log_w = np.partition(log_w, -size - 1, axis=1)
    outside = np.log1p(-(np.arange(size) + 0.5) / size)
    for row in log_w:
        tail = np.sort(row[-size - 1 :])
        shape, log_scale = fit_pareto(tail[1:] + np.log(-np.expm1(tail[0] - tail[1:])))
        quantiles = log_scale + np.log(np.expm1(-shape * outside) / shape)
        row[-size - 1 :] = np.append(tail[0], np.minimum(np.logaddexp(tail[0], quantiles), tail[-1]))
    tally = Tally(len(log_w), log_w.shape[1])
    tally.add(log_w)
    return tally.log_mean, tally.relative_variance


def replicate(log_w: np.ndarray) -> list[float]:
    """Median k-hat, then (mean log p, its error) by each of four ways, of one data set."""
    n, k = log_w.shape
    tally = Tally(n, k, tail_size=kept_size(k))
    tally.add(log_w)
    tail = np.partition(tally.tail, -tail_size(k) - 1, axis=1)[:, -tail_size(k) - 1 :]
    (bias, error), (smooth, variance) = jackknife(tally), smoothed(log_w)
    mean, corrected = tally.log_mean.mean(), (tally.log_mean - bias).mean()
    errors = [np.sqrt(v.sum()) / n for v in (tally.relative_variance, variance, error**2)]
    khat = np.median(pareto_khat(tail, k))
    both = np.hypot(errors[2], bias.mean())
    return [khat, mean, errors[0], smooth.mean(), errors[1], corrected, errors[2], corrected, both]


def coverage(draw: Callable, *, replications: int, examples: int, samples: int, seed: int = 0) -> np.ndarray:
    """Median k-hat, mean error, true error over the printed one, and four coverages of 95 % intervals: (7,)."""
    rng = np.random.default_rng(seed)
    found = np.array([replicate(draw(rng, (examples, samples))) for _ in range(replications)])
    held = np.mean(np.abs(found[:, 1::2]) <= 1.96 * found[:, 2::2], axis=0)
    true_error = np.sqrt(np.mean(found[:, 1] ** 2))
    return np.array([np.mean(found[:, 0]), np.mean(found[:, 1]), true_error / np.mean(found[:, 2]), *held])


def table(replications: int = REPLICATIONS, examples: int = EXAMPLES, samples: int = SAMPLES) -> str:
    """The table in Markdown, by ascending k-hat."""
    sizes = {"replications": replications, "examples": examples, "samples": samples}
    rows = sorted((tuple(coverage(draw, **sizes)), name) for name, draw in CASES.items())
    lines = [
        f"| {name} | {khat:.2f} | {error:+.3f} | {ratio:.1f} | " + " | ".join(f"{held:.2f}" for held in rest) + " |\n"
        for (khat, error, ratio, *rest), name in rows
    ]
    caption = f"\n{replications} replications of the mean over {examples} examples, k = {samples:,}, seed 0; nats.\n"
    return HEAD + "".join(lines) + caption


def main() -> None:
    text = table()
    if "--print" in sys.argv:
        sys.stdout.write(text)
        return
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
