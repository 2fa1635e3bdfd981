"""Sweeps as users run them: processes, engines, and what is killed on the way; every number the same, to the bit."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import slurm_here
from sweeps_here import OPTIONS, TINY

from iwax.runs import RunFolder
from iwax.sweeps import SweepFolder, plan, run_sweep
from iwax.sweeps.lease import holder

pytestmark = pytest.mark.slow

TWELVE = {"objective": ["iwae", "elbo"], "num_samples": [1, 2, 5], "seed": [0, 1]}
GRID = [word for name, values in TWELVE.items() for word in ("--grid", f"{name}={','.join(map(str, values))}")]
BASE = {name: value for name, value in OPTIONS.items() if name != "objective"}
LONG = [
    *("--dataset", "mnist-sample", "--batch-size", "20", "--recipe", "burda-paper"),
    *("--objective", "iwae", "--num-samples", "5", "--epochs", "8"),
]
DRIVER = "import sys; from iwax.cli import main\ntry:\n    main()\nfinally:\n    assert 'jax' not in sys.modules, 'JAX'"


def sweep(out, *arguments, **more):
    """A driver of its own, which never imports JAX."""
    command = [sys.executable, "-c", DRIVER, "sweep", *arguments, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def finished(process, status=0):
    said, _ = process.communicate(timeout=900)  # of a machine that does much else
    assert process.returncode == status, said
    return said


def bits(out):
    """What was computed, by run: the checkpoint's checksum and the metrics but for their clock."""
    runs = {id: RunFolder(Path(out) / id) for id in SweepFolder(out).runs()}
    clock = ("seconds", "rate", "steps_per_second", "images_per_second")
    return {
        id: (run.checkpoint().sha256, [{k: v for k, v in r.items() if k not in clock} for r in run.metrics()])
        for id, run in runs.items()
    }


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def training(out):
    """(ID, process) of a run that is within its steps; None before."""
    with contextlib.suppress(Exception):
        folder = SweepFolder(out)
        for id in folder.runs():
            owner = holder(folder.lease(id))
            log = folder.log(id)
            if owner is not None and log.exists() and "steps/s" in log.read_text():
                return id, int(owner.rpartition(":")[2])
    return None


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(process):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""  # a zombie has none
    return False


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """The sweep of twelve runs by two local processes."""
    out = tmp_path_factory.mktemp("local") / "out"
    said = finished(sweep(out, *TINY[:-2], *GRID, "--workers", "2"))
    assert "12 done, 0 found done, 0 failed" in said
    return bits(out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A longer run that nothing disturbed."""
    out = tmp_path_factory.mktemp("alone") / "out"
    finished(sweep(out, *LONG, "--workers", "1"))
    return bits(out)


def planned():
    from iwax.sweeps import Specification

    return plan(Specification(base=BASE, grid=TWELVE).runs())[0]


def test_two_local_processes_train_twelve_runs(twelve):
    assert len(twelve) == 12
    assert len({checksum for checksum, _ in twelve.values()}) == 12
    assert all(len(metrics) == 2 for _, metrics in twelve.values())


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_ray_on_loopback_gives_the_same_bits(twelve, tmp_path):
    from iwax.sweeps.executors.ray import RayExecutor

    outcome = run_sweep(planned(), tmp_path / "out", RayExecutor(num_cpus=2, _node_ip_address="127.0.0.1"))
    assert len(outcome.done) == 12
    assert bits(tmp_path / "out") == twelve


@pytest.mark.skipif(find_spec("submitit") is None, reason="submitit is not installed")
def test_jobs_of_submitit_give_the_same_bits(twelve, tmp_path):
    from iwax.sweeps.executors.slurm import SlurmExecutor

    outcome = run_sweep(planned(), tmp_path / "out", SlurmExecutor(tmp_path / "jobs", cluster="local", workers=2))
    assert len(outcome.done) == 12
    assert bits(tmp_path / "out") == twelve


def test_a_killed_worker_is_started_again(alone, tmp_path):
    driver = sweep(tmp_path / "out", *LONG)
    id, worker = wait_until(lambda: training(tmp_path / "out"))
    os.kill(worker, signal.SIGKILL)
    said = finished(driver)
    assert f"{id}: was killed by SIGKILL; it goes on from its last checkpoint" in said
    assert bits(tmp_path / "out") == alone


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_when_the_driver_is_killed_or_interrupted_the_same_command_goes_on(alone, tmp_path, kill):
    """Its tasks write their checkpoints and end; nobody is left who trains on unseen."""
    out = tmp_path / "out"
    driver = sweep(out, *LONG)
    id, worker = wait_until(lambda: training(out))
    driver.send_signal(kill)
    said = finished(driver, -kill if kill == signal.SIGKILL else 130)
    if kill == signal.SIGINT:
        assert "the same command goes on" in said
    wait_until(lambda: not SweepFolder(out).lease(id).exists(), 30)
    status = RunFolder(out / id).json("status.json")
    assert status["state"] == "stopped"
    assert 0 < status["step"] < 800
    wait_until(lambda: not is_alive(worker), 30)
    assert "1 done, 0 found done" in finished(sweep(out, *LONG))
    assert bits(out) == alone


def test_two_drivers_on_one_folder_share_the_work_and_train_nothing_twice(twelve, tmp_path):
    out = tmp_path / "out"
    drivers = [sweep(out, *TINY[:-2], *GRID, "--workers", "1") for _ in range(2)]
    said = [finished(driver) for driver in drivers]
    assert bits(out) == twelve
    logs = [SweepFolder(out).log(id).read_text() for id in twelve]
    assert [log.count(": finished (process") for log in logs] == [1] * 12
    assert any("done by another driver" in text for text in said)


def test_a_run_whose_owner_is_another_machine_that_is_silent_is_taken_over(alone, tmp_path):
    out = tmp_path / "out"
    folder = SweepFolder(out)
    (id,) = alone
    folder.lease(id).parent.mkdir(parents=True)
    folder.lease(id).write_text(json.dumps({"machine": "another", "host": "there", "pid": 7, "locks": True}))
    begin = time.monotonic()
    finished(sweep(out, *LONG, "--lease-timeout", "6"))
    assert time.monotonic() - begin > 6
    assert bits(out) == alone


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_a_worker_of_ray_and_then_a_node_are_killed_and_the_runs_go_on(twelve, tmp_path):
    import ray
    from ray.cluster_utils import Cluster

    from iwax.sweeps.executors.ray import RayExecutor

    out, said = tmp_path / "out", []
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost = cluster.add_node(num_cpus=1)
    killed = []

    def kill():
        """Beside the driver, which would start nothing while it waited."""
        _, worker = wait_until(lambda: (out / "sweep" / "runs").is_dir() and held(out))
        os.kill(parent_of(worker), signal.SIGKILL)  # the worker of Ray's that waits for a task
        killed.append("worker")
        wait_until(lambda: any("was lost" in line for line in said))
        cluster.remove_node(lost, allow_graceful=False)
        killed.append("node")

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        outcome = run_sweep(planned(), out, RayExecutor(cluster.address, workers=2), log=said.append)
    finally:
        killer.join()
        ray.shutdown()
        cluster.shutdown()
    assert len(outcome.done) == 12
    assert killed == ["worker", "node"]
    assert any("was lost" in line for line in said)
    assert bits(out) == twelve


def held(out):
    folder = SweepFolder(out)
    for id in folder.runs():
        if (owner := holder(folder.lease(id))) is not None:
            return id, int(owner.rpartition(":")[2])
    return None


@pytest.mark.skipif(find_spec("submitit") is None, reason="submitit is not installed")
def test_a_job_that_is_pre_empted_is_queued_again_and_goes_on_from_its_checkpoint(alone, tmp_path):
    from iwax.sweeps.executors.slurm import SlurmExecutor

    out, executor, told = tmp_path / "out", SlurmExecutor(tmp_path / "jobs", cluster="local"), []
    wait = executor.wait

    def pre_empt(seconds):
        if not told and (found := training(out)):
            os.kill(parent_of(found[1]), signal.SIGUSR2)  # as Slurm does before it takes a job away
            told.append(True)
        return wait(min(seconds, 0.2))

    executor.wait = pre_empt
    fields = {"num_samples": 5, "epochs": 8, "objective": "iwae", "batch_size": 20}
    (run,), _ = plan([{"dataset": "mnist-sample", "protocol": "burda-paper"} | fields])
    outcome = run_sweep([run], out, executor)
    assert outcome.done == (run.id,)
    assert told
    assert len(RunFolder(out / run.id).json("environment.json")["sessions"]) == 1  # gone on with once
    assert bits(out) == alone


@pytest.mark.skipif(find_spec("submitit") is None or sys.platform != "linux", reason="submitit, and ps of Linux")
def test_jobs_of_slurm_go_on_without_their_driver_and_the_same_command_does_what_is_left(twelve, tmp_path):
    """By the command line, with Slurm's commands imitated; the first job is pre-empted, then the driver is killed."""
    out, command = tmp_path / "out", [*TINY[:-2], *GRID, "--executor", "slurm", "--workers", "2"]
    environment = os.environ | slurm_here.install(tmp_path / "slurm")
    driver = sweep(out, *command, env=environment)
    _, task = wait_until(lambda: (out / "sweep" / "runs").is_dir() and held(out))
    os.kill(parent_of(task), signal.SIGUSR2)
    wait_until(lambda: any(job["starts"] == 2 for job in slurm_here.jobs(tmp_path / "slurm").values()))
    driver.kill()
    finished(driver, -signal.SIGKILL)
    assert "0 failed" in finished(sweep(out, *command, env=environment))
    assert bits(out) == twelve
    wait_until(lambda: not any(job["state"] == "RUNNING" for job in slurm_here.jobs(tmp_path / "slurm").values()))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a disk of its own needs root")
def test_a_disk_that_is_full_under_one_run_fails_that_run_alone(tmp_path):
    out = tmp_path / "out"
    first, second = (run.id for run in plan([{**OPTIONS, "seed": seed} for seed in (0, 1)])[0])
    (out / first).mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", out / first], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        said = finished(sweep(out, *TINY, "--seeds", "2"), 1)
        assert "1 done, 0 found done, 1 failed" in said
        assert "No space left on device" in said
        assert SweepFolder(out).is_done(second)
        subprocess.run(["mount", "-o", "remount,size=64m", out / first], check=True)
        assert "1 done, 1 found done, 0 failed" in finished(sweep(out, *TINY, "--seeds", "2"))
    finally:
        subprocess.run(["umount", out / first], check=True)
