"""The runs of a study made by an executor: each `iwax reproduce STUDY --only RUN` in a process of its own.

What is to be made is asked of another process, since it imports JAX, which the driver must not.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.experiments.studies import STUDIES
from iwax.experiments.study import Study, chosen
from iwax.files import dumps
from iwax.progress import Progress
from iwax.sweeps import Driver, Executor, Outcome, SweepFolder, Task, ask

__all__ = ["StudyRun", "main", "reproduce_by_executor"]


@dataclasses.dataclass(frozen=True)
class StudyRun:
    """A run of a study: its name, its record, and the run that it goes on from, if there is one."""

    name: str
    record: str
    start: str | None


def reproduce_by_executor(
    study: Study,
    executor: Executor,
    *,
    scale: str,
    runs: Path,
    results: Path,
    arguments: Sequence[str],
    seeds: int | None = None,
    fields: Mapping[str, Any] | None = None,
    num_samples: int | None = None,
    only: Sequence[str] = (),
    max_failures: int | None = None,
    log: Callable[[str], None] = lambda message: None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Make the runs of a study that have no record, and its demonstrations, wherever the executor runs them.

    Arguments:
        study: what is reproduced.
        executor: not yet started; all its machines see the folders.
        scale, seeds, fields: which runs, as `iwax.experiments.plan` has them.
        runs, results: folders of the runs and of their records.
        arguments: of `iwax reproduce`, for every task, but what it is limited to.
        num_samples: k of the evaluation.
        only: whole names, or texts of which names must contain one, if there are any (`chosen`).
        max_failures, log, on_progress: as for `iwax.sweeps.Driver`.
    """
    planned = _planned(
        {"study": study.name, "scale": scale, "seeds": seeds, "fields": dict(fields or {}), "num_samples": num_samples}
    )
    made = _records(study, planned, scale, results, only)
    own = runs.absolute() / "sweep"
    tasks = [
        Task(
            name=name,
            arguments=("reproduce", study.name, *arguments, "--only", name),
            log=str(own / "logs" / f"{name}.log"),
            lease=str(own / "leases" / name),
        )
        for name in made
    ]
    if not tasks:
        raise IwaxError(f"Expected --only to name runs of {study.name}; got {tuple(only)}. See --list.")
    with executor:
        work = _Making(runs, made, {run.name: run.start for run in planned})
        return Driver(work, executor, max_failures=max_failures, log=log, on_progress=on_progress).run(tasks)


def _records(
    study: Study, planned: Sequence[StudyRun], scale: str, results: Path, only: Sequence[str]
) -> dict[str, Path]:
    """Name -> record of the runs that are wanted, of those that they go on from, and of demonstrations."""
    wanted = chosen([run.name for run in planned] + [one.name for one in study.demonstrations], only)
    wanted |= {run.start for run in planned if run.name in wanted and run.start is not None}
    made = {run.name: results / f"{run.record}.json" for run in planned if run.name in wanted}
    shown = {
        one.name: results / "demonstrations" / f"{study.name}-{one.name}-{scale}.json" for one in study.demonstrations
    }
    return made | {name: path for name, path in shown.items() if name in wanted}


@dataclasses.dataclass(frozen=True)
class _Making:
    """What the driver asks of a reproduction."""

    runs: Path
    made: Mapping[str, Path]
    starts: Mapping[str, str | None]

    def is_done(self, task: Task) -> bool:
        return self.made[task.name].exists()

    def step(self, task: Task) -> int:
        return self._status(task.name).get("step", -1)

    def is_ready(self, task: Task) -> bool:
        start = self.starts.get(task.name)
        if start is None or start not in self.made or self.made[start].exists():
            return True
        return self._status(start).get("state") == "finished"

    def hopeless(self, task: Task) -> str:
        return ""

    def give_up(self, task: Task, reason: str) -> None:
        pass

    def _status(self, name: str) -> dict[str, Any]:
        return SweepFolder(self.runs).status(name)


def _planned(request: Mapping[str, Any]) -> list[StudyRun]:
    answer = _answer(request) if "jax" in sys.modules else ask("iwax.experiments.executing", request)
    if "error" in answer:
        raise IwaxError(answer["error"])
    return [StudyRun(**run) for run in answer["runs"]]


def main() -> None:
    """Of the process that is asked."""
    print("\n" + dumps(_answer(json.load(sys.stdin))))


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    from iwax.experiments.identity import run_name
    from iwax.experiments.reproduction import Reproduction, record_id
    from iwax.experiments.scales import plan

    nowhere: dict[str, Any] = {"runs": Path(), "results": Path(), "progress": lambda task: None}
    try:
        how = Reproduction(scale=request["scale"], num_samples=request["num_samples"], **nowhere)
        configs = plan(STUDIES[request["study"]], request["scale"], request["seeds"], request["fields"])
        return {
            "runs": [
                {"name": run_name(config), "record": record_id(config, how), "start": config.init_from}
                for config in configs
            ]
        }
    except IwaxError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    main()
