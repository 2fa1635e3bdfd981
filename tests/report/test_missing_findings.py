"""What the page of imputation says in its first lines is counted from records, and moves with them."""

import json

import pytest

from iwax.experiments import STUDIES
from iwax.report import missing_findings, missing_tables

COLUMNS = ["method", "splits", "RMSE", "s.e. over splits", "mean-squared error", "coverage of 90 %", "CPU seconds"]


FOREST = ["IterativeImputer, forest", 5, 0.9, 0.01, 0.1, 0.01, 0.81, None, 2.0]


def write(folder, table, rows, columns=COLUMNS):
    (folder / "demonstrations").mkdir(exist_ok=True)
    record = {
        **{"schema": 1, "study": "missing", "name": f"{table}-random", "title": f"{table}: half", "scale": "short"},
        **{"seed": 0, "columns": columns, "rows": rows, "finding": "found.", "command": "iwax", "commit": "c" * 40},
        "date": "2026-11-29T00:00:00+00:00",
    }
    (folder / "demonstrations" / f"missing-{table}-random-short.json").write_text(json.dumps(record))


def rows(error, se=0.01):
    """Of four methods: a forest without intervals is best, a linear one with draws stands at 0.8."""
    return [
        ["IterativeImputer", 5, 0.8, 0.01, 0.64, None, 1.0],
        ["IterativeImputer, forest", 5, 0.6, 0.01, 0.36, None, 2.0],
        ["iwax", 5, error, se, error**2, 0.875, 30.0],
        ["its paper (recalled)", None, None, None, 0.1, None, None],
    ]


@pytest.mark.parametrize(
    ("error", "se", "place", "among_all"),
    [
        (0.79, 0.01, "least, in all;", 0),
        (0.805, 0.01, "least, in all;", 0),  # within a standard error
        (0.83, 0.01, "least, in all but wine;", 0),
        (0.83, 0.05, "least, in all;", 0),  # of its own
        (0.59, 0.01, "least, in all;", 1),
    ],
)
def test_the_place_of_the_imputer_is_that_of_the_records(tmp_path, error, se, place, among_all):
    write(tmp_path, "wine", rows(error, se))
    text = missing_findings(STUDIES["missing"], tmp_path)
    assert place in text
    assert f"among all methods in {among_all} of them." in text
    assert "Of 1 tables" in text
    assert "split 5 times" in text
    assert "cover 88% of the hidden values" in text
    assert "takes 15 to 15 times" in text


def test_a_table_has_the_columns_of_its_record(tmp_path):
    assert missing_findings(STUDIES["missing"], tmp_path) == ""
    write(tmp_path, "wine", rows(0.79))
    text = missing_tables(STUDIES["missing"], tmp_path)
    assert "| method | splits | RMSE |" in text
    assert "| iwax | 5 | 0.790 | 0.010 | 0.624 | 88% | 30.0 |" in text
    assert "| its paper (recalled) |  |  |  | 0.100 |  |  |" in text
    assert "Not run yet: banknote-random" in text


@pytest.mark.parametrize(
    ("difference", "place"), [((-0.02, 0.03), "least, in all;"), ((-0.02, 0.01), "in all but wine;")]
)
def test_methods_are_compared_by_their_difference_on_the_same_splits(tmp_path, difference, place):
    columns = [*COLUMNS[:4], "more than iwax", "s.e. of the difference", *COLUMNS[4:]]
    own = ["iwax", 5, 0.8, 0.05, None, None, 0.64, 0.9, 9.0]
    other = ["IterativeImputer", 5, 0.78, 0.05, *difference, 0.6, None, 1.0]  # by their own spreads both are as good
    write(tmp_path, "wine", [own, other, FOREST], columns)
    text = missing_findings(STUDIES["missing"], tmp_path)
    assert place in text
    assert "less its own on the same splits: wine 0.100 ± 0.010." in text
