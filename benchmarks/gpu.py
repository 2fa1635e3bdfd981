"""What a GPU makes of iwax, in at most eight minutes: `python -m benchmarks.gpu [--minutes 8] [--toy]`.

Steps of one run alone and of cohorts of 8, 24 and 96 as one program; the same by PyTorch, compiled and replayed as CUDA
graphs, and its `torch.func.vmap`, where it is installed; their memory; and three minutes of the published recipe at
K = 50. Each part is a process of its own, so that memory is its own, with a limit of its own; what it has found when
that is over is kept. Parts that have finished are not repeated: given again, the command goes on with the others. It
writes docs/gpu.json and the page that is made from it, docs/gpu.md; with --toy a few steps of a few runs on whatever
there is, into another folder, to see that all of it works.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.gpu_page import gpu_page

ROOT = Path(__file__).resolve().parents[1]
RESULT, PAGE = ROOT / "docs" / "gpu.json", ROOT / "docs" / "gpu.md"
START = 15.0  # seconds that a process takes before it measures, at least: less is not worth a start
Command = Callable[["Part", "Settings"], list[str]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes: of the real thing, or of the toy."""

    batch: int = 100
    samples: tuple[int, ...] = (1, 5, 50)
    cohorts: tuple[int, ...] = (8, 24, 96)
    cohort_samples: int = 5
    seconds: float = 1.5
    rounds: int = 3
    recipe_seconds: float = 180.0
    recipe_samples: int = 50
    dataset: str = "mnist"
    data_dir: str | None = None
    compiled: bool = True
    turn: int = 200  # steps of a call
    patience: float = 1.0  # by which the limits of the parts are multiplied


TOY = Settings(4, (1, 2), (2,), 2, 0.05, 2, 3.0, 2, "mnist-sample", compiled=False, turn=2, patience=10.0)


@dataclasses.dataclass(frozen=True)
class Part:
    """One process: what it measures, of how many runs, and how long it may take."""

    name: str
    kind: str
    runs: int
    limit: float


def parts(settings: Settings) -> list[Part]:
    """In the order of their worth, so that what time does not allow is missed the least."""
    cohorts = settings.cohorts
    listed = [
        Part("alone", "ours", 1, 60.0),
        *(Part(f"cohort of {runs}", "ours", runs, 45.0) for runs in cohorts),
        Part("recipe", "recipe", 1, settings.recipe_seconds + 30.0),
        Part("PyTorch alone", "torch", 1, 90.0),
        *(Part(f"PyTorch vmap of {runs}", "torch", runs, 45.0) for runs in cohorts),
    ]
    return [dataclasses.replace(part, limit=settings.patience * part.limit) for part in listed]


def measure(
    out: Path, settings: Settings, seconds: float, command: Command, log: Callable[[str], None] = print
) -> dict[str, Any]:
    """All parts that are not finished in `out` yet, within `seconds`; what `out` holds then."""
    begin, result = time.monotonic(), _read(out)
    result["settings"] = dataclasses.asdict(settings)
    for part in parts(settings):
        if result["parts"].get(part.name, {}).get("state") == "finished":
            continue
        left = seconds - (time.monotonic() - begin)
        if left < min(START, part.limit):
            log(f"{part.name}: left for another call")
            continue
        found = _run(command(part, settings), min(part.limit, left))
        whose = "torch" if part.kind == "torch" else "machine"
        result[whose] = found.pop("machine") or result.get(whose)
        result["parts"][part.name] = {"kind": part.kind, "runs": part.runs, **found}
        out.write_text(json.dumps(result, indent=1) + "\n")
        log(f"{part.name}: {found['state']} in {found['seconds']:.0f} s, {len(found['rows'])} numbers")
    return result


def _read(out: Path) -> dict[str, Any]:
    return json.loads(out.read_text()) if out.exists() else {"parts": {}}


def _run(command: list[str], limit: float) -> dict[str, Any]:
    """What a process prints, a JSON object a line, until it ends or its time is over."""
    begin = time.monotonic()
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # or its memory would be the device's
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=said)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            process.kill()
            process.wait()
        out.seek(0)
        said.seek(0)
        rows, words = list(_objects(out)), said.read().strip().splitlines()
    machine = next((row["machine"] for row in rows if "machine" in row), None)
    found: dict[str, Any] = {
        "state": "finished" if status == 0 else "stopped" if status is None else "failed",
        "seconds": round(time.monotonic() - begin, 1),
        "rows": [row for row in rows if "machine" not in row],
        "machine": machine,
    }
    return found | ({"error": words[-1] if words else f"exit status {status}"} if status else {})


def _objects(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    """The whole ones: a process that was stopped may have left half of a line."""
    for line in lines:
        if line.startswith("{") and line.endswith("}\n"):
            yield json.loads(line)


def worker(part: Part, settings: Settings) -> list[str]:
    """The process of a part."""
    how = json.dumps({"kind": part.kind, "runs": part.runs, **dataclasses.asdict(settings)})
    return [sys.executable, "-m", "benchmarks.gpu_worker", how]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="after which everything stops")
    parser.add_argument("--data-dir", help="folder of MNIST; the bundled sample stands in where there is none")
    parser.add_argument("--toy", action="store_true", help="a few steps of a few runs, to see that all of it works")
    parser.add_argument("--restart", action="store_true", help="measure again what is finished")
    parser.add_argument("--out", type=Path, help="the result; docs/gpu.json, or runs/gpu.json of the toy")
    asked = parser.parse_args()
    out = asked.out or (ROOT / "runs" / "gpu.json" if asked.toy else RESULT)
    out.parent.mkdir(parents=True, exist_ok=True)
    if asked.restart:
        out.unlink(missing_ok=True)
    settings = TOY if asked.toy else dataclasses.replace(Settings(), data_dir=asked.data_dir)
    result = measure(out, settings, 60 * asked.minutes, worker)
    page = PAGE if out == RESULT else out.with_suffix(".md")
    page.write_text(gpu_page(result))
    print(f"{out}\n{page}")


if __name__ == "__main__":
    main()
