"""The page of `iwax impute`: errors on held-out values, k-hat, and pictures of observed against imputed values."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from iwax.extras import check_installed
from iwax.figures import COLOURS, plot
from iwax.files import write_whole
from iwax.impute import Completion
from iwax.report.page import TEMPLATES, inline_svg

__all__ = ["write_imputation_page"]

BINS = 30
CODED = ("binary", "categorical")


def write_imputation_page(path: Path, done: Completion, *, title: str) -> None:
    """Write the page, one self-contained file.

    Arguments:
        path: of the page.
        done: what `iwax.impute.complete_file` returns.
        title: its heading.

    Raises:
        MissingExtraError: without the extra `report`.
    """
    check_installed("jinja2", "the report page")
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    summary = done.summary()
    content = {
        "title": title,
        "style": Markup((TEMPLATES / "page.css").read_text()),
        "summary": summary,
        "columns": [_cells(column) for column in summary["columns"]],
        "pictures": _pictures(done),
    }
    write_whole(path, environment.get_template("imputation.html").render(content))


def _cells(column: dict[str, Any]) -> list[str]:
    """A row of the table of errors."""
    cells = [column["name"], column["kind"], f"{column['missing']:,}"]
    if (held_out := column.get("held_out")) is None:
        return [*cells, "", "", "", ""]
    is_coded = column["kind"] in CODED
    return [
        *cells,
        f"{held_out['count']:,}",
        f"{held_out['error']:.3f} ± {held_out['se']:.3f}",
        f"{held_out['baseline']:.3f}",
        "" if is_coded else f"{held_out['coverage']:.0%}",
    ]


def _pictures(done: Completion) -> list[tuple[Markup, str]]:
    """(figure, caption) each."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for name, draw, caption in (
            ("values", _draw_values, "Observed values (blue) and imputed ones (orange), each as a share of its own. "
             "Means spread less than values do; where there are several imputations, those are shown."),
            ("held-out", _draw_held_out, "Held-out values against what was imputed for them; on the line both agree."),
            ("khat", _draw_khat, "Pareto k-hat of the incomplete rows; beyond the line, 0.7, imputations rest on a few "
             "samples."),
        ):  # fmt: skip
            path = Path(folder) / f"{name}.svg"
            if draw(done, path):
                found.append((inline_svg(path, name, caption), caption))
        return found


def _grid(count: int) -> dict[str, Any]:
    columns = min(4, count)
    rows = -(-count // columns)
    return {"rows": rows, "columns": columns, "width": 2.4 * columns, "height": 1.9 * rows}


def _draw_values(done: Completion, path: Path) -> bool:
    """Histograms of each column that misses something."""
    missing = [~np.isnan(error) for error in done.imputation.mc_error]
    chosen = [j for j in range(len(missing)) if missing[j].any()]
    if not chosen:
        return False
    with plot(path, **_grid(len(chosen))) as axes:
        flat = np.ravel(axes)
        for axis in flat[len(chosen) :]:
            axis.set_visible(False)
        for axis, j in zip(flat, chosen, strict=False):
            tables = done.imputation.multiple or [done.imputation.completed]
            imputed = np.concatenate([table[j][missing[j]] for table in tables])
            _histograms(axis, done.fitted.columns[j], done.imputation.completed[j][~missing[j]], imputed)
        flat[0].set_ylabel("share of the values", fontsize=8)
    return True


def _histograms(axis: Any, column: Any, observed: np.ndarray, imputed: np.ndarray) -> None:
    axis.set_title(column.name, fontsize=9)
    if column.kind in CODED:
        at = np.arange(len(column.categories))
        for i, values in enumerate((observed, imputed)):
            shares = [np.mean([value == category for value in values]) for category in column.categories]
            axis.bar(at + 0.4 * i - 0.2, shares, 0.4, color=COLOURS[i])
        axis.set_xticks(at, [str(category)[:8] for category in column.categories], fontsize=7)
        return
    observed, imputed = observed.astype(float), imputed.astype(float)
    low, high = np.quantile(np.concatenate([observed, imputed]), [0.005, 0.995])
    bins = np.linspace(low, high if high > low else low + 1, BINS)
    for values, colour in ((observed, COLOURS[0]), (imputed, COLOURS[1])):
        weights = np.full(len(values), 1 / max(1, len(values)))
        axis.hist(np.clip(values, bins[0], bins[-1]), bins, weights=weights, histtype="step", color=colour)


def _draw_held_out(done: Completion, path: Path) -> bool:
    """Scatter plots of the columns of numbers."""
    errors = [error for error in done.errors if error.kind not in CODED]
    if not errors:
        return False
    with plot(path, **_grid(len(errors))) as axes:
        flat = np.ravel(axes)
        for axis in flat[len(errors) :]:
            axis.set_visible(False)
        for axis, error in zip(flat, errors, strict=False):
            axis.plot(error.truth, error.imputed, ".", ms=4, color=COLOURS[0], alpha=0.5)
            ends = [min(error.truth.min(), error.imputed.min()), max(error.truth.max(), error.imputed.max())]
            axis.plot(ends, ends, color=COLOURS[-1], lw=0.8)
            axis.set_title(error.name, fontsize=9)
            axis.set(xlabel="held out", ylabel="imputed")
    return True


def _draw_khat(done: Completion, path: Path) -> bool:
    khat = done.imputation.khat[done.imputation.incomplete]
    khat = khat[~np.isnan(khat)]
    if not len(khat):
        return False
    with plot(path, width=4.8, height=2.4) as axis:
        axis.hist(np.clip(khat, -1, 2), np.linspace(-1, 2, 61), color=COLOURS[0])
        axis.axvline(0.7, color=COLOURS[1])
        axis.set(xlabel="Pareto k-hat", ylabel="rows")
    return True
