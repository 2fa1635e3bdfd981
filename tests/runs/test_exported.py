"""A model as one file for others: it is the model, says what it is, holds no path, and runs no code unasked."""

import dataclasses
import json
import types

import equinox as eqx
import jax
import numpy as np
import pytest
import safetensors.numpy

import iwax
from in_process import run_command as command
from iwax.cli import main
from iwax.errors import IwaxError
from iwax.judging.evaluate import evaluate_run
from iwax.runs import hub
from iwax.runs.checkpoint import Checkpoint, read_checkpoint
from iwax.runs.exported import read_card
from iwax.runs.launch import new_run
from iwax.zoo import open_run
from tiny import tiny_config, tiny_data

OPTIONS = {"num_samples": 128, "rows": 256}
OWN = """
import pathlib
import equinox as eqx, jax, jax.numpy as jnp
from iwax.models import Bernoulli, DiagonalNormal

pathlib.Path({mark!r}).touch()

class Mine(eqx.Module):
    generative: tuple
    inference: jax.Array
    prior = property(lambda self: DiagonalNormal(jnp.zeros(2), jnp.zeros(2)))

    def posterior(self, x):
        mean = x.reshape(*x.shape[:-2], -1) @ self.inference
        return DiagonalNormal(mean, jnp.zeros_like(mean))

    def likelihood(self, z):
        return Bernoulli(z @ self.generative[0] + self.generative[1])

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x.reshape(*x.shape[:-2], -1))

def make_model(key, data_mean):
    weights = 0.1 * jax.random.normal(key, (2, 16))
    return Mine((weights, data_mean.ravel()), 0.1 * jax.random.normal(key, (16, 2)))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    np.save(folder / "own.npy", tiny_data().train)
    path = new_run(tiny_config(dataset=str(folder / "own.npy"), epochs=1), folder / "run", command=["a secret"]).path
    evaluate_run(path, **OPTIONS)
    return path


@pytest.fixture(scope="module")
def file(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("shared") / "model.safetensors"
    with pytest.raises(SystemExit) as exit_:
        main(["export", str(run), "--out", str(out)])
    assert exit_.value.code == 0
    return out


def test_a_file_is_not_written_over_unasked(run, tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    out.write_text("somebody's")
    status, _, err = command(capsys, "export", run, "--out", out)
    assert (status, out.read_text()) == (2, "somebody's")
    assert err == f"iwax: Expected --out to be a new file; {out} is there. --overwrite replaces it.\n"
    assert command(capsys, "export", run, "--out", out, "--overwrite")[0] == 0
    assert iwax.load(out)


def test_an_exported_file_is_the_model_to_the_bit(run, file):
    loaded, original = iwax.load(file), iwax.load(run)
    assert jax.tree.structure(loaded) == jax.tree.structure(original)
    assert eqx.tree_equal(loaded, original)
    assert not eqx.tree_equal(loaded, iwax.zoo.open_run(run).resolved.objective)


def test_the_card_has_the_numbers_with_their_errors_and_how_to_load_it(run, file):
    card, judged = read_card(file), json.loads((run / "evaluation.json").read_text())
    for name in ("log_p", "log_p_mc_error", "log_p_test_error", "elbo", "iwae_64"):
        assert f"{judged[name]:.3f}" in card
    assert judged["test_hash"] in card
    assert 'iwax.load("model.safetensors")' in card
    assert "own.npy" in card


def test_the_numbers_are_those_of_the_checkpoint_and_are_passed_on(run, file, tmp_path):
    again = tmp_path / "again.safetensors"
    iwax.runs.export_run(open_run(file), again)
    assert read_card(again).replace(again.name, file.name) == read_card(file)
    other = dataclasses.replace(open_run(run), checkpoint_sha256="of another")  # the last, say, not the best
    assert "None: the model was not judged" in iwax.runs.export_run(other, again)


def test_no_path_and_no_command_of_this_machine_is_in_the_file(run, file):
    content = file.read_bytes()
    assert b"own.npy" in content
    for secret in (str(run.parent), "a secret"):
        assert secret.encode() not in content
        assert any(secret.encode() in path.read_bytes() for path in run.iterdir() if path.is_file())  # the control


def test_an_exported_model_is_judged_elsewhere_to_the_same_numbers(run, file, capsys):
    """Its data are found by --data, and are those of its record, or refused."""
    data = ("--data", run.parent / "own.npy")
    status, out, _ = command(capsys, "evaluate", file, "--num-samples", 128, "--rows", 256, *data, "--json")
    assert status == 0
    found, judged = json.loads(out), json.loads((run / "evaluation.json").read_text())
    assert (found["log_p"], found["test_hash"]) == (judged["log_p"], judged["test_hash"])
    np.save(file.parent / "own.npy", tiny_data(seed=5).train)
    status, _, err = command(capsys, "evaluate", file, "--data", file.parent / "own.npy")
    assert status == 2
    assert "the checksums differ" in err


def test_a_damaged_file_and_another_one_are_refused(run, file, tmp_path):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="to have checksum"):
        iwax.load(tmp_path / "damaged.safetensors")
    with pytest.raises(ValueError, match="to be a model that `iwax export` wrote; it is the checkpoint of a run"):
        iwax.load(run / "checkpoint.safetensors")
    with pytest.raises(ValueError, match=r"Expected out to be a file of the suffix \.safetensors; got model\.pt"):
        iwax.runs.export_run(open_run(run), "model.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "to say what its model is; its notes have no config"),
        ({"config": "{"}, "to be a model that `iwax export` wrote; Expected text to be JSON"),
        ({"config": '{"nonsense": 1}'}, "to be a model that `iwax export` wrote; Expected the keys of a configuration"),
        ({"evaluation": "[1]"}, "Expected the evaluation in .* to be "),
        ({"evaluation": '{"log_p": -1.0}'}, "Expected the evaluation in .* to have "),
        ({"environment": '{"checksums": 3}'}, "Expected checksums of the environment in .* to be "),
        ({"config": {"model": "two-layer"}}, "these differ"),
        ({"config": '{"objective": "elbo", "model": "mine.py:f"}'}, "model of its author's own; its notes have no"),
    ],
)
def test_a_whole_file_that_somebody_else_made_is_refused_by_name(file, tmp_path, change, message):
    """Whose checksum is right, as anybody can compute it."""
    found, path = read_checkpoint(file), tmp_path / "other.safetensors"
    if isinstance(config := change.get("config"), dict):
        change = {"config": json.dumps(json.loads(found.notes["config"]) | config)}
    notes = {name: text for name, text in (found.notes | change).items() if text is not None}
    other = Checkpoint(found.tensors | {".data_mean": np.zeros((4, 4), np.float32)}, notes)
    header = {"format": "iwax-2", "sha256": other.sha256, "notes": other.notes}
    path.write_bytes(safetensors.numpy.save(other.tensors, {"iwax": json.dumps(header)}))
    with pytest.raises(IwaxError, match=message) as error:
        iwax.load(path, trust_code=True)
    assert str(path) in str(error.value)


def test_a_model_of_one_s_own_brings_its_code_which_runs_only_where_it_is_trusted(tmp_path, capsys):
    mark = tmp_path / "it-ran"
    (tmp_path / "mine.py").write_text(OWN.format(mark=str(mark)))
    np.save(tmp_path / "own.npy", tiny_data().train)
    config = tiny_config(dataset=str(tmp_path / "own.npy"), model=f"{tmp_path / 'mine.py'}:make_model", epochs=1)
    path = new_run(config, tmp_path / "run", command=[]).path
    original = iwax.load(path)
    out = tmp_path / "model.safetensors"
    assert command(capsys, "export", path, "--out", out)[0] == 0
    for name in ("own.npy", "mine.py"):
        (tmp_path / name).unlink()
    mark.unlink()
    forget_own_models()
    with pytest.raises(ValueError, match=r"Expected leave to run the code in .*trust_code=True \(--trust-code\)"):
        iwax.load(out)
    status, _, err = command(capsys, "sample", out, "--out", tmp_path / "s.npy")
    assert status == 2
    assert "--trust-code" in err
    assert "trust_code=True" in read_card(out)
    assert not mark.exists()
    np.save(tmp_path / "own.npy", tiny_data().train)  # to judge it on; its code is gone
    asked = ("compare", out, out, "--num-samples", 64, "--num-images", 4, "--out", tmp_path / "compared", "--json")
    asked += ("--data", tmp_path / "own.npy")
    status, _, err = command(capsys, *asked)
    assert status == 2
    assert "--trust-code" in err
    assert not mark.exists()
    status, printed, err = command(capsys, *asked, "--trust-code")
    assert status == 0, err
    assert json.loads(printed)["models"][1]["less_first"]["difference"] == 0
    mark.unlink()
    forget_own_models()
    loaded = iwax.load(out, trust_code=True)
    assert mark.exists()
    for ours, theirs in zip(jax.tree.leaves(loaded), jax.tree.leaves(original), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert command(capsys, "sample", out, "--out", tmp_path / "s.npy", "--trust-code")[0] == 0
    assert np.load(tmp_path / "s.npy").shape == (100, 4, 4)
    again = tmp_path / "again.safetensors"  # whoever got it may pass it on
    assert command(capsys, "export", out, "--out", again, "--trust-code")[0] == 0
    assert read_checkpoint(again).notes["source"] == read_checkpoint(out).notes["source"]


def forget_own_models():
    """As in a new process: no code of a user's has run."""
    import sys

    from iwax.models import OWN_MODULE

    for name in [name for name in sys.modules if name.startswith(OWN_MODULE)]:
        del sys.modules[name]


@pytest.fixture
def fake_hub(tmp_path, monkeypatch):
    """A hub that is a folder, with the two functions of huggingface_hub that are called."""
    folder = tmp_path / "hub"

    class HfApi:
        def create_repo(self, repo_id, *, private=None, exist_ok=False):
            (folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, *, repo_id, folder_path):
            from pathlib import Path

            for path in Path(folder_path).iterdir():
                (folder / repo_id / path.name).write_bytes(path.read_bytes())

    def hf_hub_download(*, repo_id, filename, revision=None):
        path = folder / repo_id / (revision or "") / filename
        if not path.exists():
            raise FileNotFoundError(f"404: {repo_id} has no {filename}")
        return str(path)

    module = types.SimpleNamespace(HfApi=HfApi, hf_hub_download=hf_hub_download)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", module)
    monkeypatch.setattr(hub, "check_installed", lambda *_: None)
    return folder


def test_a_model_goes_onto_a_hub_and_comes_back(run, file, fake_hub, tmp_path, capsys):
    out = tmp_path / "m.safetensors"
    status, _, err = command(capsys, "export", run, "--out", out, "--push", "owner/name")
    assert status == 0, err
    assert "iwax.load('hf:owner/name')" in err
    assert {path.name for path in (fake_hub / "owner/name").iterdir()} == {"model.safetensors", "README.md"}
    assert (fake_hub / "owner/name/README.md").read_text() == read_card(out)
    assert eqx.tree_equal(iwax.load("hf:owner/name"), iwax.load(run))
    status, out, err = command(capsys, "sample", "hf:owner/name", "-n", 2, "--out", tmp_path / "s.npy")
    assert status == 0, err
    (fake_hub / "owner/name/v1").mkdir()
    (fake_hub / "owner/name/v1/other.safetensors").write_bytes(file.read_bytes())
    iwax.load("hf:owner/name@v1/other.safetensors")
    with pytest.raises(ValueError, match=r"to be had.* 404: owner/name has no none\.safetensors\. Check the name"):
        iwax.load("hf:owner/name/none.safetensors")


@pytest.mark.parametrize("name", ["hf:name", "hf:owner/", "hf:owner/name/model.pt"])
def test_a_name_on_a_hub_of_another_form_is_refused(name):
    with pytest.raises(ValueError, match="Expected a model on the hub to be hf:OWNER/NAME"):
        iwax.load(name)


def test_without_its_extra_the_hub_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr("iwax.extras.find_spec", lambda module: None)
    with pytest.raises(ImportError, match=r'Expected huggingface_hub .* pip install "iwax\[hub\]" brings it'):
        iwax.load("hf:owner/name")
