"""The pictures beside a record: of the model's own data set and, where it is at hand, of the other one."""

import dataclasses

import jax
import numpy as np
from PIL import Image

from iwax.errors import IwaxError
from iwax.evaluation.examples import first_examples
from iwax.experiments import recording
from iwax.models.vae import VAE
from iwax.objectives import ELBO
from iwax.runs import LoadedRun, RunFolder, resolve
from tiny import tiny_config, tiny_data


def pixels(path):
    return np.asarray(Image.open(path))


def test_sheets_of_another_data_set(tmp_path):
    model, data, other = VAE(16, [2], [[4]], key=jax.random.key(0), init="torch"), tiny_data(), tiny_data(seed=1)
    run = LoadedRun(
        folder=RunFolder(tmp_path), resolved=resolve(tiny_config()), model=model, objective=ELBO(),
        checkpoint_sha256="", environment={}, _data=data,
    )  # fmt: skip
    alone = recording._sheets(run, None, tmp_path, "a")
    both = recording._sheets(run, other, tmp_path, "b")
    assert sorted(alone) == ["reconstructions", "samples"]
    assert sorted(both) == ["across", "reconstructions", "samples"]
    drawn = {name: pixels(tmp_path / "sheets" / path) for name, path in both.items()}
    for name, path in alone.items():
        assert np.array_equal(pixels(tmp_path / "sheets" / path), drawn[name])
    for name, judged in (("reconstructions", data), ("across", other)):
        first = first_examples(judged, "fixed", seed=0, count=1)[0].reshape(4, 4)
        assert np.array_equal(drawn[name][1:5, 1:5], 255 * first)  # within its frame


def test_only_the_other_data_set_itself_is_judged_across(monkeypatch):
    def across(own, there):
        def load(*_):
            if there is None:
                raise IwaxError("no source has it")
            return dataclasses.replace(tiny_data(), name=there)

        monkeypatch.setattr(recording, "load", load)
        found = recording._across(dataclasses.replace(tiny_data(), name=own), None)
        return found and found.name

    assert across("mnist", "omniglot") == "omniglot"
    assert across("mnist", "mnist-sample") is None  # which stands in for another
    assert across("mnist", None) is None
    assert across("tiny", "omniglot") is None
