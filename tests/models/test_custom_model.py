"""Models of one's own, FILE.py:FUNCTION: what the function is given, what is refused, and what a run keeps of them."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from iwax.cli import main
from iwax.models.custom import OwnModel, is_own
from iwax.runs import folder as runs
from iwax.runs.folder import RunFolder
from iwax.runs.initial import build_model
from iwax.runs.launch import new_run, resume_run
from iwax.runs.loading import load_run
from iwax.runs.resolution import resolve
from tiny import tiny_config, tiny_data

DATA = tiny_data()
CODE = """
import iwax

def make_model(key, data_mean, data_shape):
    return iwax.VAE(data_shape[0] * data_shape[1], [2], [[8]], key=key, data_mean=data_mean)
"""


@pytest.fixture
def write(tmp_path):
    def make(source, function="make_model"):
        path = tmp_path / "my_model.py"
        path.write_text(source)
        return f"{path}:{function}"

    return make


def leaves(model):
    return [leaf for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


def test_which_names_are_files():
    assert is_own("a.py:make")
    assert is_own("folder/a.py")
    assert not is_own("one-layer")


@pytest.mark.parametrize(
    ("parameters", "given"),
    [
        ("key", ["key"]),
        ("*, data_shape, key", ["data_shape", "key"]),
        ("key, data_mean=None, width=3", ["data_mean", "key"]),
        ("**options", ["data_mean", "data_shape", "key"]),
    ],
)
def test_the_function_is_given_what_it_takes(write, parameters, given):
    names = [part.split("=")[0].strip(" *") for part in parameters.split(",")]
    record = "options" if names == ["options"] else "{" + ", ".join(f"{n!r}: {n}" for n in names if n) + "}"
    own = OwnModel.read(write(f"def make_model({parameters}):\n    return {record}\n"))
    made = own.make(DATA.train, jax.random.key(3))
    assert sorted(made.keys() - {"width"}) == given
    if "data_mean" in given:
        np.testing.assert_allclose(made["data_mean"], DATA.train.mean(axis=0) / 255, rtol=1e-6)
    if "data_shape" in given:
        assert made["data_shape"] == (4, 4)
    assert made["key"] == jax.random.key(3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "my_model.py to have a function make_model; it has none. Check the name."),
        ("make_model = 3", "my_model.py to have a function make_model; it has none."),
        ("x = (\n", "my_model.py to work; got SyntaxError: '(' was never closed"),
        ("\nimport no_such_package", "got ModuleNotFoundError: No module named 'no_such_package' (line 2)."),
        (
            "def make_model(key):\n    return key.no_such",
            "my_model.py:make_model(key) to work; got AttributeError: ",
        ),
        ("def make_model(key, width):\n    return key", "make_model(key) to work; got TypeError: "),
        (
            "def make_model(key):\n    return 3",
            "my_model.py:make_model makes to meet the contract of a model. Expected the model to have posterior,",
        ),
    ],
)
def test_what_is_refused_in_one_line(write, tmp_path, capsys, source, message):
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--dataset", "mnist-sample", "--model", write(source), "--out", str(tmp_path / "run")])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("iwax: ")]
    assert exit_.value.code == 2
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "nowhere.py:make_model"}, "Expected model to be FILE.py:FUNCTION; nowhere.py cannot be read"),
        ({"model": "nowhere.py"}, "Expected model to be the name of an architecture or FILE.py:FUNCTION; got 'nowhere"),
        (
            {"model": "a.py:make", "likelihood": "gaussian"},
            "Expected no likelihood with a model of your own; got 'gaus",
        ),
        (
            {"model": "a.py:make", "init": "torch"},
            "Expected no init with a model of your own; got 'torch'. Choose it in",
        ),
    ],
)
def test_names_that_are_refused(tmp_path, fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        new_run(tiny_config(**fields), tmp_path / "run", data=DATA)


def test_the_record_leaves_open_what_the_model_decides(write):
    config = resolve(tiny_config(model=write(CODE))).config
    assert (config.likelihood, config.init, config.output_bias, config.scale_map) == (None, None, None, None)
    assert resolve(tiny_config()).config.likelihood == "bernoulli"
    assert resolve(config).config == config


@pytest.fixture
def stopped(write, tmp_path):
    config = tiny_config(model=write(CODE), epochs=3)
    return new_run(config, tmp_path / "run", data=DATA, time_limit=1e-9)


def test_a_run_keeps_the_code_that_it_began_with(stopped, tmp_path):
    name = stopped.config().model
    (tmp_path / "my_model.py").write_text("raise RuntimeError('changed since')")
    resume_run(stopped.path, data=DATA, options={"model": name})
    (tmp_path / "my_model.py").unlink()
    run = load_run(stopped.path, data=DATA)
    assert stopped.json("status.json")["state"] == "finished"
    kept = OwnModel.read(name, kept=stopped.path / runs.MODEL)
    assert kept.source == CODE
    assert stopped.json("environment.json")["model"] == {
        "file": str(tmp_path / "my_model.py"),
        "function": "make_model",
        "sha256": kept.sha256,
    }
    assert not same(run.model, build_model(run.resolved, DATA.train, kept))  # it has been trained


def test_an_undisturbed_run_is_the_same(stopped, write, tmp_path):
    resume_run(stopped.path, data=DATA)
    undisturbed = new_run(tiny_config(model=write(CODE), epochs=3), tmp_path / "other", data=DATA)
    for name in (runs.CHECKPOINT, runs.METRICS):
        assert (stopped.path / name).read_bytes() == (undisturbed.path / name).read_bytes()


def test_a_kept_copy_that_was_changed_is_refused(stopped):
    stopped.write(runs.MODEL, CODE.replace("[[8]]", "[[8]] "))
    for use in (load_run, resume_run):
        with pytest.raises(
            ValueError, match=r"model\.py to be the code that the run began with, SHA-256 .*Put it back"
        ):
            use(stopped.path, data=DATA)


def test_starting_from_a_run_of_other_code_is_refused(stopped, write, tmp_path):
    start = {"init_from": str(stopped.path), "model": write(CODE)}
    new_run(tiny_config(**start), tmp_path / "again", data=DATA, time_limit=1e-9)
    write(CODE + "# another line\n")
    with pytest.raises(
        ValueError, match=r"run of the same model; these differ: model\.py: \w{12}\.\.\. -> \w{12}\.\.\.\."
    ):
        new_run(tiny_config(**start), tmp_path / "third", data=DATA)


def test_overwriting_a_run_removes_its_model(stopped):
    config = dataclasses.replace(tiny_config(), model="one-layer")
    new_run(config, stopped.path, data=DATA, overwrite=True, time_limit=1e-9)
    assert not (RunFolder(stopped.path).path / runs.MODEL).exists()
