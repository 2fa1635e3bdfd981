"""Runs what a study asks for: train, judge, record, each run once; interrupted at any moment, it goes on."""

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iwax.checks import check_choice
from iwax.data import Dataset, load
from iwax.errors import IwaxError, NonFiniteLossError
from iwax.experiments.demonstrate import demonstration_path, run_demonstration
from iwax.experiments.identity import identifier, non_default_fields, run_name
from iwax.experiments.per_image import keep_per_image, per_image_path
from iwax.experiments.recording import make_record
from iwax.experiments.records import read_record
from iwax.experiments.scales import SCALES
from iwax.experiments.study import Study, chosen
from iwax.extras import check_installed
from iwax.files import make_folder, write_whole
from iwax.judging import evaluate_run
from iwax.runs import CONFIG, STATUS, BusyError, RunConfig, RunFolder, new_run, resume_run

__all__ = ["Reproduction", "RunReport", "record_id", "reproduce"]


class StoppedError(Exception):
    """The time that was given is over; what was begun goes on next time."""


@dataclasses.dataclass(frozen=True)
class RunReport:
    """What became of one run: "found", "made", "failed", "busy" (another process has it) or "open", and why."""

    name: str
    state: str
    note: str = ""


@dataclasses.dataclass(kw_only=True)
class Reproduction:
    """How and where runs are made.

    Attributes:
        scale: "smoke", "trial", "short" or "full".
        runs, results: folders of the runs and of their records.
        num_samples: k of the evaluation; as the scale has it if None.
        run_limit: seconds after which a run is judged as it is; as the scale has it if None.
        time_limit: seconds after which everything stops, at a checkpoint.
        force: go on with interrupted runs under another version of the code, too.
        recompute: start interrupted runs again.
        command: for the records.
        progress: task -> a context that gives `on_progress`, such as `iwax.console.ProgressBar`.
        log: told what happens.
    """

    scale: str
    runs: Path
    results: Path
    num_samples: int | None = None
    run_limit: float | None = None
    time_limit: float | None = None
    force: bool = False
    recompute: bool = False
    data_dir: str | None = None
    command: str = ""
    progress: Callable[[str], Any]
    log: Callable[[str], None] = lambda message: None

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)
        scale = SCALES[self.scale]
        self.num_samples = self.num_samples or scale.num_samples
        if self.run_limit is None and scale.minutes is not None:
            self.run_limit = 60 * scale.minutes
        self._begin, self._data = time.monotonic(), dict[str, Dataset]()

    @property
    def evaluated(self) -> dict[str, Any]:
        """What is evaluated of every run, as it enters the ID of its record."""
        return {"num_samples": self.num_samples, "test_images": SCALES[self.scale].num_images}

    @property
    def left(self) -> float | None:
        """Seconds until everything stops."""
        if self.time_limit is None:
            return None
        left = self.time_limit - (time.monotonic() - self._begin)
        if left <= 0:
            raise StoppedError
        return left

    def data(self, name: str) -> Dataset:
        """A data set, loaded once.

        Raises:
            ValueError: no source has it.
        """
        if name not in self._data:
            found = load(name, None, self.data_dir)
            if found.name != name:
                raise IwaxError(
                    f"Expected the data set {name} itself; no source has it, and {found.name} stands in only at "
                    "--scale smoke. Name a folder that holds it with --data-dir, or see `iwax data fetch --help`."
                )
            self._data[name] = found
        return self._data[name]


def record_id(config: RunConfig, how: Reproduction) -> str:
    """The ID of a run's record."""
    return identifier(non_default_fields(config), how.evaluated)


def reproduce(
    study: Study, configs: Sequence[RunConfig], how: Reproduction, only: Sequence[str] = ()
) -> list[RunReport]:
    """Make the runs that have no record yet, then the study's demonstrations; a run that fails stops no other.

    Nor does a fault of iwax's own in one of them, which is raised once all have had their turn.

    Arguments:
        study: for its demonstrations.
        configs: its runs, as `Study.runs` gives them.
        how: where and how.
        only: whole names, or texts of which names must contain one, if there are any (`chosen`).

    Raises:
        MissingExtraError: what the pictures or the SSIM of a record need is not installed.
    """
    for module in ("PIL", "skimage"):
        check_installed(module, "the record of a run")
    by_name = {run_name(config): config for config in configs}
    asked = chosen([*by_name, *(shown.name for shown in study.demonstrations)], only)
    wanted = asked & set(by_name)
    wanted |= {before for name in wanted if (before := by_name[name].init_from) is not None}
    tasks: dict[str, Callable[[], RunReport]] = {
        name: functools.partial(_one, name, by_name, how) for name in by_name if name in wanted
    }
    for shown in study.demonstrations:
        if shown.name in asked:
            name = f"demonstration {shown.name}"
            tasks[name] = functools.partial(_demonstrated, study, shown, name, how)
    reports, faults = list[RunReport](), list[Exception]()
    for number, (name, task) in enumerate(tasks.items(), 1):
        how.log(f"[{number}/{len(tasks)}] {name}")
        stopped = any(report.state == "open" for report in reports)
        reports.append(RunReport(name, "open") if stopped else _guarded(name, task, faults))
        if reports[-1].note:
            how.log(f"  {reports[-1].state}: {reports[-1].note}")
    if faults:
        raise faults[0]
    return reports


def _guarded(name: str, make: Callable[[], RunReport], faults: list[Exception]) -> RunReport:
    """What became of it; what no run ought to raise goes into `faults`, and the user's own interruption passes."""
    try:
        return make()
    except StoppedError:
        return RunReport(name, "open", "the time is over")
    except BusyError:
        return RunReport(name, "busy", "is already running")
    except IwaxError as error:
        return RunReport(name, "failed", " ".join(str(error).split()))
    except Exception as error:
        if not isinstance(error, NonFiniteLossError | NotImplementedError | OSError | MemoryError):
            faults.append(error)
        return RunReport(name, "failed", f"{type(error).__name__}: {' '.join(str(error).split())}")


def _one(name: str, by_name: Mapping[str, RunConfig], how: Reproduction) -> RunReport:
    """Train, judge and record a run, as far as that has not been done."""
    config, path = by_name[name], how.runs / name
    id = record_id(config, how)
    if (how.results / f"{id}.json").exists():
        if (
            not per_image_path(how.results, id).exists() and (path / "evaluation.npz").exists()
        ):  # a record of before they were kept
            keep_per_image(how.results, read_record(how.results / f"{id}.json"), path / "evaluation.npz")
        return RunReport(name, "found", f"results/{id}.json")
    if RunFolder(path).is_locked:
        raise BusyError
    before = None if config.init_from is None else by_name[config.init_from]
    data = how.data(config.dataset)
    if before is not None and not _is_finished(start := how.runs / str(config.init_from)):
        how.log(f"  its start, {start.name}, has no model here: it is trained first")
        _train(before, start, data, how)
    _train(config, path, data, how)
    with how.progress("evaluating") as on_progress:
        evaluation = evaluate_run(
            path, num_samples=how.num_samples or 0, num_images=how.evaluated["test_images"], time_limit=how.left,
            data=data, on_progress=on_progress,
        )  # fmt: skip
    if evaluation["state"] == "stopped":
        raise StoppedError
    record = make_record(
        path, data, how.results, evaluation, id=id, scale=how.scale, command=how.command,
        asked=non_default_fields(config),
        started_from=None if before is None else non_default_fields(before), data_dir=how.data_dir,
    )  # fmt: skip
    make_folder(how.results)
    keep_per_image(how.results, record, path / "evaluation.npz")
    write_whole(how.results / f"{id}.json", record.to_json())
    value = record.evaluation["values"]["log_p"]
    shown = "not finite" if value is None else f"{value:.2f} nats"
    return RunReport(name, "made", f"log p {shown}, results/{id}.json")


def _is_finished(path: Path) -> bool:
    return RunFolder(path).json(STATUS).get("state") == "finished"


def _train(config: RunConfig, path: Path, data: Dataset, how: Reproduction) -> None:
    """Train until the run is finished or its time is over; go on where it stopped."""
    folder = RunFolder(path)
    status = folder.json(STATUS)
    begun = not how.recompute and bool(status) and (path / CONFIG).exists()
    if begun and _is_finished(path):
        return
    limits = [how.left, None if how.run_limit is None else how.run_limit - begun * status.get("seconds", 0.0)]
    seconds = min([limit for limit in limits if limit is not None], default=None)
    if seconds is not None and seconds <= 0:
        return  # it has had its time
    if config.init_from is not None:
        config = dataclasses.replace(config, init_from=os.fspath(how.runs / config.init_from))
    with how.progress("training") as on_progress:
        common: dict[str, Any] = {"data": data, "time_limit": seconds, "on_progress": on_progress}
        if begun:
            resume_run(path, force=how.force, command=[how.command], **common)
        else:
            new_run(config, path, overwrite=(path / CONFIG).exists(), command=[how.command], **common)
    if folder.json(STATUS)["state"] == "stopped" and how.left is not None and seconds == limits[0]:
        raise StoppedError


def _demonstrated(study: Study, shown: Any, name: str, how: Reproduction) -> RunReport:
    path = demonstration_path(how.results, study, shown, how.scale)
    if path.exists():
        return RunReport(name, "found", f"results/demonstrations/{path.name}")
    finding = run_demonstration(study, shown, how.scale, path, command=how.command)
    return RunReport(name, "made", finding)
