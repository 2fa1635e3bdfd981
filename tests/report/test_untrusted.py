"""What others send: a report runs none of its code, shows no file from elsewhere, and takes names for text."""

import dataclasses
import json
import re
import shutil

import pytest

from iwax.cli import main
from iwax.errors import IwaxError
from iwax.experiments.records import Record, read_records
from iwax.figures import curves, image_sheet
from iwax.report.explorable import explorable
from iwax.report.gather import gather, pictures
from iwax.report.tables import Datum, Sheet, as_markdown
from iwax.runs.config import RunConfig
from iwax.runs.launch import new_run
from iwax.runs.loading import load_run
from made import record
from tiny import tiny_config, tiny_data

CODE = """
import pathlib
import iwax

pathlib.Path("{mark}").write_text("was here")


def make(key, data_shape):
    return iwax.VAE(data_shape[0] * data_shape[1], [2], [[8]], key=key)
"""


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """A judged run whose own code leaves a mark wherever it is run; the folder, and the mark."""
    import numpy as np

    from iwax.judging.evaluate import evaluate_run

    folder = tmp_path_factory.mktemp("sent")
    mark = folder / "mark"
    (folder / "m.py").write_text(CODE.format(mark=mark))
    np.savez(folder / "own.npz", train=tiny_data().train, test=tiny_data().test)
    config = tiny_config(dataset=str(folder / "own.npz"), model=f"{folder / 'm.py'}:make", epochs=1)
    run = new_run(config, folder / "runs" / "run").path
    evaluate_run(run, num_samples=64)
    mark.unlink()
    return run, mark


def forget_own_modules():
    import sys

    for name in [name for name in sys.modules if name.startswith("iwax_own_model_")]:
        del sys.modules[name]


def test_a_report_runs_no_code_of_a_run(sent, monkeypatch):
    run, mark = sent
    monkeypatch.setattr("iwax.zoo.records", dict)  # of no interest here, and half a megabyte each
    forget_own_modules()
    found, said = gather(None, run.parent), []
    assert [one.folder for one in found] == [run]
    explorable(found, None, said.append)
    assert not mark.exists()
    assert any("code which is not run here" in line for line in said)
    with pytest.raises(
        IwaxError, match=r"Expected a model of iwax in .*run; got model\.py, code which is not run here"
    ):
        load_run(run, code=False)
    assert not mark.exists()
    load_run(run)
    assert mark.exists()  # the control: the code is such that running it shows
    mark.unlink()


def test_a_command_that_runs_the_code_of_a_run_says_so(sent, tmp_path, capsys):
    run, mark = sent
    forget_own_modules()
    for arguments, runs_it in ((["sample", run, "--out", tmp_path / "a.png"], True), (["runs", run.parent], False)):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        assert not exit_.value.code
        said = " ".join(capsys.readouterr().err.split())
        assert (f"running the code that the run keeps, {run / 'model.py'}" in said) == runs_it
        assert mark.exists() == runs_it
        mark.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/b.png", "..", "", "..\\secret.png"])
def test_a_record_names_no_picture_outside_its_folder(name, tmp_path):
    made = record(RunConfig(objective="iwae"), sheets={"samples": name})
    with pytest.raises(IwaxError, match="Expected its sheets to be names of files in the folder sheets; got"):
        Record.from_json(made.to_json())


def test_a_picture_that_leads_elsewhere_or_is_none_is_not_shown(tmp_path):
    results = tmp_path / "results"
    (results / "sheets").mkdir(parents=True)
    image_sheet(tiny_data().test[:4] / 255, tmp_path / "secret.png")
    image_sheet(tiny_data().test[:4] / 255, results / "sheets" / "good.png")
    (results / "sheets" / "link.png").symlink_to(tmp_path / "secret.png")
    (results / "sheets" / "text.png").write_text("a secret")
    sheets = {"samples": "link.png", "reconstructions": "text.png", "across": "good.png"}
    made = record(RunConfig(objective="iwae"), sheets=sheets)
    (results / f"{made.id}.json").write_text(made.to_json())
    (run,) = gather(results, [])
    assert list(pictures(run)) == ["across"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": "enormous"}, "Expected its scale to be one of smoke, trial, short, full; got 'enormous'"),
        ({"training": []}, "Expected training of a record to be an object of JSON"),
        ({"asked": {"num_samples": "many"}}, "Expected num_samples of its asked to be .*; got 'many'"),
        ({"training": {"epochs": 4, "curve": []}}, "Expected training of a record to have steps"),
        ({"evaluation": {"active_units": []}}, "Expected evaluation of a record to have num_images"),
        ({"along": [[1]]}, "Expected item 1 of along of a record to be a list of 2"),
        ({"checks": {"finite": "yes"}}, "Expected finite of checks of a record to be true or false; got 'yes'"),
    ],
)
def test_a_damaged_record_is_named_and_left_out_and_the_others_are_read(change, message, tmp_path):
    good = record(RunConfig(objective="iwae"))
    bad = json.loads(dataclasses.replace(good, id="0").to_json()) | change
    (tmp_path / f"{good.id}.json").write_text(good.to_json())
    (tmp_path / "0.json").write_text(json.dumps(bad))
    (tmp_path / "1.json").mkdir()
    said = []
    assert read_records(tmp_path, said.append) == [good]
    assert len(said) == 2
    with pytest.raises(IwaxError, match=rf"Expected .*0\.json to be a record; {message}"):
        read_records(tmp_path)


def test_a_damaged_run_is_named_and_left_out_of_a_report(sent, tmp_path):
    run, _ = sent
    shutil.copytree(run, tmp_path / "runs" / "good")
    for name in ("status.json", "evaluation.npz", "checkpoint.safetensors"):
        shutil.copytree(run, tmp_path / "runs" / name)
        (tmp_path / "runs" / name / name).write_bytes(b"\xff\xfe")
    said = []
    assert [one.folder.name for one in gather(None, tmp_path / "runs", said.append)] == ["good"]
    assert len(said) == 3
    assert all(f"Left out {tmp_path / 'runs' / name}" in " ".join(said) for name in ("status.json", "evaluation.npz"))


def test_names_are_no_html_and_no_links_in_markdown():
    cells = (Datum("<img src=x onerror=alert(1)>"), Datum("1", 1, ("a|b\n&lt;",)), Datum("[x](javascript:1)"))
    text = as_markdown(Sheet("t", "T", ("<b>", "b", "c"), (cells,), ("</td><script>",)))
    assert "<img" not in text
    assert "<b>" not in text
    assert "<script" not in text
    assert "](" not in text
    assert "&amp;lt;" in text
    assert len(text.splitlines()) == 5
    assert "1 < 2" in as_markdown(Sheet("t", "T", ("a",), ((Datum("1 < 2"),),)))  # what is no tag stays as it is


def test_a_dollar_in_a_name_stops_no_figure_and_powers_of_ten_stay_formulas(tmp_path):
    lines = {"runs/$\\frac{$": ([1, 1000], [1.0, 2.0]), "$x$": ([1, 1000], [2.0, 3.0])}
    curves(lines, tmp_path / "a.svg", x_label="$\\nonsense{$", y_label="a$b$", xscale="log", title="$")
    text = (tmp_path / "a.svg").read_text()
    assert "runs/$\\frac{$" in text
    assert "$x$" in text
    assert "mathdefault" not in re.sub("<!--.*?-->", "", text)  # the ticks are formulas, and are read as such
