"""Slurm's commands imitated on this machine, as submitit uses them: sbatch, srun, sacct, scancel and scontrol requeue.

Run under one of these names, with a folder for its state in SLURM_HERE. `sbatch` leaves a controller running that
starts the tasks of an array, as many at a time as its % says, and starts again those that were requeued.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("sbatch", "srun", "sacct", "scancel", "scontrol")


def install(folder: Path) -> dict[str, str]:
    """The variables with which a process finds these commands, whose state is in a folder."""
    (folder / "bin").mkdir(parents=True)
    for name in NAMES:
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(__file__)} {name} "$@"\n')
        command.chmod(0o755)
    return {"SLURM_HERE": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def jobs(folder: Path) -> dict[str, dict[str, object]]:
    """JOB_INDEX -> state, process and how often it was started, of all jobs."""
    return {id: job for file in sorted(folder.glob("*.jobs")) for id, job in json.loads(file.read_text()).items()}


def sbatch(script: str) -> None:
    folder = Path(os.environ["SLURM_HERE"])
    number = len(list(folder.glob("*.sh"))) + 1
    (folder / f"{number}.sh").write_text(Path(script).read_text())
    subprocess.Popen(
        [sys.executable, __file__, "controller", str(number)],
        **{name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")},
        start_new_session=True,
    )
    while not (folder / f"{number}.jobs").exists():
        time.sleep(0.02)
    print(f"Submitted batch job {number}")


def controller(number: str) -> None:
    """Run the jobs of one submission to their ends."""
    folder = Path(os.environ["SLURM_HERE"])
    script = folder / f"{number}.sh"
    array = re.search(r"--array='?0-(\d+)%(\d+)", script.read_text())
    ids = [f"{number}_{i}" for i in range(int(array[1]) + 1)] if array else [number]
    state = {id: {"state": "PENDING", "pid": None, "starts": 0} for id in ids}
    room = min(int(array[2]), os.cpu_count() or 1) if array else 1  # the cluster is this machine
    running: dict[str, subprocess.Popen] = {}
    while any(job["state"] in ("PENDING", "RUNNING") for job in state.values()):
        for id, job in state.items():
            marks = {name: folder / f"{id}.{name}" for name in ("requeue", "cancel")}
            if id in running and running[id].poll() is not None:
                status = running.pop(id).returncode
                job["state"] = "COMPLETED" if status == 0 else "FAILED"
                if marks["requeue"].exists():
                    marks["requeue"].unlink()
                    job["state"] = "PENDING"
            if job["state"] == "PENDING" and marks["cancel"].exists():
                job["state"] = "CANCELLED"
            elif job["state"] == "PENDING" and len(running) < room:
                own = {"SLURM_JOB_ID": id.partition("_")[0], "SLURM_JOB_NODELIST": "here", "SLURM_PROCID": "0"}
                if array:
                    own |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": id.partition("_")[2]}
                running[id] = subprocess.Popen(["bash", str(script)], env=os.environ | own, start_new_session=True)
                job |= {"state": "RUNNING", "pid": running[id].pid, "starts": job["starts"] + 1}
        new = folder / f"{number}.new"
        new.write_text(json.dumps(state))
        new.replace(folder / f"{number}.jobs")
        time.sleep(0.1)


def srun(*words: str) -> None:
    """The command after the options, in place of this process; with the files that the options name."""
    own, command = dict(zip(words[1:5:2], words[2:5:2], strict=True)), words[5:]
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    for option, number in (("--output", 1), ("--error", 2)):
        path = own[option]
        for pattern, text in (("%A_%a", job), ("%j", job), ("%t", "0")):
            path = path.replace(pattern, text)
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    os.execvp(command[0], command)


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    for id, job in jobs(Path(os.environ["SLURM_HERE"])).items():
        print(f"{id}|{job['state']}|here")


def scancel(id: str) -> None:
    """As Slurm does it: a job that waits goes; all processes of one that runs are sent SIGTERM."""
    folder = Path(os.environ["SLURM_HERE"])
    (folder / f"{id}.cancel").touch()
    if (job := jobs(folder)[id])["state"] == "RUNNING":
        for process in below(job["pid"]):
            os.kill(process, signal.SIGTERM)


def scontrol(action: str, id: str) -> None:
    assert action == "requeue"
    (Path(os.environ["SLURM_HERE"]) / f"{id}.requeue").touch()


def below(process: int) -> list[int]:
    """A process and all that it started, as a job's control group has them."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True).stdout
    return [process, *(each for child in children.split() for each in below(int(child)))]


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
