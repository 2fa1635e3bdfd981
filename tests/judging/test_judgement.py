"""The whole judgement of a run: its parts, its pictures, and what is said of parts that cannot be had."""

import functools
import json

import numpy as np
import pytest

import iwax.judging.judgement
import iwax.runs.checkpoint
from iwax.errors import IwaxTypeError
from iwax.evaluation.estimators import EstimatorCurves
from iwax.evaluation.evaluate import log_likelihood
from iwax.judging.judgement import judge_run, plot_evaluation
from iwax.judging.plots import estimator_plot, trust_plot, unit_plot
from iwax.keys import EvaluationKeys
from iwax.runs.checkpoint import read_checkpoint
from iwax.runs.launch import new_run
from iwax.runs.loading import load_run
from tiny import tiny_config, tiny_data

OPTIONS = {"num_samples": 128, "rows": 256}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return new_run(tiny_config(), tmp_path_factory.mktemp("judgement") / "run", data=tiny_data()).path


@pytest.fixture(scope="module")
def judged(run):
    """On few images, with one block size for the curves: compiling the others costs most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        short(patch)
        return judge_run(run, costly_images=4, data=tiny_data(), **OPTIONS)


def short(patch):
    """Three values of K, and neither annealing nor posteriors, which their own tests are about."""
    curves = functools.partial(iwax.judging.judgement.estimator_curves, sizes=(1, 4, 8))
    patch.setattr(iwax.judging.judgement, "estimator_curves", curves)
    for name in ("_annealing", "_posterior"):
        patch.setattr(iwax.judging.judgement, name, lambda *arguments: {"num_examples": 4})


def test_the_parts_agree_with_each_other(run, judged):
    with np.load(run / "evaluation.npz") as arrays:
        per_image = arrays["log_likelihood"][:4]
    assert judged["pruned"]["log_p"] == pytest.approx(per_image.mean(), abs=1e-4)  # the same draws
    assert judged["pruned"]["num_examples"] == judged["estimators"]["num_examples"] == 4
    assert judged["pruned"]["units"] == [50]
    assert 0 <= judged["pruned"]["active_units_by_divergence"][0] <= 50
    assert judged["estimators"]["estimators"]["IWAE"]["bias"][-1] == pytest.approx(0, abs=1.5)
    assert json.loads((run / "judgement.json").read_text()) == judged


def test_units_that_are_inactive_by_decree_are_replaced(run, judged, monkeypatch):
    """Without any active unit only the prior is left; that costs more than nothing."""
    monkeypatch.setattr(iwax.judging.judgement, "ACTIVE", np.inf)
    pruned = iwax.judging.judgement.pruned_run(run, num_images=4, num_samples=128, data=tiny_data())
    assert pruned["active_units"] == [0]
    assert pruned["difference"] == pytest.approx(pruned["log_p_pruned"] - pruned["log_p"])
    assert abs(pruned["difference"]) > 1e-3


@pytest.mark.slow
def test_what_cannot_be_had_is_named_and_the_rest_is_done(run, monkeypatch):
    def refuse(*args, **options):
        raise IwaxTypeError("Expected the model to have `prior`.\nMore.")

    short(monkeypatch)
    monkeypatch.setattr(iwax.judging.judgement, "pruned_run", refuse)
    reads = []
    monkeypatch.setattr(
        iwax.runs.checkpoint, "read_checkpoint", lambda path: reads.append(path) or read_checkpoint(path)
    )
    result = judge_run(run, costly_images=4, data=tiny_data(), **OPTIONS)
    assert result["missing"]["pruned"] == "Expected the model to have `prior`."
    assert "pruned" not in result
    assert "estimators" in result
    assert len(reads) == 1  # the run is loaded once for all parts


def test_a_stopped_evaluation_ends_the_judgement(run, judged):
    result = judge_run(run, data=tiny_data(), **OPTIONS | {"num_samples": 192}, time_limit=1e-6)
    assert result["state"] == "stopped"
    assert "pruned" not in result


def test_pictures(run, judged):
    written = plot_evaluation(run)
    assert {path.name for path in written} == {f"{n}.{s}" for n in ("trust", "active-units") for s in ("pdf", "svg")}
    assert "Pareto k-hat" in (run / "figures" / "trust.svg").read_text()
    assert "active" in (run / "figures" / "active-units.svg").read_text()
    assert "JVI-2" in (run / "figures" / "estimators.svg").read_text()


def test_layers_stand_in_their_order_however_many_there_are(tmp_path, monkeypatch):
    """By name, layers 10 to 12 came before layer 2, and took its place in pictures and where units are cut off."""
    variances = {f"unit_variances_{layer}": np.full(layer, 0.5) for layer in range(1, 13)}
    np.savez(tmp_path / "evaluation.npz", khat=np.zeros(2), ess=np.ones(2), **variances)
    numbers = {"state": "finished", "binarize": "fixed", "seconds": 1.0, "num_examples": 2, "test_hash": None}
    (tmp_path / "evaluation.json").write_text(json.dumps(numbers | {"num_samples": 64}))
    drawn = []
    monkeypatch.setattr("iwax.judging.plots.trust_plot", lambda *arguments: None)
    monkeypatch.setattr("iwax.judging.plots.unit_plot", lambda layers, path: drawn.append([len(v) for v in layers]))
    plot_evaluation(tmp_path)
    assert drawn == [list(range(1, 13))] * 2


def test_pictures_of_extremes(tmp_path):
    """No k-hat at all, all effective samples one, all units dead, one example: pictures all the same."""
    trust_plot(np.full(3, np.nan), np.ones(3), 64, tmp_path / "trust.svg")
    unit_plot([np.full(5, -1e-3), np.zeros(2)], tmp_path / "units.svg")
    curve = {"IWAE": np.full((1, 1), -1.0)}
    estimator_plot(EstimatorCurves(np.array([4]), 64, curve, curve), tmp_path / "curves.svg")
    assert "0 of 5 active" in (tmp_path / "units.svg").read_text()
    assert all((tmp_path / f"{name}.svg").stat().st_size > 1000 for name in ("trust", "units", "curves"))


def test_the_examples_of_the_parts_are_those_of_the_evaluation(run, judged):
    loaded = load_run(run, data=tiny_data())
    x, key = loaded.test_images(0, 4), EvaluationKeys.of_seed(0).samples
    with np.load(run / "evaluation.npz") as arrays:
        expected = arrays["log_likelihood"][:4]
    np.testing.assert_allclose(log_likelihood(loaded.model, x, key, num_samples=128), expected, atol=1e-4)
