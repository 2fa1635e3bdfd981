"""A figure that shows what it showed before is left as it is; any other is drawn."""

from functools import partial

import pytest

from iwax.figures import plot
from iwax.report.drawn import draw_once
from iwax.runs import RunConfig
from made import record

calls = []


def draw(records, paths):
    calls.append(paths)
    with plot(paths, width=1, height=1) as axis:
        axis.plot([one.evaluation["values"]["log_p"] for one in records])


@pytest.fixture
def paths(tmp_path):
    calls.clear()
    return [tmp_path / "a.svg", tmp_path / "a.pdf"]


def made(log_p=-90.0):
    """A record of its own, as each report reads one."""
    one = record(RunConfig(objective="iwae"))
    one.evaluation["values"]["log_p"] = log_p
    return [one]


def test_a_figure_is_drawn_again_only_when_its_numbers_its_code_or_its_files_have_changed(paths, monkeypatch):
    draw_once(partial(draw, made()), paths)
    first = [path.read_bytes() for path in paths]
    draw_once(partial(draw, made()), paths)
    assert len(calls) == 1
    draw_once(partial(draw, made(-91.0)), paths)
    assert len(calls) == 2
    draw_once(partial(draw, made()), paths)
    assert [path.read_bytes() for path in paths] == first
    paths[1].unlink()
    draw_once(partial(draw, made()), paths)
    assert [path.read_bytes() for path in paths] == first
    monkeypatch.setattr("iwax.report.drawn._code", lambda: ("of another commit", "3.0"))
    draw_once(partial(draw, made()), paths)
    assert len(calls) == 5


def test_what_cannot_be_pickled_is_drawn_each_time(paths):
    for _ in range(2):
        draw_once(lambda paths: draw(made(), paths), paths)
    assert len(calls) == 2


def test_both_files_are_of_one_layout_and_are_what_they_would_be_alone(tmp_path):
    draw(made(), [tmp_path / "both.svg", tmp_path / "both.pdf"])
    draw(made(), tmp_path / "alone.svg")
    assert (tmp_path / "both.svg").read_bytes() == (tmp_path / "alone.svg").read_bytes()
    assert (tmp_path / "both.pdf").read_bytes().startswith(b"%PDF")
