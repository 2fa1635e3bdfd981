"""Long commands killed at a moment drawn at random, and with a clock that jumps: they go on to the same end."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torture.made_runs import FAULTS, start
from torture.tour import ANNEAL, JOURNEYS, RECIPE, fresh, go, judged, measured, trained, without_hours

__all__ = ["LONG", "jumping_clock", "killed_at_any_moment"]

JUMPING = Path(__file__).parent / "jumping"
LONG_RECIPE = (*RECIPE, "--epochs", 300)
Words = tuple[Any, ...]
Command = tuple[Callable[[Path], list[Words]], Callable[[Path], Any]]
"""Given where the copy is, the command and those that go on with it, tried in order; and what must be the same."""


def _train(*more: object) -> Command:
    def commands(root: Path) -> list[Words]:
        new = ("train", *LONG_RECIPE, "--dataset", root / "runs" / "own.npz", "--out", root / "new", *more)
        return [new, ("train", "--resume", root / "new"), new]

    def end(root: Path) -> Any:
        return [trained(root / "new" / name) for name in (("seed0", "seed1") if more else ("",))]

    return commands, end


def _same(*words: object) -> Callable[[Path], list[Words]]:
    """A command that goes on when it is given again; "RUN", "OUT" and "DATA" in it are places of the copy."""

    def commands(root: Path) -> list[Words]:
        places = {"RUN": root / "runs" / "run", "OUT": root / "new", "DATA": root / "runs" / "own.npz"}
        return [tuple(places.get(word, word) if isinstance(word, str) else word for word in words)] * 2

    return commands


def _swept(root: Path) -> Any:
    return {path.parent.name: trained(path.parent) for path in sorted((root / "new").glob("*/config.json"))}


def _reproduced(root: Path) -> Any:
    records = [json.loads(path.read_text()) for path in sorted((root / "new").glob("*.json"))]
    kept = ("id", "checkpoint_sha256", "evaluation", "along", "config")
    return [without_hours({name: record[name] for name in kept}) for record in records]


ONE = ("--only", "one-layer", "--only", "iwae")
LONG: dict[str, Command] = {
    "train": _train(),
    "train --seeds": _train("--seeds", 2),
    "train --seeds --vectorized": _train("--seeds", 2, "--vectorized"),
    "train --resume --epochs": (
        _same("train", "--resume", "RUN", "--epochs", 300),
        lambda root: trained(root / "runs" / "run"),
    ),
    "evaluate": (
        _same("evaluate", "RUN", "--seed", 1, "--num-samples", 20_000, "--iwae-samples", 8, "--rows", 256),
        JOURNEYS["evaluate"][1],
    ),
    "evaluate --all": (
        _same("evaluate", "RUN", "--seed", 1, "--num-samples", 256, "--iwae-samples", 8, "--all"),
        judged,
    ),
    "anneal": (_same("anneal", "RUN", *ANNEAL, "--seed", 1, "--num-distributions", 40), JOURNEYS["anneal"][1]),
    "snr run": (
        _same("snr", "run", "RUN", "--out", "OUT", "--num-replicates", 40, "--num-samples", 4, "--num-examples", 4),
        measured,
    ),
    "sweep": (
        _same("sweep", "--out", "OUT", "--dataset", "DATA", *LONG_RECIPE, "--seeds", 3, "--workers", 2),
        _swept,
    ),
    "reproduce": (
        _same("reproduce", "burda2016", "--only", "elbo-1-one-layer-mnist", "--runs", "OUT", "--results", "OUT"),
        _reproduced,
    ),
}


def killed_at_any_moment(root: Path, scratch: Path, name: str, count: int, seed: int = 0) -> dict[str, Any]:
    """`count` times SIGKILL after a time drawn at random, then on to the end, which is that of one left alone.

    Of a sweep it is the driver that is killed, or one of its tasks, which the driver then starts again.
    """
    rng, copied, wrong = random.Random(seed), scratch / "killed", []
    commands, end = LONG[name]
    fresh(root, copied)
    begin = time.monotonic()
    _, said = (process := start(*commands(copied)[0])).communicate()
    if process.returncode:
        return {"counts": {"killed": 0}, "wrong": [f"iwax {name}: {said[-400:]}"]}
    seconds, expected = time.monotonic() - begin, end(copied)
    killed = 0
    for _ in range(count):
        fresh(root, copied)
        process = start(*commands(copied)[0])
        try:
            _, said = process.communicate(timeout=rng.uniform(0.1, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            os.kill(_one_of(process.pid, rng), signal.SIGKILL)
            _, said = process.communicate()
            killed += 1
        problem = said[-300:] if any(fault in said for fault in FAULTS) else go(commands(copied)[1:])
        if not problem and end(copied) != expected:
            problem = "another end than that of the command that nothing disturbed"
        if problem:
            wrong.append(f"iwax {name}, killed: {problem}")
    return {"counts": {"killed": killed}, "wrong": wrong}


def _one_of(pid: int, rng: random.Random) -> int:
    """A process, or one of those that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = children.read_text().split() if children.exists() else []
    return rng.choice([pid, *map(int, found)])


def jumping_clock(root: Path, scratch: Path, name: str) -> dict[str, Any]:
    """A command once killed and gone on with, while the clock and the times of all files jump: to the same end."""
    copied, wrong = scratch / "clock", []
    commands, end = LONG[name]
    fresh(root, copied)
    begin = time.monotonic()
    start(*commands(copied)[0]).communicate()
    seconds, expected = time.monotonic() - begin, end(copied)
    fresh(root, copied)
    path = os.pathsep.join([str(JUMPING), os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": path, "IWAX_TORTURE_CLOCK": str(copied)}
    process, said = start(*commands(copied)[0], **variables), ""
    try:
        _, said = process.communicate(timeout=0.7 * seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    for words in commands(copied)[1:]:
        _, said = (process := start(*words, **variables)).communicate()
        if not process.returncode:
            break
    if process.returncode or any(fault in said for fault in FAULTS):
        wrong.append(f"iwax {name}, the clock jumping: {process.returncode}: {said[-400:]}")
    elif end(copied) != expected:
        wrong.append(f"iwax {name}, the clock jumping: another end than where it goes as it should")
    return {"counts": {"commands": 1}, "wrong": wrong}
