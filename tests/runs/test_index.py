"""The index of runs gives what the folders hold, whatever happens to either; a listing of thousands takes seconds."""

import json
import os
import shutil
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.many_runs import age, make_records, make_run, make_runs

import iwax.report.cost as cost
from iwax.console import print_table
from iwax.errors import IwaxError
from iwax.experiments import read_records
from iwax.experiments.listed import list_records
from iwax.judging import best_group, group_runs
from iwax.report.gather import gather
from iwax.report.report import write_report
from iwax.runs import RunConfig, RunFolder
from iwax.runs.index import RunIndex, index_path
from iwax.runs.listing import list_runs
from iwax.runs.scanning import scan_runs
from made import record

COUNT = 16


@pytest.fixture(scope="module", autouse=True)
def _few_are_many(tmp_path_factory):
    """An index for fewer runs than there are here, elsewhere than in the user's own cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("iwax.runs.index.LEAST", COUNT // 2)
        patch.setenv("IWAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of runs with their index."""
    folder = tmp_path_factory.mktemp("many") / "runs"
    age(make_runs(folder, COUNT, examples=4, epochs=3))
    list_runs(folder)
    return folder


@pytest.fixture
def runs(made, tmp_path):
    """A copy of it, whose index is of other files until it has been listed."""
    shutil.copytree(made, tmp_path / "runs")
    list_runs(tmp_path / "runs")
    return tmp_path / "runs"


def without_index(folder, monkeypatch):
    """What the folders hold."""
    with monkeypatch.context() as patch:
        patch.setattr("iwax.runs.index.LEAST", 10**9)
        return list_runs(folder)


def folders_read(folder, monkeypatch):
    """How many runs a listing reads; and its rows."""
    read = []
    config = RunFolder.config
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "config", lambda self: read.append(self.path) or config(self))
        rows = list_runs(folder)
    return len(read), rows


def test_what_has_not_changed_is_not_read_again(runs, monkeypatch):
    count, rows = folders_read(runs, monkeypatch)
    assert count == 0
    assert len(rows) == COUNT
    assert rows == without_index(runs, monkeypatch)


def change(runs):
    """A run added, one that goes on, one gone, one damaged, and one replaced by a file of the same size."""
    one, two, three, four = (row["run"] for row in list_runs(runs)[:4])
    added = make_run(runs, COUNT, examples=4, epochs=3)
    RunFolder(one).append("metrics.jsonl", {"epoch": 4, "step": 32, "bound": -7.5})
    shutil.rmtree(two)
    (runs / three / "status.json").write_text("{")
    before = (runs / four / "status.json").read_text()
    (runs / four / "status.json").write_text(before.replace('"finished"', '"stopped" '))
    age([path for path in runs.iterdir() if path.is_dir()])
    return added


def test_the_index_gives_what_the_folders_hold_after_every_kind_of_change(runs, monkeypatch):
    before = list_runs(runs)
    added = change(runs)
    rows = list_runs(runs)
    assert rows == without_index(runs, monkeypatch)
    states = [row["state"] for row in rows]
    assert (states.count("damaged"), states.count("stopped"), len(rows)) == (1, 1, COUNT)
    assert str(added) in [row["run"] for row in rows]
    assert rows[0]["bound"] == -7.5
    assert rows != before


def test_an_index_that_is_not_refreshed_gives_other_rows(runs, monkeypatch):
    """The control of the test above: with signatures that say nothing, changes are overlooked."""
    monkeypatch.setattr("iwax.runs.scanning._signature", lambda entries: "the same")
    list_runs(runs)
    change(runs)
    assert list_runs(runs) != without_index(runs, monkeypatch)


def test_a_run_that_changes_now_is_read_each_time(runs, monkeypatch):
    folder = scan_runs(runs)[0][0]
    for bound in (-5.25, -5.75):  # of one size, and maybe at one time
        RunFolder(folder).write("metrics.jsonl", json.dumps({"epoch": 1, "step": 8, "bound": bound}) + "\n")
        count, rows = folders_read(runs, monkeypatch)
        assert rows[0]["bound"] == bound
        assert count == 1


@pytest.mark.parametrize("damage", ["no database", "cut off", "altered", "of other code"])
def test_a_damaged_index_is_made_afresh(runs, monkeypatch, damage):
    path, expected = index_path(runs), without_index(runs, monkeypatch)
    if damage == "no database":
        path.write_bytes(b"no database, but long enough to be looked at" * 40)
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with sqlite3.connect(path) as connection:
            if damage == "altered":
                connection.execute("UPDATE found SET value = (SELECT max(value) FROM found WHERE what = 'row')")
            else:
                connection.execute("UPDATE made SET by = 'another'")
    assert list_runs(runs) == expected
    assert folders_read(runs, monkeypatch) == (0, expected)


def test_where_no_index_can_be_written_all_goes_on_without(runs, monkeypatch):
    index_path(runs).unlink()
    index_path(runs).mkdir()  # even root cannot write a file there
    expected = without_index(runs, monkeypatch)
    assert list_runs(runs) == expected
    (runs / "cache").write_text("no folder")
    monkeypatch.setenv("IWAX_CACHE", str(runs / "cache"))
    assert list_runs(runs) == expected


def test_an_index_that_somebody_writes_is_read_and_not_waited_for(runs, monkeypatch):
    monkeypatch.setattr("iwax.runs.index.WAIT", 0.05)
    expected = without_index(runs, monkeypatch)
    with sqlite3.connect(index_path(runs)) as other:
        other.execute("BEGIN IMMEDIATE")
        make_run(runs, COUNT, examples=4, epochs=3)
        rows = list_runs(runs)
        other.rollback()
    assert len(rows) == COUNT + 1
    assert [row for row in rows if row in expected] == expected


def test_few_runs_have_no_index(tmp_path):
    age([make_run(tmp_path, 0, examples=4, epochs=3)])
    assert len(list_runs(tmp_path)) == 1
    assert not index_path(tmp_path).exists()


def test_what_is_of_no_run_any_more_leaves_the_index(runs):
    shutil.rmtree(scan_runs(runs)[0][0])
    list_runs(runs)
    with sqlite3.connect(index_path(runs)) as connection:
        assert connection.execute("SELECT count(*) FROM found WHERE what = 'row'").fetchone() == (COUNT - 1,)


def test_a_value_is_computed_once_and_what_fails_is_not_kept(tmp_path):
    with RunIndex(tmp_path, COUNT) as index, pytest.raises(ZeroDivisionError):
        index.value("what", "key", "of files", lambda: 1 / 0)
    for read in (lambda: {"x": float("nan")}, lambda: 1 / 0):  # the second is not called
        with RunIndex(tmp_path, COUNT) as index:
            assert index.value("what", "key", "of files", read) == {"x": None}


def test_a_report_takes_from_the_index_what_the_folders_hold(runs, monkeypatch):
    def content():
        groups = group_runs([runs])
        numbers = [[group.number(name) for name in ("log_p", "iwae_64", "active_units")] for group in groups]
        return [run.record for run in gather(None, runs)], numbers, best_group(groups, "log_p")

    content()
    read, config = [], RunFolder.config
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "config", lambda self: read.append(self.path) or config(self))
        found = content()
    assert not read
    monkeypatch.setattr("iwax.runs.index.LEAST", 10**9)
    assert content() == found
    assert len(found[0]) == COUNT
    assert all(number.data_error for numbers in found[1] for number in numbers[:2])


@pytest.fixture
def opened():
    """The names of the files that are opened below a folder while a function runs."""
    names, watched = [], []

    def hook(event, arguments):
        if event == "open" and watched and str(arguments[0]).startswith(watched[0]):
            names.append(str(arguments[0]))

    sys.addaudithook(hook)  # for as long as the process lives: it watches nothing then

    def run(folder, function):
        names.clear()
        watched.append(str(folder))
        try:
            function()
        finally:
            watched.clear()
        return list(names)

    return run


def test_a_report_reads_each_file_of_a_run_once_and_its_numbers_by_example_twice(tmp_path, opened):
    path = make_run(tmp_path, 0, examples=4, epochs=3)
    times = Counter(Path(name).name for name in opened(path, lambda: gather(None, tmp_path)))
    once = ("config.json", "environment.json", "metrics.jsonl", "evaluation.json", "status.json")
    assert [times[name] for name in once] == [1] * len(once)
    assert times["evaluation.npz"] == 2  # whether it is whole, and an error that the evaluation may not state
    again = opened(path, lambda: [RunFolder(path).config() for _ in range(2)])
    assert Counter(again)[str(path / "config.json")] == 2  # the control: opening is what is counted


def test_pictures_are_of_the_runs_that_have_some_and_examples_have_the_size_that_the_folder_says(tmp_path):
    for number in range(2):
        make_run(tmp_path, number, examples=4, epochs=3)
    first, second = (run.folder for run in gather(None, tmp_path))
    (second / "samples.png").write_bytes(b"a picture")
    environment = RunFolder(second).json("environment.json")
    RunFolder(second).write_json("environment.json", environment | {"example_shape": [2, 3, 4]})
    by_folder = {run.folder: run for run in gather(None, tmp_path)}
    assert [by_folder[path].record.sheets for path in (first, second)] == [{}, {"samples": "samples.png"}]
    assert [by_folder[path].size for path in (first, second)] == [28 * 28, 24]


@pytest.fixture
def undrawn(monkeypatch):
    """Reports without pictures, which are the same for any number of runs."""
    picture = {"svg": "", "title": ""}
    monkeypatch.setattr("iwax.report.pictures.Parts.draw", lambda self, *arguments: picture)
    monkeypatch.setattr("iwax.report.report.explorable", lambda *arguments: [])


@pytest.mark.slow
def test_a_second_report_of_a_hundred_runs_opens_no_file_of_a_run_and_shows_the_best(
    tmp_path, opened, undrawn, monkeypatch
):
    monkeypatch.setattr("iwax.report.summary.BEST", 40)
    monkeypatch.setattr("iwax.report.summary.NEWEST", 20)
    monkeypatch.setattr("iwax.report.page.LONGEST", 10)
    folder, out = tmp_path / "runs", tmp_path / "out"
    paths = make_runs(folder, 100, examples=4, epochs=3)
    age(paths)

    def report():
        write_report(None, folder, out, studies=())

    first = opened(folder, report)
    page = (out / "index.html").read_text()
    assert len({name for name in first if name.endswith("config.json")}) == 100  # the control
    assert opened(folder, report) == []
    assert (out / "index.html").read_text() == page
    RunFolder(paths[7]).append("metrics.jsonl", {"epoch": 4, "step": 32, "bound": -7.5})
    changed = opened(folder, report)
    assert {name for name in changed if not name.endswith(".npz")} >= {str(paths[7] / "config.json")}
    seeds = paths[5:10]  # whose mean over examples is another now
    assert {Path(name).parent for name in changed} == set(seeds)
    assert {Path(name).parent for name in changed if not name.endswith(".npz")} == {paths[7]}
    assert len((out / "tables" / "all-runs.csv").read_text().splitlines()) == 101
    shown = page[page.index('id="all-runs"') :]
    assert shown.count('<th scope="row"') == 10
    assert "The first 10 of 60 lines; all are in <code>tables/all-runs.csv</code>." in page
    assert "The best 40 of 100 runs by log p, and the newest 20 of the others" in page
    logs = sorted((json.loads((path / "evaluation.json").read_text())["log_p"] for path in paths), reverse=True)
    assert f"−{-logs[9]:.2f}" in shown
    assert f"−{-logs[10]:.2f}" not in shown
    assert list(folder.iterdir()) == [path for path in folder.iterdir() if path.is_dir()]  # and none was written


def test_a_second_report_opens_no_record(tmp_path, opened):
    results = tmp_path / "results"
    results.mkdir()
    for seed in range(COUNT):
        made = record(RunConfig(objective="iwae", seed=seed))
        (results / f"{made.id}.json").write_text(made.to_json())
        os.utime(results / f"{made.id}.json", (1e9, 1e9 + seed))
    (results / "damaged.json").write_text("{")
    os.utime(results / "damaged.json", (1e9, 1e9))
    found, said = [], []

    def read():
        found.append([run.record for run in gather(results, (), said.append)])

    assert len(opened(results, read)) == COUNT + 1  # the control
    assert opened(results, read) == [str(results / "damaged.json")]  # to say again what is wrong with it
    assert found[0] == found[1]
    assert [one.config["seed"] for one in sorted(found[1], key=lambda one: one.config["seed"])] == list(range(COUNT))
    assert len(said) == 2
    changed = results / f"{made.id}.json"
    changed.write_text(made.to_json().replace("-90.0", "-91.0"))  # of the same length
    os.utime(changed, (1e9, 1.5e9))
    assert opened(results, read) == sorted(map(str, (changed, results / "damaged.json")))
    assert sum(one.value("log_p") == -91.0 for one in found[2]) == 1


def test_a_second_list_of_studies_opens_no_record_that_has_not_changed(tmp_path, opened):
    results, found = tmp_path / "results", []
    results.mkdir()
    for seed in range(COUNT):
        made = record(RunConfig(objective="iwae", seed=seed))
        (results / f"{made.id}.json").write_text(made.to_json())
        os.utime(results / f"{made.id}.json", (1e9, 1e9))
    assert len(opened(results, lambda: found.append(list_records(results)))) == COUNT
    assert opened(results, lambda: found.append(list_records(results))) == []
    assert found[0] == found[1]
    for listed, whole in zip(found[1], read_records(results), strict=True):
        assert (listed.id, listed.scale, listed.asked) == (whole.id, whole.scale, whole.asked)
        assert (listed.started_from, listed.num_samples) == (whole.started_from, whole.evaluation["num_samples"])
    assert {listed.asked.get("seed", 0) for listed in found[1]} == set(range(COUNT))
    (results / f"{made.id}.json").write_text("{")
    with pytest.raises(IwaxError, match=made.id):
        list_records(results)
    said = []
    assert len(list_records(results, said.append)) == COUNT - 1
    assert made.id in said[0]


def test_nothing_is_written_among_the_runs_and_indexes_that_nobody_used_go(runs, monkeypatch):
    assert not [path for path in runs.iterdir() if not path.is_dir()]
    other, old = index_path(runs).with_name("other.sqlite"), index_path(runs).with_name("old.sqlite")
    other.touch()
    old.touch()
    os.utime(old, (1e9, 1e9))
    index_path(runs).unlink()
    list_runs(runs)
    assert index_path(runs).exists()
    assert other.exists()
    assert not old.exists()


def test_a_folder_has_one_index_however_it_is_called(runs, monkeypatch):
    monkeypatch.chdir(runs.parent)
    assert folders_read("runs", monkeypatch)[0] == 0
    assert folders_read(runs.parent / "runs" / ".." / "runs", monkeypatch)[0] == 0
    shutil.copytree(runs, runs.parent / "copy")
    assert index_path("copy") != index_path("runs")


def test_a_figure_of_very_many_runs_has_an_artist_for_each_kind_and_not_for_each_run(monkeypatch):
    records = [record(RunConfig(objective=name, seed=seed)) for seed in range(3) for name in ("iwae", "elbo")]
    assert [len(alike) for alike in cost._alike(records)] == [1] * 6
    monkeypatch.setattr(cost, "MANY", 5)
    assert [[one.config["seed"] for one in alike] for alike in cost._alike(records)] == [[0, 1, 2]] * 2


def test_a_long_table_reads_as_a_short_one(capsys):
    rows = [[f"run-{i}", "é" * (i % 3), str(i)] for i in range(501)]
    columns = ["run", "words", "number"]
    print_table("a title", columns, rows, texts=2)
    long = capsys.readouterr().out.splitlines()
    print_table("a title", columns, rows[-200:], texts=2)
    short = capsys.readouterr().out.splitlines()
    last = [[line.split() for line in lines if line.strip()][-100:] for lines in (long, short)]
    assert last[0] == last[1]
    assert long[2].split() == columns
    assert len({len(line) for line in long[4:-1]}) == 1  # numbers end below each other


def measured(arguments):
    """Processor seconds and peak memory in bytes of a command in a process of its own; ru_maxrss would be ours, too."""
    import subprocess
    import sys

    code = (
        "import resource, sys, time; from iwax.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(used.ru_utime + used.ru_stime, int(peak.split()[1]) * 1024, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    seconds, memory = map(float, run.stderr.splitlines()[-1].split())
    return seconds, memory, run.stdout


@pytest.mark.slow
def test_ten_thousand_runs_are_listed_in_two_seconds_and_reported_in_twenty(tmp_path):
    """Processor seconds, as other work may share the machine; the first listing and report make the index."""
    folder, out = tmp_path / "runs", str(tmp_path / "report")
    age(make_runs(folder, 10_000, examples=50, epochs=20))
    measured(["runs", str(folder)])
    seconds, memory, text = measured(["runs", str(folder)])
    assert len(text.splitlines()) > 10_000
    assert seconds < 2 * SLACK
    assert memory < 200e6
    measured(["report", str(folder), "--out", out])
    seconds, memory, _ = measured(["report", str(folder), "--out", out])
    assert seconds < 20 * SLACK
    assert memory < 700e6


@pytest.mark.slow
def test_ten_thousand_records_of_studies_are_listed_and_reported_as_quickly(tmp_path):
    """Of a report that was made before: figures of what has not changed stay."""
    results, out = tmp_path / "results", str(tmp_path / "report")
    make_records(results, 10_000, like=RESULTS)
    asked = ["report", "--studies", "--results", str(results), "--runs", str(tmp_path / "none"), "--out", out]
    measured(["reproduce", "--list", "--results", str(results)])
    seconds, _, _ = measured(["reproduce", "--list", "--results", str(results)])
    assert seconds < 4 * SLACK  # of which nearly all are imports, which `iwax runs` does without
    measured(asked)
    page = Path(out, "index.html").read_text()
    seconds, memory, _ = measured(asked)
    assert seconds < 20 * SLACK
    assert memory < 800e6
    assert Path(out, "index.html").read_text() == page


RESULTS = Path(__file__).parents[2] / "results"
SLACK = 1.5  # for a core that others share
