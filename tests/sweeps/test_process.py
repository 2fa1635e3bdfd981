"""A task as a process: pinned, under its lease, with an environment of its own, and ended with its parent."""

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

from iwax.cli.sweeping import sweep
from iwax.errors import IwaxError
from iwax.sweeps import BUSY, Task, hardware, planning, process
from iwax.sweeps.executors import local, make_executor, slurm
from iwax.sweeps.lease import holder, lease
from iwax.sweeps.process import environment_of, interrupt, run_process, start_process

SHOW = "import json, os, sys; print(json.dumps([sorted(os.sched_getaffinity(0)), 'jax' in sys.modules]))"
WRAPPED = """
import sys, runpy
from iwax.sweeps import process
runpy.run_module = lambda *_, **__: exec(sys.argv[1])
process.main([sys.argv[1], sys.argv[2]])
"""


def task(folder, *arguments, **more):
    return Task(name="one", arguments=arguments, log=str(folder / "log"), **more)


def wrapped(program, one, **more):
    """A process that does all a task's process does, with `program` in place of iwax."""
    text = json.dumps(one.to_json() | {"arguments": [program]})
    command = [sys.executable, "-c", WRAPPED, str(os.getpid()), text]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)


def test_a_task_is_the_command_line_in_a_process_with_a_log(tmp_path):
    assert run_process(task(tmp_path, "--version")) == 0
    assert run_process(task(tmp_path, "sweep")) == 2
    said = (tmp_path / "log").read_text()
    assert "version" in said
    assert "iwax: Expected --out DIR, or --status DIR; got neither." in said
    with lease(tmp_path / "lease"):
        assert run_process(task(tmp_path, "--version", lease=str(tmp_path / "lease"))) == BUSY


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_processes_are_pinned_to_cores_of_their_own_before_jax_is_imported(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of the claims
    available = os.sched_getaffinity(0)
    stay = SHOW + "; sys.stdout.flush(); import time; time.sleep(60)"
    processes = [wrapped(stay, task(tmp_path, cores=1, environment={})) for _ in range(len(available) + 1)]
    try:
        shown = [json.loads(process.stdout.readline()) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert not any(imported for _, imported in shown)
    cores = [core for own, _ in shown for core in own]
    assert len(cores) == len(processes)
    assert set(cores) == available  # each has one, and the one too many shares


@pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux's")
def test_a_task_is_interrupted_when_its_parent_is_killed_and_gives_back_its_lease(tmp_path):
    path = tmp_path / "lease"
    program = "import time; print('begun', flush=True); time.sleep(60)"
    text = json.dumps(task(tmp_path, lease=str(path)).to_json() | {"arguments": [program]})
    parent = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {WRAPPED!r}, str(os.getpid()), {text!r}])
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout.readline() == "begun\n"  # within its lease
    assert int(holder(path).rpartition(":")[2]) != process.pid
    begin = time.monotonic()
    process.send_signal(signal.SIGKILL)
    process.communicate()  # until the task has ended, too
    assert time.monotonic() - begin < 30
    assert not path.exists()  # given back, and not only left by the dead


def test_a_task_finds_its_gpus_and_its_share_of_their_memory_before_jax_does(tmp_path):
    assert environment_of(task(tmp_path), {"A": "b"}) == {"A": "b", "JAX_PLATFORMS": "cpu"}
    assert environment_of(task(tmp_path, gpus=1.0), {}) == {}
    assert environment_of(task(tmp_path, gpus=0.25), {}) == {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.225"}
    assert environment_of(task(tmp_path, environment={"A": "c"}), {"A": "b"})["A"] == "c"


def test_a_driver_imports_no_jax_whatever_its_executor():
    """JAX would take the memory of a GPU that its tasks need, and threads that no fork survives."""
    modules = [f"iwax.sweeps.executors.{name}" for name in ("local", "ray", "slurm")] + ["iwax.sweeps.sweep"]
    modules += ["iwax.sweeps.evaluating", "iwax.sweeps.mirror", "iwax.sweeps.process", "iwax.cli.sweeping"]
    code = f"import sys, {', '.join(modules)}; import iwax.sweeps as s; s.plan, s.sweep_rows, s.make_executor"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('jax' in sys.modules)"], check=False)
    assert done.returncode == 0


def test_tasks_are_strangers_to_each_other():
    """None starts JAX's distributed runtime, in which one that dies would take the others along."""
    source = Path(process.__file__).parent.parent
    text = {path: path.read_text() for path in source.rglob("*.py")}
    assert len(text) > 100
    assert not [path for path, words in text.items() if "jax.distributed" in words or "import distributed" in words]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_task_is_interrupted_although_its_driver_ignores_ctrl_c(tmp_path):
    """As all does that a script starts in the background."""
    path = tmp_path / "lease"
    program = "import time; print('begun', flush=True); time.sleep(20)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = wrapped(program, task(tmp_path, lease=str(path)), stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout.readline() == "begun\n"
    begin = time.monotonic()
    interrupt([process], patience=15.0)
    process.communicate()
    assert process.returncode not in (0, -signal.SIGKILL)
    assert time.monotonic() - begin < 10
    assert not path.exists()  # given back


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_each_task_has_a_gpu_or_a_share_that_no_other_has_and_one_too_many_waits(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stay = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"
    one = task(tmp_path, gpus=0.5, devices=("3", "7"))
    processes = [wrapped(stay, one, stderr=subprocess.DEVNULL) for _ in range(4)]
    try:
        assert sorted(process.stdout.readline().strip() for process in processes) == ["3", "3", "7", "7"]
        with wrapped(stay, one, stderr=subprocess.DEVNULL) as fifth:
            assert fifth.wait(20) == BUSY
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.skipif(find_spec("submitit") is None, reason="submitit is not installed")
def test_a_job_that_is_told_to_go_waits_for_its_process_and_no_longer(tmp_path, monkeypatch):
    """The signal comes while the job waits for its process, whose lock it then must not wait for."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(slurm, "start_process", lambda _: subprocess.Popen(sleeper, stderr=subprocess.DEVNULL))
    monkeypatch.setattr(slurm, "PATIENCE", 5.0)
    job, begin = slurm.Job(task(tmp_path)), time.monotonic()

    def told(number, frame):
        raise SystemExit(str(job.checkpoint().function.task.name))

    before = signal.signal(signal.SIGUSR2, told)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR2))
    timer.start()
    try:
        with pytest.raises(SystemExit, match="one"):
            job()
    finally:
        signal.signal(signal.SIGUSR2, before)
        timer.join()
    assert time.monotonic() - begin < 4
    assert job._process.wait(5) == -signal.SIGINT


def test_gpus_are_found_without_jax(monkeypatch):
    for platforms, visible, found in [("cpu", "0,1", ()), ("", "2,MIG-x", ("2", "MIG-x")), ("cuda", "", ())]:
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert hardware.visible_gpus() == found
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert local.LocalExecutor().slots == 2
    assert local.LocalExecutor(gpus=0.25).slots == 8
    assert local.LocalExecutor(gpus=0, cores=1).slots == hardware.available_cores()


def test_a_process_that_cannot_be_started_leaves_none(tmp_path):
    process = start_process(task(tmp_path, "--version", cores=10_000))
    assert process.wait(30) == 2
    assert (tmp_path / "log").read_text().startswith("iwax: Expected cores to be at most")  # and no traceback


@pytest.mark.parametrize("where", ["ray", "slurm"])
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
def test_a_signal_that_another_thread_took_is_answered_while_a_process_is_waited_for(tmp_path, monkeypatch, where):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10)"])
    monkeypatch.setattr(process if where == "ray" else slurm, "start_process", lambda _: child)
    before = signal.signal(signal.SIGUSR1, lambda signum, frame: child.kill())
    timer = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
    timer.start()
    try:
        status = run_process(task(tmp_path)) if where == "ray" else slurm.Job(task(tmp_path))()
        assert status == -signal.SIGKILL  # and not 0, ten seconds later
    finally:
        signal.signal(signal.SIGUSR1, before)
        timer.join()


def test_a_planner_that_was_killed_is_one_line_and_no_fault(monkeypatch):
    def run(*_, **__):
        return subprocess.CompletedProcess([], returncode=-9, stdout="", stderr="a library's warning")

    monkeypatch.setattr(planning.subprocess, "run", run)
    with pytest.raises(IwaxError, match=r"it was killed by signal 9, as where memory is full\. Give the command again"):
        planning.ask("iwax.sweeps.planning", {})


def test_gpus_left_out_are_those_that_the_help_names(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    local, ray, slurm = (make_executor(name, tmp_path) for name in ("local", "ray", "slurm"))
    assert (local._resources["gpus"], ray._gpus, slurm._resources["gpus"]) == (1, 0, 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert make_executor("local", tmp_path)._resources["gpus"] == 0
    (gpus,) = (option for option in sweep.params if option.name == "gpus")
    assert "if left out 1 of `local` where there are some, else 0" in gpus.help
