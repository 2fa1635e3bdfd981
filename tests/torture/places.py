"""Several processes on one folder, a folder that moved, a clock that jumps, processes killed at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from torture.made_runs import FAULTS, JUDGED, call
from torture.tour import ANNEAL, JOURNEYS, RECIPE, _fresh, _go

__all__ = ["at_once", "killed_at_any_moment", "moved_and_out_of_time"]

Found = dict[str, Any]
LONG = {  # what is killed at any moment: longer ones of the tour's commands
    "train": ("train", *RECIPE, "--epochs", 300),
    "train --seeds": ("train", *RECIPE, "--epochs", 300, "--seeds", 2),
    "evaluate": ("evaluate", "--seed", 1, "--num-samples", 20_000, "--iwae-samples", 8, "--rows", 256),
    "anneal": ("anneal", *ANNEAL, "--seed", 1, "--num-distributions", 40),
}


def _start(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", "from iwax.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def at_once(root: Path, scratch: Path, count: int = 3) -> Found:
    """`count` processes train into one folder, then judge it: one does, the others say that they cannot."""
    copied, wrong = scratch / "at-once", []
    _fresh(root, copied)
    data = copied / "runs" / "own.npz"
    for arguments in (
        ("train", *RECIPE, "--dataset", data, "--out", copied / "new"),
        ("evaluate", copied / "new", *JUDGED),
    ):
        processes = [_start(*arguments) for _ in range(count)]
        said = [process.communicate()[1] for process in processes]
        statuses = [process.returncode for process in processes]
        if 0 not in statuses or not set(statuses) <= {0, 2} or any(fault in "".join(said) for fault in FAULTS):
            wrong.append(f"iwax {arguments[0]}, {count} at once: {statuses}: {said}"[:800])
    (row,) = json.loads(call("runs", copied / "new", "--json")[1])
    if row["state"] != "finished" or row["log_p"] is None:
        wrong.append(f"{count} at once: {row}")
    return {"counts": {"processes": 2 * count}, "wrong": wrong}


def moved_and_out_of_time(root: Path, scratch: Path) -> Found:
    """A folder that has another name, and files whose times are anything: nothing is judged anew, nothing is hidden."""
    copied, wrong = scratch / "moved", []
    _fresh(root, copied)
    before = json.loads(call("runs", copied / "runs" / "run", "--json")[1])
    times = random.Random(0)
    for path in (copied / "runs" / "run").rglob("*"):
        os.utime(path, (times.uniform(0, 4e9), times.uniform(0, 4e9)))
    (copied / "runs" / "run").rename(copied / "elsewhere")
    after = json.loads(call("runs", copied / "elsewhere", "--json")[1])
    if [{**row, "run": ""} for row in before] != [{**row, "run": ""} for row in after]:
        wrong.append(f"moved: {before} became {after}")
    for arguments, word in (
        (("evaluate", copied / "elsewhere", *JUDGED), "holds this evaluation already"),
        (("train", "--resume", copied / "elsewhere"), "finished after 2 of 2 epochs"),
    ):
        status, out, err = call(*arguments)
        if status or word not in " ".join((out + err).split()):
            wrong.append(f"moved: iwax {arguments[0]}: {status}: {(out + err)[-300:]}")
    return {"counts": {"folders": 1}, "wrong": wrong}


def killed_at_any_moment(root: Path, scratch: Path, name: str, count: int, seed: int = 0) -> Found:
    """`count` times SIGKILL after a time drawn at random, then on to the end, which is that of one left alone."""
    rng, copied, wrong = random.Random(seed), scratch / "killed", []
    words, end = LONG[name], JOURNEYS[name][1]

    def command() -> tuple[Any, ...]:
        if name.startswith("train"):
            return (*words, "--dataset", copied / "runs" / "own.npz", "--out", copied / "new")
        return (words[0], copied / "runs" / "run", *words[1:])

    def go_on() -> list[tuple[Any, ...]]:
        return [("train", "--resume", copied / "new"), command()] if name.startswith("train") else [command()]

    _fresh(root, copied)
    begin = time.monotonic()
    process = _start(*command())
    process.communicate()
    seconds, expected = time.monotonic() - begin, end(copied)
    killed = 0
    for _ in range(count):
        _fresh(root, copied)
        process = _start(*command())
        try:
            process.communicate(timeout=rng.uniform(0.1, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
        problem = _go(go_on())
        if not problem and end(copied) != expected:
            problem = "another end than that of the command that nothing disturbed"
        if problem:
            wrong.append(f"iwax {name}, killed: {problem}")
    return {"counts": {"killed": killed}, "wrong": wrong}
