"""Signal-to-noise of every objective and gradient estimator on a network, at several points of its training.

All take the same number of samples S from the same encoder (M and K near the root of S where there are groups), and
average each gradient over the same few training images. Parameters whose gradient is always zero (those of pixels that
are black in all of these images) are left out of the means.

`iwax snr run RUN` measures a trained run, `iwax snr training --out DIR` trains one and measures it on the way.
"""

import dataclasses
import functools
import inspect
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from iwax.checks import check_choice, check_positive_integer
from iwax.data import Dataset, binarize
from iwax.diagnostics import GradientSNR, gradient_snr
from iwax.errors import IwaxError
from iwax.experiments.points import Point, measure_points
from iwax.figures import COLOURS, plot
from iwax.keys import root_key
from iwax.models import Model
from iwax.objectives import OBJECTIVES, AbstractObjective
from iwax.progress import Progress
from iwax.runs import (
    CONFIG,
    STATUS,
    LoadedRun,
    ResolvedRun,
    RunConfig,
    RunFolder,
    build_model,
    new_run,
    resolve,
    resume_run,
    training_images,
)
from iwax.zoo import open_run

__all__ = ["Settings", "estimators", "figure", "measure_run", "measure_training", "sizes", "table"]

DOUBLY, PLAIN = "doubly-reparameterized", "reparameterized"
MARKERS = "osD^vPX"
SYMBOLS = {"generative": "theta", "inference": "phi"}


def sizes(name: str, num_samples: int) -> dict[str, Any]:
    """The fields with which the objective of that name takes `num_samples` samples: K, or M <= K with M K of them."""
    if "num_groups" not in inspect.signature(OBJECTIVES[name]).parameters:
        return {"num_samples": num_samples}
    groups = max(m for m in range(1, math.isqrt(num_samples) + 1) if num_samples % m == 0)
    return {"num_groups": groups, "num_samples": num_samples // groups}


def estimators(name: str, num_samples: int) -> dict[str, AbstractObjective]:
    """Gradient estimator -> the objective of that name with `num_samples` samples in all, at its other defaults.

    The doubly-reparameterized one comes first, as its mean serves the plain one.
    """
    cls = OBJECTIVES[name]
    gradients = sorted(cls.gradients, key=lambda gradient: gradient != DOUBLY)
    return {gradient: cls(gradient=gradient, **sizes(name, num_samples)) for gradient in gradients}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How each estimator is measured.

    Arguments:
        num_samples: S, of z per image, the same for every objective.
        num_examples: N, training images over which each gradient is averaged.
        num_replicates: gradients per estimator.
        objectives: names; all if left out.
        seed: of the binarisation and all samples.
    """

    num_samples: int = 64
    num_examples: int = 20
    num_replicates: int = 200
    objectives: Sequence[str] = tuple(OBJECTIVES)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"num_samples": 1, "num_examples": 1, "num_replicates": 4}.items():
            check_positive_integer(name, getattr(self, name), least)
        for name in self.objectives:
            check_choice("objectives", name, OBJECTIVES)

    def points(self, model: str, epoch: int) -> list[Point]:
        """What is to be measured of one model: one entry for each objective."""
        own = {name: getattr(self, name) for name in ("num_samples", "num_examples", "num_replicates", "seed")}
        return [{"model": model, "epoch": epoch, "objective": name, **own} for name in self.objectives]


def measure(model: Model, images: np.ndarray, rule: str, point: Point) -> dict[str, Any]:
    """Summaries by estimator; or, for an objective that does not fit the model, the reason.

    Where the doubly-reparameterized estimator has the same expectation as the plain one, the latter's entry
    "with_doubly_reparameterized_mean" has the former's signal above its own noise.
    """
    image_key, key = jax.random.split(root_key(point["seed"]))
    chosen = jax.random.choice(image_key, len(images), (min(point["num_examples"], len(images)),), replace=False)
    x = binarize(images[np.asarray(chosen)], rule, jax.random.fold_in(image_key, 1))
    made = estimators(point["objective"], point["num_samples"])
    found: dict[str, GradientSNR] = {}
    summaries: dict[str, dict[str, Any]] = {}
    for gradient, objective in made.items():
        own_key = jax.random.fold_in(key, zlib.crc32(f"{point['objective']} {gradient}".encode()))
        try:
            found[gradient] = gradient_snr(model, objective, x, own_key, num_replicates=point["num_replicates"])
        except IwaxError as error:
            summaries[gradient] = {"refused": str(error)}
            continue
        summaries[gradient] = found[gradient].summary() | {"unbiased": objective.is_unbiased}
    if {DOUBLY, PLAIN} <= set(found) and made[DOUBLY].is_unbiased and made[DOUBLY].target == made[PLAIN].target:
        lent = found[PLAIN].with_mean_of(found[DOUBLY]).summary()
        summaries[PLAIN]["with_doubly_reparameterized_mean"] = {name: lent[name] for name in SYMBOLS}
    return {"estimators": summaries}


def measure_run(
    path: Path | LoadedRun,
    out: Path,
    settings: Settings,
    *,
    data_dir: str | None = None,
    data: Dataset | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[dict[str, Any]]:
    """Records of a run, one for each objective; what `out` holds is not measured again.

    From a folder it is the last checkpoint; a run that is loaded is measured as it is.
    """
    run = open_run(path, data_dir=data_dir, data=data, checkpoint="last")
    epoch = run.selected.get("epoch", run.folder.json(STATUS).get("epoch", run.resolved.epochs))
    points = settings.points(run.checkpoint_sha256[:16], epoch)
    images = run.training_images

    def measure_it(point: Point) -> dict[str, Any]:
        return measure(run.model, images, run.resolved.binarize, point) | {"made_from": run.made_from}

    return measure_points(out, points, measure_it, on_progress=on_progress)


def measure_training(
    config: RunConfig,
    out: Path,
    settings: Settings,
    *,
    epochs: Sequence[int],
    data: Dataset,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[dict[str, Any]]:
    """Records of one training run after each of `epochs` passes over the data (0: before the first).

    Each stage is a run of its own, out/epochs-E, as a run of so many epochs is a longer one cut off there.
    """
    records = []
    for epoch in sorted(set(epochs)):
        staged = resolve(dataclasses.replace(config, epochs=max(epoch, 1))).on(data)
        if epoch:
            path = out / f"epochs-{epoch}"
            _trained(staged, path, data)
            records += measure_run(path, out, settings, data=data, on_progress=on_progress)
            continue
        images = training_images(staged, data)
        start = f"untrained {config.model} for {len(images)} images of {data.name}, seed {config.seed}"
        points = settings.points(start, 0)
        measure_it = functools.partial(measure, build_model(staged, images), images, staged.binarize)
        records += measure_points(out, points, measure_it, on_progress=on_progress)
    return records


def _trained(run: ResolvedRun, path: Path, data: Dataset) -> None:
    """See to it that the run is there, finished."""
    if not (path / CONFIG).exists():
        new_run(run, path, data=data)
    elif RunFolder(path).json(STATUS).get("state") != "finished":
        resume_run(path, data=data)


def rows(records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[int, dict[str, Any]]]]:
    """For each estimator of each objective, its label and its summary at each epoch; the refused are left out."""
    names = {(r["point"]["objective"], gradient): None for r in records for gradient in r["estimators"]}
    for objective, gradient in names:
        stages = {
            record["point"]["epoch"]: record["estimators"][gradient]
            for record in records
            if record["point"]["objective"] == objective
        }
        if not any("refused" in summary for summary in stages.values()):
            yield f"{objective}, {gradient}", stages


def mean_snr(summary: dict[str, Any], group: str) -> tuple[float, float]:
    """Mean SNR of a group and the limit of its error; phi's under the doubly-reparameterized signal if that serves.

    NaN for what JSON has as null: a group without any gradient.
    """
    lent = summary.get("with_doubly_reparameterized_mean", summary) if group == "inference" else summary
    snr, error = np.array([lent[group][name] for name in ("snr", "snr_error")], float).tolist()
    return snr, error


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: mean SNR of both groups, by estimator and epoch."""
    epochs = sorted({record["point"]["epoch"] for record in records})
    head = ["estimator", *(f"{symbol}, epoch {epoch}" for symbol in SYMBOLS.values() for epoch in epochs)]
    lines = [head, ["---"] * len(head)]
    for label, stages in rows(records):
        cells = [mean_snr(stages[epoch], group) for group in SYMBOLS for epoch in epochs]
        lines.append([label, *(f"{snr:.2f} ± {error:.2f}" for snr, error in cells)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def figure(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Mean SNR of both groups: an estimator a line, a colour and marker for each epoch; dotted: without any signal."""
    without_signal = math.sqrt(2 / math.pi / min(record["point"]["num_replicates"] for record in records))
    found = list(rows(records))
    epochs = sorted({record["point"]["epoch"] for record in records})
    with plot(path, columns=2, width=7.2, height=1 + 0.2 * len(found)) as axes:
        from matplotlib.ticker import LogLocator, NullFormatter

        left, right = np.ravel(axes)
        for axis, (group, symbol) in zip((left, right), SYMBOLS.items(), strict=True):
            for i, epoch in enumerate(epochs):
                again, kind = divmod(i, len(COLOURS))  # a colour that comes again has another marker
                snr, error = np.array([mean_snr(stages[epoch], group) for _, stages in found]).T
                axis.errorbar(
                    snr, np.arange(len(found)), xerr=error,
                    fmt=MARKERS[(kind + again) % len(MARKERS)], ms=4, color=COLOURS[kind], elinewidth=0.7,
                    label=f"epoch {epoch}",
                )  # fmt: skip
            axis.set(xscale="log", xlabel=f"mean SNR of {symbol}", yticks=np.arange(len(found)), yticklabels=[])
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.invert_yaxis()
            axis.axvline(without_signal, color="black", linestyle=":", lw=1)
        left.set_yticklabels([label for label, _ in found])
        right.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=min(len(epochs), 4))
