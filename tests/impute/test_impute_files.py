"""Tables as files: what was observed is written as it was read, and what will not do is named in one line."""

import numpy as np
import pytest

from iwax.impute.files import Sheet

TEXT = "length,city\n1.50,Bern\n,NA\n2.25,Rom\n"


def written(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_cells_that_say_nothing_are_missing_and_the_others_are_numbers_or_text(tmp_path):
    sheet = Sheet.read(written(tmp_path, TEXT))
    assert sheet.names == ["length", "city"]
    assert np.array_equal(sheet.table[0], [1.5, np.nan, 2.25], equal_nan=True)
    assert sheet.table[1].tolist() == ["Bern", None, "Rom"]


def test_what_was_observed_is_written_to_the_letter(tmp_path):
    sheet = Sheet.read(written(tmp_path, TEXT))
    complete = [np.array([1.5, 1.23456789, 2.25]), np.array(["Bern", "Wien", "Rom"], object)]
    sheet.write(tmp_path / "done.csv", complete)
    assert (tmp_path / "done.csv").read_text() == "length,city\n1.50,Bern\n1.23457,Wien\n2.25,Rom\n"
    sheet.write_multiple(tmp_path / "many.csv", [complete, complete])
    lines = (tmp_path / "many.csv").read_text().splitlines()
    assert lines[0] == "imputation,length,city"
    assert lines[5] == "2,1.23457,Wien"


def test_a_parquet_file_whose_text_is_no_utf8_is_refused_and_named(tmp_path):
    """Arrow reads it, and fails where a cell becomes Python's text."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    ends, content = pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xb0")
    column = pa.StringArray.from_buffers(2, ends, content)
    pq.write_table(pa.table({"n": [1, 2], "city": column}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"Expected .*t\.parquet to be a readable Parquet file; got 'utf-8' codec"):
        Sheet.read(tmp_path / "t.parquet")


def test_parquet_is_read_and_written(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"n": [1, None, 3], "city": ["Bern", None, "Rom"]}), tmp_path / "t.parquet")
    sheet = Sheet.read(tmp_path / "t.parquet")
    assert np.array_equal(sheet.table[0], [1, np.nan, 3], equal_nan=True)
    assert sheet.table[1].tolist() == ["Bern", None, "Rom"]
    sheet.write(tmp_path / "done.parquet", [np.array([1.0, 2.0, 3.0]), np.array(["Bern", "Wien", "Rom"], object)])
    done = pq.read_table(tmp_path / "done.parquet")
    assert done["city"].to_pylist() == ["Bern", "Wien", "Rom"]
    assert str(done["n"].type) == "int64"  # as it was
    means = [np.array([1.0, 2.5, 3.0]), np.array(["Bern", "Wien", "Rom"], object)]
    sheet.write_multiple(tmp_path / "many.parquet", [means])
    assert pq.read_table(tmp_path / "many.parquet")["n"].to_pylist() == [1.0, 2.5, 3.0]  # which no integer is


def test_large_integers_that_were_observed_are_written_to_the_last_digit(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    large = [2**62 + 7, None, 3]
    pq.write_table(pa.table({"n": large, "x": [0.1, 0.2, None]}), tmp_path / "t.parquet")
    sheet = Sheet.read(tmp_path / "t.parquet")
    table = [np.array([2.0**62, 5.0, 3.0]), np.array([0.1, 0.2, 0.5])]
    sheet.write(tmp_path / "done.parquet", table)
    assert pq.read_table(tmp_path / "done.parquet").to_pydict() == {"n": [2**62 + 7, 5, 3], "x": [0.1, 0.2, 0.5]}
    sheet.write(tmp_path / "done.csv", table)
    assert (tmp_path / "done.csv").read_text().splitlines()[1:] == ["4611686018427387911,0.1", "5,0.2", "3,0.5"]


def test_columns_are_left_out_and_lines_without_names_are_rows(tmp_path):
    sheet = Sheet.read(written(tmp_path, TEXT), drop=["city"])
    assert sheet.names == ["length"]
    sheet = Sheet.read(written(tmp_path, "1,2\n3,4\n"), header=False)
    assert (sheet.names, sheet.table[1].tolist()) == (["x0", "x1"], [2.0, 4.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,4\n", "Expected the first line of .* to name its columns; got numbers. Give --no-header."),
        ("a,a\n3,4\n", "to have names of their own; got 'a' twice"),
        ("a,b\n3\n", "Expected every row of .* to have 2 cells; got 1 in row 1"),
        ("a;b\n1;2\n", "Expected the cells of .* to be separated by commas; got ';' in 'a;b'"),
        ("a,b\n", "to hold rows; got its first line only"),
        ("", "to hold a table; got nothing"),
        (
            "day,b\n2020-01-01,1\n2020-01-02,2\n",
            "column 'day' of .*csv to hold numbers or text; got dates, such as",
        ),
        (
            "day,b\n31.12.2020,1\n,2\n",
            "column 'day' of .*csv to hold numbers or text; got dates, such as 31.12.2020",
        ),
        (
            "day,b\n12/31/20 8:00,1\n1/1/21,2\n",
            "column 'day' of .*csv to hold numbers or text; got dates, such as",
        ),
    ],
)
def test_a_file_that_will_not_do_is_named_in_one_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        Sheet.read(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_text_of_three_numbers_that_is_no_date_is_text(tmp_path):
    sheet = Sheet.read(written(tmp_path, "host,b\n10.0.0.1,1\n10.0.0.2,2\n"))
    assert sheet.table[0].tolist() == ["10.0.0.1", "10.0.0.2"]


def test_a_word_among_numbers_is_a_slip_unless_the_column_is_said_to_be_text(tmp_path):
    path = written(tmp_path, "n,b\n1.5,1\noops,2\n")
    message = "column 'n' of .*csv to hold numbers or text; got both, such as 'oops' among numbers. Correct it, or say"
    with pytest.raises(ValueError, match=message):
        Sheet.read(path)
    assert Sheet.read(path, text=["n"]).table[0].tolist() == ["1.5", "oops"]
    assert Sheet.read(path, drop=["n"]).names == ["b"]


def test_files_of_another_kind_and_columns_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a table to be a .csv or .parquet file; got .*t.xlsx"):
        Sheet.read(tmp_path / "t.xlsx")
    with pytest.raises(ValueError, match="Expected columns to drop among length, city; got 'id'"):
        Sheet.read(written(tmp_path, TEXT), drop=["id"])
    with pytest.raises(ValueError, match="Expected a column to be left of length, city; got all of them to drop"):
        Sheet.read(written(tmp_path, TEXT), drop=["city", "length"])


@pytest.mark.parametrize(
    ("observed", "imputed", "text"),
    [
        (["1700000003", "1699999998", "1700000001"], 1700000003.4567891, "1700000003.4568"),
        (["5812345.1", "5812295.4", "5812395.9"], 5812312.3456789, "5812312.3457"),
        (["1.5", "2.5", "1000000"], 1.23456789, "1.23457"),  # whose spread is large
        (["0.5", "2.5", "3.1"], 0.000123456789, "0.000123457"),
        (["1234567", "7654321", "7654321"], 1234567.0, "1234567"),  # a category or a count, in full
        (["0.12345678", "0.5", "0.7"], 0.12345678, "0.12345678"),
    ],
)
def test_imputed_numbers_have_as_many_digits_as_the_spread_of_their_column_asks(tmp_path, observed, imputed, text):
    sheet = Sheet.read(written(tmp_path, "\n".join(["v,b", ",1", *(f"{cell},2" for cell in observed)])))
    sheet.write(tmp_path / "done.csv", [np.array([imputed, *map(float, observed)]), np.array([1.0, 2, 2, 2])])
    assert (tmp_path / "done.csv").read_text().splitlines()[1] == f"{text},1"


def test_no_column_has_the_name_of_the_one_that_numbers_completed_tables(tmp_path):
    sheet = Sheet.read(written(tmp_path, "a,imputation\n1,2\n,3\n2,4\n"))
    for path in (tmp_path / "many.csv", tmp_path / "many.parquet"):
        with pytest.raises(ValueError, match=r"Expected no column to be called 'imputation'.*: --drop imputation"):
            sheet.write_multiple(path, [[np.array([1.0, 1.5, 2.0]), np.array([2.0, 3.0, 4.0])]])
        assert not path.exists()


def test_blank_lines_are_the_missing_cells_of_a_table_of_one_column_and_of_no_other(tmp_path):
    sheet = Sheet.read(written(tmp_path, "\nv\n1\n\n2.5\n\n"))
    assert np.array_equal(sheet.table[0], [1, np.nan, 2.5, np.nan], equal_nan=True)
    sheet.write(tmp_path / "done.csv", [np.array([1.0, 1.5, 2.5, 2.0])])
    assert (tmp_path / "done.csv").read_text() == "v\n1\n1.5\n2.5\n2\n"
    assert Sheet.read(written(tmp_path, "v,w\n\n1,2\n\n3,4\n")).table[0].tolist() == [1, 3]


def test_suffixes_may_be_capitals(tmp_path):
    sheet = Sheet.read(written(tmp_path, TEXT, "TABLE.CSV"))
    sheet.write(tmp_path / "DONE.CSV", [np.array([1.5, 2.0, 2.25]), np.array(["Bern", "Rom", "Rom"], object)])
    assert (tmp_path / "DONE.CSV").read_text() == "length,city\n1.50,Bern\n2,Rom\n2.25,Rom\n"
