"""`iwax impute`: a table in, completed tables and a page out; bad input in one line."""

import csv
import json
import sys

import numpy as np
import pytest

from iwax.cli import main


def run(arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


def cells(path):
    return list(csv.reader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    z = rng.normal(size=60)
    path = tmp_path_factory.mktemp("impute") / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "city"])
        for value, hidden in zip(z, rng.random((60, 2)) < 0.25, strict=True):
            writer.writerow([
                "" if hidden[0] else f"{value:.3f}",
                "" if hidden[1] else ("Rom" if value > 0 else "Bern"),
            ])  # fmt: skip
    return path


def test_a_table_is_completed_with_draws_rows_and_a_page(table, capsys):
    out = table.with_name("done.csv")
    small = ["--epochs", 2, "--num-samples", 32, "--latent-size", 2, "--held-out", 0.2]
    assert run(["impute", table, "--out", out, "--multiple", 2, "--json", *small]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [column["kind"] for column in result["columns"]] == ["continuous", "binary"]
    assert {column["missing"] > 0 for column in result["columns"]} == {True}
    assert 0 <= result["columns"][1]["held_out"]["error"] <= 1
    before, after = map(cells, (table, out))
    assert len(after) == len(before) == 61
    assert all(new == old or not old for a, b in zip(before, after, strict=True) for old, new in zip(a, b, strict=True))
    assert all(cell for row in after for cell in row)
    many = cells(out.with_name("done-multiple.csv"))
    assert (len(many), many[1][0], many[-1][0]) == (121, "1", "2")
    rows = cells(out.with_name("done-rows.csv"))
    assert rows[0] == ["log_p", "effective_samples", "khat"]
    assert len(rows) == 61
    page = out.with_name("done-report.html").read_text()
    assert page.count("<svg") == 3
    assert "http" not in page.replace("http://www.w3.org", "")  # one self-contained file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "done.xlsx"], "Expected --out to be a .csv or .parquet file"),
        (["--out", "table.csv"], "Expected --out to be another file than the table, which is kept; got table.csv"),
        (["--out", "done.csv", "--multiple", "-1"], "Expected multiple to be an integer of at least 0; got -1"),
        (["--out", "done.csv", "--num-samples", "0"], "Expected num_samples to be an integer of at least 1; got 0"),
        (["--out", "done.csv", "--validation", "1"], "Expected validation to be at least 0 and below 1; got 1"),
        (["--out", "done.csv", "--kind", "length"], "Expected --kind COLUMN=KIND; got 'length'"),
        (["--out", "done.csv", "--kind", "length=number"], "Expected kinds to be one of continuous"),
        (["--out", "done.csv", "--kind", "city=count"], "Expected column 'city' to hold numbers"),
        (["--out", "done.csv", "--held-out", "1"], "Expected held_out to be at least 0 and below 1"),
        (["--out", "done.csv", "--missingness", "self"], "Expected missingness to be one of ignorable"),
    ],
)
def test_what_will_not_do_is_one_line_and_status_2(table, options, message, capsys, monkeypatch):
    monkeypatch.chdir(table.parent)
    assert run(["impute", table, *options]) == 2
    error = capsys.readouterr().err
    assert message in error


def test_a_table_that_misses_nothing_is_said_to(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whole.csv").write_text("a,b\n1,2\n2,3.5\n")
    assert run(["impute", "whole.csv", "--out", "done.csv"]) == 2
    assert "Expected whole.csv to miss a value (an empty cell, NA, NaN, null or ?)" in capsys.readouterr().err


def test_a_column_named_as_the_number_of_completed_tables_is_refused_before_anything_is_trained(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,imputation\n1,2\n,3.5\n4,1\n")
    monkeypatch.setattr("iwax.impute.completing.fit_table", None)
    assert run(["impute", "t.csv", "--out", "done.csv", "--multiple", "2"]) == 2
    assert "Expected no column to be called 'imputation'" in capsys.readouterr().err


def test_parquet_without_its_library_is_one_line_before_anything_is_trained(table, capsys, monkeypatch):
    monkeypatch.chdir(table.parent)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (table.parent / "table.parquet").write_bytes(b"PAR1")
    for given, out in (("table.csv", "done.parquet"), ("table.parquet", "done.csv")):
        assert run(["impute", given, "--out", out]) == 2
        error = capsys.readouterr().err
        assert 'Expected pyarrow to be installed for Parquet files; pip install "iwax[impute]" brings it.' in error
        assert "training" not in error
