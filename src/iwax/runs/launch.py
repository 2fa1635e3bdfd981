"""Start and continue a run: from a configuration or a folder to the session that trains it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iwax.data import Dataset, array_sha256
from iwax.errors import IwaxError
from iwax.evaluation import range_of
from iwax.models import OwnModel, is_own
from iwax.progress import Progress
from iwax.runs.checkpoint import Checkpoint
from iwax.runs.config import RunConfig
from iwax.runs.environment import current_environment, differences
from iwax.runs.extension import extend, extended
from iwax.runs.folder import ENVIRONMENT, RunFolder
from iwax.runs.init_from import model_of_run
from iwax.runs.initial import fitted, prepare, training_images, validation_images
from iwax.runs.loading import check_checkpoint, kept_model, resolved_config
from iwax.runs.paths import data_of_run, load_data, same_path
from iwax.runs.resolution import ResolvedRun, resolve
from iwax.runs.session import Session
from iwax.training import BY, TrainState

__all__ = ["PlannedRun", "new_run", "plan", "reopen", "resume_run"]

VERSIONS = ("versions", "python", "code")  # what must be the same for a run to go on bit for bit


def new_run(
    config: RunConfig | ResolvedRun,
    path: str | Path,
    *,
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
    overwrite: bool = False,
    time_limit: float | None = None,
    command: list[str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunFolder:
    """Train as `config` says, in a new folder. Everything is checked before anything is written.

    Arguments:
        config: the run; what it leaves out is filled in, if it is not resolved yet.
        path: the folder, new or empty unless `overwrite`.
        data_dir: folder of the data sets; the usual sources if left out.
        data: the data set itself, if it is loaded already.
        time_limit: stop at a checkpoint after this many seconds.
        command: for the record; the process's own arguments if left out.
        on_progress: called about twice a second.

    Raises:
        ValueError: an invalid configuration or folder.
        OSError: the folder cannot be written.
        NonFiniteLossError: the loss became NaN or infinite; the last good checkpoint stays.
    """
    check_time_limit(time_limit)
    run = resolve(config)  # before data are looked for
    data = load_data(run.config, data_dir) if data is None else data
    session, state = plan(run, path, data, command=command).create(overwrite=overwrite)
    dataclasses.replace(session, time_limit=time_limit, on_progress=on_progress).run(state)
    return session.folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A new run of which everything has been checked and nothing written."""

    session: Session
    state: TrainState
    environment: dict[str, Any]
    own: OwnModel | None

    def create(self, *, overwrite: bool = False) -> tuple[Session, TrainState]:
        """Make its folder; what trains it, and its state before the first step."""
        model = None if self.own is None else self.own.source
        self.session.folder.create(self.session.resolved.config, self.environment, overwrite=overwrite, model=model)
        return self.session, self.state


def plan(
    run: ResolvedRun,
    path: str | Path,
    data: Dataset,
    *,
    command: list[str] | None = None,
    more: dict[str, Any] | None = None,
) -> PlannedRun:
    """A new run in the folder `path`, with `more` for its environment; raises as `new_run` for what cannot be."""
    own, given = check_own(run.config), run.config.dataset
    run = fitted(run, data)
    trainer, state = prepare(run, data, own, check=True)
    environment = current_environment(data, command) | _examples(data, run) | (more or {})
    environment |= _validation(data, run)
    environment["protocol"] = {
        "name": run.recipe.name,
        "source": run.recipe.source,
        "overridden": run.overridden(),
    }
    if given != data.name:
        environment["dataset_as_given"] = given
    environment["objective"] = {name: getattr(state.objective, name) for name in ("is_unbiased", "target")}
    if own is not None:
        environment["model"] = {"file": own.path, "function": own.function, "sha256": own.sha256}
    if run.config.init_from is not None:
        model, environment["init_from"] = model_of_run(run.config.init_from, run.config, own, state.model)
        state = dataclasses.replace(state, model=model)
    session = Session(folder=RunFolder(path), resolved=run, trainer=trainer, data=data)
    return PlannedRun(session=session, state=state, environment=environment, own=own)


def resume_run(
    path: str | Path,
    *,
    options: dict[str, Any] | None = None,
    force: bool = False,
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
    time_limit: float | None = None,
    command: list[str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunFolder:
    """Go on with a run from its last checkpoint, as if it had never stopped.

    More `epochs` than the run has been planned for extend it, finished or not: optimiser and step go on, and the
    learning rate is that of a run of the new length (stages go on; a cosine is as long as the new length, so that its
    rate rises where it had fallen). Patience begins afresh. environment.json records it under "extensions".

    Arguments:
        options: fields of its configuration as the caller expects them; others are refused, but for more `epochs`.
        force: go on with other versions of the code or its libraries, too; the record says so.
        data: the data set itself, if it is loaded already.

    Raises:
        ValueError: no run, no good checkpoint, or a configuration, version or data other than the run began with.
    """
    check_time_limit(time_limit)
    folder = RunFolder(path)
    session, state = reopen(folder, None, data_dir, data, options=options, force=force, command=command)
    dataclasses.replace(session, time_limit=time_limit, on_progress=on_progress).run(state)
    return folder


def reopen(
    folder: RunFolder,
    checkpoint: Checkpoint | None = None,
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
    *,
    options: dict[str, Any] | None = None,
    force: bool = False,
    command: list[str] | None = None,
) -> tuple[Session, TrainState]:
    """What trains a run on, and the state to go on from: that of its last checkpoint, or the one given.

    A run that ended before its first checkpoint starts. Nothing is written, but for more epochs.
    """
    config, options = folder.config(), dict(options or {})
    resolved_config(folder)  # or the line names its file
    longer = extended(config, options)
    checkpoint = _last(folder) if checkpoint is None else checkpoint
    if checkpoint is not None:
        check_checkpoint(folder, config, checkpoint)
    _check_options(folder, config, options)
    began = folder.json(ENVIRONMENT)
    data = data_of_run(config, data_dir, began) if data is None else data
    entry = _next_session(folder, current_environment(data, command), force)
    run, own = resolve(longer), kept_model(folder, config)
    trainer, template = prepare(run, data, own)
    state = _first_state(config, own, template, began) if checkpoint is None else checkpoint.fill(template)
    if longer != config:
        extend(folder, longer, state, int(state.step) // trainer.steps_per_epoch)
    return Session(folder=folder, resolved=run, trainer=trainer, data=data, entry=entry), state


def _last(folder: RunFolder) -> Checkpoint | None:
    """The last good checkpoint; None for a run that was ended before its first.

    Raises:
        ValueError: there is none, though the run has records of epochs.
    """
    return folder.checkpoint() if folder.has_begun or folder.metrics() else None


def _first_state(config: RunConfig, own: OwnModel | None, template: TrainState, began: dict[str, Any]) -> TrainState:
    """The state before the first step; raises ValueError where the run it starts from has gone on since."""
    if config.init_from is None:
        return template
    recorded = began.get("init_from", {}).get("checkpoint")
    model, _ = model_of_run(config.init_from, config, own, template.model, recorded)
    return dataclasses.replace(template, model=model)


def _validation(data: Dataset, run: ResolvedRun) -> dict[str, Any]:
    """Which images are for validation, and what they decide; {} where there are none."""
    held_out = validation_images(run, data)
    if held_out is None or run.along is None:
        return {}
    which = {"asked": run.config.validation, "images": len(held_out), "sha256": array_sha256(held_out)}
    judged = {"judged": min(run.along.num_images, len(held_out)), "by": BY, "every": run.along.every}
    return {"validation": which | judged | {"keep": run.config.keep, "patience": run.config.patience}}


def _examples(data: Dataset, run: ResolvedRun) -> dict[str, Any]:
    """What a picture of the model's own images needs to know of the data, so that it can be drawn without them.

    Where there are validation images, nobody looks at the test's: then the range is that of the training images.
    """
    if run.validation is not None:
        data = dataclasses.replace(data, test=training_images(run, data))
    known: dict[str, Any] = {"example_shape": list(data.test.shape[1:])}
    known |= {} if data.columns is None else {"columns": list(data.columns)}
    try:
        return known | {"example_range": range_of(data, run.test_binarize)}
    except IwaxError:  # values without a range
        return known


def check_own(config: RunConfig) -> OwnModel | None:
    """The code of a configuration's model if it is one's own, once it has been run; else None.

    Raises:
        ValueError: it cannot be read, fails, or holds no such function.
    """
    if not is_own(config.model):
        return None
    own = OwnModel.read(config.model)
    own.load()
    return own


def _check_options(folder: RunFolder, config: RunConfig, options: dict[str, Any]) -> None:
    """Raises ValueError for a configuration that is not what the caller expects."""
    now = dataclasses.asdict(config)
    options = {name: value for name, value in options.items() if not same_path(name, value, now[name])}
    other = differences({name: now[name] for name in options}, options)
    if "epochs" in options and other and now["epochs"] != options["epochs"]:
        raise IwaxError(
            f"Expected epochs to be more than the {now['epochs']} that {folder.path} is planned for, to extend it; got "
            f"{options['epochs']}. Leave it out to go on to its end."
        )
    if other:
        raise IwaxError(
            f"Expected {folder.path} to go on with its own options; these differ: {', '.join(other)}. Leave them out, "
            "or start a new run with --init-from."
        )


def _next_session(folder: RunFolder, now: dict[str, Any], force: bool) -> dict[str, Any]:
    """The record of a session that goes on with a run; other data are refused, and other versions unless forced."""
    began = folder.json(ENVIRONMENT)
    other = differences({"checksums": began.get("checksums")}, {"checksums": now["checksums"]})
    if other:
        raise IwaxError(
            f"Expected the data that {folder.path} began with ({ENVIRONMENT}); these differ: {', '.join(other)}."
        )
    last = (began.get("sessions") or [began])[-1]
    other = differences({name: last.get(name) for name in VERSIONS}, {name: now[name] for name in VERSIONS})
    if other and not force:
        commits = "" if last.get("commit") == now["commit"] else f" (commit {last.get('commit')} -> {now['commit']})"
        raise IwaxError(
            f"Expected the code and versions that {folder.path} was trained with ({ENVIRONMENT}); these differ: "
            f"{', '.join(other)}{commits}. Go back to them, or pass --force: the run may then differ from an "
            "undisturbed one."
        )
    session = {name: now[name] for name in (*VERSIONS, "commit", "device", "cores", "command")}
    return session | {"forced": other}


def check_time_limit(seconds: float | None) -> None:
    """Raises ValueError for a time limit that is not positive, in seconds."""
    if seconds is not None and not seconds > 0:
        raise IwaxError(f"Expected time_limit to be positive; got {seconds!r}.")
