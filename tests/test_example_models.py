"""The example models meet the contract, and train, are judged and pictured by the commands that their heads show."""

import jax
import numpy as np
import pytest

import iwax
from example_modules import EXAMPLES, load_example
from iwax.cli import main
from iwax.runs.folder import RunFolder


def command(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    assert exit_.value.code == 0


def train_and_judge(name, out, *options):
    """The records of a run of an example, judged and pictured afterwards."""
    model = f"{EXAMPLES / name}.py:make_model"
    command("train", "--model", model, "--objective", "iwae", "--num-samples", 2, *options, "--out", out)
    command("evaluate", out, "--num-samples", 128, "--test-images", 10)
    command("sample", out, "--num-images", 4)
    command("reconstruct", out, "--num-images", 4)
    assert (out / "samples.png").exists()
    assert (out / "reconstructions.png").exists()
    records = RunFolder(out).metrics()
    assert records[-1]["bound"] > records[0]["bound"] + 1
    return RunFolder(out).json("evaluation.json")


@pytest.mark.slow
def test_the_gaussian_example_meets_the_contract():
    module = load_example("gaussian_vae")
    x = module.make_data(3)
    model = module.make_model(jax.random.key(0), x.mean(axis=0), x.shape[1:])
    report = iwax.check_model(model, x, jax.random.key(1))
    assert report.ok, report


def test_the_data_of_the_gaussian_example():
    x = load_example("gaussian_vae").make_data(400)
    noise = x.reshape(400, -1).min(axis=1)  # far from the bump there is nothing but noise
    assert x.dtype == np.float32
    assert x.min() < 0
    assert -0.5 < noise.mean() < -0.1


@pytest.mark.slow
def test_the_gaussian_example(tmp_path):
    np.save(tmp_path / "bumps.npy", load_example("gaussian_vae").make_data())
    data = ("--dataset", tmp_path / "bumps.npy", "--binarize", "none")
    result = train_and_judge("gaussian_vae", tmp_path / "run", *data, "--epochs", 5, "--batch-size", 50)
    assert result["active_units"] == [2]
    assert result["binarize"] == "none"


@pytest.mark.slow
def test_the_convolutional_example(tmp_path):
    data = ("--dataset", "mnist-sample", "--train-images", 100)
    train_and_judge("convolutional_vae", tmp_path / "run", *data, "--stages", "1e-2:7", "--batch-size", 20)


@pytest.mark.slow
def test_the_convolutional_example_meets_the_contract():
    module = load_example("convolutional_vae")
    x = np.random.default_rng(0).integers(0, 2, (3, 8, 12)).astype(np.float32)
    model = module.make_model(jax.random.key(0), x.mean(axis=0), x.shape[1:])
    report = iwax.check_model(model, x, jax.random.key(1))
    assert report.ok, report
    with pytest.raises(ValueError, match=r"sides that are multiples of 4; got \(6, 8\)"):
        module.make_model(jax.random.key(0), x.mean(axis=0), (6, 8))
