"""The parts of a report that are pictures: figures of studies, cost, sheets and diagrams."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from matplotlib.image import imread

from iwax.experiments import ALONG, Cell, Figure, Record, Study
from iwax.models import ARCHITECTURES
from iwax.report.cell_runs import Found, find, find_all
from iwax.report.cost import cost_figure, priced, worth
from iwax.report.demonstrations import read_shown
from iwax.report.diagram import architecture_diagram
from iwax.report.drawn import draw_once
from iwax.report.figures import FIGURES, sheets_figure, snr_figure
from iwax.report.format import counted, objective_name
from iwax.report.gather import OWN, Run, pictures
from iwax.report.page import inline_svg, sheet_data

__all__ = ["Parts", "caption", "line_names"]

IMAGE = 28 * 28  # pixels, of the data sets of studies
LINES = 14  # of a figure: as many as its legend has room for
PICTURES = 12  # runs whose sheets the page shows
WIDE = 4  # times as wide as high: a strip, which stands alone
SUFFIXES = (".svg", ".pdf")
PICTURED = {
    "sheets": ("reconstructions", "samples"),
    "reconstructions": ("reconstructions",),
    "across": ("across",),
}
SHOWN = {
    "samples": "samples from the prior",
    "reconstructions": "test images, and below each row its reconstructions",
    "across": "test images of {}, and below each row its reconstructions",
}
NOT_IN_LINE_NAMES = (  # elsewhere than in the name of a line, or of no effect on it
    *("seed", "dataset", "model", "split", "batch_size", "held_out", "backward", "num_resampled"),
    *ALONG,
)


class Parts:
    """Draws what `runs` have into `folder`; each method returns what the page shows of it, or None.

    Arguments:
        runs: records, and runs without one.
        folder: of the figures.
        results: of demonstrations.
    """

    def __init__(self, runs: Sequence[Run], folder: Path, results: str | Path | None) -> None:
        judged_whole = [run for run in runs if run.record.scale != "trial"]
        self.runs, self.folder = sorted(judged_whole, key=_order), folder
        self.results = "" if results is None else results
        self.by_id = {run.record.id: run for run in runs if run.record.scale != OWN}

    def figure(self, study: Study, figure: Figure) -> dict[str, Any] | None:
        """A figure of a study from those of its runs that have records, or of the demonstration of its name."""
        if figure.kind == "snr":
            return self._snr(study, figure)
        records, name = tuple(run.record for run in self.by_id.values()), f"{study.name}-{figure.name}"
        cells = [Cell("", "", config) for config in figure.configs]
        if kinds := PICTURED.get(figure.kind):
            found = [run for cell in cells if (run := self._pictured(find_all(study, cell, records), kinds))]
            drawn = [(run, kind) for kind in kinds for run in found if kind in pictures(run)]
            sheets = {caption(run.record, kind): imread(pictures(run)[kind]) for run, kind in drawn}
            return self.draw(name, figure.title, partial(sheets_figure, sheets)) if sheets else None
        groups = [list(one.records) for cell in cells if (one := find(study, cell, records))]
        draw, needs = FIGURES.get(figure.kind, (None, None))
        groups = [group for group in groups if needs and all(needs(record) for record in group)]
        return self.draw(name, figure.title, partial(draw, line_names(groups))) if draw and groups else None

    def _snr(self, study: Study, figure: Figure) -> dict[str, Any] | None:
        (demonstration,) = (one for one in study.demonstrations if one.name == figure.name)
        found = read_shown(study, demonstration, self.results)
        name = f"{study.name}-{figure.name}"
        return self.draw(name, figure.title, partial(snr_figure, found["rows"])) if found else None

    def own_curves(self) -> list[dict[str, Any]]:
        """Training curves of the runs without a record, and their test numbers along training; seeds in one band."""
        groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
        for run in self.runs:
            if run.record.scale == OWN and run.record.has_curve:
                alike = tuple(item for item in run.record.config.items() if item[0] != "seed")
                groups[alike].append(run.record)
        names = line_names(list(groups.values())[:LINES])  # the best, since runs are in that order
        title = "Training: minus the mean bound of each epoch"
        title += "." if len(groups) <= LINES else f", of the best {LINES} of {len(groups)} lines."
        drawn = [self.draw("own-training", title, partial(FIGURES["training"][0], names))] if names else []
        if any(record.along for records in names.values() for record in records):
            title = "Test images along training, in nats: higher is better."
            drawn.append(self.draw("own-along", title, partial(FIGURES["along"][0], names)))
        return drawn

    def cost(self) -> dict[str, Any] | None:
        """-log p against arithmetic, of the runs judged on all test images whose whole price is known."""
        records = priced([run.record for run in self.runs if run.nll is not None])
        return self.draw("cost", worth(records), partial(cost_figure, records)) if records else None

    def sheets(self) -> list[dict[str, Any]]:
        """The pictures of the best runs of each data set, one for each objective and model, side by side."""
        best: dict[str, dict[tuple[str, str], Run]] = defaultdict(dict)
        for run in self.runs:
            config = run.record.config
            here, kind = best[config["dataset"]], (objective_name(config), config["model"])
            if kind not in here and pictures(run):  # the files of others are not looked at
                here[kind] = run
        best = {dataset: runs for dataset, runs in best.items() if runs}
        shown = [run for runs in best.values() for run in list(runs.values())[: PICTURES // len(best)]]
        return [{"title": run.title, "pictures": _shown(run)} for run in shown]

    def diagrams(self) -> list[dict[str, Any]]:
        """The architectures of the runs, drawn from models of the size of their examples."""
        there = {(run.record.config["model"], _size(run)) for run in self.runs}
        kinds = [(name, size) for name in ARCHITECTURES for size in sorted(s for n, s in there if n == name)]
        drawn = []
        for name, size in kinds:
            model = eqx.filter_eval_shape(partial(ARCHITECTURES[name], data_size=size), key=jax.random.key(0))
            count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape"))
            words = f"{name}: {count:,} parameters. Heights go with the square root of the units' number."
            file = f"architecture-{name}" + (f"-{size}" if size != IMAGE else "")
            drawn.append(self.draw(file, words, partial(architecture_diagram, model)))
        return drawn

    def draw(self, name: str, caption: str, function: Callable[[Sequence[Path]], None]) -> dict[str, Any]:
        """What the page shows of the figure that `function` draws, which is written as .svg and .pdf, too."""
        draw_once(function, [self.folder / (name + suffix) for suffix in SUFFIXES])
        return {"title": caption, "svg": inline_svg(self.folder / f"{name}.svg", name, caption)}

    def _pictured(self, found: Sequence[Found], kinds: Sequence[str]) -> Run | None:
        """The first run that has any of those pictures."""
        runs = (self.by_id[one.records[0].id] for one in found)
        return next((run for run in runs if pictures(run).keys() & set(kinds)), None)


def caption(record: Record, kind: str) -> str:
    """Of a sheet: what made it, on which images, and its SSIM with them ± the standard deviation over images."""
    judged_on = _other(record) if kind == "across" else record.config["dataset"]
    shown = f"{judged_on} reconstructed" if kind == "across" else kind
    place = f"{record.config['model']}, {record.config['dataset']}, {counted(record.training['epochs'], 'epoch')}"
    measured = record.ssim.get(judged_on, {}) if kind != "samples" else {}
    similarity = f", SSIM {measured['ssim']:.3f} ± {measured['ssim_std']:.3f}" if measured else ""
    return "\n".join([objective_name(record.config), place, shown + similarity])


def _other(record: Record) -> str:
    """The data set that a run was judged on beside its own; "" if there is none."""
    return next((name for name in record.ssim if name != record.config["dataset"]), "")


def line_names(groups: Sequence[Sequence[Record]]) -> dict[str, list[Record]]:
    """The groups by the name of their objective, and by whatever else distinguishes those of one name and place."""
    alike: dict[str, list[Sequence[Record]]] = defaultdict(list)
    estimators = {group[0].config["gradient"] for group in groups}
    for group in groups:
        config = dict(group[0].config)
        alike[objective_name(config | ({"gradient": None} if len(estimators) == 1 else {}))].append(group)
    named: dict[str, list[Record]] = defaultdict(list)
    for name, members in alike.items():
        for group in members:
            own = group[0].config  # others with its data and model are in one panel with it
            fields = _differing([other[0].config for other in members if _place(other) == _place(group)])
            named[", ".join([name, *(f"{field.replace('_', ' ')} {own.get(field)}" for field in fields)])] += group
    return dict(named)


def _place(group: Sequence[Record]) -> tuple[str, str]:
    return group[0].config["dataset"], group[0].config["model"]


def _differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields in which configurations differ, of those that nothing else in a figure says."""
    names = [name for name in configs[0] if name not in NOT_IN_LINE_NAMES]
    return [name for name in names if len({str(config.get(name)) for config in configs}) > 1]


def _shown(run: Run) -> list[dict[str, Any]]:
    found = sorted(pictures(run).items(), reverse=True)  # samples first
    return [
        {
            "data": sheet_data(path),
            "alt": f"{kind}: {run.title}",
            "label": SHOWN.get(kind, kind).format(_other(run.record) or "another data set"),
            "wide": _is_wide(path),
        }
        for kind, path in found
    ]


def _is_wide(picture: Path) -> bool:
    """Whether a picture is a strip, which nobody could read at the width of a sheet."""
    from PIL import Image

    with Image.open(picture) as opened:
        return opened.width > WIDE * opened.height


def _size(run: Run) -> int:
    """How many values an example has: of data of one's own what the run's folder says, else as many as MNIST's have."""
    return IMAGE if run.size is None else run.size


def _order(run: Run) -> tuple[str, float]:
    """By data set, then the best first."""
    return run.record.config["dataset"], float("inf") if run.nll is None else run.nll
