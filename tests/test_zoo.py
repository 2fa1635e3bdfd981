"""Trained models that come with iwax: as their records say, to the bit, or refused."""

import jax
import numpy as np
import pytest

import iwax
from iwax.data import load
from iwax.evaluation.evaluate import evaluate
from iwax.evaluation.examples import first_examples
from iwax.judging.evaluate import evaluate_run
from iwax.runs.config import RunConfig
from iwax.runs.launch import new_run
from iwax.runs.loading import load_run
from iwax.zoo import export, records

CONFIG = RunConfig(
    objective="elbo", dataset="mnist-sample", train_images=60, batch_size=20, epochs=1, scale_map="softplus"
)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected trained models in .*; it has none yet\."):
        iwax.load("one-layer-iwae-50", folder=tmp_path)
    (tmp_path / "one-layer-iwae-50.json").write_text('{"sha256": "0"}')
    with pytest.raises(ValueError, match=r"Expected name to be one of .*; got 'one-layer-iwae-5'. Did you mean"):
        iwax.load("one-layer-iwae-5", folder=tmp_path)
    with pytest.raises(ValueError, match=r"to have the SHA-256 of its record, 0; got no such file\. Reinstall"):
        iwax.load("one-layer-iwae-50", folder=tmp_path)
    for missing in ("runs/nothere", "model.safetensors"):
        with pytest.raises(
            ValueError, match=rf"Expected {missing} to be the folder of a run, a file .* Check the path"
        ):
            iwax.load(missing)


def test_the_models_of_this_version_are_what_their_records_say():
    for name, record in records().items():
        assert iwax.load(name).num_parameters == record["num_parameters"]
        assert abs(record["half_precision"]["log_p"] - record["single_precision"]["log_p"]) < 0.01


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder, data = tmp_path_factory.mktemp("zoo"), load("mnist-sample")
    new_run(CONFIG, folder / "run", data=data, command=[])
    with pytest.raises(ValueError, match="to be evaluated, so that its record can say so"):
        export("tiny", folder / "run", folder=folder, data=data)
    evaluate_run(folder / "run", num_samples=64, num_images=4, data=data)
    return folder, export("tiny", folder / "run", folder=folder, data=data), data


@pytest.mark.slow
def test_an_exported_model_is_half_the_size_and_as_good(exported):
    folder, path, data = exported
    assert path.stat().st_size < 2 * 425_284 + 20_000
    model, record = iwax.load("tiny", folder=folder), records(folder)["tiny"]
    single = load_run(folder / "run", data=data).model
    for ours, theirs in zip(jax.tree.leaves(model), jax.tree.leaves(single), strict=True):
        np.testing.assert_array_equal(ours, np.asarray(theirs).astype(np.float16).astype(np.float32))
    x = first_examples(data, "fixed", seed=0, count=4)
    again = evaluate(model, x, jax.random.key(0), num_samples=64).summary()
    assert again["log_p"] == record["half_precision"]["log_p"]
    assert 0 < abs(again["log_p"] - record["single_precision"]["log_p"]) < 0.1
    assert model.generative[-1].logits.weight.dtype == np.float32


@pytest.mark.slow
def test_an_altered_file_is_refused(exported):
    folder, path, _ = exported
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    (folder / "altered.safetensors").write_bytes(content)
    (folder / "altered.json").write_text((folder / "tiny.json").read_text())
    with pytest.raises(ValueError, match=r"Expected altered\.safetensors to have the SHA-256 of its record"):
        iwax.load("altered", folder=folder)
