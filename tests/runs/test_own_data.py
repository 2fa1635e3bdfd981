"""Runs on data of one's own, from the command to the pictures: in colour, from tables, and moved to another place."""

import json

import numpy as np
import pytest
from PIL import Image

from in_process import run_command
from iwax.data import load
from iwax.experiments.identity import explicit_fields, non_default_fields
from iwax.judging import sample_sheet
from iwax.runs import RunConfig, RunFolder, load_run, new_run, resolve
from iwax.runs.paths import data_of_run

COLOURS = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
TINY = ("--objective", "elbo", "--recipe", "burda-paper", "--batch-size", "9", "--epochs", "1")


def run(capsys, *arguments):
    return run_command(capsys, *arguments)


def write(folder, images):
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:02}.png")
    return folder


def has_colour(path):
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.abs(pixels - pixels.mean(axis=2, keepdims=True)).max() > 20


@pytest.mark.slow
def test_a_folder_in_colour_is_trained_judged_and_pictured_in_colour_wherever_it_moves(tmp_path, capsys):
    """The control: another folder in its place, which is refused."""
    folder, path = write(tmp_path / "faces", COLOURS), tmp_path / "run"
    status, _, err = run(capsys, "train", "--dataset", folder, *TINY, "--out", path)
    assert (status, "made grey" in err) == (0, False)
    assert load_run(path).model.data_size == 4 * 4 * 3
    for command in ("sample", "reconstruct"):
        status, out, err = run(capsys, command, path, "--num-images", "2")
        assert status == 0, err
        assert has_colour(out.strip())
    folder.rename(tmp_path / "moved")
    write(tmp_path / "others", COLOURS[::-1])
    assert run(capsys, "reconstruct", path, "--num-images", "2", "--data", tmp_path / "moved")[0] == 0
    status, _, err = run(capsys, "reconstruct", path, "--data", tmp_path / "others")
    assert status == 2
    assert "others to hold the data that the run was trained on; the checksums differ: test: " in err
    status, _, err = run(capsys, "reconstruct", path)
    assert status == 2
    assert f"Name by --data where {folder.name} is now, or the folder that holds it." in err


def test_a_table_is_trained_on_by_its_columns_and_the_run_remembers_which(tmp_path, capsys, monkeypatch):
    rows = np.random.default_rng(0).random((20, 3))
    monkeypatch.chdir(tmp_path)
    np.savetxt("own.csv", rows, delimiter=",", header="a,b,c", comments="")
    arguments = ("--dataset", "own.csv", "--columns", "c,a", "--likelihood", "gaussian", *TINY)
    status, _, err = run(capsys, "train", *arguments, "--out", "run")
    assert status == 0, err
    folder = RunFolder(tmp_path / "run")
    assert folder.config().columns == "c,a"
    assert folder.config().dataset == str(tmp_path / "own.csv")
    assert folder.json("environment.json")["dataset_as_given"] == "own.csv"
    np.testing.assert_allclose(load_run("run").data.train[:, 1], load("own.csv").train[:, 0])
    status, _, err = run(capsys, "train", *arguments, "--grey", "--out", "other")
    assert (status, "Expected images (N, height, width, 3) to make grey; got shape" in err) == (2, True)


def test_what_is_read_otherwise_than_before_is_asked_for_by_name_and_old_runs_stay_the_same():
    """New fields are in no identity and in no configuration that does not ask for them."""
    for name in ("columns", "grey", "background"):
        assert getattr(RunConfig(), name) is None
        assert name not in explicit_fields(resolve(RunConfig()).config)
    assert non_default_fields(RunConfig(dataset="/x", grey=True)) == {"dataset": "/x", "grey": True}
    before = {name: value for name, value in json.loads(RunConfig().to_json()).items() if name != "columns"}
    assert RunConfig.from_json(json.dumps(before)) == RunConfig()
    with pytest.raises(ValueError, match="Expected background to be one of white, black; got 'blue'"):
        resolve(RunConfig(background="blue"))


def test_moved_data_are_found_by_the_folder_that_holds_them_or_by_their_own_new_name(tmp_path):
    np.save(tmp_path / "old.npy", COLOURS)
    data = load(tmp_path / "old.npy")
    config = RunConfig(dataset=data.name, split=data.split)
    began = {"checksums": dict(data.checksums), "dataset_as_given": "./old.npy"}
    (tmp_path / "new").mkdir()
    (tmp_path / "old.npy").rename(tmp_path / "new" / "old.npy")
    for place in (tmp_path / "new", tmp_path / "new" / "old.npy"):
        np.testing.assert_array_equal(data_of_run(config, place, began).train, data.train)
    (tmp_path / "new" / "old.npy").rename(tmp_path / "new" / "renamed.npy")
    np.testing.assert_array_equal(data_of_run(config, tmp_path / "new" / "renamed.npy", began).test, data.test)
    with pytest.raises(ValueError, match=r"at .*old\.npy \(given as \./old\.npy\); there is nothing\. Name by"):
        data_of_run(config, None, began)
    np.save(tmp_path / "new" / "old.npy", COLOURS[::-1])
    with pytest.raises(ValueError, match=r"the data that the run was trained on; the checksums differ: test: .*"):
        data_of_run(config, tmp_path / "new", began)


def test_a_new_run_reads_as_its_configuration_says(tmp_path):
    """In grey; the control to the pictures above."""
    write(tmp_path / "faces", COLOURS)
    options = {"objective": "elbo", "protocol": "burda-paper", "batch_size": 9, "epochs": 1}
    folder = new_run(RunConfig(dataset=str(tmp_path / "faces"), grey=True, **options), tmp_path / "run")
    assert folder.json("environment.json")["example_shape"] == [4, 4]
    assert not has_colour(sample_sheet(folder.path, num_images=2))


def test_iwax_data_show_says_in_two_lines_what_would_be_read(tmp_path, capsys):
    folder = write(tmp_path / "faces", COLOURS)
    status, out, _ = run(capsys, "data", "show", folder)
    first = f"{folder} [test_fraction=0.1,seed=0]: 18 training and 2 test examples, 4x4x3 of uint8"
    assert (status, out.splitlines()) == (0, [first, f"from folder {folder}"])
    assert "4x4 of uint8" in run(capsys, "data", "show", folder, "--grey")[1]
    Image.new("RGBA", (4, 4)).save(folder / "99.png")
    status, _, err = run(capsys, "data", "show", folder)
    assert (status, "1 of 21 images of" in err, "--background black" in " ".join(err.split())) == (0, True, True)
    status, _, err = run(capsys, "data", "show", tmp_path / "nothing")
    assert (status, err.count("\n")) == (2, 1)
