"""Files read with the types that they must have: a value, or one line that names the file and what is wrong in it."""

import json
from typing import Any, Required, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iwax.errors import IwaxError
from iwax.reading import Count, _fits, _problem, check_type, read_lines, read_typed, types_of


class Inner(TypedDict, total=False):
    step: Required[Count]


class Outer(TypedDict, total=False):
    state: Required[str]
    seconds: float
    note: str | None
    values: dict[str, float | None]
    pair: tuple[int, float]
    parts: list[Inner]
    anything: Any


GOOD = {
    **{"state": "running", "seconds": 2, "note": None, "values": {"log_p": None, "elbo": -1.5}, "pair": [1, 2]},
    **{"parts": [{"step": 3, "of another version": 1}], "anything": [{}], "unheard of": 7},
}


def test_what_is_of_the_type_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD))
    assert read_typed(path, Outer) == GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": 3}, "Expected state of .*a.json to be text; got 3"),
        ({"seconds": True}, "Expected seconds of .*a.json to be a number; got True"),
        ({"seconds": 10**400}, "Expected seconds of .*a.json to be a number; got 1000"),
        ({"note": []}, r"Expected note of .*a.json to be text or null; got \[\]"),
        ({"values": {"elbo": "x"}}, "Expected elbo of values of .*a.json to be a number or null; got 'x'"),
        ({"values": [1]}, r"Expected values of .*a.json to be an object of JSON; got \[1\]"),
        ({"pair": [1]}, r"Expected pair of .*a.json to be a list of 2; got \[1\]"),
        ({"parts": [{"step": -1}]}, "step of item 1 of parts of .*a.json to be an integer of at least 0; got -1"),
        ({"parts": [{}]}, "Expected item 1 of parts of .*a.json to have step; got nothing"),
        ({"parts": None}, "Expected parts of .*a.json to be a list; got None"),
    ],
)
def test_what_is_of_another_type_is_named_with_its_place_and_what_to_do(tmp_path, change, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(IwaxError, match=message + r".*\. Delete it\."):
        read_typed(path, Outer, "Delete it.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "to be JSON; got Expecting value"),
        (b"[" * 100_000, "to be JSON; got one that is nested too deeply"),
        (b'{"state": "\\ud800"}', "to be JSON; got .*surrogates not allowed"),
        (b"\xff\xfe", "to be text in UTF-8"),
        (b"[]", r"to be an object of JSON; got \[\]"),
        (b"{}", "to have state; got nothing"),
    ],
)
def test_what_is_no_such_json_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(IwaxError, match=rf"Expected .*a\.json {message}"):
        read_typed(tmp_path / "a.json", Outer)


def test_what_cannot_be_read_is_named_whatever_the_system_says(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name, why in (("folder", "Is a directory"), ("loop", "Too many levels"), ("none", "No such file")):
        with pytest.raises(IwaxError, match=f"Expected .*{name} to be a readable file; got {why}"):
            read_typed(tmp_path / name, Outer)


def test_a_line_among_several_is_named_by_its_number_and_a_torn_last_one_is_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert read_lines(path, Inner) == [{"step": 1}, {"step": 2}]
    path.write_text('{"step": 1}\n{"step": "2"}\n')
    with pytest.raises(
        IwaxError, match=r"Expected step of line 2 of .*a\.jsonl to be an integer of at least 0; got '2'"
    ):
        read_lines(path, Inner)


def test_true_is_no_number_and_an_integer_is_one():
    check_type(3, float, "x")
    check_type(True, bool, "x")
    for kind in (int, float, Count):
        with pytest.raises(IwaxError, match="Expected x to be"):
            check_type(True, kind, "x")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.just(10**400) | st.floats() | st.sampled_from(["", "state"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["state", "step", "pair"]), inner),
    max_leaves=6,
)


@given(value=VALUES)
def test_the_quick_answer_is_that_of_the_one_with_words(value):
    for kind in (Outer, Inner, *types_of(Outer).values(), int | list[float], tuple[Count, dict[str, float]]):
        assert _fits(kind)(value) == (_problem(value, kind, "x") == "")
