"""What a sweep is asked for: grids, cases, seeds, and options refused by name."""

import pytest

from iwax.errors import IwaxError
from iwax.sweeps.specification import Specification, read_grid, read_specification

SPEC = """
seeds = 2

[base]
dataset = "mnist-sample"
recipe = "burda-paper"
beta1 = 1

[grid]
objective = ["iwae", "elbo"]
num-samples = [1, 5]

[[case]]
objective = "ciwae"
beta = 0.5
"""


def spec(tmp_path, text):
    (tmp_path / "sweep.toml").write_text(text)
    return read_specification(tmp_path / "sweep.toml")


def test_a_file_asks_for_every_combination_and_every_case_with_every_seed(tmp_path):
    runs = spec(tmp_path, SPEC).runs()
    assert len(runs) == (2 * 2 + 1) * 2
    asked = [(run["objective"], run.get("num_samples"), run.get("beta"), run["seed"]) for run in runs]
    assert asked[:5] == [
        ("iwae", 1, None, 0), ("iwae", 5, None, 0), ("elbo", 1, None, 0), ("elbo", 5, None, 0), ("ciwae", None, 0.5, 0)
    ]  # fmt: skip
    assert [seed for *_, seed in asked] == [0] * 5 + [1] * 5
    assert {(run["protocol"], run["dataset"]) for run in runs} == {("burda-paper", "mnist-sample")}
    assert all(isinstance(run["beta1"], float) for run in runs)


def test_cases_alone_are_no_grid_and_the_base_alone_is_one_run(tmp_path):
    one = spec(tmp_path, '[base]\nseed = 3\n[[case]]\nobjective = "elbo"\n')
    assert one.runs() == [{"seed": 3, "objective": "elbo"}]
    assert spec(tmp_path, "[base]\nseed = 3\n").runs() == [{"seed": 3}]
    assert Specification(base={"seed": 3}, seeds=2).runs() == [{"seed": 3}, {"seed": 4}]
    assert spec(tmp_path, '[grid]\nseed = [7, 9]\n[[case]]\nmodel = "two-layer"\n').runs() == [
        {"seed": 7, "model": "two-layer"},
        {"seed": 9, "model": "two-layer"},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bass]", r"got 'bass'\. Did you mean 'base'\?"),
        ('[base]\nobjectiv = "iwae"', r"\[base\] of .* got 'objectiv'\. Did you mean 'objective'\?"),
        ("[grid]\nnum_sample = [1]", r"\[grid\] of .* Did you mean 'num_samples'\?"),
        ("[grid]\nnum_samples = 5", "to be a list of values; got 5"),
        ("[grid]\nnum_samples = []", "to be a list of values; got"),
        ('[grid]\nnum_samples = ["5"]', "num_samples in .* to be an integer; got '5'"),
        ("[base]\nepochs = true", "epochs in .* to be an integer; got True"),
        ("[[case]]\nbeta = 1\n[[case]]\nbeter = 1", r"\[\[case\]\] 2 of .* Did you mean 'beta'\?"),
        ("[case]\nbeta = 1", r"to begin with \[\[case\]\]"),
        ("a = ", "to be TOML; got an error"),
    ],
)
def test_what_no_sweep_can_mean_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(IwaxError, match=message):
        spec(tmp_path, text)


def test_seeds_are_given_once():
    with pytest.raises(IwaxError, match="Expected seeds or a grid of seed; got both"):
        Specification(grid={"seed": [1]}, seeds=2).runs()


def test_a_grid_of_the_command_line_has_values_of_the_type_of_their_option():
    assert read_grid(["beta=0,0.5", "grey=true,false", "recipe=fast", "num-samples=1"]) == {
        **{"beta": [0.0, 0.5], "grey": [True, False], "protocol": ["fast"], "num_samples": [1]},
    }


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("num_samples", "Expected --grid NAME=VALUE,VALUE,...; got 'num_samples'"),
        ("num_samples=", "Expected --grid NAME=VALUE"),
        ("num_samples=1,x", "num_samples in --grid num_samples=1,x to be an integer; got 'x'"),
        ("grey=perhaps", "to be true or false"),
        ("epoch=1", "Did you mean 'epochs'"),
    ],
)
def test_a_grid_that_cannot_be_read_is_refused(pair, message):
    with pytest.raises(IwaxError, match=message):
        read_grid([pair])
    with pytest.raises(IwaxError, match="once in --grid; got epochs twice"):
        read_grid(["epochs=1", "epochs=2"])


def test_runs_that_are_equal_are_one_however_their_numbers_are_written():
    grid = {"num_samples": [5, 1, 5], "beta1": [0.5, 1, 1.0], "columns": [["a", "b"], ["a", "b"], ["b", "a"]]}
    runs = Specification(grid=grid).runs()
    assert [(run["num_samples"], run["beta1"], run["columns"]) for run in runs] == [
        (n, beta1, columns) for n in (5, 1) for beta1 in (0.5, 1) for columns in (["a", "b"], ["b", "a"])
    ]
