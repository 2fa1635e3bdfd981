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
    found, notices, _ = read_table(save(content))
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
    by_number, by_text = (load(save(text(header=None)), columns=columns) for columns in ([2, 0], "2,0"))
    np.testing.assert_array_equal(by_number.train, by_text.train)
    np.testing.assert_array_equal(read_table(save(text()), ["width"])[0], ROWS[:, [1]])


def test_the_numbers_of_rows_that_pandas_writes_are_left_out(tmp_path):
    """The control: trained on, they would be a column of their own."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=NAMES)
    frame.to_csv(tmp_path / "own.csv")
    frame.iloc[::-1].to_parquet(tmp_path / "own.parquet", index=True)
    for name, rows in (("own.csv", ROWS), ("own.parquet", ROWS[::-1])):
        found, notices, _ = read_table(tmp_path / name)
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
    found = read_table(tmp_path / "own.parquet", ["b", "a"]).values
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


def write_parts(folder, **parts):
    for name, content in parts.items():
        (folder / f"{name}.csv").write_text(content)
    return folder


def test_tables_of_two_parts_are_joined_by_the_names_of_their_columns(tmp_path):
    """The control: by position, lengths would be tested as masses."""
    turned = text(ROWS[12:, ::-1], NAMES[::-1])
    data = load(write_parts(tmp_path, train=text(ROWS[:12]), test=turned, val=turned))
    for found in (data.test, data.validation):
        np.testing.assert_array_equal(found, ROWS[12:].astype(np.float32))
    np.testing.assert_array_equal(load(tmp_path, columns="width,mass").test, ROWS[12:, 1:].astype(np.float32))
    write_parts(tmp_path, train=text(ROWS[:12], None), test=text(ROWS[12:], None), val=text(ROWS[12:], None))
    np.testing.assert_array_equal(load(tmp_path, columns=[2, 0]).test, ROWS[12:][:, [2, 0]].astype(np.float32))


@pytest.mark.parametrize(
    ("train", "test", "got"),
    [
        (NAMES, ("length", "width", "weight"), "length, width, mass and length, width, weight"),
        (NAMES, None, "length, width, mass and no header"),
        (None, NAMES, "no header and length, width, mass"),
    ],
)
def test_tables_of_two_parts_with_other_names_are_refused(tmp_path, train, test, got):
    write_parts(tmp_path, train=text(ROWS[:12], train), test=text(ROWS[12:], test))
    with pytest.raises(ValueError, match=rf"train\.csv and .*test\.csv to have columns of the same names.*got {got}\."):
        load(tmp_path)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (1.7e9 + np.arange(20.0), "from 1700000000 to 1700000019 in column 1"),
        (1e-60 * np.arange(20.0), "from 0 to 1.9e-59"),
    ],
)
def test_values_that_float32_cannot_tell_apart_are_refused(save, values, got):
    """Seconds since 1970: those of 20 rows would be one number. A day apart, or in a file for testing, they are not."""
    rows = [[*row, value] for row, value in zip(ROWS[:, :1], values.tolist(), strict=True)]
    with pytest.raises(ValueError, match=rf"what float32 can tell, .*got values {got}.*Subtract an offset, or rescale"):
        load(save(text(rows, header="ab")))
    daily = [[a, 1.7e9 + 86400 * i] for i, (a, _) in enumerate(rows)]
    assert len(np.unique(load(save(text(daily, header="ab"))).train[:, 1])) == 18
    constant = [[a, 0.1] for a, _ in rows]
    assert load(save(text(constant, header="ab"))).train.shape == (18, 2)


def test_a_few_test_examples_may_be_close_to_one_another(tmp_path):
    early, late = ([[i % 3, 1.7e9 + 86400 * i] for i in range(20)], [[i % 3, 1.7e9 + i] for i in range(20)])
    assert load(write_parts(tmp_path, train=text(early, "ab"), test=text(late, "ab"))).test.shape == (20, 2)


@pytest.mark.parametrize("names", [("train",), ("train", "val"), ("test",)])
def test_a_table_for_one_part_alone_is_refused_as_such(tmp_path, names):
    write_parts(tmp_path, **dict.fromkeys(names, text()))
    got = ", ".join(f"{name}.csv" for name in names)
    with pytest.raises(ValueError, match=rf"to have one file for training and one for testing; got {got}\. Name them"):
        load(tmp_path)


def test_a_folder_with_a_table_of_another_name_says_to_give_the_table(tmp_path):
    write_parts(tmp_path, own=text())
    with pytest.raises(ValueError, match=r"files called train and test; got own\.csv\. Give .*, such as .*own\.csv\."):
        load(tmp_path)


@pytest.mark.parametrize("header", [["a", "b", ""], ["", "", ""][:0]], ids=["header", "none"])
def test_rows_that_end_with_a_comma_have_no_further_column(save, header):
    path = save(text([[*row[:2], ""] for row in ROWS], header=header))
    found, notices, _ = read_table(path)
    np.testing.assert_array_equal(found, ROWS[:, :2])
    assert notices == [f"Left out the last column of {path}, which begins empty, as where rows end with a comma."]


@pytest.mark.parametrize("header", [("2001", "2002", "2003"), ("2000", "2010", "2015")])
def test_a_row_of_numbers_that_reads_like_a_header_is_said_to_be_an_example(save, header):
    path = save(text(header=header))
    found, notices, names = read_table(path)
    np.testing.assert_array_equal(found, [[float(name) for name in header], *ROWS])
    assert names is None
    assert [notice.removeprefix(f"The first row of {path}, ") for notice in notices] == [
        f"{header[0]} to {header[-1]}, is taken for an example. If it is the header, give the columns names that are "
        "no numbers."
    ]
    numbered = save(text([[i, *row] for i, row in enumerate(ROWS)], header=["", *header]))  # by pandas: it is one
    np.testing.assert_array_equal(read_table(numbered).values, ROWS)


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (b"", None, r"to hold a table of numbers; got an empty file\. Check the path\."),
        ("a,b\n", None, "to hold at least one example; got a header alone"),
        ("a,b\n1,x\n2,y\n", None, r"to hold numbers; got something else in b\. Choose others, such as --columns a\."),
        ("a,b\n1,2\n3,\n", None, r"to hold numbers only; got '' in row 3, column b\. Fill .*\(iwax impute\), or"),
        ("a,b\n1,2\n3,n/a\n", None, r"got 'n/a' in row 3, column b"),
        ("a,b\n1,2\n3,4,5\n", None, r"Expected every row of .* to have 2 cells, as its first; got 3 in row 3\."),
        ("a,b\n1,2\n3\n", None, r"to have 2 cells, as its first; got 1 in row 3\."),
        ("a;b\n1,5;2\n2,5;3\n", None, r"something else in a\. Choose others, such as --columns b\."),
        ("a,b\n1,2\n3,nan\n-inf,4\n", None, r"got 2 NaN or infinite values, the first in row 3, column b\. .*impute"),
        ("1,2\n3,4\n5,inf\n", "1", r"got 1 NaN or infinite values, the first in row 3, column 1\. Fill"),
        ("1,\n3,4\n5,6\n", None, r"got '' in row 1, column 1\. Fill"),
        ("a,b\n1,2\n1,2\n", "a,c", r"Expected columns of .* to be some of a, b; got 'c', no such\."),
        ("length,b\n1,2\n", "lenght", r"got 'lenght', no such\. Did you mean 'length'\?"),
        ("a,a\n1,2\n3,4\n", "a", r"to have names of their own; got 2 called 'a'\. Rename them in the file\.$"),
        ("a,b\n1,2\n3,4\n", [], r"Expected columns to name at least one; got none\. Leave it out"),
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
