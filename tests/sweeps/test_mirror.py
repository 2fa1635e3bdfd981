"""A sweep in a store: what is put there is enough to go on from, elsewhere, wherever the putting was cut off."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from sweeps_here import iwax

fsspec = pytest.importorskip("fsspec")

from iwax.cli import main  # noqa: E402
from iwax.errors import IwaxError, MissingExtraError  # noqa: E402
from iwax.runs import STATUS, RunConfig, RunFolder, read_checkpoint  # noqa: E402
from iwax.sweeps import Mirror, PlannedRun, SweepFolder, is_url, train_mirrored, working_folder  # noqa: E402
from iwax.sweeps.lease import lease  # noqa: E402
from iwax.sweeps.mirror import _order  # noqa: E402

OPTIONS = {"dataset": "mnist-sample", "train_images": 32, "batch_size": 16, "num_samples": 2, "epochs": 2}
OPTIONS |= {"protocol": "burda-code"}


class Killed(BaseException):
    """What ends a process anywhere."""


@pytest.fixture
def url():
    """A store of its own, in memory."""
    return f"memory://{uuid.uuid4().hex}/table"


def put_files(folder, id, step, *, state="stopped"):
    """The files of a run, made up: all say which step they are of."""
    run = RunFolder(folder / id)
    run.path.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "metrics.jsonl", "checkpoint.safetensors", "evaluation.npz", "evaluation.json"):
        (run.path / name).write_text(f"{name} of {step}\n")
    (run.path / ".lock").touch()
    (run.path / "checkpoint.previous.safetensors").write_text("before")
    run.write_json(STATUS, {"state": state, "epoch": 1, "epochs": 2, "step": step})
    return run.path


def texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_url_is_told_from_a_folder():
    assert [is_url(place) for place in ("s3://b/x", "memory://x", "runs/x", "/a:b//c", "C:\\x")] == [True, True] + [
        False
    ] * 3
    assert working_folder("s3://b/x") != working_folder("s3://c/x")


def test_a_run_comes_back_as_it_was_put(url, tmp_path):
    here = put_files(tmp_path / "one", "abc", 5)
    Mirror(url, tmp_path / "one").push_run("abc")
    Mirror(url, tmp_path / "two").fetch_run("abc")
    left_out = {".lock", "checkpoint.previous.safetensors"}
    assert texts(tmp_path / "two" / "abc") == {name: text for name, text in texts(here).items() if name not in left_out}


def test_the_store_is_taken_only_where_it_is_ahead(url, tmp_path):
    put_files(tmp_path / "one", "abc", 5)
    Mirror(url, tmp_path / "one").push_run("abc")
    for step, expected in ((3, "5"), (7, "7")):
        other = put_files(tmp_path / str(step), "abc", step)
        Mirror(url, tmp_path / str(step)).fetch_run("abc")
        assert texts(other)["checkpoint.safetensors"] == f"checkpoint.safetensors of {expected}\n"


def test_what_another_machine_finished_is_seen_here_and_its_checkpoint_comes_with_it(url, tmp_path):
    """Though a checkpoint of before lies here, which would not go with the later status."""
    put_files(tmp_path / "there", "abc", 7, state="finished")
    Mirror(url, tmp_path / "there").push_run("abc")
    here = put_files(tmp_path / "here", "abc", 5)
    Mirror(url, tmp_path / "here").fetch()
    assert SweepFolder(tmp_path / "here").is_done("abc")
    assert not (here / "checkpoint.safetensors").exists()
    assert texts(here)["metrics.jsonl"] == "metrics.jsonl of 7\n"
    Mirror(url, tmp_path / "here").fetch_runs()
    assert texts(here)["checkpoint.safetensors"] == "checkpoint.safetensors of 7\n"


def test_many_files_wait_for_the_disk_once_and_their_statuses_after_it(url, tmp_path, monkeypatch):
    for id in ("abc", "def"):
        put_files(tmp_path / "there", id, 5)
        Mirror(url, tmp_path / "there").push_run(id)
    done = []
    monkeypatch.setattr("iwax.sweeps.mirror.AT_ONCE", 2)
    monkeypatch.setattr("iwax.sweeps.mirror.write_whole", lambda path, _, on_disk: done.append((path.name, on_disk)))
    monkeypatch.setattr(os, "sync", lambda: done.append("sync"))
    Mirror(url, tmp_path / "here").fetch()
    others = ["config.json", "metrics.jsonl", "evaluation.npz", "evaluation.json"]
    assert done == [(n, False) for n in others for _ in range(2)] + ["sync", *[(STATUS, False)] * 2, "sync"]


def test_a_run_that_is_trained_here_is_left_alone_while_its_sweep_is_brought(url, tmp_path):
    put_files(tmp_path / "there", "abc", 7)
    Mirror(url, tmp_path / "there").push_run("abc")
    here = put_files(tmp_path / "here", "abc", 5)
    before = texts(here)
    with lease(SweepFolder(tmp_path / "here").lease("abc")):
        Mirror(url, tmp_path / "here").fetch()
    assert texts(here) == before


def test_results_that_are_missing_or_later_are_brought_and_put_and_no_others(url, tmp_path):
    """An evaluation after training, which no status tells of."""
    folders = {name: put_files(tmp_path / name, "abc", 5, state="finished") for name in ("here", "there")}
    stores = {name: Mirror(url, tmp_path / name) for name in folders}
    stores["here"].push_run("abc")
    long_ago, later = (time.time() + hours * 3600 for hours in (-1, 1))
    for name, when in (("evaluation.npz", later), ("evaluation.json", long_ago), ("metrics.jsonl", later)):
        (folders["there"] / name).write_text("judged there\n")
        os.utime(folders["there"] / name, (when, when))
    (folders["there"] / "figures").mkdir()
    (folders["there"] / "figures" / "trust.svg").write_text("drawn there\n")
    stores["there"].push_results()
    os.utime(folders["here"] / "evaluation.npz", (long_ago, long_ago))
    (folders["here"] / "evaluation.json").write_text("judged here, and not yet put\n")
    os.utime(folders["here"] / "evaluation.json", (later, later))
    stores["here"].fetch()
    found = texts(folders["here"]) | texts(folders["here"] / "figures")
    changed = {name for name, text in found.items() if text.endswith("there\n")}
    assert changed == {"evaluation.npz", "trust.svg"}
    assert found["evaluation.json"] == "judged here, and not yet put\n"


def test_runs_of_a_store_are_listed_and_judged_by_its_address(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url, judged = f"file://{tmp_path}/store", []
    work = put_files(tmp_path / "work", "abc", 5, state="finished")
    (work / "config.json").write_text(RunConfig().to_json())
    for name in ("metrics.jsonl", "evaluation.json", "evaluation.npz"):
        (work / name).unlink()
    Mirror(url, tmp_path / "work").push_run("abc")
    status, out, _ = iwax(capsys, "runs", url, "--json")
    (row,) = json.loads(out)
    assert (status, Path(row["run"]), row["problem"]) == (0, working_folder(url) / "abc", None)

    def judge(run, **_):
        judged.append(texts(run / "abc")["checkpoint.safetensors"])
        (run / "abc" / "evaluation-other.json").write_text("{}")

    monkeypatch.setattr("iwax.cli.judging._evaluate", judge)
    assert iwax(capsys, "evaluate", url)[0] == 0
    assert judged == ["checkpoint.safetensors of 5\n"]
    assert (tmp_path / "store" / "abc" / "evaluation-other.json").exists()


def test_another_machine_knows_what_was_asked_for_before_anything_is_trained(tmp_path, capsys, monkeypatch):
    """However the first one ends: here it is killed as it starts the first run."""
    url, asked = f"file://{tmp_path}/store", ("--dataset", "mnist-sample", "--grid", "seed=0,1")

    def killed(*_, **__):
        raise Killed

    monkeypatch.setattr("iwax.sweeps.run_sweep", killed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    with contextlib.suppress(Killed):
        main(["sweep", *asked, "--out", url])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    assert "2 runs: 2 left" in iwax(capsys, "sweep", "--status", url)[1]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("runs", "memory://x"), "Expected a store that outlives this command; got memory://x"),
        (("sweep", "--out", "memory://x"), "Expected a store that outlives this command; got memory://x"),
        (("evaluate", "file:///tmp/iwax-none"), "Expected file:///tmp/iwax-none to hold finished runs"),
        (("table", "nonsense://x"), "Expected to open in nonsense://x"),
    ],
)
def test_an_address_that_holds_nothing_is_refused_in_one_line(tmp_path, capsys, monkeypatch, command, message):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    status, _, err = iwax(capsys, *command)
    assert (status, message in err) == (2, True), err


def test_only_what_has_changed_is_put_and_in_the_order_that_a_cut_survives(url, tmp_path, monkeypatch):
    folder, put = put_files(tmp_path, "abc", 5), []
    mirror = Mirror(url, tmp_path)
    one = Mirror._put_one
    monkeypatch.setattr(Mirror, "_put_one", lambda self, place, content: put.append(place) or one(self, place, content))
    mirror.push_run("abc")
    names = [place.rpartition("/")[2] for place in put]
    assert names[-1] == STATUS
    assert names.index("metrics.jsonl") < names.index("checkpoint.safetensors") < names.index("evaluation.npz")
    assert names.index("evaluation.npz") < names.index("evaluation.json")
    put.clear()
    (folder / "metrics.jsonl").write_text("one line more\n")
    mirror.push_run("abc")
    assert [place.rpartition("/")[2] for place in put] == ["metrics.jsonl"]


def test_a_store_that_is_out_of_reach_for_a_while_stops_no_training_but_one_at_the_end_does(tmp_path, monkeypatch):
    puts, said, reached = Mirror._put_one, [], {"store": False, "end": True}

    def put(self, place, content):
        if not reached["store"]:
            raise OSError("no route")
        puts(self, place, content)

    def trained(folder, id, *, on_progress):
        """Two checkpoints, the store being out of reach after the first of them."""
        for step in (1, 2):
            put_files(folder, id, step)
            os.utime(folder / id / STATUS, (step, step))
            on_progress(None)
            reached["store"] = True
        reached["store"] = reached["end"]
        put_files(folder, id, 3)

    monkeypatch.setattr(Mirror, "_put_one", put)
    monkeypatch.setattr("iwax.sweeps.member.train_member", trained)
    mirror = Mirror(f"file://{tmp_path}/store", tmp_path / "work")
    train_mirrored(mirror, "abc", log=said.append)
    assert len(said) == 1
    assert "got OSError: no route" in said[0]
    assert texts(tmp_path / "store" / "abc")["metrics.jsonl"] == "metrics.jsonl of 3\n"
    reached |= {"store": False, "end": False}
    with pytest.raises(IwaxError, match="Expected to write abc/"):
        train_mirrored(mirror, "abc")


def test_a_store_that_renames_never_shows_a_part(tmp_path, monkeypatch):
    """Such as a folder by file://: the name appears when the content is whole."""
    put_files(tmp_path / "work", "abc", 5)
    mirror = Mirror(f"file://{tmp_path}/store", tmp_path / "work")
    move = type(mirror._store).mv

    def cut_off(self, old, new, **options):
        assert os.path.getsize(old)
        raise OSError("the line is dead")

    monkeypatch.setattr(type(mirror._store), "mv", cut_off)
    with pytest.raises(
        IwaxError, match=r"Expected to write abc/config.json in file://.*; got OSError: the line is dead"
    ):
        mirror.push_run("abc")
    assert not (tmp_path / "store" / "abc" / "config.json").exists()
    monkeypatch.setattr(type(mirror._store), "mv", move)
    mirror.push_run("abc")
    assert (tmp_path / "store" / "abc" / STATUS).exists()
    assert not [path for path in (tmp_path / "store" / "abc").iterdir() if path.name.startswith(".")]


def test_a_store_of_an_unknown_kind_is_refused_in_one_line(tmp_path):
    with pytest.raises(IwaxError, match="Expected to open in nonsense://x"):
        Mirror("nonsense://x/y", tmp_path)


def test_without_fsspec_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"iwax\[remote\]"):
        Mirror("memory://x", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("cut", range(0, 10, 3))
def test_wherever_the_putting_is_cut_another_machine_goes_on_to_the_same_bits(url, tmp_path, monkeypatch, cut):
    planned = PlannedRun(id="abc", options=OPTIONS)
    whole = SweepFolder(tmp_path / "whole")
    whole.add([planned])
    train_mirrored(Mirror(f"{url}-whole", whole.path), planned.id)

    first, count, put = SweepFolder(tmp_path / "first"), [0], Mirror._put_one
    first.add([planned])
    mirror = Mirror(url, first.path)
    mirror.push_sweep()

    def killed(self, place, content):
        count[0] += 1
        if count[0] > cut:
            raise Killed
        put(self, place, content)

    monkeypatch.setattr("iwax.runs.session.CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "_put_one", killed)
        with pytest.raises(Killed):
            train_mirrored(mirror, planned.id)
    shutil.rmtree(first.path)
    second = Mirror(url, tmp_path / "second")
    second.fetch()
    train_mirrored(second, planned.id)
    expected, found = (read_checkpoint(f / planned.id / "checkpoint.safetensors") for f in (whole.path, second.folder))
    for name, array in expected.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)
    third = Mirror(url, tmp_path / "third")
    third.fetch()
    assert SweepFolder(third.folder).is_done(planned.id)  # without a checkpoint


@pytest.mark.slow
def test_a_sweep_in_s3_is_trained_by_processes_and_gone_on_with_by_another_machine(tmp_path):
    """A server of S3's protocol on the loopback, started and stopped here."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment = os.environ | {
            **{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"},
            **{"AWS_ENDPOINT_URL": f"http://{host}:{port}", "XDG_CACHE_HOME": str(tmp_path / "one")},
        }
        make = "import s3fs; s3fs.S3FileSystem().mkdir('bucket')"
        subprocess.run([sys.executable, "-c", make], env=environment, check=True)
        sweep = [sys.executable, "-m", "iwax", "sweep", "--grid", "seed=0,1", "--dataset", "mnist-sample"]
        sweep += ["--train-images", "32", "--batch-size", "16", "--num-samples", "2", "--epochs", "2"]
        sweep += ["--recipe", "burda-code", "--workers", "2", "--out", "s3://bucket/table"]
        done = subprocess.run(sweep, env=environment, capture_output=True, text=True, check=False)
        assert "2 done, 0 found done, 0 failed" in done.stdout, done.stderr
        environment["XDG_CACHE_HOME"] = str(tmp_path / "two")
        again = subprocess.run(sweep, env=environment, capture_output=True, text=True, check=False)
        assert "0 done, 2 found done, 0 failed" in again.stdout, again.stderr
        status = [sys.executable, "-m", "iwax", "sweep", "--status", "s3://bucket/table"]
        listed = subprocess.run(status, env=environment, capture_output=True, text=True, check=False)
        assert "2 runs: 2 done" in listed.stdout, listed.stderr
    finally:
        server.stop()


def test_the_status_is_last_and_records_come_before_the_checkpoint():
    names = [STATUS, "ssim.json", "evaluation.npz", "checkpoint.safetensors", "metrics.jsonl", "config.json"]
    assert sorted(names, key=_order) == [*names[::-1][:4], "ssim.json", STATUS]
