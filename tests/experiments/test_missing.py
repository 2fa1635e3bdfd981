"""The study of missing values: what is hidden, and that errors are of what was hidden alone."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")

from iwax.experiments import STUDIES, missing, missing_others
from iwax.experiments.demonstrate import demonstration_path, run_demonstration
from iwax.impute import Settings


def test_half_of_the_values_are_hidden_and_no_row_wholly():
    table = missing.complete_table("wine")
    hidden = missing._hidden(table, "at random", 0)
    assert abs(hidden.mean() - 0.5) < 4 * 0.5 / hidden.size**0.5
    assert not hidden.all(axis=1).any()
    assert (hidden != missing._hidden(table, "at random", 1)).any()
    masked = missing._hidden(table, "above the mean", 0)
    assert (masked[:, :6] == (table[:, :6] > 0)).all()
    assert not masked[:, 6:].any()


def test_columns_that_may_be_constant_in_what_is_not_hidden_are_left_out():
    table = missing.complete_table("digits")
    for split in range(5):
        seen = np.where(missing._hidden(table, "at random", split), np.nan, table)
        assert (np.nanstd(seen, axis=0) > 0).all()
    assert table.shape[0] == 1797
    assert 45 < table.shape[1] < 61  # of 64 pixels 61 vary


def test_the_error_of_the_mean_is_the_spread_of_what_was_hidden():
    table = missing.complete_table("wine")
    assert np.allclose((table.mean(axis=0), table.std(axis=0)), ([0] * 13, [1] * 13), atol=1e-9)
    point = {"table": "wine", "hidden": "at random", "method": "mean", "split": 3, "steps": 1}
    hidden = missing._hidden(table, "at random", 3)
    means = [table[~hidden[:, j], j].mean() for j in range(13)]
    exact = np.sqrt(np.mean(((table - means)[hidden]) ** 2))
    assert np.isclose(missing.measure(point)["rmse"], exact)


def test_a_demonstration_keeps_its_parts_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(missing, "AT_RANDOM", ("mean", "iwax"))
    monkeypatch.setitem(missing.METHODS, "iwax", missing.METHODS["KNNImputer"])  # which takes no training
    study = STUDIES["missing"]
    shown = next(one for one in study.demonstrations if one.name == "wine-random")
    path = demonstration_path(tmp_path, study, shown, "smoke")
    finding = run_demonstration(study, shown, "smoke", path)
    rows = json.loads(path.read_text())["rows"]
    assert [row[:2] for row in rows] == [["mean", 1], ["iwax", 1]]
    assert rows[0][4:6] == [rows[0][2] - rows[1][2], None]  # of one split no error is known
    more = f"{rows[0][2] - rows[1][2]:.3f} more over 1."
    assert finding == f"The error of iwax is {rows[1][2]:.3f} over 1 split(s); of the others mean has the least, {more}"
    assert len((path.parent / "missing-parts" / "points.jsonl").read_text().splitlines()) == 2

    def again(point):
        raise AssertionError("measured twice")

    monkeypatch.setattr(missing, "measure", again)
    assert run_demonstration(study, shown, "smoke", path) == finding


def test_methods_of_others_are_shown_if_they_are_on_record_and_measured_if_they_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("IWAX_HYPERIMPUTE", raising=False)
    monkeypatch.delenv("IWAX_NOTEBOOK", raising=False)
    known, new = (missing._point("wine", "at random", "HyperImpute's MIWAE", split, 0) for split in (0, 1))
    other = missing._point("wine", "at random", "recipe of the MIWAE notebook", 0, 0)
    (tmp_path / "points.jsonl").write_text(json.dumps({"point": known, "rmse": 1.0}) + "\n")
    assert missing_others.known_or_wanted(tmp_path, [known, new, other]) == [known]
    monkeypatch.setenv("IWAX_HYPERIMPUTE", "python")
    assert missing_others.known_or_wanted(tmp_path, [known, new, other]) == [known, new]


def test_a_python_without_hyperimpute_is_told_by_its_last_line(tmp_path, monkeypatch):
    point = missing._point("wine", "at random", "HyperImpute's MIWAE", 0, 0)
    monkeypatch.setenv("IWAX_HYPERIMPUTE", str(tmp_path / "python"))
    with pytest.raises(ValueError, match="Expected IWAX_HYPERIMPUTE to name a Python that has hyperimpute; got"):
        missing.measure(point)
    (tmp_path / "python").write_text("#!/bin/sh\necho Traceback >&2\necho 'No module named hyperimpute' >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(ValueError, match="it says: No module named hyperimpute"):
        missing.measure(point)


@pytest.mark.slow
def test_the_recipe_of_the_notebook_completes_a_table(monkeypatch):
    monkeypatch.setattr(missing, "complete_table", lambda name: np.random.default_rng(0).normal(size=(40, 4)))
    monkeypatch.setattr(missing_others, "EPOCHS", 3)
    found = missing.measure({"table": "x", "hidden": "at random", "method": "recipe of the MIWAE notebook", "split": 0})
    assert 0.5 < found["rmse"] < 3
    assert 0 < found["coverage"] <= 1


def test_differences_are_of_the_splits_that_both_methods_have():
    def record(split, rmse):
        return {"point": {"split": split}, "rmse": rmse, "coverage": None, "cpu_seconds": 1.0}

    own = [record(0, 0.5), record(1, 0.9)]
    found = [record(0, 0.6), record(1, 0.8), record(2, 9.0)]
    row = dict(zip(missing.COLUMNS, missing._row("other", found, own), strict=True))
    assert row["more than iwax"] == pytest.approx(0.0)  # not (0.6 + 0.8 + 9.0) / 3 - 0.7
    assert row["s.e. of the difference"] == pytest.approx(0.1)


@pytest.mark.parametrize(("rows", "columns"), [(178, 2), (1797, 2), (1797, 20)])
@pytest.mark.parametrize("missingness", ["ignorable", "self-masking"])
def test_what_is_measured_is_what_an_imputer_does_if_nothing_is_said(rows, columns, missingness, monkeypatch):
    monkeypatch.setattr(missing, "complete_table", lambda name: np.zeros((rows, columns)))
    method = "iwax" if missingness == "ignorable" else f"iwax, {missingness}"
    point, settings = missing._point("x", "at random", method, 0, 4000), Settings(missingness=missingness)
    assert point["train_samples"] == settings.num_samples
    assert point.get("constant_spreads", False) == settings.has_constant_spreads(rows, columns)
    assert round(point.get("validation", 0) * rows) == settings.judged(rows)
    wanted = settings.epochs_of(rows) * max(1, (rows - settings.judged(rows)) // 64)
    assert 0 <= wanted - point["steps"] < rows / 64  # whole epochs


def test_small_tables_hold_out_a_part_and_their_points_say_so():
    assert missing._point("wine", "at random", "iwax", 0, 4000)["validation"] == 0.1
    assert "validation" not in missing._point("digits", "at random", "iwax", 0, 4000)  # 1,797 rows
    assert "validation" not in missing._point("wine", "at random", "mean", 0, 4000)


def test_a_table_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("IWAX_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"Expected winequality-red.csv of the UCI repository in FOLDER/tables"):
        missing.complete_table("red wine")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "winequality-red.csv").write_text("1,2\n")
    with pytest.raises(ValueError, match="to have SHA-256 c961"):
        missing.complete_table("red wine")
