"""Folders of runs with damaged files: one hides no other, and no checkpoint stands in for the one that is judged."""

import json

import jax.numpy as jnp
import pytest

from iwax.cli import main
from iwax.errors import IwaxError
from iwax.runs.folder import CHECKPOINT, PREVIOUS, RunFolder
from iwax.runs.listing import list_runs
from tiny import tiny_config

EVALUATED = {
    **{"state": "finished", "log_p": -9.0, "num_examples": 4, "num_samples": 64, "test_hash": None},
    **{"binarize": "fixed", "seconds": 1.0},
}
DAMAGES = {  # file -> content, and what is said of it
    "config.json": ("{", "its config.json"),
    "environment.json": ("[]", "environment.json to be an object of JSON"),
    "status.json": ('{"state": "finished", "seconds": "soon"}', "seconds of .*status.json to be a number; got 'soon'"),
    "metrics.jsonl": ('{"epoch": 1}\n', "line 1 of .*metrics.jsonl to have step"),
    "evaluation.json": (
        json.dumps(EVALUATED | {"log_p": []}),
        r"log_p of .*evaluation.json to be a number or null; got \[\]",
    ),
}


def make(path):
    folder = RunFolder(path)
    folder.create(tiny_config(), {"commit": None})
    folder.write_json("status.json", {"state": "finished", "epoch": 2, "epochs": 2, "step": 8, "seconds": 3.0})
    return folder


def test_a_damaged_run_is_one_line_and_hides_no_other(tmp_path, capsys):
    make(tmp_path / "a-good")
    for name, (content, _) in DAMAGES.items():
        (make(tmp_path / f"b-{name}").path / name).write_text(content)
    make(tmp_path / "c-good")
    rows = list_runs(tmp_path)
    assert [row["state"] for row in rows] == ["finished", *["damaged"] * len(DAMAGES), "finished"]
    assert [bool(row["problem"]) for row in rows] == [False, *[True] * len(DAMAGES), False]
    with pytest.raises(SystemExit) as exit_:
        main(["runs", str(tmp_path)])
    assert not exit_.value.code
    said = capsys.readouterr()
    assert said.out.count("finished") >= 2
    flat = " ".join(said.err.split())
    for name in DAMAGES:
        assert f"b-{name}: Expected" in flat


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "config.json"])
def test_a_damaged_file_is_named_with_what_is_wrong_in_it(name, tmp_path):
    folder = make(tmp_path / "run")
    content, message = DAMAGES[name]
    (folder.path / name).write_text(content)
    with pytest.raises(IwaxError, match=message):
        folder.records(name) if name.endswith("l") else folder.json(name)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *(("evaluation.json", field) for field in EVALUATED if field != "log_p"),
        *(("metrics.jsonl", field) for field in ("epoch", "step", "bound")),
        ("evaluations.jsonl", "step"),
    ],
)
def test_a_field_that_every_command_reads_is_missed_by_the_one_reader(name, field, tmp_path):
    """And not with a KeyError by whichever command comes first."""
    whole = EVALUATED if name == "evaluation.json" else {"epoch": 1, "step": 4, "bound": -2.0}
    folder = make(tmp_path / "run")
    (folder.path / name).write_text(json.dumps(whole) + "\n")
    read = folder.records if name.endswith("l") else folder.json
    assert read(name)
    (folder.path / name).write_text(json.dumps({key: whole[key] for key in whole if key != field}) + "\n")
    with pytest.raises(IwaxError, match=f"{name} to have {field}"):
        read(name)


def test_a_cohort_whose_record_is_gone_says_so(tmp_path):
    make(tmp_path / "cohort" / "seed0")
    with pytest.raises(IwaxError, match=r"cohort to be the folder of a run; it holds several, and no cohort\.json"):
        RunFolder(tmp_path / "cohort").config()
    with pytest.raises(IwaxError, match=r"empty to be the folder of a run; it has no config\.json"):  # the control
        RunFolder(tmp_path / "empty").config()


def test_files_of_other_versions_with_more_or_fewer_fields_are_read(tmp_path):
    folder = make(tmp_path / "run")
    folder.write_json("status.json", {"state": "stopped", "of a later version": [1]})
    assert folder.json("status.json")["state"] == "stopped"
    assert list_runs(tmp_path)[0]["epochs"] == "0/2"
    (folder.path / "evaluation.json").write_text(json.dumps(EVALUATED | {"iwae_samples": 64}))
    assert folder.json("evaluation.json")["log_p"] == -9.0


def test_the_checkpoint_before_is_gone_on_from_but_never_judged_in_place_of_a_damaged_one(tmp_path):
    folder = make(tmp_path / "run")
    for step in (1, 2):
        folder.save({"step": jnp.asarray(step)})
    assert int(folder.to_judge().tensors["['step']"]) == 2
    content = (folder.path / CHECKPOINT).read_bytes()
    for damaged in (content[:-1], b"", b"{}", None):
        if damaged is None:
            (folder.path / CHECKPOINT).unlink()
        else:
            (folder.path / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(IwaxError, match=rf"{CHECKPOINT}.*`iwax train --resume` goes on from the one before"):
            folder.to_judge()
        assert int(folder.checkpoint().tensors["['step']"]) == 1
    (folder.path / PREVIOUS).unlink()
    with pytest.raises(IwaxError, match=r"there is none\. Train it first"):
        folder.to_judge()
