"""A table of runs: found in folders, read or asked of the index, and put into groups that differ in the seed only."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.judging.judged import JudgedRun, read_judged
from iwax.judging.seed_group import SeedGroup
from iwax.runs import FoundRun, RunConfig, RunFolder, RunIndex, scan_runs
from iwax.zoo import is_of_zoo, records

__all__ = ["group_judged", "group_runs"]


def group_runs(
    paths: Sequence[str | Path],
    left_out: Callable[[str], None] | None = None,
) -> list[SeedGroup]:
    """The runs in and under some folders, in groups that differ in the seed only; judged or not, nothing is computed.

    Models that come with iwax are runs with the numbers of their records, among which are none per example.

    Arguments:
        paths: of the folders, or names of `iwax.zoo.records()`.
        left_out: told of each run that is damaged, which is then left out; such a run is an error if left out.

    Raises:
        ValueError: there is no run.
    """
    known: dict[Path, JudgedRun] = {}
    for path in map(Path, paths):
        if is_of_zoo(path):
            known[path] = _of_zoo(str(path))
            groups = _grouped(known.values(), None)
            continue
        if not path.exists():
            raise IwaxError(
                f"Expected {path} to be a run's folder, or to hold some, or one of the trained models "
                f"{', '.join(records())}; there is no such folder."
            )
        found = scan_runs(path)
        with RunIndex(path, len(found)) as index:
            known |= {run.folder.path.resolve(): run for run in _runs(found, index, left_out)}
            groups = _grouped(known.values(), index if len(paths) == 1 else None)
    if not known:
        raise IwaxError(f"Expected runs in {', '.join(map(str, paths))}; there are none. `iwax train` makes them.")
    return groups


def group_judged(runs: Sequence[JudgedRun], place: str | Path) -> list[SeedGroup]:
    """The groups of runs that were read already.

    Arguments:
        place: the folder that they are in, or the first of these; where there are many runs, its index knows what was
            computed of them before.
    """
    with RunIndex(place, len(runs)) as index:
        return _grouped(runs, index)


def _grouped(runs: Iterable[JudgedRun], index: RunIndex | None) -> list[SeedGroup]:
    """The groups; with what an index knows of their numbers per example."""
    groups: dict[tuple[Any, ...], list[JudgedRun]] = {}
    for run in runs:
        alike = tuple(value for name, value in vars(run.config).items() if name != "seed")
        groups.setdefault((alike, run.status.get("epoch", 0)), []).append(run)
    made = []
    for members in groups.values():
        group = SeedGroup(tuple(sorted(members, key=lambda run: run.config.seed)))
        made.append(group if index is None or not index.is_kept else _indexed(group, index))
    return made


def _indexed(group: SeedGroup, index: RunIndex) -> SeedGroup:
    """A group with its numbers over examples, which are computed again only where a run of it has changed."""
    key = " ".join(index.key(run.folder.path) for run in group.runs)
    signatures = [run.signature for run in group.runs]
    signature = " ".join(signatures) if all(signatures) else ""
    return dataclasses.replace(group, known=index.value("examples", key, signature, group.all_over_examples))


def _runs(found: Sequence[FoundRun], index: RunIndex, left_out: Callable[[str], None] | None) -> Iterator[JudgedRun]:
    for run in found:
        folder = RunFolder(run[0])
        try:
            read = index.of_run("judged", run, partial(read_judged, folder))
        except IwaxError as error:
            if left_out is None:
                raise
            left_out(f"Left out {folder.path}. {error}")
        else:
            yield JudgedRun.of(folder, read, run[1])


def _of_zoo(name: str) -> JudgedRun:
    """A model that comes with iwax, as its record has it: judged as it is distributed, without numbers per example."""
    record = records()[name]
    config = RunConfig(**record["config"])
    return JudgedRun(RunFolder(name), config, {"state": "finished", "epoch": config.epochs}, record["half_precision"])
