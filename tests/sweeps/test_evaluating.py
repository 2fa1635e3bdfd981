"""Runs judged by an executor: images in parts, put together to the bits of one process; and runs of a study."""

import json
import shutil

import pytest
from sweeps_here import Here, iwax

from iwax.cli.parts import _print
from iwax.errors import IwaxError
from iwax.experiments import STUDIES, executing, reproduce_by_executor
from iwax.judging import evaluate_run
from iwax.judging.parts import add_to_clock, clock_of_parts, finished_parts, open_part, part_of
from iwax.runs import new_run
from iwax.sweeps import Ended, PlannedRun, SweepFolder, Task, executors
from iwax.sweeps.evaluating import _Job
from tiny import tiny_config, tiny_data

ASKED = {"num_samples": 128, "rows": 256}  # two images a batch, six batches
CLOCK = ("seconds", "images_per_second", "found_finished")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return new_run(tiny_config(), tmp_path_factory.mktemp("judge") / "run", data=tiny_data()).path


@pytest.fixture(scope="module")
def whole(run):
    """What one process finds."""
    summary = evaluate_run(run, data=tiny_data(), recompute=True, **ASKED)
    return (run / "evaluation.npz").read_bytes(), {k: v for k, v in summary.items() if k not in CLOCK}


def judged(run):
    return (run / "evaluation.npz").read_bytes(), json.loads((run / "evaluation.json").read_text())


def forget(run):
    for name in ("evaluation.npz", "evaluation.json"):
        (run / name).unlink(missing_ok=True)


def test_parts_are_whole_batches_and_together_all_images():
    for count in (1, 3, 4, 9):
        parts = [part_of(i, count, 70, 20) for i in range(1, count + 1)]
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(70))
        assert all(part.start % 20 == 0 or part.start == part.stop == 70 for part in parts)


def test_parts_that_others_computed_give_the_bits_of_one_process(run, whole, tmp_path):
    forget(run)
    common = {"data": tiny_data(), "parts": tmp_path, **ASKED}
    steps = []
    for index in (3, 1, 2):
        assert evaluate_run(run, part=(index, 3), **common) | {"seconds": 0} == {
            **{"state": "part", "num_examples": 4, "seconds": 0}
        }
    assert not (run / "evaluation.json").exists()
    evaluate_run(run, on_progress=lambda progress: steps.append(progress.step), **common)
    arrays, summary = judged(run)
    assert steps == []  # nothing is computed again
    assert arrays == whole[0]
    assert {k: v for k, v in summary.items() if k not in CLOCK} == whole[1]


def test_who_puts_parts_together_says_what_they_took_as_if_one_process_had(run, tmp_path):
    """With the seconds of a session that was interrupted; what is damaged says nothing, and decides nothing else."""
    forget(run)
    common = {"data": tiny_data(), "parts": tmp_path, **ASKED}
    for index in (1, 2):
        evaluate_run(run, part=(index, 2), **common)
    assert clock_of_parts(tmp_path)[0] == 12
    add_to_clock(tmp_path, part_of(1, 2, 12, 2), 0, 50.0)
    evaluate_run(run, **common)
    summary = judged(run)[1]
    assert summary["found_finished"] == 0
    assert 50 < summary["seconds"] < 200
    assert summary["images_per_second"] == pytest.approx(12 / summary["seconds"])
    (tmp_path / "0-6.clock").write_text("damaged")
    assert clock_of_parts(tmp_path)[0] == 6


def test_what_a_part_lacks_or_asks_otherwise_is_computed_by_who_puts_them_together(run, whole, tmp_path):
    forget(run)
    common = {"data": tiny_data(), "parts": tmp_path}
    evaluate_run(run, part=(1, 3), **common, **ASKED)
    evaluate_run(run, part=(2, 3), **common, **ASKED | {"seed": 1})
    steps = []
    evaluate_run(run, on_progress=lambda progress: steps.append(progress.step), **common, **ASKED)
    assert steps == [6, 8, 10, 12]
    assert judged(run)[0] == whole[0]


def test_a_part_that_is_not_whole_ends_what_is_taken_up(tmp_path):
    import numpy as np

    for part, rows in ((slice(0, 2), 2), (slice(2, 6), 3), (slice(6, 8), 2)):
        with open_part(tmp_path, part, {"a": 1}) as file:
            file.append({"log_likelihood": np.arange(rows, dtype=float)})
    assert [len(values["log_likelihood"]) for values in finished_parts(tmp_path, {"a": 1}, 0)] == [2]
    assert [len(values["log_likelihood"]) for values in finished_parts(tmp_path, {"a": 1}, 6)] == [2]
    (tmp_path / "2-6.partial").unlink()  # a gap
    assert [len(values["log_likelihood"]) for values in finished_parts(tmp_path, {"a": 1}, 0)] == [2]
    assert list(finished_parts(tmp_path, {"a": 2}, 0)) == []


class Parts(Here):
    """Parts of a data set that is known to this test alone."""

    def wait(self, seconds):
        from iwax.cli import parts

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("iwax.zoo.open_run", lambda run, **_: run)
            patch.setattr("iwax.judging.evaluate_run", lambda run, **own: evaluate_run(run, data=tiny_data(), **own))
            assert parts
            return super().wait(seconds)


def test_the_command_shares_out_the_images_and_leaves_the_files_of_one_process(run, whole, capsys, monkeypatch):
    forget(run)
    executor = Parts()
    monkeypatch.setitem(executors.EXECUTORS, "local", lambda folder, **options: executor)
    command = ["evaluate", run, "--num-samples", "128", "--rows", "256", "--executor", "local", "--shards", "3"]
    status, said, _ = iwax(capsys, *command, "--json")
    assert status == 0
    assert [name.rpartition(", ")[2] for name in executor.started] == ["1-of-3", "2-of-3", "3-of-3", "whole"]
    arrays, summary = judged(run)
    assert arrays == whole[0]
    assert {k: v for k, v in summary.items() if k not in CLOCK} == whole[1]
    assert json.loads(said)[0]["log_p"] == whole[1]["log_p"]
    assert not (run / "evaluation.parts").exists()


def test_what_is_done_takes_nothing_of_an_evaluation_with_other_options_that_is_at_work(run):
    one, other = (_Job(run, {"num_samples": k}) for k in (64, 128))
    for job in (one, other):
        job.folder.mkdir(parents=True)
        (job.folder / "whole.json").write_text('{"state": "finished"}')
    (other.folder / "0-6.partial").touch()
    assert one.take_summary() == {"state": "finished"}
    assert (other.folder / "0-6.partial").exists()
    assert not one.folder.exists()
    other.take_summary()
    assert not (run / "evaluation.parts").exists()


def test_runs_of_a_sweep_stand_beside_what_tells_them_apart(run, tmp_path, capsys, monkeypatch):
    """Their folders are hashes, which tell nobody anything; a folder that is no sweep has no options to tell."""
    monkeypatch.setitem(executors.EXECUTORS, "local", lambda folder, **options: Parts())
    asked = {"0123456789ab": {"beta1": 0.9}, "ba9876543210": {}}
    for id in asked:
        shutil.copytree(run, tmp_path / id)
    command = ["evaluate", tmp_path, "--num-samples", "128", "--rows", "256", "--executor", "local"]
    status, plain, err = iwax(capsys, *command)
    assert status == 0, err
    SweepFolder(tmp_path).add(PlannedRun(id=id, options=options) for id, options in asked.items())
    status, told, err = iwax(capsys, *command)
    assert status == 0, err
    shown = {id: line for line in told.splitlines() for id in asked if id in line}
    assert "beta1=0.9" in shown["0123456789ab"]
    assert "beta1=default" in shown["ba9876543210"]
    assert "beta1" not in plain
    assert "options" not in plain
    assert "12 test examples, k = 128" in told


def test_a_table_of_runs_says_which_numbers_are_not_to_be_trusted(tmp_path, capsys):
    """The share of examples with high k-hat, the runs that are not trained to the end, and examples of several data."""
    numbers = {"log_p": -1.0, "log_p_mc_error": 0.1, "log_p_test_error": 0.2, "elbo": -2.0, "num_samples": 64}
    own = {"good": (0.04, 30, "finished"), "bad": (0.5, 60, "stopped"), "none": (None, 30, "finished")}
    for name, (_, _, state) in own.items():
        (tmp_path / name).mkdir()
        status = {"state": state, "epoch": 1, "epochs": 2, "step": 5, "seconds": 3.0}
        (tmp_path / name / "status.json").write_text(json.dumps(status))
    found = {tmp_path / n: {**numbers, "khat_above_0.7": k, "num_examples": e} for n, (k, e, _) in own.items()}
    found[tmp_path / "none"] |= {"selected": {"epoch": 7, "by": "IWAE-64", "value": -81.25}}
    _print(found)
    out, err = capsys.readouterr()
    err = " ".join(err.split())
    shown = {line.split()[0]: line.split()[-1] for line in out.splitlines() if line.strip()}
    assert (shown["good"], shown["bad"], shown["none"]) == ("4.0%", "50.0%", "unknown")
    assert "30 or 60 test examples, k = 64" in out
    assert "bad: Trained for 1 of 2 epochs so far (stopped)" in err
    assert "of bad: its log p lies below the truth" in err
    assert "none: The checkpoint of epoch 7, the best by IWAE-64 (-81.250 nats); --checkpoint last takes" in err
    assert "good" not in err


def test_runs_of_one_name_in_several_folders_are_told_apart(tmp_path, capsys):
    numbers = {"log_p": -1.0, "log_p_mc_error": 0.1, "log_p_test_error": 0.2, "elbo": -2.0, "num_samples": 64}
    shares = {"a": 0.5, "b": 0.01}
    _print({tmp_path / n / "seed0": {**numbers, "khat_above_0.7": k, "num_examples": 3} for n, k in shares.items()})
    out, err = capsys.readouterr()
    assert "a/seed0" in out
    assert "b/seed0" in out
    assert "of a/seed0: its log p lies below" in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--executor", "local", "--recompute"], "Expected --recompute or --executor; got both."),
        (["--executor", "local", "--all"], "Expected --all or --executor; got both."),
        (["--workers", "2"], "Expected --workers together with --executor NAME; got it without. Add --executor local"),
        (["--workers", "1"], "Expected --workers together with --executor NAME; got it without. Add --executor local"),
        (["--cores", "1"], "Expected --cores together with --executor NAME; got it without. Add --executor local"),
        (["--gpus", "1"], "Expected --gpus together with --executor NAME; got it without. Add --executor local"),
        (["--time", "1"], "Expected --time together with --executor slurm; got it without. Add --executor slurm"),
        (
            ["--max-failures", "1"],
            "Expected --max-failures together with --executor NAME; got it without. Add --executor local",
        ),
        (
            ["--address", "auto"],
            "together with --executor ray; got it without. Add --executor ray, or leave --address out.",
        ),
        (["--shards", "1"], "Expected --shards together with --executor NAME; got it without. Add --executor local"),
        (["--executor", "lokal"], "Did you mean 'local'?"),
    ],
)
def test_what_an_executor_does_not_do_is_refused(run, capsys, arguments, message):
    status, _, err = iwax(capsys, "evaluate", run, *arguments)
    assert (status, message in err) == (2, True), err


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    status, _, err = iwax(capsys, "evaluate", tmp_path / "empty", "--executor", "local")
    assert (status, "to be the folder of a run, or to hold some; it holds none." in err) == (2, True), err


class Recorded(Here):
    """The record of a run appears without the run."""

    def __init__(self, folder, records):
        super().__init__()
        self.folder, self.records = folder, records

    def wait(self, seconds):
        self.folder.mkdir(exist_ok=True)
        ended = []
        for task in self.tasks:
            (self.folder / f"{self.records[task.name]}.json").touch()
            ended.append(Ended(task, 0))
        self.tasks.clear()
        return ended


def test_a_damaged_status_of_a_run_does_not_stop_a_study(tmp_path):
    """The run itself says so in its log."""
    for name, status in (("whole", '{"step": 7, "state": "finished"}'), ("damaged", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "status.json").write_text(status)
    lacking = {name: tmp_path / f"{name}.json" for name in ("whole", "damaged", "next", "after")}
    work = executing._Making(tmp_path, lacking, {"next": "damaged", "after": "whole"})
    tasks = {name: Task(name=name, arguments=(), log="", lease="") for name in lacking}
    assert [work.step(tasks[name]) for name in ("whole", "damaged", "next")] == [7, -1, -1]
    assert [work.is_ready(tasks[name]) for name in ("after", "next")] == [True, False]


def test_what_a_study_lacks_is_a_task_each_and_what_has_a_record_is_found(tmp_path):
    planned = executing._planned(
        {"study": "dd2434", "scale": "smoke", "seeds": None, "fields": {}, "num_samples": None}
    )
    records = {run.name: run.record for run in planned}
    executor = Recorded(tmp_path / "results", records)
    executor.slots = 3
    places = {"runs": tmp_path / "runs", "results": tmp_path / "results", "arguments": ["--scale", "smoke"]}
    common = {"scale": "smoke", "only": ["iwae-"], **places}
    outcome = reproduce_by_executor(STUDIES["dd2434"], executor, **common)
    assert set(outcome.done) == {name for name in records if "iwae-" in name}
    assert len(outcome.done) > 2
    assert not outcome.found
    assert reproduce_by_executor(STUDIES["dd2434"], executor, **common).found == outcome.done
    with pytest.raises(IwaxError, match="to name runs of dd2434; got"):
        reproduce_by_executor(STUDIES["dd2434"], executor, **common | {"only": ["nothing"]})


@pytest.mark.slow
def test_the_runs_of_a_study_are_tasks_and_what_is_recorded_is_found(tmp_path, capsys, monkeypatch):
    executor = Here()
    monkeypatch.setitem(executors.EXECUTORS, "local", lambda folder, **options: executor)
    places = ["--runs", tmp_path / "runs", "--results", tmp_path / "results"]
    command = ["reproduce", "dd2434", "--only", "elbo-1-one", *places, "--executor", "local"]
    status, said, _ = iwax(capsys, *command)
    assert (status, "1 made, 0 found, 0 failed" in said) == (0, True), said
    assert len(executor.started) == 1
    (record,) = (tmp_path / "results").glob("*.json")
    assert json.loads(record.read_text())["command"] == "iwax reproduce dd2434 --scale smoke"
    assert "0 made, 1 found, 0 failed" in iwax(capsys, *command)[1]
    assert "1 found" in iwax(capsys, *command[:-2])[1]  # by one process, too
    assert iwax(capsys, *command, "--time-limit", "1")[0] == 2
