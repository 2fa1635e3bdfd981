"""Files of a run damaged in every way, and every command that reads them: one line that names the file, or no change.

A file is cut off, has a bit turned over, is empty, is something else, has a field less or a field of another type, is a
folder, or may not be read. Whatever the damage, a command ends with a line that names the file, or does its work; it
never ends with a traceback, and an evaluation that goes on is the one that nothing disturbed.
"""

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from iwax.errors import IwaxError
from iwax.report.gather import gather
from torture.made_runs import FAULTS, JUDGED, call, fields_of

__all__ = ["COMMANDS", "Damage", "damages", "hurt"]

Damage = Callable[[Path], None]
COHORT_FILES = ("cohort.json", "seed0/config.json", "seed1/status.json", "seed1/checkpoint.safetensors")
RUN_FILES = (
    *("config.json", "environment.json", "status.json", "metrics.jsonl", "evaluations.jsonl"),
    *("checkpoint.safetensors", "evaluation.json", "evaluation.npz", "evaluation.partial", "annealing.jsonl"),
)
OTHER_TYPES: tuple[Any, ...] = (None, "text", -3, 2.5, [], {}, [None], {"a": None}, True, 10**400)


def damages(content: bytes, is_json: bool, rng: random.Random, flips: int = 4) -> Iterator[tuple[str, Damage]]:
    """What can be done to a file of this content, each with its name."""
    sizes = sorted({0, 1, len(content) // 3, max(0, len(content) - 2)} - {len(content)})
    for size in sizes:
        yield f"cut off after {size} bytes", lambda path, size=size: _write(path, content[:size])
    for _ in range(flips):
        place, bit = rng.randrange(max(1, len(content))), rng.randrange(8)
        yield f"bit {bit} of byte {place} turned over", lambda path, at=place, bit=bit: _flip(path, at, bit)
    for text in (b"\xff\xfe\x00nonsense", b"[" * 100_000, b'"\\ud800"\n', b"[]\n", b"null\n", b"{}\n", b"3\n", b"\n"):
        yield f"replaced by {text[:12]!r}", lambda path, text=text: _write(path, text)
    if is_json:
        yield from _fields(content, rng)
    yield "a folder", _as_folder
    yield "a link to itself", _as_loop
    yield "absent", lambda path: path.unlink()
    yield "no permission", lambda path: path.chmod(0)  # which stops nobody who is root


def _fields(content: bytes, rng: random.Random) -> Iterator[tuple[str, Damage]]:
    """Each field left out, and of another type, in a JSON object or in one line of several."""
    lines = content.decode().splitlines()
    whole = len(lines) > 1 and lines[0] == "{"
    value = json.loads(content if whole or len(lines) == 1 else lines[-1])
    if not isinstance(value, dict):
        return

    def write(path: Path, changed: Any) -> None:
        text = json.dumps(changed)
        path.write_text(text if whole else "\n".join([*lines[:-1], text]) + "\n")

    for name in value:
        less = {key: inner for key, inner in value.items() if key != name}
        yield f"without {name}", lambda path, less=less: write(path, less)
        for other in rng.sample(OTHER_TYPES, 3):
            if type(other) is not type(value[name]):
                changed = copy.deepcopy(value) | {name: other}
                what = f"{name} is {str(other)[:12]}"
                yield what, lambda path, changed=changed: write(path, changed)
    yield "an unknown field", lambda path: write(path, value | {"unheard_of": 1})


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _flip(path: Path, place: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[place % len(content)] ^= 1 << bit
    path.write_bytes(bytes(content))


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _gathered(root: Path) -> tuple[int, str, str]:
    """What `iwax report` reads, without what it draws."""
    said: list[str] = []
    try:
        gather(root / "results", [root / "runs", root / "cohort"], said.append)
    except IwaxError as error:
        return 2, "", str(error)
    return 0, "", "\n".join(said)


COMMANDS: dict[str, Callable[[Path], tuple[int, str, str]]] = {
    "runs": lambda root: call("runs", root),
    "table": lambda root: call("table", root / "runs", root / "cohort"),
    "train --resume": lambda root: call("train", "--resume", root / "runs" / "run"),
    "train --resume (several)": lambda root: call("train", "--resume", root / "cohort"),
    "evaluate": lambda root: call("evaluate", root / "runs" / "run", *JUDGED),
    "evaluate --recompute": lambda root: call("evaluate", root / "runs" / "run", "--recompute", *JUDGED),
    "sample": lambda root: call("sample", root / "runs" / "run", "--num-images", 4),
    "compare": lambda root: call("compare", root / "runs" / "run", root / "runs" / "other", "--out", root / "drawn"),
    "anneal": lambda root: call(
        *("anneal", root / "runs" / "run", "--images", 2, "--num-distributions", 2, "--num-chains", 2),
        *("--no-sandwich", "--num-samples", 8),
    ),
    "report": _gathered,
    "reproduce --list": lambda root: call("reproduce", "--list", "--results", root / "results"),
}
READ_BY = {  # a file -> the commands that read it, beside those that list
    **dict.fromkeys(COHORT_FILES, ("runs", "train --resume (several)", "report")),
    "config.json": ("runs", "table", "train --resume", "evaluate", "report"),
    "environment.json": ("runs", "table", "train --resume", "evaluate", "sample", "report"),
    "status.json": ("runs", "table", "train --resume", "evaluate", "report"),
    "metrics.jsonl": ("runs", "train --resume", "report"),
    "evaluations.jsonl": ("runs", "train --resume", "report"),
    "checkpoint.safetensors": ("runs", "train --resume", "evaluate", "anneal", "report"),
    "evaluation.json": ("runs", "table", "evaluate", "compare", "report"),
    "evaluation.npz": ("table", "evaluate", "compare", "report"),
    "evaluation.partial": ("evaluate", "evaluate --recompute"),
    "annealing.jsonl": ("anneal",),
    "record": ("report", "reproduce --list"),
}


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """Kind -> file."""
    yield from ((name, root / "runs" / "run" / name) for name in RUN_FILES)
    yield from ((name, root / "cohort" / name) for name in COHORT_FILES)
    yield "record", min((root / "results").glob("*.json"))


def hurt(root: Path, scratch: Path, seed: int = 0, keep: Callable[[int], bool] = lambda number: True) -> dict[str, Any]:
    """Damage a copy of `root` file by file, and run what reads it; counts by kind of file, and what was wrong.

    Arguments:
        root: made by `make_all`, with a partial evaluation in runs/run.
        scratch: a folder for the copies.
        seed: of the bits and the types.
        keep: which experiments are done, by their number; all if left out.
    """
    rng, number = random.Random(seed), 0
    counts: dict[str, int] = {}
    wrong: list[str] = []
    for kind, path in _files(root):
        content = path.read_bytes()
        is_json = path.suffix in (".json", ".jsonl") and bool(fields_of(path))
        for what, damage in damages(content, is_json, rng):
            number += 1
            if not keep(number):
                continue
            for command in READ_BY[kind]:
                copied = scratch / "copy"
                _copy(root, copied)
                damage(copied / path.relative_to(root))
                counts[kind] = counts.get(kind, 0) + 1
                problem = _problem(command, copied, path.name, root)
                if problem:
                    wrong.append(f"{path.name}, {what}: iwax {command}: {problem}")
    return {"counts": counts, "wrong": wrong}


def _copy(root: Path, copied: Path) -> None:
    if copied.exists():
        for path in copied.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(0o644)
        shutil.rmtree(copied)
    shutil.copytree(root, copied, ignore=shutil.ignore_patterns("figures", "*.png"))


def _problem(command: str, copied: Path, name: str, root: Path) -> str:
    """What is wrong with how a command took the damage; "" if nothing is."""
    try:
        status, out, err = COMMANDS[command](copied)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    said = " ".join((out + err).split())
    if any(fault in said for fault in FAULTS):
        return f"a fault: {said[-300:]}"
    if status not in (0, 2):
        return f"exit status {status}: {said[-300:]}"
    if status and name not in said and copied.name + "/" + name not in said:
        return f"does not name {name}: {said[-300:]}"
    if command == "runs" and status:
        return f"the others are not listed: {said[-300:]}"
    if command.startswith("evaluate") and not status and not _same_numbers(copied, root):
        return "other numbers than those of the run that nothing disturbed"
    return ""


def _same_numbers(copied: Path, root: Path) -> bool:
    name = Path("runs") / "run" / "evaluation.npz"
    try:
        with np.load(root / "runs" / "run" / "judged.npz") as before, np.load(copied / name) as after:
            return all(np.array_equal(before[one], after[one], equal_nan=True) for one in before.files)
    except Exception:  # NumPy's, of whatever kind, for a file that it cannot read
        return False
