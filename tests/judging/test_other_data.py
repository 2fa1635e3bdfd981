"""Runs judged on other data, several seeds at once, models that are no run: where results go, in which units."""

import json
import math
import shutil

import numpy as np
import pytest

from in_process import run_command as command
from iwax.evaluation.bits import is_discrete
from iwax.judging.evaluate import evaluate_run
from iwax.judging.seeds import evaluate_runs
from iwax.runs.folder import RunFolder
from iwax.runs.launch import new_run
from iwax.sweeps import PlannedRun, SweepFolder
from iwax.zoo import open_run
from tiny import tiny_config, tiny_data, values_per_image

OPTIONS = {"num_samples": 128, "rows": 256}
FEW = ("--num-samples", 128, "--num-images", 4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Its data are in a file, as the commands need."""
    folder = tmp_path_factory.mktemp("other")
    np.save(folder / "own.npy", tiny_data().train)
    np.save(folder / "unlike.npy", 255 - tiny_data(seed=1, train=60).train)
    np.save(folder / "larger.npy", np.arange(360, dtype=np.uint16).astype(np.uint8).reshape(10, 6, 6))
    config = tiny_config(dataset=str(folder / "own.npy"), epochs=1)
    return new_run(config, folder / "run", command=[]).path


def test_other_data_are_judged_beside_the_run_s_own(run, capsys):
    """Named after them; a run's own evaluation keeps every byte, and the two are of different examples."""
    evaluate_run(run, **OPTIONS)
    own = [(run / name).read_bytes() for name in ("evaluation.json", "evaluation.npz")]
    status, out, _ = command(capsys, "evaluate", run, *FEW, "--dataset", run.parent / "unlike.npy")
    assert status == 0
    assert "unlike.npy" in out
    assert [(run / name).read_bytes() for name in ("evaluation.json", "evaluation.npz")] == own
    other = json.loads((run / "evaluation-unlike.json").read_text())
    assert (other["dataset"], other["trained_on"]) == (str(run.parent / "unlike.npy"), str(run.parent / "own.npy"))
    assert other["test_hash"] != json.loads(own[0])["test_hash"]
    assert not (run / "evaluation-unlike.partial").exists()
    evaluate_run(run, dataset=run.parent / "own.npy", **OPTIONS)  # the control: its own data by path are its own
    assert not (run / "evaluation-own.json").exists()


def test_data_of_another_shape_or_of_a_name_that_is_taken_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match=r"Expected dataset to have examples of shape \(4, 4\), as the run .*\(6, 6\)"):
        evaluate_run(run, dataset=run.parent / "larger.npy", **OPTIONS)
    evaluate_run(run, dataset=run.parent / "unlike.npy", **OPTIONS)
    np.save(tmp_path / "unlike.npy", tiny_data(seed=2).train)
    with pytest.raises(ValueError, match=r"Expected evaluation-unlike\.json in .* Move it away"):
        evaluate_run(run, dataset=tmp_path / "unlike.npy", **OPTIONS)


def write_table(path, names, values):
    path.write_text("\n".join([",".join(names), *(",".join(f"{v:.6f}" for v in row) for row in values)]) + "\n")


def test_columns_of_another_table_are_those_of_the_run_s_by_name(tmp_path):
    """They were taken by position, whatever their headers said."""
    values = np.random.default_rng(0).normal(size=(40, 3)) * [1.0, 5.0, 20.0]
    write_table(tmp_path / "own.csv", "abc", values)
    write_table(tmp_path / "same.csv", "abc", values[::-1])
    write_table(tmp_path / "turned.csv", "cab", values[::-1, [2, 0, 1]])
    write_table(tmp_path / "strange.csv", "abd", values[::-1])
    config = tiny_config(dataset=str(tmp_path / "own.csv"), epochs=1, likelihood="gaussian", binarize="none")
    run = new_run(config, tmp_path / "run", command=[]).path
    assert json.loads((run / "environment.json").read_text())["columns"] == ["a", "b", "c"]
    same, turned = (evaluate_run(run, dataset=tmp_path / f"{name}.csv", **OPTIONS) for name in ("same", "turned"))
    assert same["log_p"] == turned["log_p"]
    assert same["test_hash"] == turned["test_hash"]
    with pytest.raises(
        ValueError, match=r"Expected the run's data and .*strange.csv to have columns of the same names"
    ):
        evaluate_run(run, dataset=tmp_path / "strange.csv", **OPTIONS)


def test_a_new_run_in_the_folder_takes_evaluations_on_other_data_away(run, tmp_path):
    (tmp_path / "run").mkdir()
    folder = RunFolder(tmp_path / "run")
    folder.create(RunFolder(run).config(), {})
    folder.write_json("evaluation-unlike.json", {})
    folder.create(RunFolder(run).config(), {}, overwrite=True)
    assert not (tmp_path / "run" / "evaluation-unlike.json").exists()


def test_bits_per_dimension_are_nats_of_each_pixel_in_units_of_log_2(run):
    """Of 16 pixels; a model that tossed a coin for each would need one bit."""
    found = evaluate_run(run, **OPTIONS)
    values = values_per_image(run)
    assert found["dimensions"] == 16
    assert found["bits_per_dimension"] == pytest.approx(-found["log_p"] / 16 / 0.6931471805599453)
    assert found["bits_per_dimension_test_error"] == pytest.approx(
        np.std(values, ddof=1) / math.sqrt(len(values)) / 16 / 0.6931471805599453
    )
    assert 0.9 < found["bits_per_dimension"] < 1.5  # noise of every grey value, hardly learned


@pytest.mark.parametrize(
    ("values", "stored", "rule", "real_valued", "discrete"),
    [
        ([0.0, 1.0], np.uint8, "fixed", False, True),
        ([0.0, 1.0], np.uint8, "fixed", True, False),  # a Gaussian of black and white
        ([0.0, 0.3], np.uint8, "intensities", True, False),
        ([0.0, 7.0], np.int32, "none", None, True),  # counts
        ([0.0, 7.0], np.int32, "none", True, False),
        ([0.0, 0.5], np.float32, "none", None, False),
    ],
)
def test_bits_are_of_probabilities_only(values, stored, rule, real_valued, discrete):
    assert is_discrete(np.array([values]), stored, rule, real_valued) is discrete


@pytest.mark.slow
def test_a_density_has_no_bits_per_dimension_and_says_why(tmp_path, capsys):
    config = tiny_config(likelihood="gaussian", binarize="intensities", epochs=1)
    path = new_run(config, tmp_path / "run", data=tiny_data()).path
    assert evaluate_run(path, data=tiny_data(), **OPTIONS)["bits_per_dimension"] is None
    assert "log p changes with the units of x" in "".join(_rows(path))


def _rows(path):
    from iwax.cli.judging import evaluation_rows

    return [cell for row in evaluation_rows(json.loads((path / "evaluation.json").read_text())) for cell in row]


def test_results_of_a_model_that_is_no_run_are_printed_and_not_kept_in_the_package(capsys, tmp_path, monkeypatch):
    from iwax.zoo import FOLDER

    monkeypatch.chdir(tmp_path)
    data = tiny_data(seed=3).train
    np.save(tmp_path / "digits.npy", np.kron(data, np.ones((7, 7), np.uint8)))
    before = sorted(FOLDER.rglob("*"))
    judged = ("evaluate", "one-layer-iwae-50", "--num-samples", 64, "--num-images", 2, "--dataset", "digits.npy")
    status, out, err = command(capsys, *judged)
    assert status == 0
    assert "one-layer-iwae-50: 2 test examples" in out
    assert "results are not kept" in " ".join(err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["digits.npy"]
    assert command(capsys, *judged, "--out", "kept")[0] == 0
    assert (tmp_path / "kept" / "evaluation-digits.json").exists()
    assert sorted(FOLDER.rglob("*")) == before


@pytest.mark.parametrize("name", ["sample", "reconstruct", "posterior"])
def test_a_picture_of_a_model_that_is_no_run_needs_a_place(capsys, name):
    status, _, err = command(capsys, name, "one-layer-iwae-50")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "Expected --out to say where the picture goes" in err


def test_a_scratch_folder_goes_with_its_run():
    run = open_run("one-layer-iwae-50")
    path = run.folder.path
    assert path.is_dir()
    del run
    assert not path.exists()


@pytest.fixture(scope="module")
def seeds(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    for seed in (0, 1, 2):
        config = tiny_config(dataset=str(run.parent / "own.npy"), epochs=1, seed=seed)
        new_run(config, folder / f"seed{seed}", command=[])
    return folder


def test_a_folder_of_seeds_is_judged_run_by_run_with_mean_and_standard_deviation(seeds, capsys):
    (found,) = evaluate_runs(seeds, **OPTIONS)
    log_p = [json.loads((seeds / f"seed{i}" / "evaluation.json").read_text())["log_p"] for i in range(3)]
    assert len(set(log_p)) == 3
    mean = sum(log_p) / 3
    assert found.means["log_p"].mean == pytest.approx(mean)
    assert found.means["log_p"].sd == pytest.approx(math.sqrt(sum((value - mean) ** 2 for value in log_p) / 2))
    status, out, err = command(capsys, "evaluate", seeds, "--num-samples", 128, "--rows", 256)
    assert status == 0, err
    assert f"{mean:.3f}" in out.partition("mean of 3")[2].partition("\n")[0]
    assert f"{found.means['log_p'].sd:.3f}" in out.partition("standard deviation")[2].partition("\n")[0]
    said = " ".join(err.split())
    assert "holds this evaluation already" in said  # nothing is judged twice
    doubtful = [f"seed{i}" for i in range(3) if mostly_high(seeds / f"seed{i}" / "evaluation.npz")]
    assert doubtful
    assert f"of {', '.join(doubtful)}: its log p lies below the truth" in said  # once, not for each run


def mostly_high(path):
    """Whether k-hat is above 0.7 for more than one in twenty examples."""
    return np.mean(np.load(path)["khat"] > 0.7) > 0.05


def test_seeds_of_a_sweep_stand_beside_their_options(seeds, tmp_path, capsys):
    ids = ["0123456789ab", "ba9876543210"]
    for seed, id in enumerate(ids):
        shutil.copytree(seeds / f"seed{seed}", tmp_path / id)
    SweepFolder(tmp_path).add(PlannedRun(id=id, options={"seed": seed}) for seed, id in enumerate(ids))
    status, out, err = command(capsys, "evaluate", tmp_path, "--num-samples", 128, "--rows", 256)
    assert status == 0, err
    lines = out.splitlines()
    shown = {id: line for line in lines for id in ids if id in line}
    assert all(f"seed={seed} " in shown[id] for seed, id in enumerate(ids))
    (means,) = (points(line) for line in lines if "mean of 2" in line)
    assert means[:4] == points(shown[ids[0]])[:4]  # the nats of both are in the same columns


def points(line):
    return [i for i, letter in enumerate(line) if letter == "."]


def test_a_single_run_of_its_kind_is_no_mean(seeds, tmp_path, capsys):
    shutil.copytree(seeds / "seed0", tmp_path / "runs" / "alone")
    status, out, err = command(capsys, "evaluate", tmp_path / "runs", "--num-samples", 128, "--rows", 256)
    assert status == 0, err
    assert "alone" in out
    assert "± over examples" in out
    assert "mean of" not in out
    assert "standard deviation" not in out


def test_seeds_are_judged_on_other_data_from_their_own_files(seeds, run):
    (own,) = evaluate_runs(seeds, **OPTIONS)
    (found,) = evaluate_runs(seeds, dataset=run.parent / "unlike.npy", **OPTIONS)
    errors = [one.means["log_p"].data_error for one in (own, found)]
    per_example = [values_of(seeds, "evaluation-unlike.npz")]
    assert errors[1] == pytest.approx(np.std(per_example[0], ddof=1) / math.sqrt(len(per_example[0])))
    assert errors[0] != errors[1]


def values_of(folder, name):
    """The mean over seeds of each example."""
    each = []
    for seed in range(3):
        with np.load(folder / f"seed{seed}" / name) as arrays:
            each.append(arrays["log_likelihood"])
    return np.mean(each, axis=0)


def test_several_runs_take_no_option_of_one(seeds, capsys):
    status, _, err = command(capsys, "evaluate", seeds, "--all")
    assert status == 2
    assert "which holds several" in " ".join(err.split())
