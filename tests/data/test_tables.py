"""Tables of numbers: .csv as programs write it, .parquet, and what of either is refused in one line."""

import re

import numpy as np
import pytest

from iwax.data import DataWarning
from iwax.data.catalog import load
from iwax.data.tables import read_table

ROWS = np.round(np.random.default_rng(0).normal(size=(20, 3)), 3)
NAMES = ("length", "width", "mass")


def text(rows=ROWS, header=NAMES, delimiter=",", end="\n"):
    lines = [delimiter.join(header)] if header else []
    return end.join([*lines, *(delimiter.join(map(str, row)) for row in rows)]) + end


@pytest.fixture
def save(tmp_path):
    def make(content, name="own.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


@pytest.mark.parametrize(
    "content",
    [
        text(),
        text(header=None),
        text(delimiter=";"),
        text(delimiter="\t"),
        text(end="\r\n"),
        text().encode("utf-8-sig"),
        text(header=['"length, in mm"', "width", "mass"]),
        text() + "\n\n",
        text(rows=[[f'"{cell}"' for cell in row] for row in ROWS]),
        text(rows=[[f" {cell} " for cell in row] for row in ROWS]),
    ],
    ids=["comma", "no header", "semicolon", "tab", "Windows", "mark", "quotes", "blank lines", "quoted", "blanks"],
)
def test_a_csv_is_its_numbers_however_it_is_written(save, content):
    found, notices = read_table(save(content))
    np.testing.assert_array_equal(found, ROWS)
    assert notices == []


def test_a_csv_is_split_and_real_valued(save):
    data = load(save(text()), "test_fraction=0.25")
    assert (data.train.shape, data.test.shape, data.train.dtype) == ((15, 3), (5, 3), np.float32)


def test_columns_by_name_in_the_order_in_which_they_are_given(save):
    path = save(text(rows=[[*row, "red"] for row in ROWS], header=[*NAMES, "colour"]))
    for columns in ("mass,length", ["mass", "length"], " mass , length "):
        data = load(path, "test_fraction=0.01", columns=columns)
        assert np.isin(data.train[:, 0], ROWS[:, 2].astype(np.float32)).all()
        assert data.train.shape == (19, 2)
    np.testing.assert_array_equal(read_table(save(text(header=None)), ["2", "0"])[0], ROWS[:, [2, 0]])
    np.testing.assert_array_equal(read_table(save(text()), ["width"])[0], ROWS[:, [1]])


def test_the_numbers_of_rows_that_pandas_writes_are_left_out(tmp_path):
    """The control: trained on, they would be a column of their own."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=NAMES)
    frame.to_csv(tmp_path / "own.csv")
    frame.iloc[::-1].to_parquet(tmp_path / "own.parquet", index=True)
    for name, rows in (("own.csv", ROWS), ("own.parquet", ROWS[::-1])):
        found, notices = read_table(tmp_path / name)
        np.testing.assert_array_equal(found, rows)
        assert [re.sub(r"of .*/own", "of own", notice) for notice in notices] == [
            f"Left out the column of {name} without a name, which numbers the rows."
        ]
    pandas.DataFrame(ROWS).to_csv(tmp_path / "own.csv", index=False)  # whose header is 0,1,2
    with pytest.warns(DataWarning, match=r"The first row of .*own\.csv, 0 to 2, is its header\."):
        assert len(load(tmp_path / "own.csv").train) == 18


def test_a_parquet_of_numbers_of_any_kind(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "a": pyarrow.array(range(20), "int8"),
        "b": pyarrow.array([i % 2 == 0 for i in range(20)]),
        "c": ["x"] * 20,
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "own.parquet")
    found, _ = read_table(tmp_path / "own.parquet", ["b", "a"])
    np.testing.assert_array_equal(found, [[i % 2 == 0, i] for i in range(20)])
    with pytest.raises(
        ValueError, match=r"hold numbers; got something else in c\. Choose others, such as --columns a,b"
    ):
        load(tmp_path / "own.parquet")
    parquet.write_table(pyarrow.table({"a": [1.0, None, 3.0]}), tmp_path / "own.parquet")
    with pytest.raises(ValueError, match=r"to hold numbers only; got 1 empty of 3 cells in column a\. Fill what"):
        load(tmp_path / "own.parquet")
    (tmp_path / "own.parquet").write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"Expected .*own\.parquet to be a file of \.parquet; got .*Save it again"):
        load(tmp_path / "own.parquet")


def test_without_pyarrow_one_line_says_what_brings_it(save, monkeypatch):
    monkeypatch.setattr("iwax.extras.find_spec", lambda module: None)
    with pytest.raises(
        ImportError, match=r'pyarrow to be installed for files of \.parquet; pip install "iwax\[impute\]"'
    ):
        load(save("", "own.parquet"))


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_a_folder_with_a_file_for_each_part(tmp_path, suffix):
    for name, rows in (("train", ROWS[:12]), ("Test", ROWS[12:16]), ("val", ROWS[16:])):
        path = tmp_path / f"{name}.{suffix}"
        path.write_text(text(rows)) if suffix == "csv" else np.save(path, rows)
    data = load(tmp_path)
    assert data.split == "given"
    for part, rows in ((data.train, ROWS[:12]), (data.test, ROWS[12:16]), (data.validation, ROWS[16:])):
        np.testing.assert_array_equal(part, rows.astype(np.float32))


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (b"", None, r"to hold a table of numbers; got an empty file\. Check the path\."),
        ("a,b\n", None, "to hold at least one example; got a header alone"),
        ("a,b\n1,x\n2,y\n", None, r"to hold numbers; got something else in b\. Choose others, such as --columns a\."),
        ("a,b\n1,2\n3,\n", None, r"to hold numbers only; got '' in row 3, column b\. Fill what is missing, or choose"),
        ("a,b\n1,2\n3,n/a\n", None, r"got 'n/a' in row 3, column b"),
        ("a,b\n1,2\n3,4,5\n", None, r"Expected every row of .* to have 2 cells, as its first; got 3 in row 3\."),
        ("a,b\n1,2\n3\n", None, r"to have 2 cells, as its first; got 1 in row 3\."),
        ("a;b\n1,5;2\n2,5;3\n", None, r"something else in a\. Choose others, such as --columns b\."),
        ("a,b\n1,nan\n3,4\n", None, "to be finite; got 1 NaN or infinite values"),
        ("a,b\n1,2\n1,2\n", "a,c", r"Expected columns of .* to be some of a, b; got 'c', no such\."),
        ("length,b\n1,2\n", "lenght", r"got 'lenght', no such\. Did you mean 'length'\?"),
        ("a,a\n1,2\n3,4\n", "a", r"got 'a', 2 of that name\."),
        (
            "a,b\n5,5\n5,5\n",
            None,
            r"to differ somewhere; got 2 examples of shape \(2,\), every value of them 5\.0\. Check",
        ),
        ("a\n1\n", None, "to hold at least 2 examples, as some are for testing; got one"),
        (b"a,b\n1,2\n\xff\xfe,3\n", None, "Expected .* to be text in UTF-8; got .*Save it again"),
        (b"\xff\xfea,b\n", None, "Expected .* to be text in UTF-8; got .*Save it again"),
    ],
)
def test_bad_tables_are_refused_in_one_line(save, content, columns, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(save(content), columns=columns)
    assert "\n" not in str(caught.value)


def test_columns_are_refused_where_there_are_none(tmp_path):
    np.save(tmp_path / "own.npy", ROWS)
    with pytest.raises(
        ValueError, match=r"Expected columns with a table only, \.csv or \.parquet; got a,b for .*own\.npy"
    ):
        load(tmp_path / "own.npy", columns="a,b")
    for options in ({"columns": "a"}, {"grey": True}, {"background": "white"}):
        with pytest.raises(ValueError, match=r"with a file or folder of your own only; got .* for mnist-sample"):
            load("mnist-sample", **options)
