"""What a number belongs to: the checkpoint, the data and the settings that made it. No file's time says so."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

import iwax.judging.anneal
import iwax.judging.judgement
from faults import Killed, killed_before
from iwax.evaluation import Annealing
from iwax.experiments.training_snr import Settings, measure_run
from iwax.figures import read_about
from iwax.judging import anneal_run, evaluate_run, implicit_run, reconstruction_sheet, sample_sheet, ssim_run
from iwax.report.gather import gather, pictures
from iwax.runs import environment
from iwax.runs.checkpoint import Checkpoint
from iwax.runs.contents import CHECKPOINT, ENVIRONMENT, NEW
from iwax.runs.folder import RunFolder
from iwax.runs.launch import new_run, resume_run
from iwax.runs.listing import list_runs
from iwax.runs.loading import load_run
from iwax.runs.lock import BusyError, locked
from tiny import tiny_config, tiny_data

SHORT = {"num_images": 2, "num_samples": 64}
ANNEALED = SHORT | {"num_distributions": 2, "num_chains": 2, "sandwich": False}


def save(path, seed):
    data = tiny_data(seed)
    np.savez(path, train=data.train, test=data.test)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a file, stopped after its first step, and judged."""
    folder = tmp_path_factory.mktemp("made-from")
    save(folder / "own.npz", 0)
    run = new_run(tiny_config(dataset=str(folder / "own.npz")), folder / "run", time_limit=1e-9)
    evaluate_run(run.path, **SHORT)
    sample_sheet(run.path, num_images=4)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it, which has other times."""
    shutil.copytree(trained / "run", tmp_path / "run", copy_function=shutil.copyfile)
    return RunFolder(tmp_path / "run")


@pytest.fixture
def quick_annealing(monkeypatch):
    """In place of chains, zeros: what is tested is to what they belong."""

    def zeros(model, x, *args, num_chains, **options):
        return Annealing(np.zeros((len(x), num_chains)), np.ones(len(x)), upper=False)

    monkeypatch.setattr(iwax.judging.anneal, "anneal", zeros)
    monkeypatch.setattr(iwax.judging.anneal, "log_likelihood", lambda model, x, *args, **options: np.zeros(len(x)))
    monkeypatch.setattr(iwax.judging.anneal, "_draw", lambda *args: None)


def shown(run):
    (row,) = list_runs(run.path)
    return row["log_p"]


JUDGES = {
    "evaluate": lambda path: evaluate_run(path, **SHORT),
    "anneal": lambda path: anneal_run(path, **ANNEALED),
    "ssim": lambda path: ssim_run(path, num_images=2),
    "posterior": lambda path: implicit_run(path, images=[0]),
    "reconstruct": lambda path: reconstruction_sheet(path, num_images=2),
    "snr": lambda path: measure_run(path, path / "snr", Settings()),
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
def test_other_data_under_the_same_name_are_refused(trained, run, judge):
    save(trained / "own.npz", 1)
    try:
        with pytest.raises(ValueError, match=r"own\.npz to hold the data that the run was trained on; the check"):
            judge(run.path)
    finally:
        save(trained / "own.npz", 0)


def test_what_is_shown_follows_the_checkpoint_and_not_the_times_of_files(run):
    log_p = json.loads((run.path / "evaluation.json").read_text())["log_p"]
    for times in ((0, 0), (2e9, 2e9)):
        os.utime(run.path / "evaluation.json", times)
        assert shown(run) == log_p
    resume_run(run.path)
    os.utime(run.path / "evaluation.json", (3e9, 3e9))  # a clock that jumps, or a folder that was copied
    assert shown(run) is None
    evaluate_run(run.path, **SHORT)
    os.utime(run.path / "evaluation.json", (0, 0))
    assert shown(run) is not None


def test_a_picture_says_what_it_was_made_from_and_is_shown_while_that_is_the_run(run):
    checksum = RunFolder(run.path).checkpoint().sha256
    assert read_about(run.path / "samples.png")["checkpoint"] == checksum
    assert set(pictures(gather(None, run.path)[0])) == {"samples"}
    resume_run(run.path)
    assert pictures(gather(None, run.path)[0]) == {}
    reconstruction_sheet(run.path, num_images=2)
    assert set(pictures(gather(None, run.path)[0])) == {"reconstructions"}
    assert read_about(run.path / "config.json") == {}


def test_annealing_names_the_checkpoint_whose_model_it_ran(run, quick_annealing):
    """As a crash leaves it: the newest checkpoint has not yet taken the place of the one before."""
    before = run.checkpoint().sha256
    shutil.copy(run.path / CHECKPOINT, run.path / "old")
    resume_run(run.path)
    (run.path / CHECKPOINT).rename(run.path / NEW)
    (run.path / "old").rename(run.path / CHECKPOINT)
    found = anneal_run(run.path, **ANNEALED)
    assert found["made_from"]["checkpoint"] == run.checkpoint().sha256 != before
    assert found["checkpoint"] == run.checkpoint().sha256[:16]


def test_an_evaluation_names_the_checkpoint_that_it_judges_though_another_takes_its_place_meanwhile(
    run, tmp_path, monkeypatch
):
    shutil.copytree(run.path, tmp_path / "further")
    resume_run(tmp_path / "further")
    before, fill = run.checkpoint().sha256, Checkpoint.fill

    def replaced(held, *arguments):
        """Right after the arrays were taken, as where the run is trained on by another process."""
        filled = fill(held, *arguments)
        shutil.copy(tmp_path / "further" / CHECKPOINT, run.path / CHECKPOINT)
        return filled

    monkeypatch.setattr(Checkpoint, "fill", replaced)
    evaluate_run(run.path, **SHORT, recompute=True)
    written = json.loads((run.path / "evaluation.json").read_text())
    assert written["settings"]["checkpoint"] == before != run.checkpoint().sha256
    assert shown(run) is None  # as it is not that of the run any more


def test_annealing_goes_on_with_the_same_code_only(run, quick_annealing, monkeypatch):
    steps = []

    def fresh():
        """How many images were annealed anew."""
        before = len(run.records("annealing.jsonl"))
        anneal_run(run.path, **ANNEALED)
        steps.append((before, len(run.records("annealing.jsonl"))))
        return [record["settings"] for record in run.records("annealing.jsonl")]

    first = fresh()
    assert fresh() == first
    monkeypatch.setattr(environment, "_code", lambda: "other code")
    other = fresh()
    assert steps == [(0, 2), (2, 2), (2, 4)]
    assert other[:2] == first
    assert not set(other[2:]) & set(first)


def test_a_short_annealing_leaves_what_a_fuller_one_found_and_what_an_interrupted_one_has_done(run, quick_annealing):
    """`iwax evaluate --all` after hours of `iwax anneal`: all of it was gone."""
    fuller = ANNEALED | {"num_distributions": 900}
    anneal_run(run.path, **fuller)
    lines = (run.path / "annealing.jsonl").read_text()
    short = iwax.judging.judgement._annealing(load_run(run.path), 2, 64, {})
    assert short["num_distributions"] == 200
    assert run.json("annealing.json")["num_distributions"] == 900
    assert (run.path / "annealing.jsonl").read_text().startswith(lines)
    anneal_run(run.path, **ANNEALED)  # asked for by itself, it is the result
    assert run.json("annealing.json")["num_distributions"] == 2
    iwax.judging.judgement._annealing(load_run(run.path), 2, 64, {})
    assert run.json("annealing.json")["num_distributions"] == 200  # as it is the fuller one


def test_a_run_is_annealed_by_one_process_at_a_time(run, quick_annealing):
    with (
        locked(run.path / ".annealing.lock", ""),
        pytest.raises(BusyError, match="to be annealed by one process at a time; one is already running"),
    ):
        anneal_run(run.path, **ANNEALED)


def test_the_checkpoint_of_another_run_is_not_judged_under_this_runs_name(run, tmp_path):
    config = tiny_config(dataset=run.config().dataset, seed=5)
    other = new_run(config, tmp_path / "other", time_limit=1e-9)
    shutil.copy(other.path / CHECKPOINT, run.path / CHECKPOINT)
    with pytest.raises(ValueError, match=r"the one its checkpoint was made with; these differ: seed: 5 -> 0\."):
        load_run(run.path)
    with pytest.raises(ValueError, match=r"these differ: seed: 5 -> 0\."):
        resume_run(run.path)


def test_a_checkpoint_of_a_version_with_fewer_choices_is_read(run, monkeypatch):
    """What its configuration does not name was as it is by default."""
    read = RunFolder.to_judge
    fewer = json.dumps({k: v for k, v in json.loads(run.config().to_json()).items() if k != "precision"})

    def older(folder, which=None):
        checkpoint = read(folder, which)
        return Checkpoint(checkpoint.tensors, checkpoint.notes | {"config": fewer})

    monkeypatch.setattr(RunFolder, "to_judge", older)
    assert load_run(run.path).config.precision == "float32"


def test_an_evaluation_is_never_beside_the_arrays_of_another(run, tmp_path):
    before = (run.path / "evaluation.npz").read_bytes()
    for number in range(1, 30):
        path = tmp_path / str(number)
        shutil.copytree(run.path, path)
        try:
            with killed_before(number, path):
                evaluate_run(path, num_images=2, num_samples=128)
        except Killed:
            pass
        else:
            break
        written = RunFolder(path).json("evaluation.json").get("num_samples")
        assert written in (None, 64 if (path / "evaluation.npz").read_bytes() == before else 128)
    assert number > 8
    assert written == 128


def test_a_resumption_that_is_refused_or_trains_nothing_enters_no_session(run):
    before = run.json(ENVIRONMENT)
    with run.lock(), pytest.raises(BusyError):
        resume_run(run.path)
    content = (run.path / "metrics.jsonl").read_bytes() if (run.path / "metrics.jsonl").exists() else None
    assert content is None
    assert run.json(ENVIRONMENT) == before
    resume_run(run.path)
    assert len(run.json(ENVIRONMENT)["sessions"]) == 1
    resume_run(run.path)  # which is finished
    assert len(run.json(ENVIRONMENT)["sessions"]) == 1


def git(folder, *command):
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *command], check=True, capture_output=True, text=True
    ).stdout.strip()


def repository(folder, package):
    """A repository with one commit of a package at a place; its commit."""
    package = folder / package
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return git(folder, "rev-parse", "HEAD"), package


def test_the_commit_is_that_of_iwax_and_of_no_repository_around_or_beside_it(tmp_path, monkeypatch):
    own, package = repository(tmp_path / "own", "src/iwax")
    users, installed = repository(tmp_path / "users", "venv/lib/python3/site-packages/iwax")
    monkeypatch.setattr(environment, "PACKAGE", package)
    assert environment._commit() == own
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "users" / ".git"))  # as in a hook of the user's repository
    assert environment._commit() == own != users
    (package / "__init__.py").write_text("x = 1\n")
    assert environment._commit() == own + "+changes"
    monkeypatch.setattr(environment, "PACKAGE", installed)
    assert environment._commit() is None
    monkeypatch.delenv("GIT_DIR")
    assert environment._commit() is None
    untracked = tmp_path / "users" / "src" / "iwax"
    untracked.mkdir(parents=True)
    (untracked / "__init__.py").write_text("")
    monkeypatch.setattr(environment, "PACKAGE", untracked)
    assert environment._commit() is None
