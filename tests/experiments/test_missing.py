"""The study of missing values: what is hidden, and that errors are of what was hidden alone."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from iwax.experiments import STUDIES, missing
from iwax.experiments.demonstrate import demonstration_path, run_demonstration


def test_half_of_the_values_are_hidden_and_no_row_wholly():
    table = missing.complete_table("wine")
    hidden = missing._hidden(table, "at random", 0)
    assert abs(hidden.mean() - 0.5) < 4 * 0.5 / hidden.size**0.5
    assert not hidden.all(axis=1).any()
    assert (hidden != missing._hidden(table, "at random", 1)).any()
    masked = missing._hidden(table, "above the mean", 0)
    assert (masked[:, :6] == (table[:, :6] > 0)).all()
    assert not masked[:, 6:].any()


def test_the_error_of_the_mean_is_the_spread_of_what_was_hidden():
    table = missing.complete_table("wine")
    assert np.allclose((table.mean(axis=0), table.std(axis=0)), ([0] * 13, [1] * 13), atol=1e-9)
    point = {"table": "wine", "hidden": "at random", "method": "mean", "split": 3, "steps": 1}
    hidden = missing._hidden(table, "at random", 3)
    means = [table[~hidden[:, j], j].mean() for j in range(13)]
    exact = np.sqrt(np.mean(((table - means)[hidden]) ** 2))
    assert np.isclose(missing.measure(point)["rmse"], exact)


def test_a_demonstration_keeps_its_parts_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(missing, "AT_RANDOM", ("mean", "KNNImputer"))
    study = STUDIES["missing"]
    shown = next(one for one in study.demonstrations if one.name == "wine-random")
    path = demonstration_path(tmp_path, study, shown, "smoke")
    finding = run_demonstration(study, shown, "smoke", path)
    assert finding.startswith("KNNImputer is best")
    assert len((path.parent / "missing-parts" / "points.jsonl").read_text().splitlines()) == 2

    def again(point):
        raise AssertionError("measured twice")

    monkeypatch.setattr(missing, "measure", again)
    assert run_demonstration(study, shown, "smoke", path) == finding


def test_a_table_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("IWAX_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"Expected winequality-red.csv of the UCI repository in FOLDER/tables"):
        missing.complete_table("red wine")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "winequality-red.csv").write_text("1,2\n")
    with pytest.raises(ValueError, match="to have SHA-256 c961"):
        missing.complete_table("red wine")
