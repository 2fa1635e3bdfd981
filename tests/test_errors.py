"""What iwax refuses is told apart from its own faults: no fault is called bad input, "missing", "failed" or damaged."""

import ast
import io
import pathlib
import re
import tarfile
import types

import jax
import numpy as np
import pytest
from PIL import Image

import iwax
import iwax.evaluation.decoding
import iwax.experiments.recording
import iwax.experiments.reproduction
import iwax.experiments.training_snr
import iwax.experiments.verification
import iwax.judging.judgement
import iwax.report.explorable
import iwax.report.gather
import iwax.runs.identity
import made
from iwax.cli import main
from iwax.data import cache, folders, npm, sources
from iwax.errors import IwaxError, IwaxTypeError, MissingExtraError, NonFiniteLossError
from iwax.experiments.study import Study
from iwax.files import read_json, read_text
from iwax.runs import RunConfig, RunFolder, checkpoint, list_runs
from iwax.runs.config import RunConfig as Config
from tiny import tiny_data

SOURCE = pathlib.Path(iwax.__file__).parent


def run(capsys, *arguments):
    """Exit status and standard error of a command."""
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    return exit_.value.code, capsys.readouterr().err


def raising(error):
    def fail(*arguments, **options):
        raise error

    return fail


def test_refusals_are_under_the_errors_of_python_that_fit():
    assert issubclass(IwaxError, ValueError)
    assert issubclass(IwaxTypeError, IwaxError)
    assert issubclass(IwaxTypeError, TypeError)
    assert issubclass(MissingExtraError, ImportError)
    assert not issubclass(NonFiniteLossError, IwaxError)
    with pytest.raises(IwaxError, match="Expected num_samples to be an integer of at least 1; got 0"):
        iwax.IWAE(num_samples=0)
    assert iwax.errors.IwaxError is IwaxError


OWN_FAULTS = [KeyError("planted"), TypeError("planted"), ValueError("planted"), AssertionError("planted")]


@pytest.mark.parametrize("fault", OWN_FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_iwax_ends_a_command_with_status_1_and_is_called_one(capsys, monkeypatch, fault):
    monkeypatch.setattr(iwax.data.catalog, "_entry", raising(fault))
    status, err = run(capsys, "train", "--dataset", "mnist", "--out", "never-made")
    assert status == 1
    assert [line for line in err.splitlines() if line.startswith("iwax: ")] == [err.splitlines()[-1]]
    assert f"iwax: {type(fault).__name__}: " in err
    assert "This is a fault of iwax; --traceback shows where." in err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (IwaxError("Expected this."), 2, "Expected this."),
        (IwaxTypeError("Expected that."), 2, "Expected that."),
        (MissingExtraError("Expected blackjax."), 2, "Expected blackjax."),
        (FileNotFoundError(2, "No such file or directory", "there"), 2, "No such file or directory: 'there'"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (OSError("planted"), 1, "a fault of iwax"),
        (ImportError("cannot import name"), 1, "a fault of iwax"),
        (NonFiniteLossError("step 3"), 1, "step 3"),
        (FloatingPointError("planted"), 1, "a fault of iwax"),
        (MemoryError(), 1, "out of memory"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB"), 1, "out of memory"),
        (jax.errors.JaxRuntimeError("INTERNAL: planted"), 1, "a fault of iwax"),
        (NotImplementedError(), 2, "densities of the model"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_the_exit_status_says_whose_fault_it_was(capsys, monkeypatch, error, status, message):
    monkeypatch.setattr(iwax.data.catalog, "_entry", raising(error))
    found, err = run(capsys, "train", "--dataset", "mnist", "--out", "never-made")
    assert found == status
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [(["--traceback", "data"], ""), (["data", "--traceback"], ""), (["data"], "1")],
    ids=["before", "after", "variable"],
)
def test_a_traceback_is_shown_on_request(capsys, monkeypatch, arguments, variable):
    monkeypatch.setenv("IWAX_TRACEBACK", variable)
    monkeypatch.setenv("JAX_TRACEBACK_FILTERING", "auto")  # which --traceback would else set for good
    monkeypatch.setattr(iwax.data, "describe", raising(KeyError("planted")))
    status, err = run(capsys, *arguments)
    assert status == 1
    assert "Traceback (most recent call last)" in err
    assert "in fail" in err
    assert err.splitlines()[-1].startswith("iwax: KeyError")


def test_what_follows_two_dashes_is_no_option(capsys):
    status, err = run(capsys, "runs", "--", "--traceback")
    assert status == 2
    assert "--traceback" in err
    assert "Traceback (most" not in err


def test_what_a_users_own_model_raises_is_the_users_and_has_a_line(capsys, monkeypatch, tmp_path):
    (tmp_path / "model.py").write_text("def make(key):\n    return 1\ndef later():\n    return {}['planted']\n")
    own = iwax.models.OwnModel.read(f"{tmp_path / 'model.py'}:later")
    later = own.load()
    monkeypatch.setattr(iwax.data.catalog, "_entry", lambda name: later())
    status, err = run(capsys, "train", "--dataset", "mnist", "--out", "never-made")
    assert status == 2
    assert re.search(r"Expected the model in \S*model.py to work; got KeyError: 'planted' \(line 4\)", err)


def run_folder(path):
    """What looks like a run."""
    folder = RunFolder(path / "run")
    folder.create(RunConfig(dataset="tiny"), {})
    return folder


def of_judgement(path, patch, fault):
    for name in ("plot_evaluation", "evaluate_run"):
        patch.setattr(iwax.judging.judgement, name, lambda *a, **o: {"state": "finished", "num_examples": 1})
    loaded = types.SimpleNamespace(folder=RunFolder(path), made_from={})
    patch.setattr(iwax.judging.judgement, "open_run", lambda *a, **o: loaded)
    patch.setattr(iwax.judging.judgement, "pruned_run", raising(fault))
    iwax.judging.judgement.judge_run(path)


def of_a_mean(path, patch, fault):
    class Density:
        @property
        def mean(self):
            raise fault

    iwax.evaluation.decoding.known_mean(Density())


def of_the_explorer(path, patch, fault):
    source = iwax.report.explorable.Source("title", "", raising(fault))
    patch.setattr(iwax.report.explorable, "_of_runs", lambda runs, data_dir: [source])
    iwax.report.explorable.explorable([], None, print)


def of_a_report(path, patch, fault):
    run_folder(path)
    (path / "run" / "checkpoint.safetensors").write_bytes(b"")
    patch.setattr(iwax.report.gather, "_read_run", raising(fault))
    iwax.report.gather.gather(path / "results", path)


def of_verification(path, patch, fault):
    patch.setattr(RunFolder, "checkpoint", raising(fault))
    iwax.experiments.verification._is_at_hand(path, made.record(RunConfig()))


def of_a_signal_to_noise(path, patch, fault):
    patch.setattr(iwax.experiments.training_snr, "gradient_snr", raising(fault))
    point = {"objective": "elbo", "num_samples": 1, "num_examples": 2, "num_replicates": 4, "seed": 0}
    iwax.experiments.training_snr.measure(None, np.zeros((4, 2), np.float32), "none", point)


def of_an_identity(path, patch, fault):
    whole, calls = iwax.runs.identity.resolve, []

    def resolve(config):
        calls.append(config)
        if len(calls) > 1:
            raise fault
        return whole(config)

    patch.setattr(iwax.runs.identity, "resolve", resolve)
    iwax.runs.identity.non_default_fields(RunConfig(seed=123_456, epochs=7))


def of_a_reproduction(path, patch, fault):
    said = []
    patch.setattr(iwax.experiments.reproduction, "_one", raising(fault))
    how = iwax.experiments.reproduction.Reproduction(
        scale="smoke", runs=path, results=path, progress=lambda task: None, log=said.append
    )
    try:
        iwax.experiments.reproduction.reproduce(Study("x", "x", "x"), [RunConfig(), RunConfig(seed=1)], how)
    finally:
        assert sum("failed" in line for line in said) == 2  # neither is stopped by the other


def of_a_picture(path, patch, fault):
    Image.new("L", (2, 2)).save(path / "x.png")
    patch.setattr(folders, "pixels_of", raising(fault))
    folders.read_folder(path)


def of_a_package(path, patch, fault):
    def pack(command, cwd, **options):
        with tarfile.open(f"{cwd}/x.tgz", "w:gz") as archive:
            member = tarfile.TarInfo("data/a")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))

    patch.setattr(npm.shutil, "which", lambda name: name)
    patch.setattr(npm.subprocess, "run", pack)
    patch.setattr(npm, "verify", raising(fault))
    npm.from_npm("x", [cache.Payload("x", "a", 1, "")], "data")


def of_a_checkpoint(path, patch, fault):
    content = checkpoint.pack_checkpoint({"a": jax.numpy.ones(2)}, {})
    (path / "c").write_bytes(content)
    patch.setattr(checkpoint, "_checksum", raising(fault))
    checkpoint.read_checkpoint(path / "c")


def of_a_list_of_runs(path, patch, fault):
    run_folder(path)
    patch.setattr(RunFolder, "metrics", raising(fault))
    list_runs(path)


def of_a_configuration(path, patch, fault):
    folder = run_folder(path)
    patch.setattr(Config, "from_json", raising(fault))
    folder.config()


def of_the_other_data_set(path, patch, fault):
    data = tiny_data()
    object.__setattr__(data, "name", "mnist")
    patch.setattr(iwax.experiments.recording, "load", raising(fault))
    iwax.experiments.recording._across(data, None)


def of_a_source(path, patch, fault):
    patch.setattr(sources, "explicit_folder", raising(fault))
    sources.probe_source([], [], None)


PLACES = [
    of_judgement, of_a_mean, of_the_explorer, of_a_report, of_verification, of_a_signal_to_noise, of_an_identity,
    of_a_reproduction, of_a_picture, of_a_package, of_a_checkpoint, of_a_list_of_runs, of_a_configuration,
    of_the_other_data_set, of_a_source,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize(
    "fault", [KeyError("planted"), TypeError("planted"), ValueError("planted"), AttributeError("planted", name="shape")]
)
def test_a_fault_in_deep_code_is_not_swallowed(place, fault, tmp_path, monkeypatch):
    with pytest.raises(type(fault)) as found:
        place(tmp_path, monkeypatch, fault)
    assert found.value is fault


def test_files_that_are_no_json_or_no_text_are_refused_by_name(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(IwaxError, match=r"Expected .*a\.json to be JSON; got Expecting property name"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b").write_bytes(b"\xff")
    with pytest.raises(IwaxError, match=r"Expected .*b to be text in UTF-8; got 'utf-8' codec"):
        read_text(tmp_path / "b")


@pytest.mark.parametrize("file", ["status.json", "metrics.jsonl", "config.json", "evaluation.json"])
def test_a_damaged_run_is_called_damaged(tmp_path, file):
    folder = run_folder(tmp_path)
    assert [row["state"] for row in list_runs(tmp_path)] == ["new"]
    (folder.path / file).write_text("{\n")
    assert [row["state"] for row in list_runs(tmp_path)] == ["damaged"]


FAULTS_RAISED = {  # (file, exception): raised for iwax's own mistakes, or caught where they are raised
    ("files.py", "TypeError"),
}


def test_what_users_input_does_wrong_raises_iwaxs_own_errors():
    """Python's own would be called a fault of iwax by the command line."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                found.add((path.relative_to(SOURCE).as_posix(), node.exc.func.id))
    plain = {(file, name) for file, name in found if name in ("ValueError", "TypeError", "ImportError", "KeyError")}
    assert plain == FAULTS_RAISED
    assert len(found) > 60
