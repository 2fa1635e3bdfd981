"""`iwax ssim`, `anneal` and `posterior` as a user meets them, on one tiny run."""

import json

import numpy as np
import pytest

from in_process import run_command
from iwax.cli import main
from iwax.judging import posterior as implicit
from iwax.runs import load_run
from tiny import tiny_data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on 40 images of 4 x 4 from a file of one's own."""
    folder = tmp_path_factory.mktemp("posterior")
    np.savez(folder / "own.npz", train=tiny_data().train, test=tiny_data().test)
    options = ["--objective", "elbo", "--epochs", "1", "--batch-size", "10", "--recipe", "burda-paper"]
    options += ["--out", str(folder / "run")]
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--dataset", str(folder / "own.npz"), *options])
    assert exit_.value.code == 0
    return folder / "run"


def test_ssim(run, capsys):
    options = ["--setting", "pytorch_ssim", "--reconstruction", "mean", "--test-images", 5, "--num-samples", 3]
    status, out, _ = run_command(capsys, "ssim", run, *options, "--json")
    assert status == 0
    result = json.loads(out)
    assert result == json.loads((run / "ssim.json").read_text())
    assert (result["num_examples"], result["num_samples"]) == (5, 3)
    assert result["setting"]["reconstruction"] == "mean"
    _, table, _ = run_command(capsys, "ssim", run, *options)
    assert f"{result['ssim']:.4f}" in table
    status, _, err = run_command(capsys, "ssim", run, "--setting", "wang")
    assert status == 2
    assert "Expected window to be at most the shorter side of the images, 4; got 11" in err


def test_a_number_of_images_that_nobody_gave_is_no_more_than_there_are(run, capsys, monkeypatch):
    """`iwax anneal RUN` as its help shows it was refused on 40 test images: it wanted 100."""
    asked = []
    monkeypatch.setattr("iwax.judging.anneal._bounds", lambda records, model, x, *rest: asked.append(len(x)) or 1 / 0)
    for options in ([], ["--num-images", 5]):
        assert run_command(capsys, "anneal", run, *options)[0] == 1  # of the division
    assert asked == [12, 5]
    status, _, err = run_command(capsys, "anneal", run, "--num-images", 13)
    assert status == 2
    assert "Expected at most 12 test images, all there are; got 13" in err
    assert run_command(capsys, "reconstruct", run)[0] == 0
    loaded = load_run(run)
    assert [len(loaded.test_images(0, most=most)) for most in (None, 100, 3)] == [12, 12, 3]


@pytest.mark.slow
def test_anneal(run, capsys):
    options = ["--num-distributions", 1, "--chains", 30, "--images", 4, "--num-samples", 64]
    status, out, _ = run_command(capsys, "anneal", run, *options, "--json")
    assert status == 0
    result = json.loads(out)
    assert result == json.loads((run / "annealing.json").read_text())
    assert (result["num_chains"], result["num_examples"]) == (30, 4)
    _, table, _ = run_command(capsys, "anneal", run, *options)  # from what was kept
    assert f"{result['ais']:.3f}" in table
    assert f"{result['sandwich']['gap']:.3f}" in table


@pytest.mark.slow
def test_posterior(run, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(implicit, "POOL", 8192)
    options = ["--images", "1,2", "--num-samples", "5,20", "--out", tmp_path / "picture.png"]
    status, out, _ = run_command(capsys, "posterior", run, *options, "--json")
    assert status == 0
    result = json.loads(out)
    assert [list(row["bounds"]) for row in result["images"]] == [["1", "5", "20"]] * 2
    assert (tmp_path / "picture.png").exists()
    _, table, _ = run_command(capsys, "posterior", run, *options)
    assert f"{result['images'][0]['bounds']['20']:.3f}" in table
    status, _, err = run_command(capsys, "posterior", run, "--images", "1;2")
    assert status == 2
    assert "Expected images to be integers, separated by commas; got '1;2'" in err


def test_a_density_that_lacks_something_ends_a_command_in_one_line(run, capsys, monkeypatch):
    """Flows raise NotImplementedError where they have no mean, no quantiles, ...; it came out as a traceback."""

    def lacks(*arguments, **options):
        raise NotImplementedError

    monkeypatch.setattr("iwax.judging.ssim_run", lacks)
    status, _, err = run_command(capsys, "ssim", run)
    assert status == 2
    assert err.startswith(
        "iwax: Expected the densities of the model to have what this command asks of them; one raised"
    )
    assert err.count("\n") == 1


def test_the_range_of_the_data_is_said_and_can_be_given(run, capsys):
    """Black and white images have 1; half of that makes SSIM another number."""
    options = ["--setting", "pytorch_ssim", "--test-images", 5, "--json"]
    found = [json.loads(run_command(capsys, "ssim", run, *options, *more)[1]) for more in ([], ["--data-range", 0.5])]
    assert [result["setting"]["data_range"] for result in found] == [1.0, 0.5]
    assert found[0]["ssim"] != found[1]["ssim"]
