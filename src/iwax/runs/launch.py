"""Start, continue and reload a run: from a configuration or a folder to the session that trains it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from iwax.data import Dataset, binarize, check_likelihood, load
from iwax.errors import IwaxError
from iwax.files import loads
from iwax.keys import TrainingKeys, stream
from iwax.models import OwnModel, is_own
from iwax.objectives import AbstractObjective
from iwax.progress import Progress
from iwax.runs.build import (
    build_model,
    build_objective,
    build_recipe,
    build_update,
    overridden,
    resolve,
    training_images,
)
from iwax.runs.checkpoint import Checkpoint
from iwax.runs.config import RunConfig
from iwax.runs.environment import current_environment, differences
from iwax.runs.folder import ENVIRONMENT, MODEL, RunFolder
from iwax.runs.paths import absolute, data_of_run, same_path
from iwax.runs.session import Session
from iwax.training import Trainer, TrainState, get_recipe

__all__ = ["create", "load_run", "new_run", "prepare", "reopen", "resume_run"]

MUST_FIT = ("model", "likelihood", "scale_map")  # for one run to start from the model of another
CHECKED = 4  # training examples on which a model of one's own is checked
VERSIONS = ("versions", "python", "code")  # what must be the same for a run to go on bit for bit


def new_run(
    config: RunConfig,
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
        config: the run; what it leaves out is filled in.
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
    resolve(config)  # before data are looked for
    data = load(config.dataset, config.split, data_dir) if data is None else data
    session, state = create(config, path, data, overwrite=overwrite, command=command)
    dataclasses.replace(session, time_limit=time_limit, on_progress=on_progress).run(state)
    return session.folder


def create(
    config: RunConfig,
    path: str | Path,
    data: Dataset,
    *,
    overwrite: bool = False,
    command: list[str] | None = None,
    more: dict[str, Any] | None = None,
) -> tuple[Session, TrainState]:
    """What trains a new run, and its state before the first step; as `new_run`, with `more` for its environment."""
    config = resolve(config)
    own = check_own(config)
    config = dataclasses.replace(config, dataset=data.name, split=data.split, init_from=absolute(config.init_from))
    trainer, state = prepare(config, data, own, check=True)
    environment = current_environment(data, command) | (more or {})
    environment["protocol"] = {
        "name": config.protocol,
        "source": get_recipe(config.protocol).source,
        "overridden": overridden(config),
    }
    environment["objective"] = {name: getattr(state.objective, name) for name in ("is_unbiased", "target")}
    if own is not None:
        environment["model"] = {"file": own.path, "function": own.function, "sha256": own.sha256}
    if config.init_from is not None:
        model, environment["init_from"] = _model_of(config.init_from, config, own, state.model)
        state = dataclasses.replace(state, model=model)
    folder = RunFolder(path)
    folder.create(config, environment, overwrite=overwrite, model=None if own is None else own.source)
    return Session(folder=folder, config=config, trainer=trainer, data=data), state


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

    Arguments:
        options: fields of its configuration as the caller expects them; others are refused.
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
    """What trains a run on, and the state to go on from: that of its last checkpoint, or the one given."""
    config = folder.config()
    checkpoint = folder.checkpoint() if checkpoint is None else checkpoint
    _check_config(folder, config, loads(checkpoint.notes.get("config", "null")), options or {})
    data = data_of_run(config, data_dir) if data is None else data
    _go_on(folder, current_environment(data, command), force)
    trainer, template = prepare(config, data, _kept(folder, config))
    return Session(folder=folder, config=config, trainer=trainer, data=data), checkpoint.fill(template)


def load_run(
    path: str | Path, *, data_dir: str | Path | None = None, data: Dataset | None = None
) -> tuple[RunConfig, Any, AbstractObjective, Dataset]:
    """The configuration, model and objective of a run's last checkpoint, and its data.

    Raises:
        ValueError: no run, or no good checkpoint.
    """
    folder = RunFolder(path)
    config = folder.config()
    data = data_of_run(config, data_dir) if data is None else data
    checkpoint = folder.checkpoint()
    model = checkpoint.fill(build_model(config, training_images(config, data), _kept(folder, config)), ".model")
    return config, model, checkpoint.fill(build_objective(config), ".objective"), data


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


def _kept(folder: RunFolder, config: RunConfig) -> OwnModel | None:
    """The code of a run's own model as the run keeps it, whatever has become of the file since."""
    if not is_own(config.model):
        return None
    own = OwnModel.read(config.model, kept=folder.path / MODEL)
    began = folder.json(ENVIRONMENT).get("model", {}).get("sha256")
    if own.sha256 != began:
        raise IwaxError(
            f"Expected {folder.path / MODEL} to be the code that the run began with, SHA-256 {began}; got "
            f"{own.sha256}. Put it back, or start a new run."
        )
    return own


def prepare(
    config: RunConfig, data: Dataset, own: OwnModel | None = None, *, check: bool = False
) -> tuple[Trainer, TrainState]:
    """The trainer of a resolved configuration, and its state before the first step; `check` a model of one's own."""
    assert config.batch_size is not None  # it is resolved
    assert config.binarize is not None
    rule = config.binarize
    images = training_images(config, data)
    trainer = Trainer(
        images=images,
        recipe=build_recipe(config),
        key=TrainingKeys.of_seed(config.seed).key,
        batch_size=config.batch_size,
        binarize=rule,
        update=build_update(config),
        precision=config.precision,
    )
    model = build_model(config, images, own)
    if check and own is not None:
        key = stream(jax.random.key(config.seed), "own-model check")
        own.check(model, binarize(images[:CHECKED], rule, key), key)
    if own is not None:
        check_likelihood(getattr(model, "real_valued", None), images, rule, "training images")
    return trainer, trainer.start(model, build_objective(config))


def _model_of(run: str, config: RunConfig, own: OwnModel | None, template: Any) -> tuple[Any, dict[str, Any]]:
    """The model of another run's last checkpoint, in the form of `template`, and the record of where it is from."""
    folder = RunFolder(run)
    other, checkpoint = folder.config(), folder.checkpoint()
    unfit = differences(_form(other, _kept(folder, other)), _form(config, own))
    if unfit:
        raise IwaxError(f"Expected init_from to be a run of the same model; these differ: {', '.join(unfit)}.")
    record = {"run": str(run), "objective": other.objective, "seed": other.seed, "checkpoint": checkpoint.sha256}
    return checkpoint.fill(template, ".model"), record


def _form(config: RunConfig, own: OwnModel | None) -> dict[str, Any]:
    """What must be the same for one run to start from the model of another; of one's own, the code and not its path."""
    form = {name: getattr(config, name) for name in MUST_FIT}
    return form if own is None else form | {"model": own.function, "model.py": own.sha256}


def _check_config(folder: RunFolder, config: RunConfig, began: dict | None, options: dict[str, Any]) -> None:
    """Raises ValueError for a configuration that is not the checkpoint's, or not what the caller expects."""
    now = dataclasses.asdict(config)
    changed = [] if began is None else differences(began, now)
    if changed:
        raise IwaxError(
            f"Expected config.json of {folder.path} to be the one its checkpoint was made with; these differ: "
            f"{', '.join(changed)}. Put it back, or start a new run with --init-from."
        )
    options = {name: value for name, value in options.items() if not same_path(name, value, now[name])}
    other = differences({name: now[name] for name in options}, options)
    if other:
        raise IwaxError(
            f"Expected {folder.path} to go on with its own options; these differ: {', '.join(other)}. Leave them out, "
            "or start a new run with --init-from."
        )


def _go_on(folder: RunFolder, now: dict[str, Any], force: bool) -> None:
    """Enter a new session into the record of a run; refuse one with other data, or other versions unless forced."""
    began = folder.json(ENVIRONMENT)
    other = differences({"checksums": began.get("checksums")}, {"checksums": now["checksums"]})
    if other:
        raise IwaxError(f"Expected the data that {folder.path} began with; these differ: {', '.join(other)}.")
    last = (began.get("sessions") or [began])[-1]
    other = differences({name: last.get(name) for name in VERSIONS}, {name: now[name] for name in VERSIONS})
    if other and not force:
        commits = "" if last.get("commit") == now["commit"] else f" (commit {last.get('commit')} -> {now['commit']})"
        raise IwaxError(
            f"Expected the code and versions that {folder.path} was trained with; these differ: {', '.join(other)}"
            f"{commits}. Go back to them, or pass --force: the run may then differ from an undisturbed one."
        )
    session = {name: now[name] for name in (*VERSIONS, "commit", "device", "cores", "command")}
    folder.write_json(ENVIRONMENT, began | {"sessions": [*began.get("sessions", []), session | {"forced": other}]})


def check_time_limit(seconds: float | None) -> None:
    """Raises ValueError for a time limit that is not positive, in seconds."""
    if seconds is not None and not seconds > 0:
        raise IwaxError(f"Expected time_limit to be positive; got {seconds!r}.")
