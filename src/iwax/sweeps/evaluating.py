"""Runs judged by an executor: the images of each shared out in parts, which are then put together to the same bits.

RUN/evaluation.parts/KEY/   what was finished for one set of options and one checkpoint; it goes when all is done
    FIRST-LAST.partial      the values of some images (`iwax.judging.parts`)
    I-of-N.json             part I is done
    whole.json              so is the whole: its summary
"""

import contextlib
import dataclasses
import functools
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError
from iwax.files import dumps, read_json
from iwax.progress import Progress
from iwax.runs import CHECKPOINT, CONFIG
from iwax.sweeps.driver import Driver, Outcome
from iwax.sweeps.executors.protocol import Executor, Task

__all__ = ["evaluate_by_executor", "runs_of"]

PARTS = "evaluation.parts"
WHOLE = "whole"
AT_LEAST = 8  # parts in all, where the executor does not say how many tasks it runs at a time
MOST_PARTS = 10_000  # each is a process, which imports JAX
EACH = 2  # parts for each task at a time, so that all end at about one time


def runs_of(paths: Sequence[Path]) -> list[Path]:
    """The folders of runs among these folders, and below those that are none themselves.

    Raises:
        ValueError: there is no run.
    """
    found = []
    for path in paths:
        own = [path] if (path / CONFIG).is_file() else sorted(file.parent for file in path.rglob(CONFIG))
        if not own:
            raise IwaxError(f"Expected {path} to be the folder of a run, or to hold some; it holds none.")
        found += [run.absolute() for run in own]
    return list(dict.fromkeys(found))


def evaluate_by_executor(
    runs: Sequence[Path],
    executor: Executor,
    options: Mapping[str, Any],
    *,
    parts: int | None = None,
    max_failures: int | None = None,
    log: Callable[[str], None] = lambda message: None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[dict[Path, dict[str, Any]], list[Outcome]]:
    """The summary of `iwax.judging.evaluate_run` of each run, whose files are as it writes them.

    Arguments:
        runs: their folders.
        executor: not yet started; all its machines see the folders.
        options: of `evaluate_run`, as JSON has them.
        parts: into how many the images of each run are divided; as many as keep the executor busy if left out.
        max_failures, log, on_progress: as for `iwax.sweeps.Driver`.

    Raises:
        ValueError: no number of parts from 1 to 10,000.

    Returns:
        The summary of each run that is done, and what became of the parts, and of the wholes.
    """
    if parts is not None:
        check_positive_integer("shards", parts, most=MOST_PARTS)
    count = parts or max(1, -(-(EACH * executor.slots if executor.slots else AT_LEAST) // len(runs)))
    jobs = [_Job(run, dict(options)) for run in runs]
    common: dict[str, Any] = {"max_failures": max_failures, "log": log, "on_progress": on_progress}
    work = _Judging()
    numbers = range(1, count + 1) if count > 1 else ()  # one part is the whole
    with executor:
        shared = Driver(work, executor, **common).run([job.part(i, count) for job in jobs for i in numbers])
        bad = {failure.name.partition(", ")[0] for failure in shared.failed} | {
            name.partition(", ")[0] for name in shared.left
        }
        wholes = Driver(work, executor, **common).run([job.whole() for job in jobs if str(job.run) not in bad])
    summaries = {job.run: job.take_summary() for job in jobs if job.is_done}
    return summaries, [shared, wholes]


@dataclasses.dataclass(frozen=True)
class _Job:
    """One run to judge."""

    run: Path
    options: dict[str, Any]

    @functools.cached_property
    def folder(self) -> Path:
        digest = hashlib.sha256(dumps(self.options, sort_keys=True).encode())
        for file in sorted(self.run.glob(f"{Path(CHECKPOINT).stem}*.safetensors")):
            digest.update(file.read_bytes())
        return self.run / PARTS / digest.hexdigest()[:12]

    def part(self, index: int, count: int) -> Task:
        return self._task(f"{index}-of-{count}")

    def whole(self) -> Task:
        return self._task(WHOLE)

    def _task(self, name: str) -> Task:
        folder = self.folder
        return Task(
            name=f"{self.run}, {name}",
            arguments=("evaluate-part", str(self.run), str(folder), name, dumps(self.options)),
            log=str(folder / f"{name}.log"),
            lease=str(folder / f"{name}.lease"),
        )

    @property
    def is_done(self) -> bool:
        return (self.folder / f"{WHOLE}.json").exists()

    def take_summary(self) -> dict[str, Any]:
        """The summary; what was kept on the way goes, and stays for other options, of which another may be at work."""
        summary = read_json(self.folder / f"{WHOLE}.json")
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it holds those of others
            (self.run / PARTS).rmdir()
        return summary


class _Judging:
    """What the driver asks of judging."""

    def is_done(self, task: Task) -> bool:
        return Path(task.log).with_suffix(".json").exists()

    def step(self, task: Task) -> int:
        return sum(file.stat().st_size for file in Path(task.log).parent.glob("*.partial"))

    def is_ready(self, task: Task) -> bool:
        return True

    def hopeless(self, task: Task) -> str:
        return ""

    def give_up(self, task: Task, reason: str) -> None:
        pass
