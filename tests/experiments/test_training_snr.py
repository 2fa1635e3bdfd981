"""Signal-to-noise of every estimator along training, on a run of seconds."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from matplotlib.axes import Axes

import iwax
from in_process import run_command as run
from iwax.experiments.rainforth_snr import Linear, Toy
from iwax.experiments.training_snr import (
    Settings,
    estimators,
    figure,
    measure,
    measure_run,
    measure_training,
    sizes,
    table,
)
from iwax.runs import Checkpoint, new_run
from iwax.zoo import open_run
from tiny import tiny_config, tiny_data

SETTINGS = Settings(num_samples=2, num_examples=2, num_replicates=4, objectives=("elbo",))


@pytest.mark.parametrize("name", iwax.OBJECTIVES)
def test_every_objective_takes_the_same_number_of_samples(name):
    made = estimators(name, 12)
    assert set(made) == set(iwax.OBJECTIVES[name].gradients)
    assert {objective.total_samples for objective in made.values()} == {12}
    assert sizes("piwae", 12) == {"num_groups": 3, "num_samples": 4}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("snr")
    return out, measure_training(tiny_config(), out, SETTINGS, epochs=(0, 1), data=tiny_data())


@pytest.mark.slow
def test_training_is_measured_at_each_point(study, tmp_path):
    _, records = study
    assert [(r["point"]["epoch"], r["point"]["objective"]) for r in records] == [(0, "elbo"), (1, "elbo")]
    first, last = (record["estimators"] for record in records)
    assert list(first) == ["doubly-reparameterized", "reparameterized", "sticking-the-landing"]
    assert first["reparameterized"]["inference"]["snr"] != last["reparameterized"]["inference"]["snr"]
    lent = first["reparameterized"]["with_doubly_reparameterized_mean"]
    assert lent["inference"]["snr"] < first["doubly-reparameterized"]["inference"]["snr"]  # one signal, two noises
    assert "with_doubly_reparameterized_mean" not in first["sticking-the-landing"]
    assert len(table(records).splitlines()) == 2 + 3
    figure(records, tmp_path / "snr.svg")
    assert "mean SNR of phi" in (tmp_path / "snr.svg").read_text()


@pytest.mark.slow
def test_a_rerun_neither_trains_nor_measures(study):
    out, records = study
    written = {path: path.stat().st_mtime_ns for path in out.rglob("checkpoint.safetensors")}
    assert len(written) == 1
    again = measure_training(tiny_config(), out, SETTINGS, epochs=(0, 1), data=tiny_data())
    assert again == records
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert measure_run(out / "epochs-1", out, SETTINGS, data=tiny_data()) == records[1:]


def test_every_stage_is_drawn_in_a_way_of_its_own_however_many_there_are(tmp_path, monkeypatch):
    """From the eighth on they were left out of the picture without a word."""
    snr = {group: {"snr": 1.0, "snr_error": 0.1} for group in ("generative", "inference")}
    records = [
        {
            "point": {"epoch": epoch, "objective": "elbo", "num_replicates": 4},
            "estimators": {"sticking-the-landing": snr},
        }
        for epoch in range(10)
    ]
    drawn, errorbar = [], Axes.errorbar
    monkeypatch.setattr(
        Axes, "errorbar", lambda *axis, **how: drawn.append((how["fmt"], how["color"])) or errorbar(*axis, **how)
    )
    figure(records, tmp_path / "snr.svg")
    assert len(drawn) == 20
    assert len(set(drawn)) == 10
    assert all(f"epoch {epoch}" in (tmp_path / "snr.svg").read_text() for epoch in range(10))


def test_a_run_is_measured_at_its_last_checkpoint_though_it_keeps_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr("iwax.experiments.training_snr.measure", lambda model, *arguments: {"estimators": {}})
    folder = new_run(tiny_config(epochs=2), tmp_path / "run", data=tiny_data())
    (folder.path / "checkpoint.previous.safetensors").unlink()
    best = new_run(tiny_config(epochs=2), tmp_path / "other", data=tiny_data(), time_limit=1e-9).checkpoint()
    notes = best.notes | {"selected": json.dumps({"epoch": 1, "by": "IWAE-64", "value": -9.0})}
    header = {"format": "iwax-2", "sha256": Checkpoint(best.tensors, notes).sha256, "notes": notes}
    content = safetensors.numpy.save(best.tensors, metadata={"iwax": json.dumps(header)})
    (folder.path / "checkpoint.best.safetensors").write_bytes(content)
    (record,) = measure_run(folder.path, tmp_path / "snr", SETTINGS, data=tiny_data())
    assert record["point"] | {"model": folder.last_checkpoint().sha256[:16], "epoch": 2} == record["point"]
    loaded = open_run(folder.path, data=tiny_data())  # the best, as which it is labelled
    (record,) = measure_run(loaded, tmp_path / "best", SETTINGS)
    assert record["point"] | {"model": loaded.checkpoint_sha256[:16], "epoch": 1} == record["point"]
    assert loaded.checkpoint_sha256 != folder.last_checkpoint().sha256


def test_an_objective_that_does_not_fit_the_model_is_recorded_with_its_reason():
    model = Toy(jnp.zeros(2), Linear(jnp.eye(2) / 2, jnp.zeros(2)))
    point = {"objective": "elbo-analytic", "num_samples": 1, "num_examples": 2, "num_replicates": 4, "seed": 0}
    images = np.asarray(jax.random.uniform(jax.random.key(0), (4, 2)))
    found = measure(model, images, "none", point)["estimators"]
    assert "a model with a prior" in found["reparameterized"]["refused"]
    assert table([{"point": {"epoch": 0, "objective": "elbo-analytic"}, "estimators": found}]).count("\n") == 2


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--objectives", "elbo,iwea"], "Expected objectives to be one of .* Did you mean 'iwae'"),
        (["--objective", "iwea"], "Expected objective to be one of .* Did you mean 'iwae'"),
        (["--epochs", "1,-1"], "Expected epochs to be integers of at least 0 with commas between; got '1,-1'"),
        (["--num-replicates", "3"], "Expected num_replicates to be an integer of at least 4; got 3"),
    ],
)
def test_what_the_command_refuses(options, rule, capsys, tmp_path):
    status, out, err = run(capsys, "snr", "training", "--dataset", "mnist-sample", "--out", tmp_path / "new", *options)
    assert (status, out) == (2, "")
    assert re.search(rule, err)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_commands(capsys, tmp_path):
    small = ["--objectives", "elbo", "--num-samples", "2", "--num-examples", "2", "--num-replicates", "4", "--json"]
    trained = ["--dataset", "mnist-sample", "--train-images", "100", "--epochs", "1"]
    status, out, _ = run(capsys, "snr", "training", *trained, *small, "--out", tmp_path / "out")
    assert status == 0
    records = json.loads(out)
    assert (tmp_path / "out" / "table.md").read_text() == table(records)
    status, out, _ = run(capsys, "snr", "run", tmp_path / "out" / "epochs-1", *small)
    assert status == 0
    assert json.loads(out)[0]["estimators"] == records[0]["estimators"]
    assert (tmp_path / "out" / "epochs-1" / "snr" / "snr.pdf").exists()
