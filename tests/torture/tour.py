"""Every place where a command can be cut off: killed before its n-th file operation, or the disk full from there on.

Afterwards the same command, or `iwax train --resume`, has to end where the command ends that nothing disturbed; `iwax
runs` lists what is there meanwhile; and nothing is left at 0 bytes or half-written under its own name.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from faults import Killed, full_from, killed_before, watched
from iwax.runs import RunFolder, read_checkpoint
from torture.made_runs import FAULTS, JUDGED, call

__all__ = [
    *("ANNEAL", "JOURNEYS", "RECIPE", "cut_off", "fresh", "go", "judged", "measured", "tour", "trained"),
    "without_hours",
]

RECIPE = ("--objective", "elbo", "--recipe", "burda-paper", "--batch-size", 10, "--epochs", 2)
ANNEAL = ("--images", 2, "--num-distributions", 2, "--num-chains", 2, "--no-sandwich", "--num-samples", 8)
SNR = ("--num-replicates", 4, "--num-samples", 4, "--num-examples", 4)
HOURS = ("seconds", "images_per_second", "found_finished", "date", "command", "checksum")

Journey = tuple[Callable[[Path], list[tuple[Any, ...]]], Callable[[Path], Any]]
"""The commands to try one after another until one succeeds, given the root; and what must be the same in the end."""


def trained(path: Path) -> Any:
    folder = RunFolder(path)
    bounds = [(record["epoch"], record["bound"]) for record in folder.metrics()]
    return folder.last_checkpoint().sha256, bounds, folder.json("status.json")["state"]


def _train(root: Path) -> list[tuple[Any, ...]]:
    new = ("train", *RECIPE, "--dataset", root / "runs" / "own.npz", "--out", root / "new")
    return [("train", "--resume", root / "new"), new]


def _train_several(root: Path) -> list[tuple[Any, ...]]:
    return [("train", "--resume", root / "new"), (*_train(root)[1], "--seeds", 2)]


def _overwrite(root: Path) -> list[tuple[Any, ...]]:
    new = ("train", *RECIPE, "--dataset", root / "runs" / "own.npz", "--out", root / "runs" / "run", "--overwrite")
    return [new]


def _arrays(root: Path) -> Any:
    with np.load(root / "runs" / "run" / "evaluation.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


def judged(root: Path) -> Any:
    """What `evaluate --all` leaves of numbers."""
    return without_hours(json.loads((root / "runs" / "run" / "judgement.json").read_text())), _arrays(root)


def measured(root: Path) -> Any:
    """The points of a study of signal-to-noise."""
    return [without_hours(json.loads(line)) for line in (root / "new" / "points.jsonl").read_text().splitlines()]


def _encoded(root: Path) -> Any:
    with np.load(root / "new.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


def _of_run(command: str, *options: object, out: str = "") -> Callable[[Path], list[tuple[Any, ...]]]:
    """A command about the run that is there, which the same command goes on with."""
    return lambda root: [(command, root / "runs" / "run", *options, *(("--out", root / out) if out else ()))]


def _annealed(root: Path) -> Any:
    return without_hours(json.loads((root / "runs" / "run" / "annealing.json").read_text()))


def without_hours(value: Any) -> Any:
    """The same but for what says how long something took, and when."""
    if isinstance(value, dict):
        return {name: without_hours(inner) for name, inner in value.items() if name not in HOURS}
    return [without_hours(inner) for inner in value] if isinstance(value, list) else value


JOURNEYS: dict[str, Journey] = {
    "train": (_train, lambda root: trained(root / "new")),
    "train --seeds": (_train_several, lambda root: [trained(root / "new" / f"seed{seed}") for seed in (0, 1)]),
    "train --overwrite": (_overwrite, lambda root: trained(root / "runs" / "run")),
    "evaluate": (_of_run("evaluate", "--seed", 1, *JUDGED), _arrays),
    "evaluate --all": (_of_run("evaluate", "--seed", 1, *JUDGED, "--all"), judged),
    "anneal": (_of_run("anneal", "--seed", 1, *ANNEAL), _annealed),
    "snr run": (
        lambda root: [("snr", *_of_run("run", *SNR, out="new")(root)[0])],
        measured,
    ),
    "sample": (
        _of_run("sample", "--num-images", 4),
        lambda root: (root / "runs" / "run" / "samples.png").read_bytes(),
    ),
    "encode": (_of_run("encode", "--num-samples", 8, out="new.npz"), _encoded),
    "export": (
        _of_run("export", out="new.safetensors"),
        lambda root: read_checkpoint(root / "new.safetensors").tensors.keys(),
    ),
}


def tour(root: Path, scratch: Path, name: str, step: int = 1, first: int = 1) -> dict[str, Any]:
    """Cut the command `name` off at every `step`-th of its file operations, in both ways.

    Returns:
        counts: how many operations there are, and how often it was cut off; wrong: what was wrong afterwards.
    """
    commands, end = JOURNEYS[name]
    copied = scratch / "tour"
    fresh(root, copied)
    with watched(copied) as seen:
        assert go(commands(copied)[-1:]) == ""
    total, expected = len(seen.operations), end(copied)
    wrong: list[str] = []
    places = range(first, total + 1, step)
    for number in places:
        for how, fault in (("killed before", killed_before), ("disk full from", full_from)):
            fresh(root, copied)
            problem = cut_off(commands(copied)[-1], fault(number, copied), copied)
            problem = problem or go(commands(copied))
            if not problem and end(copied) != expected:
                problem = "another end than that of the command that nothing disturbed"
            if problem:
                wrong.append(f"{name}, {how} operation {number} ({seen.operations[number - 1]}): {problem}")
    return {"counts": {"operations": total, "cut off": 2 * len(places)}, "wrong": wrong}


def fresh(root: Path, copied: Path) -> None:
    """A copy of what was made, in place of the one before."""
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(root, copied, ignore=shutil.ignore_patterns("figures", "results", "other"))


def cut_off(command: tuple[Any, ...], fault: Any, copied: Path) -> str:
    """Give a command in the context `fault`: what is wrong as soon as it has happened; "" if nothing is."""
    try:
        with fault:
            status, out, err = call(*command)
    except Killed:
        status, out, err = 2, "", ""
    said = out + err
    if any(word in said for word in FAULTS) or status not in (0, 1, 2):
        return f"exit status {status}: {said[-300:]}"
    empty = [path.name for path in copied.rglob("*") if path.is_file() and not path.stat().st_size]
    if left := [name for name in empty if not name.startswith(".") and not name.endswith((".jsonl", ".partial"))]:
        return f"left empty: {', '.join(left)}"
    status, out, err = call("runs", copied)
    return "" if status in (0, 2) and not any(word in out + err for word in FAULTS) else f"iwax runs: {err[-300:]}"


def go(commands: list[tuple[Any, ...]]) -> str:
    """The problem of the last of some commands, of which one succeeds; "" if so."""
    said = ""
    for command in commands:
        status, out, err = call(*command)
        if not status:
            return ""
        said = f"iwax {command[0]}: exit status {status}: {err[-400:]}"
        if any(word in out + err for word in FAULTS):
            return said
    return said
