"""The creation of a run is a state: killed or refused at any file operation, it leaves what the same command starts."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest

from faults import Killed, full_from, killed_before, watched
from iwax.errors import NotWritableError
from iwax.experiments import training_snr
from iwax.runs import cohorts, launch
from iwax.runs.cohorts import COHORT, new_cohort, resume_cohort
from iwax.runs.contents import CHECKPOINT, CONFIG, ENVIRONMENT, METRICS, is_as_new
from iwax.runs.folder import RunFolder
from iwax.runs.launch import new_run, plan, resume_run
from iwax.runs.resolution import resolve
from tiny import tiny_config, tiny_data

DATA = tiny_data()
NEW = tiny_config()
MODEL = "def make(): ...\n"
SHA256_OF_MODEL = "0c4e9b5bbb6697a1c742a6c48fd03b2b6d4e11a0be9cb98c3d8bd47e18892ce6"


def create(path, **options):
    RunFolder(path).create(NEW, {"of": "new"}, **options)


def former(path):
    """A run that has been trained and judged, as far as its files go."""
    folder = RunFolder(path)
    folder.create(tiny_config(seed=1), {"of": "former"})
    for name in (CHECKPOINT, "checkpoint.previous.safetensors", "evaluation.json", "samples.png", "figures/ssim.png"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("former")
    folder.append(METRICS, {"epoch": 1, "step": 4, "bound": -9.0})
    (path / "notes.txt").write_text("of the user")


def faults_at_every_operation(tmp_path, start, do):
    """A folder for each file operation of `do` and each fault: killed before it, and no space from there on."""
    start(tmp_path / "counted")
    with watched(tmp_path) as seen:
        do(tmp_path / "counted")
    assert len(seen.operations) > 8
    for fault, name in ((killed_before, "killed"), (full_from, "full")):
        for number in range(1, len(seen.operations) + 1):
            path = tmp_path / f"{name}-{number}"
            start(path)
            with contextlib.suppress(Killed, NotWritableError), fault(number, tmp_path):
                do(path)
            yield path, seen.operations[number - 1]


def test_a_creation_that_failed_at_any_operation_is_started_again_by_the_same_command(tmp_path):
    unfinished = 0
    for path, operation in faults_at_every_operation(tmp_path, lambda path: None, create):
        if not (path / CONFIG).exists():
            unfinished += 1
            create(path)  # which the rule of before refused from the second operation on, with and without overwrite
        folder = RunFolder(path)
        assert (folder.config(), folder.json(ENVIRONMENT)) == (NEW, {"of": "new"}), operation
        assert not [file for file in path.iterdir() if file.name.endswith(".part")], operation
    assert unfinished > 10


def test_an_overwriting_that_failed_at_any_operation_leaves_the_former_run_or_one_that_can_be_started(tmp_path):
    kept = started = 0
    for path, operation in faults_at_every_operation(tmp_path, former, lambda path: create(path, overwrite=True)):
        folder = RunFolder(path)
        if (path / CONFIG).exists() and folder.config() != NEW:  # then all of the former run is there
            kept += 1
            assert folder.json(ENVIRONMENT) == {"of": "former"}
            assert folder.metrics()
            assert (path / CHECKPOINT).read_text() == "former"
            create(path, overwrite=True)
        elif not (path / CONFIG).exists():
            started += 1
            create(path)
        assert (folder.config(), folder.json(ENVIRONMENT)) == (NEW, {"of": "new"}), operation
        assert {file.name for file in path.iterdir()} <= {CONFIG, ENVIRONMENT, ".lock", "notes.txt", ".replaced"}
        assert (path / "notes.txt").read_text() == "of the user"
    assert kept > 1
    assert started > 10


def test_a_folder_with_files_of_the_users_is_no_leftover(tmp_path):
    for name, content in (("model.py", MODEL), ("thesis.tex", ""), (CHECKPOINT, ""), ("data.npy.part", "")):
        path = tmp_path / name
        path.mkdir()
        (path / ".lock").touch()
        RunFolder(path).write_json(ENVIRONMENT, {"model": {"sha256": "of another file"}})
        assert is_as_new(path)
        (path / name).write_text(content)
        assert not is_as_new(path)
        with pytest.raises(ValueError, match="to be a new folder; it exists"):
            create(path)
        assert (path / name).read_text() == content


def test_a_model_of_ones_own_that_a_creation_left_is_known_by_its_checksum(tmp_path):
    for sha256, known in ((SHA256_OF_MODEL, True), (SHA256_OF_MODEL[::-1], False)):
        path = tmp_path / sha256[:8]
        with contextlib.suppress(Killed), killed_before(15, path):  # of 17
            RunFolder(path).create(NEW, {"model": {"sha256": sha256}}, model=MODEL)
        assert (path / "model.py").exists()
        assert not (path / CONFIG).exists()
        assert is_as_new(path) == known


def test_who_comes_second_does_not_replace_the_run_of_who_was_quicker(tmp_path, monkeypatch):
    """Both found no folder; the other one's run is there once this one has the lock."""
    path, lock = tmp_path / "run", RunFolder.lock

    @contextlib.contextmanager
    def late(folder):
        monkeypatch.setattr(RunFolder, "lock", lock)
        RunFolder(path).create(tiny_config(seed=1), {"of": "quicker"})
        with lock(folder):
            yield

    monkeypatch.setattr(RunFolder, "lock", late)
    with pytest.raises(ValueError, match="to be a new folder; it exists"):
        create(path)
    assert RunFolder(path).json(ENVIRONMENT) == {"of": "quicker"}


def test_a_run_without_a_checkpoint_starts_when_resumed_and_ends_as_one_that_nothing_disturbed(tmp_path):
    new_run(NEW, tmp_path / "undisturbed", data=DATA)
    session, _ = plan(resolve(NEW), tmp_path / "run", DATA).create()  # and here the process ended
    assert not session.folder.has_begun
    resume_run(tmp_path / "run", data=DATA)
    for name in (CHECKPOINT, METRICS):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_a_run_that_lost_its_checkpoints_is_not_begun_again_in_silence(tmp_path):
    folder = new_run(NEW, tmp_path / "run", data=DATA)
    for file in folder.path.glob("checkpoint*"):
        file.unlink()
    with pytest.raises(ValueError, match=r"Expected a checkpoint in .*; there is none"):
        resume_run(folder.path, data=DATA)
    assert len(folder.metrics()) == 2


def test_resuming_what_was_never_created_says_what_to_do(tmp_path):
    with contextlib.suppress(Killed), killed_before(5, tmp_path):
        create(tmp_path / "run")
    with pytest.raises(ValueError, match=r"its creation was interrupted, and nothing was trained\. Start it again"):
        resume_run(tmp_path / "run", data=DATA)


def test_a_run_that_starts_from_another_starts_from_the_same_when_resumed_or_says_that_it_is_gone(tmp_path):
    before = new_run(NEW, tmp_path / "before", data=DATA, time_limit=1e-9)
    config = tiny_config(init_from=str(before.path), seed=3)
    session, state = plan(resolve(config), tmp_path / "run", DATA).create()
    _, resumed = launch.reopen(session.folder, data=DATA)
    for a, b in zip(jax.tree.leaves(state.model), jax.tree.leaves(resumed.model), strict=True):
        np.testing.assert_array_equal(a, b)
    resume_run(before.path, data=DATA)
    resume_run(before.path, data=DATA)
    for file in before.path.glob("checkpoint.previous*"):
        file.unlink()
    with pytest.raises(ValueError, match=r"to hold the checkpoint that this run starts from, .* it has gone on since"):
        launch.reopen(session.folder, data=DATA)


@pytest.fixture
def cohort(monkeypatch):
    """Creates and resumes a cohort of two, and gives the steps it would train on from; nothing is trained."""
    environment = launch.current_environment(DATA)
    monkeypatch.setattr(launch, "current_environment", lambda data, command=None: environment)
    went_on, planned = [], {}

    def planned_once(run, path, *args, **options):
        """What makes a plan is not what is tested, and takes most of the time."""
        seed = run.config.seed
        planned[seed] = planned.get(seed) or plan(run, path, *args, **options)
        session = dataclasses.replace(planned[seed].session, folder=RunFolder(path))
        return dataclasses.replace(planned[seed], session=session)

    monkeypatch.setattr(cohorts, "plan", planned_once)
    monkeypatch.setattr(cohorts, "_train", lambda pairs, *rest: went_on.append([int(s.step) for _, s in pairs]))

    def begin_or_go_on(path, seed=0, overwrite=False):
        configs = {"a": tiny_config(seed=seed), "b": tiny_config(seed=seed + 1)}
        if (path / COHORT).exists() and not overwrite:
            resume_cohort(path, data=DATA, vectorized=True)
        else:
            new_cohort(configs, path, data=DATA, vectorized=True, overwrite=overwrite)
        return went_on[-1]

    return begin_or_go_on


@pytest.mark.parametrize(
    ("fault", "step"),
    [(killed_before, 5), *(pytest.param(fault, 1, marks=pytest.mark.slow) for fault in (killed_before, full_from))],
)
def test_a_cohort_whose_creation_failed_at_any_operation_is_begun_by_the_same_command_or_by_resume(
    tmp_path, cohort, fault, step
):
    with watched(tmp_path) as seen:
        cohort(tmp_path / "counted")
    began, numbers = 0, range(1, len(seen.operations) + 1, step)
    for number in numbers:
        path, operation = tmp_path / str(number), seen.operations[number - 1]
        with contextlib.suppress(Killed, NotWritableError), fault(number, tmp_path):
            cohort(path)
        began += (path / COHORT).exists()
        assert cohort(path) == [0, 0], operation
        seeds = [RunFolder(path / name).config().seed for name in ("a", "b")]
        assert seeds == [0, 1], operation
    assert len(numbers) / 2 < began < len(numbers)


@pytest.mark.slow
def test_a_cohort_whose_overwriting_failed_is_never_part_the_one_and_part_the_other(tmp_path, cohort):
    cohort(tmp_path / "counted")
    with watched(tmp_path) as seen:
        cohort(tmp_path / "counted", seed=7, overwrite=True)
    for number, operation in enumerate(seen.operations, 1):
        path = tmp_path / str(number)
        cohort(path)
        with contextlib.suppress(Killed), killed_before(number, tmp_path):
            cohort(path, seed=7, overwrite=True)
        assert cohort(path) == [0, 0], operation
        seeds = [RunFolder(path / name).config().seed for name in ("a", "b")]
        assert seeds in ([0, 1], [7, 8]), operation


def test_a_study_trains_a_stage_whose_creation_was_interrupted(tmp_path, monkeypatch):
    with contextlib.suppress(Killed), killed_before(5, tmp_path):
        create(tmp_path / "epochs-1")
    made = []
    monkeypatch.setattr(training_snr, "new_run", lambda run, path, **options: made.append(path))
    training_snr._trained(resolve(NEW), tmp_path / "epochs-1", DATA)
    assert made == [tmp_path / "epochs-1"]
