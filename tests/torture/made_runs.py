"""Small runs with every kind of file that a run may have, made once and copied for each experiment."""

import contextlib
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

from iwax.cli import main
from iwax.experiments.identity import non_default_fields
from iwax.runs.launch import new_run
from made import record
from tiny import tiny_config, tiny_data

__all__ = ["call", "make_all", "make_run", "start"]

JUDGED = ("--num-samples", 64, "--iwae-samples", 8)
"""Options of an evaluation that takes no time."""
FAULTS = ("Traceback (most recent call last)", "This is a fault of iwax")


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors of a command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            return int(exit_.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("main returned")


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """A command line in a process of its own, started; with further variables."""
    command = [sys.executable, "-c", "from iwax.cli import main; main()", *map(str, arguments)]
    around = {**os.environ, **environment}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=around)


def make_run(root: Path, name: str = "run", **fields: object) -> Path:
    """A finished run on data of its own."""
    data = root / "own.npz"
    if not data.exists():
        root.mkdir(parents=True, exist_ok=True)
        np.savez(data, train=tiny_data().train, test=tiny_data().test)
    options = {"eval_every": 1, "eval_images": 4, "eval_samples": 64} | fields
    return new_run(tiny_config(dataset=str(data), **options), root / name, command=["torture"]).path


def make_all(root: Path) -> Path:
    """`root`/runs with a run that has been judged in every way, another beside it; a cohort; records of a study."""
    runs = root / "runs"
    for name in ("run", "other"):
        path = make_run(runs, name, seed=int(name == "other"))
        assert call("evaluate", path, *JUDGED)[0] == 0
    options = ("--images", 2, "--num-distributions", 2, "--num-chains", 2, "--no-sandwich", "--num-samples", 8)
    assert call("anneal", runs / "run", *options)[0] == 0
    results = root / "results"
    (results / "demonstrations").mkdir(parents=True)
    for seed in (0, 1):
        one = record(tiny_config(dataset="mnist-sample", model="one-layer", seed=seed))
        (results / f"{one.id}.json").write_text(one.to_json())
        assert one.asked == non_default_fields(tiny_config(dataset="mnist-sample", seed=seed))
    cohort = (
        "train",
        "--seeds",
        2,
        "--epochs",
        1,
        "--batch-size",
        10,
        "--objective",
        "elbo",
        "--recipe",
        "burda-paper",
    )
    assert call(*cohort, "--dataset", runs / "own.npz", "--out", root / "cohort")[0] == 0
    return root


def fields_of(path: Path) -> dict[str, object]:
    """The fields of a JSON file, or of the first line of a .jsonl."""
    value = json.loads(path.read_text().splitlines()[0] if path.suffix == ".jsonl" else path.read_text())
    return value if isinstance(value, dict) else {}


def with_partial(root: Path) -> Path:
    """`root` with an evaluation of runs/run that was interrupted half way; the whole one is kept as judged.npz."""
    path = root / "runs" / "run"
    whole = (path / "evaluation.npz").read_bytes(), (path / "evaluation.json").read_bytes()
    (path / "judged.npz").write_bytes(whole[0])
    assert call("evaluate", path, *JUDGED, "--rows", 256, "--recompute", "--time-limit", 1e-9)[0] == 0
    return root
