"""The pictures beside a record: of the model's own data set and, where it is at hand, of the other one."""

import dataclasses

import jax
import numpy as np
import pytest
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


def test_the_error_of_iwae_64_is_that_of_64_samples_whichever_k_comes_first(tmp_path):
    rng = np.random.default_rng(0)
    eight, sixty_four = rng.normal(size=9), 5 * rng.normal(size=9)
    expected = np.std(sixty_four, ddof=1) / 3
    kept = {"iwae": eight, "iwae_8": eight, "iwae_64": sixty_four}
    for arrays, first, error in (
        (kept, 8, expected),
        ({"iwae": sixty_four, "iwae_64": sixty_four}, 64, expected),
        ({"iwae": sixty_four}, None, expected),  # as former versions kept it, without its K
        ({"iwae": eight}, 8, None),
    ):
        np.savez(tmp_path / "evaluation.npz", **arrays)
        found = {"iwae_64": -9.0} | ({} if first is None else {"iwae_samples": first})
        stated = recording._evaluation(RunFolder(tmp_path), found)["data_error"].get("iwae_64")
        assert stated == (None if error is None else pytest.approx(error))


def test_an_evaluation_that_is_not_finite_fails_its_checks_and_nothing_else(tmp_path):
    """Its means are None, which cannot be compared with numbers."""
    arrays = {"log_likelihood": np.array([-1.0, -2.0]), "iwae": np.array([-1.5, -2.5]), "elbo": np.array([-3.0, -4.0])}
    status, means = {"state": "finished"}, {"log_p": -1.5, "iwae_64": -2.0, "elbo": -3.5}
    np.savez(tmp_path / "evaluation.npz", **arrays)
    assert all(recording._checks(RunFolder(tmp_path), means, status).values())
    disordered = recording._checks(RunFolder(tmp_path), means | {"iwae_64": -1.0}, status)
    assert [name for name, is_met in disordered.items() if not is_met] == ["elbo_below_iwae_64_below_log_p"]
    np.savez(tmp_path / "evaluation.npz", **arrays | {"elbo": np.array([-3.0, -np.inf])})
    lost = recording._checks(RunFolder(tmp_path), means | {"elbo": None}, status)
    assert [name for name, is_met in lost.items() if not is_met] == ["finite", "elbo_below_iwae_64_below_log_p"]
