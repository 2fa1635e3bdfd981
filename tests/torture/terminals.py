"""Terminals that are closed under a command: it hears SIGHUP, of the system and of its shell, and is not heard."""

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from iwax.runs import RunFolder
from torture.kills import LONG
from torture.made_runs import start
from torture.tour import fresh, go

__all__ = ["can_have_terminals", "terminals_closed"]


def can_have_terminals() -> bool:
    """Whether a process can be given a terminal of its own here."""
    return os.name == "posix" and all(shutil.which(name) for name in ("setsid", "bash"))


def terminals_closed(root: Path, scratch: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """`count` times a terminal closed while `iwax train` is in it, then on to the end, which is that of one left alone.

    The command has the terminal to itself, or a shell beside it, in turn. It stops with a checkpoint, and status 129.
    """
    if not can_have_terminals():
        return {"counts": {"there are no terminals": 0}, "wrong": []}
    rng, copied, wrong = random.Random(seed), scratch / "closed", []
    commands, end = LONG["train"]
    fresh(root, copied)
    begin = time.monotonic()
    start(*commands(copied)[0]).communicate()
    seconds, expected = time.monotonic() - begin, end(copied)
    for number in range(count):
        fresh(root, copied)
        problem = _close(commands(copied)[0], copied, bool(number % 2), rng.uniform(0.2, 0.8) * seconds)
        problem = problem or go(commands(copied)[1:])
        if not problem and end(copied) != expected:
            problem = "another end than that of the command that nothing disturbed"
        if problem:
            wrong.append(f"iwax train, its terminal closed{' under a shell' * (number % 2)}: {problem}")
    return {"counts": {"closed": count}, "wrong": wrong}


def _close(words: tuple[Any, ...], copied: Path, in_shell: bool, seconds: float) -> str:
    """Start a command in a terminal, close that after some seconds, and say what was wrong with how it ended."""
    main = [sys.executable, "-c", "from iwax.cli import main; main()", *map(str, words)]
    shell = ["bash", "--norc", "-i", "-c", f"{shlex.join(main)}; true"]
    mine, its = os.openpty()
    process = subprocess.Popen(["setsid", "--ctty", *(shell if in_shell else main)], stdin=its, stdout=its, stderr=its)
    os.close(its)
    before = _listen(mine, seconds, copied)
    os.close(mine)
    status = process.wait(120)
    deadline = time.monotonic() + 120
    while _is_locked(copied) and time.monotonic() < deadline:  # the shell may end before what ran in it
        time.sleep(0.1)
    after = _state(copied)
    if before != "running":
        return ""  # it had not begun, or was done
    if not in_shell and status != 129:
        return f"exit status {status}"
    return "" if after == "stopped" else f"{after} after it was {before}"


def _listen(terminal: int, seconds: float, copied: Path) -> str:
    """Read what a terminal shows for some seconds; the state of the run then."""
    os.set_blocking(terminal, False)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:  # all who had it open have ended
            break
    return _state(copied)


def _state(copied: Path) -> str:
    path = copied / "new" / "status.json"
    return json.loads(path.read_text())["state"] if path.exists() else ""


def _is_locked(copied: Path) -> bool:
    return (copied / "new").exists() and RunFolder(copied / "new").is_locked
