"""Start and continue several runs at once, in one folder: seeds of one configuration, or numbers of one recipe.

cohort.json              the names of the runs, how they train (as one program, or side by side), their configurations
NAME/                    the folder of each run, as that of any other

cohort.json is written before the runs: one that was not created any more is created when the others go on.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iwax.checks import MOST_SEEDS, check_positive_integer
from iwax.data import Dataset
from iwax.errors import IwaxError
from iwax.files import PART, dumps, make_folder
from iwax.progress import Progress
from iwax.runs.checkpoint import Checkpoint
from iwax.runs.cohort_session import train_as_one, train_side_by_side, vectorized_is_quicker
from iwax.runs.config import RunConfig
from iwax.runs.contents import is_as_new
from iwax.runs.environment import differences
from iwax.runs.folder import COHORT, ENVIRONMENT, STATUS, RunFolder
from iwax.runs.kinds import has_failed
from iwax.runs.launch import check_time_limit, plan, reopen
from iwax.runs.loading import resolved_config
from iwax.runs.paths import data_of_run, load_data
from iwax.runs.resolution import ResolvedRun, resolve
from iwax.runs.session import Session
from iwax.training import VARYING, NonFiniteLossError, TrainState

__all__ = ["new_cohort", "resume_cohort", "seeds"]

RATES = ("stages", "learning_rate", "schedule_scale")
"""Fields that decide the rates of a run's steps."""


def seeds(config: RunConfig, count: int) -> dict[str, RunConfig]:
    """A configuration with `count` seeds, its own first, by name.

    Raises:
        ValueError: no count from 1 to 10,000.

    >>> list(seeds(RunConfig(seed=3), 2))
    ['seed3', 'seed4']
    """
    check_positive_integer("seeds", count, most=MOST_SEEDS)
    numbers = range(config.seed, config.seed + count)
    return {f"seed{number}": dataclasses.replace(config, seed=number) for number in numbers}


def new_cohort(
    configs: Mapping[str, RunConfig | ResolvedRun],
    path: str | Path,
    *,
    vectorized: bool | None = None,
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
    overwrite: bool = False,
    time_limit: float | None = None,
    command: list[str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[RunFolder]:
    """Train several runs that differ in numbers only, each in a folder of its own below `path`.

    Arguments:
        configs: name -> run; they may differ in the fields `iwax.training.cohort.VARYING` and in no others.
        vectorized: one program for all runs, shared out among the devices; or, if false, each run by itself, as many
            at a time as there are cores. Left out, whichever is quicker here: the one on a GPU, the other on a CPU.
        path, data_dir, data, overwrite, time_limit, command, on_progress: as for `iwax.runs.launch.new_run`.

    Raises:
        ValueError: runs that cannot share a program, by the field that tells them apart, and all that `new_run` raises.
        NonFiniteLossError: the loss of some run became NaN or infinite; the others have gone on to their end.
    """
    check_time_limit(time_limit)
    runs = {name: resolve(config) for name, config in configs.items()}
    _check_alike({name: run.config for name, run in runs.items()})
    path = Path(path)
    _check_folder(path, list(runs), overwrite)
    first = next(iter(runs.values()))
    data = load_data(first.config, data_dir) if data is None else data
    vectorized = _vectorized(list(runs.values()), vectorized)
    record = {"runs": list(runs), "vectorized": vectorized}
    planned = [plan(run, path / name, data, command=command, more={"cohort": record}) for name, run in runs.items()]
    make_folder(path)
    for one in planned:
        one.session.folder.check_free(overwrite)
    for one in planned:
        one.session.folder.discard()  # or, interrupted, a former run could be taken for a new one
    kept = {one.session.folder.path.name: dataclasses.asdict(one.session.resolved.config) for one in planned}
    RunFolder(path).write_json(COHORT, record | {"configs": kept})
    pairs = [one.create(overwrite=overwrite) for one in planned]
    for session, state in pairs:
        session.folder.save(state)  # for runs that do not get their turn
    return _train(pairs, vectorized, time_limit, on_progress)


def resume_cohort(
    path: str | Path,
    *,
    vectorized: bool | None = None,
    options: dict[str, Any] | None = None,
    force: bool = False,
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
    time_limit: float | None = None,
    command: list[str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[RunFolder]:
    """Go on with all runs of a cohort but those that failed; by one program, from the last step they all have.

    Arguments:
        vectorized: as for `new_cohort`; as the cohort began, if left out.
        options, force, data_dir, data, time_limit, command, on_progress: as for `iwax.runs.launch.resume_run`.

    Raises:
        ValueError: no cohort, and all that `resume_run` raises.
        NonFiniteLossError: as `new_cohort`.
    """
    check_time_limit(time_limit)
    record = RunFolder(path).json(COHORT)
    if not record:
        raise IwaxError(f"Expected {path} to be the folder of several runs; it holds no {COHORT}.")
    _check_names(record["runs"])
    folders = [RunFolder(Path(path) / name) for name in record["runs"]]
    data = _begin_missing(folders, record, command, data_dir, data)
    vectorized = _vectorized(
        [resolved_config(folder) for folder in folders], record["vectorized"] if vectorized is None else vectorized
    )
    going = [folder for folder in folders if not has_failed(folder.json(STATUS))]
    chosen: Sequence[Checkpoint | None] = _in_step(going) if vectorized else [None] * len(going)
    pairs = []
    for folder, checkpoint in zip(going, chosen, strict=True):
        session, state = reopen(folder, checkpoint, data_dir, data, options=options, force=force, command=command)
        data = session.data
        if checkpoint is not None and checkpoint.sha256 != folder.checkpoint().sha256:
            folder.save(state)  # from now on it is the last
        pairs.append((session, state))
    _train(pairs, vectorized, time_limit, on_progress)
    return folders


def _begin_missing(
    folders: Sequence[RunFolder],
    record: dict[str, Any],
    command: list[str] | None,
    data_dir: str | Path | None,
    data: Dataset | None,
) -> Dataset | None:
    """Bring the runs of a cohort whose creation was interrupted to their step 0; the data, if they had to be loaded."""
    configs: dict[str, Any] = record.get("configs", {})
    began: dict[str, Any] = {}
    for folder in folders:
        began = folder.json(ENVIRONMENT) if folder.has_begun else began
    more = {"cohort": {name: record[name] for name in ("runs", "vectorized")}}
    for folder in folders:
        if folder.has_begun:
            continue
        if folder.path.name in configs and is_as_new(folder.path):
            run = resolve(RunConfig.from_json(dumps(configs[folder.path.name])))
            data = data_of_run(run.config, data_dir, began) if data is None else data
            session, state = plan(run, folder.path, data, command=command, more=more).create()
        else:
            session, state = reopen(folder, None, data_dir, data, force=True, command=command)
            data = session.data
        session.folder.save(state)
    return data


def _train(
    pairs: Sequence[tuple[Session, TrainState]],
    vectorized: bool,
    time_limit: float | None,
    on_progress: Callable[[Progress], None] | None,
) -> list[RunFolder]:
    sessions, states = (
        [dataclasses.replace(session, time_limit=time_limit) for session, _ in pairs],
        [s for _, s in pairs],
    )
    failures = (train_as_one if vectorized else train_side_by_side)(sessions, states, on_progress) if pairs else {}
    if failures:
        messages = " ".join(f"{name}: {error}" for name, error in failures.items())
        raise NonFiniteLossError(f"{len(failures)} of {len(pairs)} runs failed; the others went on. {messages}")
    return [session.folder for session in sessions]


def _vectorized(runs: Sequence[ResolvedRun], asked: bool | None) -> bool:
    """Whether the runs train as one program; if left out what is quicker. Each that chooses an epoch trains by itself.

    Raises:
        ValueError: one program asked for runs that keep their best epoch or stop early, each at its own time.
    """
    chooses = any(run.config.keep is not None or run.config.patience is not None for run in runs)
    if asked and chooses:
        raise IwaxError(
            "Expected no --vectorized with --keep best or --patience, by which each run stops and saves at a time of "
            "its own; got both. Leave --vectorized out."
        )
    return vectorized_is_quicker() and not chooses if asked is None else asked


def _check_alike(configs: Mapping[str, RunConfig]) -> None:
    """Raises ValueError for runs that cannot share a program."""
    if not configs:
        raise IwaxError("Expected a cohort to hold at least one run; got none.")
    rows = {name: dataclasses.asdict(config) for name, config in configs.items()}
    for row in rows.values():
        for field in VARYING:
            if row["decay"] != "cosine" or field not in RATES:  # its rates and length are the program's
                del row[field]
    (first, began), *others = rows.items()
    for name, row in others:
        unlike = differences(began, row)
        if unlike:
            objectives = {began["objective"], row["objective"]}
            pair = len(objectives) == 2 and objectives < {"elbo", "iwae", "ciwae"}
            remedy = (
                "ELBO and IWAE of one K are ciwae with beta 1 and 0." if pair else "Train them as runs of their own."
            )
            raise IwaxError(
                f"Expected the runs of a cohort to differ in {', '.join(VARYING)} only; got {first} and {name}, which "
                f"differ in {', '.join(unlike)}. {remedy}"
            )


def _check_folder(path: Path, names: list[str], overwrite: bool) -> None:
    """Raises ValueError for names that are no folders' names, and for a folder that holds what would be lost."""
    _check_names(names)
    if not path.exists() or (path.is_dir() and all(_is_left(file) for file in path.iterdir())):
        return
    if not overwrite:
        raise IwaxError(
            f"Expected {path} to be a new folder; it exists. Name another, or replace its runs by --overwrite."
        )
    if not (path / COHORT).is_file():
        raise IwaxError(f"Expected {path} to hold several runs to overwrite; got a folder without {COHORT}.")
    more = sorted(set(RunFolder(path).json(COHORT)["runs"]) - set(names))
    if more:
        raise IwaxError(f"Expected {path} to hold no other runs than the new ones; got {', '.join(more)}. Delete them.")


def _is_left(file: Path) -> bool:
    """Whether a file is what is left of a cohort.json that was not written to its end."""
    return file.name.startswith(f".{COHORT}.") and file.name.endswith(PART)


def _check_names(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is none of a folder in the cohort's."""
    for name in names:
        if name in ("", ".", "..") or Path(name).name != name:
            raise IwaxError(f"Expected the names of runs to be names of folders; got {name!r}.")


def _in_step(folders: Sequence[RunFolder]) -> list[Checkpoint]:
    """The checkpoints of the last step of which every run has one; a crash while they are written parts them."""
    held = []
    for folder in folders:
        folder.checkpoint()  # or it says what is wrong
        held.append({int(checkpoint.tensors[".step"]): checkpoint for checkpoint in folder.checkpoints()})
    common = set[int]().union(*held).intersection(*held)
    if folders and not common:
        steps = ", ".join(f"{folder.path.name}: {max(own)}" for folder, own in zip(folders, held, strict=True))
        raise IwaxError(
            f"Expected the runs of a cohort to have checkpoints of one step; got {steps}. Go on with --no-vectorized, "
            "or with each run alone."
        )
    return [own[max(common)] for own in held]
