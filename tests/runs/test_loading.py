"""A loaded run: made once from a folder, its data read only when they are asked for."""

import dataclasses
import json

import equinox as eqx
import jax
import numpy as np
import pytest

from iwax.cli import main
from iwax.data.dataset import Dataset
from iwax.judging.pictures import sample_sheet
from iwax.runs import loading
from iwax.runs.config import RunConfig
from iwax.runs.folder import RunFolder
from iwax.runs.initial import build_model
from iwax.runs.launch import plan
from iwax.runs.loading import load_run
from iwax.runs.resolution import resolve
from tiny import tiny_config, tiny_data

DATA = tiny_data()  # of a name that no source has


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of numbers that no initial model has, without the time that training takes."""
    path = tmp_path_factory.mktemp("loading") / "run"
    session, state = plan(resolve(tiny_config()), path, DATA).create()
    moved = jax.tree.map(lambda leaf: leaf + 0.01 if eqx.is_inexact_array(leaf) else leaf, state.model)
    session.folder.save(dataclasses.replace(state, model=moved))
    return path


def test_a_run_is_loaded_without_its_data_to_the_model_that_its_data_give(trained):
    run = load_run(trained)
    with_data = RunFolder(trained).checkpoint().fill(build_model(run.resolved, DATA.train), ".model")
    assert jax.tree.structure(run.model) == jax.tree.structure(with_data)
    assert eqx.tree_equal(run.model, with_data)
    assert not eqx.tree_equal(run.model, build_model(run.resolved, DATA.train))
    assert run.checkpoint_sha256 == RunFolder(trained).checkpoint().sha256
    assert run.config == RunFolder(trained).config()
    assert load_run(run) is run
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.model = None
    with pytest.raises(ValueError, match="Expected the data of this run to be at tiny"):
        _ = run.data


def test_samples_are_drawn_where_the_data_set_is_gone(trained, tmp_path, capsys):
    """To the bytes of the picture that is drawn where it is there."""
    there = sample_sheet(trained, num_images=4, out=tmp_path / "there.png", data=DATA)
    with pytest.raises(SystemExit) as exit_:
        main(["sample", str(trained), "--num-images", "4", "--out", str(tmp_path / "gone.png")])
    assert exit_.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "gone.png").read_bytes() == there.read_bytes()
    with pytest.raises(SystemExit) as exit_:
        main(["reconstruct", str(trained)])  # which are of test images
    assert exit_.value.code == 2
    assert "Expected the data of this run to be at tiny" in capsys.readouterr().err


def test_data_are_read_once_and_late(trained, monkeypatch):
    reads = []
    monkeypatch.setattr(loading, "data_of_run", lambda config, data_dir, _: reads.append(data_dir) or DATA)
    run = load_run(trained, data_dir="here")
    assert not reads
    assert run.data is run.data is DATA
    assert run.test_images(0).shape == (12, 4, 4)
    assert np.array_equal(run.test_images(0, 3), run.test_images(0)[:3])
    assert np.array_equal(run.training_images, DATA.train)
    assert reads == ["here"]


def edited(run, **environment):
    return dataclasses.replace(run, environment=environment)


def test_how_images_look_is_on_record_or_known_or_asked_of_the_data(trained):
    run = load_run(trained)
    assert (run.example_shape, run.shades) == ((4, 4), (0.0, 1.0))
    before = edited(run)  # a record of before
    with pytest.raises(ValueError, match="Expected the data of this run"):
        _ = before.example_shape
    of_mnist = dataclasses.replace(before, resolved=resolve(RunConfig(objective="elbo")))
    assert of_mnist.example_shape == (28, 28)
    real = dataclasses.replace(run, resolved=resolve(RunConfig(likelihood="gaussian", binarize="none")))
    assert edited(real, example_range=[-1.0, 3.0]).shades == (-1.0, 3.0)


def test_the_range_of_real_values_is_recorded(tmp_path):
    values = np.linspace(-1, 3, 20 * 4, dtype=np.float32).reshape(20, 4)
    data = Dataset(values, values[:5], name="real", split="standard", checksums={}, source="this test")
    config = tiny_config(likelihood="gaussian", binarize="none", epochs=1)
    plan(resolve(config), tmp_path / "run", data).create()
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert recorded["example_range"] == pytest.approx([values[:5].min(), values[:5].max()])
    assert recorded["example_shape"] == [4]
