"""What an interrupted evaluation keeps: rows with checksums, of which those before the first damaged one are used."""

import io
import json

import numpy as np
import pytest

from iwax.judging.partial import PartialEvaluation


class File(io.BytesIO):
    """A file in memory, with the name that a message has."""

    name = "evaluation.partial"


SETTINGS = {"seed": 0, "data": "x"}
VALUES = {"log_likelihood": np.arange(6.0), "khat": np.array([0.1, np.nan, np.inf, 0.4, 0.5, 0.6])}


@pytest.fixture
def content():
    file = File()
    partial = PartialEvaluation(file, SETTINGS)
    for part in (slice(0, 4), slice(4, 6)):
        partial.append({name: values[part] for name, values in VALUES.items()})
    return file.getvalue()


def rows_of(content):
    """Where the first row begins, and how long each is: two numbers and a checksum."""
    return content.index(b"\n") + 1, 2 * 8 + 4


def test_finished_examples_come_back(content):
    found = PartialEvaluation(File(content), SETTINGS)
    assert (len(found), found.damage, found.differences) == (6, "", [])
    for name, values in VALUES.items():
        np.testing.assert_array_equal(found.values[name], values)


def test_a_bit_turned_over_anywhere_is_never_taken_for_a_number(content):
    """Each bit of every row: what is kept is what was written, up to the row with the damage."""
    begin, width = rows_of(content)
    assert begin + 6 * width == len(content)
    for place in range(begin, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        found = PartialEvaluation(File(damaged), SETTINGS)
        row = (place - begin) // width
        assert len(found) == row
        assert found.damage == f"row {row + 1} has another checksum"
        np.testing.assert_array_equal(found.values["log_likelihood"], VALUES["log_likelihood"][:row])


def test_rows_that_changed_places_are_damage(content):
    begin, width = rows_of(content)
    first, second = content[begin : begin + width], content[begin + width : begin + 2 * width]
    swapped = content[:begin] + second + first + content[begin + 2 * width :]
    assert len(PartialEvaluation(File(swapped), SETTINGS)) == 0


def test_a_damaged_first_line_starts_again_whatever_it_is(content):
    begin, _ = rows_of(content)
    for place in range(0, begin - 1, 3):
        damaged = bytearray(content)
        damaged[place] ^= 4
        file = File(damaged)
        found = PartialEvaluation(file, SETTINGS)
        assert len(found) == 0
        assert (file.getvalue(), bool(found.damage)) == (b"", True) or damaged[place : place + 1] == b"\n"
    for line in (b"null\n", b"[" * 9000 + b"\n", b"\xff\xfe\n", b"{}\n"):
        assert PartialEvaluation(File(line + content[begin:]), SETTINGS).damage


def test_a_file_of_an_earlier_version_without_checksums_starts_again():
    old = json.dumps({"settings": SETTINGS, "columns": ["log_likelihood"]}).encode() + b"\n" + np.arange(3.0).tobytes()
    file = File(old)
    assert "to have checksum" in PartialEvaluation(file, SETTINGS).damage
    assert file.getvalue() == b""


def test_going_on_after_damage_writes_rows_that_are_whole(content):
    begin, width = rows_of(content)
    damaged = bytearray(content)
    damaged[begin + 3 * width] ^= 1
    file = File(damaged)
    partial = PartialEvaluation(file, SETTINGS)
    partial.keep(2)
    partial.append({name: values[2:] for name, values in VALUES.items()})
    assert file.getvalue() == content
