"""The folder of a run: its configuration, its surroundings, its metrics, and a checkpoint from which it goes on.

config.json              the resolved RunConfig
environment.json         versions, device, commit, command, data and their checksums
metrics.jsonl            one record per epoch; bounds in nats
status.json              running, stopped, finished or failed; epochs and seconds
checkpoint.safetensors   parameters, optimiser, step; the one before is kept as checkpoint.previous.safetensors
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import PyTree
from safetensors import SafetensorError, safe_open

from iwax.config import RunConfig
from iwax.data import Dataset

__all__ = ["RunFolder", "environment", "list_runs"]

LIBRARIES = ("iwax", "jax", "jaxlib", "equinox", "optax", "numpy")
METRICS, STATUS, CHECKPOINT, PREVIOUS = (
    "metrics.jsonl",
    "status.json",
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
)


class RunFolder:
    """Reads and writes the files of one run. Nothing is ever left half-written under its own name."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def create(self, config: RunConfig, surroundings: dict[str, Any], *, overwrite: bool = False) -> None:
        """Start a run's folder.

        Raises:
            ValueError: the folder holds something, and `overwrite` is false or what it holds is no run.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            if not overwrite:
                raise ValueError(
                    f"Expected {self.path} to be a new folder; it exists. Pass --overwrite to replace the run."
                )
            if not (self.path / "config.json").is_file():
                raise ValueError(f"Expected {self.path} to hold a run to overwrite; got a folder without config.json.")
            for name in (METRICS, STATUS, CHECKPOINT, PREVIOUS):
                (self.path / name).unlink(missing_ok=True)
        self.path.mkdir(parents=True, exist_ok=True)
        self.write("environment.json", json.dumps(surroundings, indent=2) + "\n")
        self.write("config.json", config.to_json())

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file whole, or not at all."""
        content = content.encode() if isinstance(content, str) else content
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, self.path / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def config(self) -> RunConfig:
        """The run's configuration.

        Raises:
            ValueError: the folder is no run, or its configuration is damaged.
        """
        try:
            return RunConfig.from_json((self.path / "config.json").read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise ValueError(f"Expected {self.path} to be the folder of a run; its config.json: {error}.") from error

    def metrics(self) -> list[dict[str, float]]:
        """The records of the epochs so far."""
        path = self.path / METRICS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def write_metrics(self, records: list[dict[str, float]]) -> None:
        self.write(METRICS, "".join(json.dumps(record) + "\n" for record in records))

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run, or {} where there is none."""
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else {}

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        self.write(name, json.dumps(value, indent=2) + "\n")

    def save(self, state: PyTree) -> None:
        """Write a checkpoint with the checksum of its content; the one before it is kept beside it."""
        tensors = _tensors(state)
        content = safetensors.numpy.save(tensors, metadata={"format": "iwax-1", "sha256": _checksum(tensors)})
        self.write(CHECKPOINT + ".new", content)
        if (self.path / CHECKPOINT).exists():
            os.replace(self.path / CHECKPOINT, self.path / PREVIOUS)
        os.replace(self.path / (CHECKPOINT + ".new"), self.path / CHECKPOINT)

    def load(self, template: PyTree) -> PyTree:
        """The last good checkpoint, in the form of `template`.

        Raises:
            ValueError: there is none, or it does not fit the template (of another model or objective).
        """
        problems = []
        for name in (CHECKPOINT, PREVIOUS):
            path = self.path / name
            if path.exists():
                try:
                    return _fill(template, _read_checkpoint(path))
                except ValueError as error:
                    problems.append(str(error))
        raise ValueError(" ".join(problems) or f"Expected a checkpoint in {self.path}; there is none. Train it first.")


def list_runs(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """One row for each run under a folder: what it trains, its state, and its last numbers in nats."""
    rows = []
    for config_path in sorted(Path(path).rglob("config.json")):
        folder = RunFolder(config_path.parent)
        config, status, records = folder.config(), folder.json(STATUS), folder.metrics()
        rows.append(
            {
                "run": str(folder.path),
                "objective": config.objective,
                "model": config.model,
                "dataset": config.dataset,
                "state": status.get("state", "new"),
                "epochs": f"{status.get('epoch', 0)}/{config.epochs}",
                "bound": records[-1]["bound"] if records else None,
                "log_p": folder.json("evaluation.json").get("log_p"),
            }
        )
    return rows


def environment(data: Dataset, command: list[str] | None = None) -> dict[str, Any]:
    """What surrounds a run and is no choice of it: versions, machine, commit, command, and where the data came from."""
    return {
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": ", ".join(f"{device.platform} ({device.device_kind})" for device in jax.devices()),
        "cores": os.cpu_count(),
        "commit": _commit(),
        "command": sys.argv if command is None else command,
        "dataset": data.name,
        "split": data.split,
        "source": data.source,
        "checksums": dict(data.checksums),
    }


def _commit() -> str | None:
    """The commit of the checkout that iwax runs from, marked where files differ from it; None for an installed iwax."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changed.stdout.strip() else "")


def _tensors(tree: PyTree) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_array))[0]
    return {jax.tree_util.keystr(path): np.ascontiguousarray(leaf) for path, leaf in leaves}


def _checksum(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\n".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Raises ValueError for a file that is truncated or altered."""
    try:
        with safe_open(path, framework="numpy") as file:
            expected = (file.metadata() or {}).get("sha256")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"Expected {path} to be a whole checkpoint; it cannot be read ({error}).") from error
    found = _checksum(tensors)
    if found != expected:
        raise ValueError(f"Expected {path} to have checksum {expected}; got {found}.")
    return tensors


def _fill(template: PyTree, tensors: dict[str, np.ndarray]) -> PyTree:
    wanted = _tensors(template)
    differences = sorted(set(wanted) ^ set(tensors)) or [
        f"{name} {tensors[name].shape} for {wanted[name].shape}"
        for name in wanted
        if tensors[name].shape != wanted[name].shape or tensors[name].dtype != wanted[name].dtype
    ]
    if differences:
        raise ValueError(f"Expected a checkpoint of the configured model; these differ: {', '.join(differences[:5])}.")
    arrays, rest = eqx.partition(template, eqx.is_array)
    leaves = [jnp.asarray(tensors[name]) for name in wanted]
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), rest)
