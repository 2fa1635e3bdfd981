"""`iwax compare`: runs, trained models, evaluations and files on the same test images."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import iwax
from iwax.cli import main
from iwax.data import Dataset
from iwax.evaluation import judge_log_weights
from iwax.judging import compare, evaluate_run, evaluation_of, read_evaluation, write_evaluation
from iwax.runs.launch import new_run
from tiny import tiny_config, tiny_data, values_per_image

OPTIONS = {"num_samples": 128, "rows": 256}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that differ in the seed, judged on the same binarised images."""
    folder = tmp_path_factory.mktemp("compare")
    paths = [new_run(tiny_config(seed=seed), folder / f"seed{seed}", data=tiny_data()).path for seed in (0, 1)]
    for path in paths:
        evaluate_run(path, data=tiny_data(), **OPTIONS)
    return paths


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code, *capsys.readouterr()


def test_runs_that_are_judged_already_are_compared_as_they_are(runs, tmp_path, capsys):
    """Without their data, which are nowhere on the disk."""
    status, out, err = command(capsys, "compare", *runs, "--out", tmp_path, "--json")
    assert status == 0, err
    first, second = json.loads(out)["models"]
    one, other = map(values_per_image, runs)
    assert second["less_first"]["difference"] == pytest.approx(np.mean(other - one), rel=1e-12)
    assert "less_first" not in first
    assert first["log_p"] == pytest.approx(one.mean(), rel=1e-12)
    assert (tmp_path / "compare.svg").read_text().startswith("<?xml")
    status, out, _ = command(capsys, "compare", *runs, runs[0], "--out", tmp_path / "three")
    assert status == 0
    assert f"{np.mean(other - one):+.3f}" in out
    assert "+0.000" in out
    assert {path.name for path in (tmp_path / "three").iterdir()} == {"1-compare.svg", "2-compare.svg"}


def test_a_run_that_is_not_judged_yet_is_judged_on_what_the_settings_say(tmp_path):
    told = []
    path = new_run(tiny_config(epochs=1), tmp_path / "run", data=tiny_data()).path
    found = compare([path, path], num_samples=64, num_images=5, seed=3, data=tiny_data(), log=told.append)
    assert len(found.evaluations[0].log_likelihood) == 5
    assert json.loads((path / "evaluation.json").read_text())["seed"] == 3
    assert f"judging {path}" in told
    assert found.comparisons[0].difference == 0


def test_an_evaluation_is_kept_where_nothing_else_is_asked_for(tmp_path):
    """Told how many samples, it judged all test images and wrote over the evaluation of five."""
    data = tiny_data()
    paths = [new_run(tiny_config(epochs=1, seed=i), tmp_path / f"{i}", data=data).path for i in range(3)]
    for path in paths[:2]:
        evaluate_run(path, num_samples=64, num_images=5, seed=3, data=data)
    before, told = (paths[0] / "evaluation.json").read_bytes(), []
    compare(paths, num_samples=64, data=data, log=told.append)
    assert (paths[0] / "evaluation.json").read_bytes() == before
    assert json.loads((paths[2] / "evaluation.json").read_text())["num_examples"] == 5  # not judged yet: as the others
    compare(paths[:2], num_samples=128, data=data, log=told.append)
    judged = json.loads((paths[0] / "evaluation.json").read_text())
    assert (judged["num_samples"], judged["num_examples"], judged["seed"]) == (128, 5, 3)
    again = "again, in place of its evaluation by --num-samples 64, --num-images 5, --seed 3"
    assert f"judging {paths[0]} {again}" in told


def test_models_of_other_data_are_refused_before_either_is_judged(tmp_path):
    data = tiny_data()
    wide = dataclasses.replace(data, train=np.repeat(data.train, 2, axis=2), test=np.repeat(data.test, 2, axis=2))
    one = new_run(tiny_config(epochs=1), tmp_path / "one", data=data).path
    other = new_run(tiny_config(epochs=1), tmp_path / "other", data=wide).path
    renamed = [dataclasses.replace(data, checksums={"test": which}) for which in ("this one", "another")]
    third, fourth = (new_run(tiny_config(), tmp_path / f"{i}", data=one).path for i, one in enumerate(renamed))
    for pair in ((one, other), (third, fourth)):
        with pytest.raises(ValueError, match=r"Expected models of the same data; .* their test examples differ\."):
            compare(pair, num_samples=64)
        assert not any((path / "evaluation.json").exists() for path in pair)


def test_models_that_were_judged_on_other_binarised_images_are_refused(runs, tmp_path, capsys):
    other = new_run(tiny_config(epochs=1), tmp_path / "run", data=tiny_data()).path
    evaluate_run(other, data=tiny_data(), seed=9, **OPTIONS)
    status, out, err = command(capsys, "compare", runs[0], other)
    assert (status, out) == (2, "")
    assert "same examples; got those of SHA-256" in " ".join(err.split())


def test_files_of_weights_and_of_evaluations_are_compared_with_runs(runs, tmp_path):
    log_w = np.random.default_rng(0).normal(-11, 1, (128, 12))
    np.save(tmp_path / "weights.npy", log_w)
    found = compare([runs[0], tmp_path / "weights.npy", runs[1] / "evaluation.npz"])
    expected = judge_log_weights(log_w).log_likelihood - read_evaluation(runs[0]).log_likelihood
    np.testing.assert_array_equal(found.comparisons[0].differences, expected)
    assert "Nothing says" in found.comparisons[0].notes[0]
    assert found.comparisons[1].notes == ()
    write_evaluation(found.evaluations[1], tmp_path / "weights.npy")
    again = evaluation_of(tmp_path / "weights.evaluation.npz")
    np.testing.assert_array_equal(again.log_likelihood, found.evaluations[1].log_likelihood)
    assert evaluation_of(again) is again


@pytest.mark.slow
def test_a_trained_model_is_judged_on_as_much_as_the_others(tmp_path):
    """As `iwax.evaluate` judges it, whatever its place among the others."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 28, 28), np.uint8)
    data = Dataset(train=images, test=images, name="mnist", split="standard", checksums={}, source="this test")
    other = judge_log_weights(rng.normal(-500, 1, (64, 3)))
    found = compare(["one-layer-iwae-50", other], data=data)
    evaluation = found.evaluations[0]
    assert (len(evaluation.log_likelihood), evaluation.num_samples) == (3, 64)
    x = iwax.evaluation.first_examples(data, "fixed", seed=0, count=3)
    model = iwax.load("one-layer-iwae-50")
    np.testing.assert_array_equal(
        evaluation.log_likelihood, iwax.evaluate(model, x, jax.random.key(0), num_samples=64).log_likelihood
    )
    assert found.names == ("one-layer-iwae-50", "evaluation 2")


def test_what_is_no_model_is_refused_in_one_line(runs, tmp_path, capsys):
    for arguments, message in (
        ((runs[0],), "two models or more to compare; got 1"),
        ((runs[0], tmp_path / "none"), "one of the trained models one-layer-iwae-50"),
        ((runs[0], tmp_path), "which is none of these"),
        ((runs[0], runs[0].parent), "a folder of several. Name one of them"),
    ):
        status, out, err = command(capsys, "compare", *arguments)
        assert (status, out) == (2, "")
        assert message in " ".join(err.split())


def test_weights_that_cannot_be_trusted_are_named(tmp_path, capsys):
    for name, spread in (("light", 0.5), ("heavy", 6.0)):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).normal(0, spread, (640, 5)))
    status, _, err = command(
        capsys, "compare", tmp_path / "light.npy", tmp_path / "heavy.npy", "--out", tmp_path / "out"
    )
    assert status == 0
    text = "".join(err.split())  # a path is broken where a line ends
    assert "k-hatisabove0.7" in text
    assert text.count("heavy.npy") == 1
    assert "light.npy:" not in text
