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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conditional_vae", "count_vae", "flow_posterior"])
def test_the_examples_of_other_densities_meet_the_contract_and_train(name, tmp_path):
    """By the command, on the data that they write; judged, encoded, and exported with their code."""
    module = load_example(name)
    x = module.make_data(200)
    x = np.column_stack(x).astype(np.float32) if isinstance(x, tuple) else x
    np.save(tmp_path / "data.npy", x)
    model = module.make_model(jax.random.key(0), *([x.mean(axis=0)] if name == "count_vae" else []), x.shape[1:])
    report = iwax.check_model(model, x[:3].astype(np.float32), jax.random.key(1))
    assert report.ok, report
    out = tmp_path / "run"
    what = ("--model", f"{EXAMPLES / name}.py:make_model", "--dataset", tmp_path / "data.npy", "--binarize", "none")
    how = ("--objective", "elbo", "--num-samples", 1, "--recipe", "burda-paper", "--stages", "3e-3:4")
    command("train", *what, *how, "--batch-size", 20, "--out", out)
    records = RunFolder(out).metrics()
    assert records[-1]["bound"] > records[0]["bound"] + 0.5
    command("evaluate", out, "--num-samples", 128)
    judged = RunFolder(out).json("evaluation.json")
    dimensions = {"conditional_vae": 64, "count_vae": 10, "flow_posterior": 2}[name]  # and no label
    assert judged["dimensions"] == dimensions
    assert (judged["bits_per_dimension"] is None) == (name == "flow_posterior")
    command("encode", out, "--out", tmp_path / "codes.npz")
    command("export", out, "--out", tmp_path / "model.safetensors")
    assert iwax.load(tmp_path / "model.safetensors", trust_code=True) is not None


@pytest.mark.slow
def test_the_conditional_example_takes_named_labels_and_draws_images_of_them():
    """Trained by `fit` on a dictionary: bars across for label 0, down for 1."""
    module = load_example("conditional_vae")
    pixels, labels = module.make_data(1000)
    model = module.make_model(jax.random.key(0), (65,))
    result = iwax.fit(
        model, iwax.IWAE(num_samples=5), {"pixels": pixels, "label": labels}, recipe="demo", key=jax.random.key(1),
        epochs=40, batch_size=20, binarize="none",
    )  # fmt: skip
    images = result.model.images(np.repeat([0, 1], 20), jax.random.key(2)).reshape(40, 8, 8)
    across = np.var(images.mean(axis=2), axis=1) - np.var(images.mean(axis=1), axis=1)  # of rows, less of columns
    assert (np.sign(across) == np.repeat([1, -1], 20)).mean() > 0.9


@pytest.mark.slow
def test_the_colour_example(tmp_path):
    random = np.random.default_rng(0)
    tint = random.uniform(size=(120, 1, 1, 3))  # each image of one colour
    images = (255 * np.clip(tint + 0.05 * random.normal(size=(120, 8, 8, 3)), 0, 1)).astype(np.uint8)
    np.save(tmp_path / "tints.npy", images)
    data = ("--dataset", tmp_path / "tints.npy", "--binarize", "intensities", "--recipe", "burda-paper")
    train_and_judge("colour_vae", tmp_path / "run", *data, "--stages", "3e-3:10", "--batch-size", 10)
    module = load_example("colour_vae")
    x = images[:3].astype(np.float32) / 255
    report = iwax.check_model(module.make_model(jax.random.key(0), x.mean(axis=0), x.shape[1:]), x, jax.random.key(1))
    assert report.ok, report
    with pytest.raises(ValueError, match=r"Expected images in colour with sides that are multiples of 4; got \(8, 8\)"):
        module.make_model(jax.random.key(0), x.mean(axis=0), (8, 8))
