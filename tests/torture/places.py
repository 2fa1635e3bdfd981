"""Several processes on one folder, a folder that moved, and Ctrl-C in the first moments of a process."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from torture.made_runs import FAULTS, JUDGED, call, start
from torture.tour import RECIPE, fresh

__all__ = ["STARTS", "at_once", "interrupted_early", "moved_and_out_of_time"]

Found = dict[str, Any]


def at_once(root: Path, scratch: Path, count: int = 3) -> Found:
    """`count` processes train into one folder, then judge it: one does, the others say that they cannot."""
    copied, wrong = scratch / "at-once", []
    fresh(root, copied)
    data = copied / "runs" / "own.npz"
    for arguments in (
        ("train", *RECIPE, "--dataset", data, "--out", copied / "new"),
        ("evaluate", copied / "new", *JUDGED),
    ):
        processes = [start(*arguments) for _ in range(count)]
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
    fresh(root, copied)
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


STARTS = ("from iwax.cli import main; main()", None)
"""What the console script `iwax` does, and `python -m iwax`."""


def interrupted_early(count: int, seconds: float = 0.4, seed: int = 0) -> Found:
    """Ctrl-C at `count` moments of the first 0.4 s of a command: one line and 130, from iwax's own first line on.

    Before that line, and after the last, Ctrl-C is Python's. It ends the process (status -2; 1 where it still imports
    `site`) with a traceback, in which nothing is of iwax; or it is lost, where it falls into the clean-up of an import.
    Those are counted, and are not wrong.
    """
    rng, wrong, counts = random.Random(seed), list[str](), {"one line": 0, "Python's": 0}
    for number in range(count):
        code, wait = STARTS[number % len(STARTS)], (number + rng.random()) / count * seconds
        words = [sys.executable, *(["-m", "iwax"] if code is None else ["-c", code]), "objectives"]
        begin = time.monotonic()
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(max(0.0, wait - (time.monotonic() - begin)))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        own = [line for line in said.splitlines() if f"{os.sep}iwax{os.sep}" in line]
        if process.returncode == 130 and "iwax: interrupted" in said and "Traceback" not in said:
            counts["one line"] += 1
        elif not own and ("KeyboardInterrupt" in said or process.returncode == -signal.SIGINT):
            counts["Python's"] += 1
        else:
            wrong.append(f"Ctrl-C after {1000 * wait:.0f} ms: {process.returncode}: {said[-500:]}")
    return {"counts": counts, "wrong": wrong}
