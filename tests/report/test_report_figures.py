"""Figures of records: nothing that they say lies on something else, or is cut off."""

import dataclasses
import itertools
from contextlib import contextmanager

import numpy as np
import pytest

from iwax import figures
from iwax.experiments.study import Cell, Published, Study, Table
from iwax.report import cost, dots
from iwax.report import figures as drawn
from iwax.report.against import compare
from iwax.report.cell_runs import Found
from iwax.report.gather import Run
from iwax.report.page import inline_svg
from iwax.report.pictures import Parts
from iwax.report.report import write_report
from iwax.report.summary import made_by
from iwax.runs.config import RunConfig
from made import record

IWAE = RunConfig(objective="iwae", num_samples=5)


@pytest.fixture
def drawing(monkeypatch):
    """What is drawn, as Matplotlib's figures."""
    found = []

    @contextmanager
    def watched(*args, **options):
        with figures.plot(*args, **options) as axes:
            yield axes
        found.append(np.ravel(axes)[0].figure)
        found[-1].set_dpi(160)  # at which it was laid out
        found[-1].draw_without_rendering()

    monkeypatch.setattr(drawn, "plot", watched)
    monkeypatch.setattr(dots, "plot", watched)
    monkeypatch.setattr(cost, "plot", watched)
    return found


@pytest.mark.parametrize("function", [drawn.training_figure, drawn.along_figure])
def test_the_legend_lies_below_all_panels_and_within_the_picture(drawing, tmp_path, function):
    names = ["VAE(1)", "IWAE(50), 8 resampled, first 80 % with 5 samples", *(f"CIWAE(64), β 0.{i}" for i in range(12))]
    function({name: [record(IWAE)] for name in names}, tmp_path / "a.png")
    (figure,) = drawing
    (legend,) = figure.legends
    box, panels = legend.get_window_extent(), [axis.get_tightbbox() for axis in figure.axes]
    assert [text.get_text() for text in legend.get_texts()] == names
    assert box.y1 <= min(panel.y0 for panel in panels)
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert all(axis.get_legend() is None for axis in figure.axes)
    assert min(panel.height for panel in panels) > 300  # pixels, of 160 an inch: the lines keep their room


def test_titles_of_sheets_are_broken_where_they_would_meet(drawing, tmp_path):
    name = "IWAE(50), DReG, 8 resampled, first 80 % with 5 samples\ntwo-layer, omniglot, 300 epochs\nsamples"
    drawn.sheets_figure({f"{i} {name}": np.zeros((60, 100)) for i in range(3)}, tmp_path / "a.png")
    (figure,) = drawing
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert boxes[0].x0 >= 0
    assert boxes[-1].x1 <= figure.bbox.x1
    assert max(box.y1 for box in boxes) <= figure.bbox.y1 + 1


def test_no_dot_is_cut_by_the_edge_of_its_axis(drawing, tmp_path):
    """The tolerance of a number that has none is a bar of no width at zero, which ended the axis there."""
    cells = [Cell("a", "b", IWAE, "nll", (Published(value, "A paper"),)) for value in (90.05, 97.0)]
    found = [one for cell in cells for one in compare(Found((record(IWAE, log_p=-90.0),), "nll"), cell)]
    dots.dots_figure(found, tmp_path / "a.png")
    (axis,) = drawing[0].axes
    assert axis.get_xlim()[0] < 0.05 - 0.01 * 7
    assert axis.get_xlim()[1] > 7


def test_pictures_of_other_data_say_of_which(tmp_path):
    figures.image_sheet(np.zeros((4, 16)), tmp_path / "other.png")
    made = record(IWAE, sheets={"across": "other.png"}, ssim={"mnist": {"ssim": 0.8}, "omniglot": {"ssim": 0.6}})
    known, unknown = made, dataclasses.replace(made, ssim={})
    for one, name in ((known, "omniglot"), (unknown, "another data set")):
        (sheet,) = Parts([Run(one, tmp_path)], tmp_path, tmp_path).sheets()
        label = sheet["pictures"][0]["label"]
        assert label == f"test images of {name}, and below each row its reconstructions"


def test_a_processor_is_named_and_not_said_to_be_one():
    machines = {"cpu": "AMD EPYC", "cores": 2, "device": "cpu (cpu)"}, {"cores": 1, "device": "gpu (NVIDIA H200)"}
    (line,) = (
        line
        for line in made_by([Run(record(IWAE, machine=machine), None) for machine in machines])
        if line.startswith("On")
    )
    assert line == "On: 1 core, gpu (NVIDIA H200); AMD EPYC, 2 cores."


def test_the_legend_of_prices_names_what_is_drawn_alone(drawing, tmp_path):
    """VAEs that are ten nats worse are left out of the picture."""
    others = [record(RunConfig(objective=name, num_samples=1), log_p=-100.0) for name in ("elbo", "ciwae")]
    cost.cost_figure([*others, record(IWAE, log_p=-90.0)], tmp_path / "a.png")
    (legend,) = drawing[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["IWAE", "one-layer", "nothing better at less"]


def test_a_figure_shrinks_no_further_than_it_can_be_read(tmp_path):
    (tmp_path / "a.svg").write_text('<svg width="750pt" height="75pt"></svg>')  # 1000 pixels: a point is 4 / 3
    assert 'style="width: 1000px; min-width: 720px"' in inline_svg(tmp_path / "a.svg", "a")


def test_a_study_without_a_run_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
    monkeypatch.setattr("iwax.report.report.explorable", lambda *args: [])
    made = record(IWAE)
    (tmp_path / f"{made.id}.json").write_text(made.to_json())
    cells = tuple(Cell("a", name, RunConfig(objective=name, num_samples=3), "nll") for name in ("elbo", "ciwae"))
    studies = [Study("s", "A study", "a source", (Table("t", "a table", cells),))]
    assert (
        "<p>None of its 2 numbers has a run.</p>"
        in write_report(tmp_path, tmp_path / "none", tmp_path / "out", studies=studies).read_text()
    )
