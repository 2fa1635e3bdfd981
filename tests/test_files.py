"""All JSON that iwax writes or prints can be read by a parser that knows no NaN and no Infinity, as most do not."""

import ast
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.cli import main
from iwax.evaluation.annealing import Annealing
from iwax.experiments.identity import identifier
from iwax.experiments.points import measure_points
from iwax.experiments.records import Record
from iwax.files import dumps
from iwax.judging.anneal import _Records
from iwax.runs.config import RunConfig
from iwax.runs.folder import RunFolder
from iwax.runs.launch import new_run
from tiny import tiny_config, tiny_data

ROOT = Path(__file__).parents[1]


def strictly(text):
    """The JSON of a text by the standard: the three words that Python adds to it are errors."""

    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_parser_of_these_tests_refuses_what_python_writes():
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="is no JSON"):
            strictly(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "null"),
        ([1, -math.inf, True, None, "NaN"], '[1, null, true, null, "NaN"]'),
        ({"a": ({"b": math.inf},), 3: 0.5}, '{"a": [{"b": null}], "3": 0.5}'),
        (np.float64("nan"), "null"),
        (np.float32(0.5), "0.5"),
        ({"n": np.int64(3), "yes": np.bool_(True)}, '{"n": 3, "yes": true}'),
        (np.array([[1.0, np.nan]]), "[[1.0, null]]"),
        (jnp.array([np.inf, 2.0]), "[null, 2.0]"),
    ],
)
def test_what_is_not_finite_is_null_and_arrays_are_lists(value, text):
    assert dumps(value) == text


def test_finite_values_are_written_as_before_to_the_byte():
    value = {"z": [0.1, 1e-300, 3], "a": {"b": "é", "c": None, "d": False}, "e": [], "f": 1e22}
    for options in ({}, {"indent": 2}, {"sort_keys": True, "separators": (",", ":")}):
        assert dumps(value, **options) == json.dumps(value, **options)


def test_what_json_does_not_have_is_refused_by_name_and_default_serves():
    with pytest.raises(TypeError, match="Expected values that JSON has; got complex"):
        dumps({"a": 1j})
    assert dumps(1j, default=lambda value: [value.real, math.nan]) == "[0.0, null]"


def test_nothing_else_in_the_source_writes_json():
    """No `json.dump` nor `json.dumps` but in the one module."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Attribute) and node.attr in ("dump", "dumps", "JSONEncoder")
            imported = isinstance(node, ast.ImportFrom) and node.module == "json"
            if imported or (named and isinstance(node.value, ast.Name) and node.value.id == "json"):
                found.append(path.name)
    assert found == ["files.py"]


def test_committed_records_keep_their_bytes_and_their_identities():
    """The identity of one, from the SHA-256 of its bytes written out by hand, and the text of all."""
    paths = sorted((ROOT / "results").glob("*.json"))
    for path in paths:
        assert Record.from_json(path.read_text()).to_json() == path.read_text()
        strictly(path.read_text())
    assert len(paths) > 100
    assert identifier({"num_samples": 5}, {"num_samples": 64}) == "38e01de6f6d4"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strict")
    np.savez(folder / "own.npz", train=tiny_data().train, test=tiny_data().test)
    return new_run(tiny_config(dataset=str(folder / "own.npz")), folder / "run").path


def printed(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert exit_.value.code == 0, captured.err
    return captured.out


@pytest.mark.slow
def test_a_degenerate_evaluation_is_strict_json_as_written_and_as_printed(run, capsys):
    """One test image has no error over test images: NaN, which was printed and written as such."""
    assert math.isnan(iwax.evaluation.standard_error(np.ones(1)))  # the control: there is something to replace
    options = ("--test-images", 1, "--num-samples", 64)
    table = printed(capsys, "evaluate", run, *options)
    assert strictly((run / "evaluation.json").read_text())["log_p_test_error"] is None
    result = strictly(printed(capsys, "evaluate", run, *options, "--json"))
    assert result["log_p_test_error"] is None
    assert math.isfinite(result["log_p"])
    assert "not finite over examples" in table
    assert printed(capsys, "evaluate", run, *options) == table  # of what was written, as of what was computed
    assert "not finite over images" in printed(
        capsys, "anneal", run, "--images", 1, "--num-samples", 64, "--num-distributions", 1, "--no-sandwich"
    )
    strictly((run / "annealing.json").read_text())
    for line in (run / "annealing.jsonl").read_text().splitlines():
        strictly(line)


def test_weights_of_zero_come_back_from_an_annealing_that_goes_on(run):
    """-inf is a finite bound's business: as null it would be NaN, and the bound with it."""
    folder = RunFolder(run)
    log_weights = np.array([[-np.inf, -2.0]])
    result = Annealing(log_weights, np.array([np.nan]), upper=False)
    records = _Records(folder, {"seed": 1}, 1, math.inf, None)
    records._keep("test", range(1), result)
    for line in (run / "annealing.jsonl").read_text().splitlines():
        strictly(line)
    key, options = jax.random.key(0), {"num_chains": 2}
    again = _Records(folder, {"seed": 1}, 1, math.inf, None).anneal("test", None, np.zeros((1, 2)), None, key, options)
    np.testing.assert_array_equal(again.log_weights, log_weights)
    assert np.isfinite(again.bound).all()
    assert np.isnan(again.acceptance).all()


def test_a_studys_points_are_the_same_when_measured_and_when_read_again(tmp_path):
    """A NaN that turned into null on the second call would be another number."""
    first = measure_points(tmp_path, [{"k": 1}], lambda point: {"snr": math.nan, "shown": (1.0,)})
    assert measure_points(tmp_path, [{"k": 1}], lambda point: pytest.fail("measured again")) == first
    assert first[0]["snr"] is None
    strictly((tmp_path / "points.jsonl").read_text())


def test_a_configuration_that_json_cannot_hold_is_refused():
    """null would be the default: another run than the one asked for."""
    with pytest.raises(ValueError, match="Expected clip to be finite; got inf"):
        RunConfig(clip=math.inf).to_json()
