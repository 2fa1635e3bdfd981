"""What surrounds a run and is no choice of it: versions, machine, code, command, and where the data came from."""

import datetime
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from iwax import __version__
from iwax.data import Dataset

__all__ = ["cores", "current_environment", "differences", "versions_and_commit", "what_computes"]

PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("iwax", "jax", "jaxlib", "equinox", "optax", "numpy")


def current_environment(data: Dataset, command: list[str] | None = None) -> dict[str, Any]:
    """The record of a run's environment; `command` is the process's own if left out."""
    return {
        **what_computes(),
        "commit": _commit(),
        "platform": platform.platform(),
        "cores": cores(),
        "command": sys.argv if command is None else command,
        "dataset": data.name,
        "split": data.split,
        "source": data.source,
        "checksums": dict(data.checksums),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def what_computes() -> dict[str, Any]:
    """What must be the same for a number to come out the same bit for bit."""
    return {
        "versions": _versions(),
        "code": _code(),
        "python": platform.python_version(),
        "device": ", ".join(f"{device.platform} ({device.device_kind})" for device in jax.devices()),
    }


def cores() -> int:
    """How many cores this process may use, which may be fewer than there are (`taskset`).

    XLA divides sums among them, so that another number of cores rounds otherwise.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return available or 1


def versions_and_commit() -> tuple[dict[str, str], str | None]:
    """What computes: the libraries' versions, and the commit of the checkout that iwax runs from."""
    return _versions() | {"python": platform.python_version()}, _commit()


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """'name: before -> now' for every entry that is not the same, with the entries of nested records."""
    found = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            found.append(f"{prefix}{name}: {_short(old)} -> {_short(new)}")
    return found


def _versions() -> dict[str, str]:
    """iwax's is that of the code that runs, which metadata of an editable installation may be behind."""
    return {name: __version__ if name == "iwax" else importlib.metadata.version(name) for name in LIBRARIES}


def _short(value: Any) -> str:
    """Checksums and commits by their start; names of processors and their instructions whole."""
    text = str(value)
    return text if len(text) <= 36 else text[:12] + "..."


def _code() -> str:
    """SHA-256 of the package's source files, by name."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(
            f"{path.relative_to(PACKAGE).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()


def _commit() -> str | None:
    """The commit of the checkout of iwax that this is, marked where files differ from it; None for an installed iwax.

    A repository that is somewhere above, such as the user's own around a virtual environment, is not asked.
    """
    try:
        if _git("rev-parse", "--show-prefix") != f"src/{PACKAGE.name}/":
            return None
        _git("ls-files", "--error-unmatch", "__init__.py")
        head, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changed else "")


def _git(*command: str) -> str:
    """What git says of the folder of the package, whatever repository the variables of a hook or of a shell name."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    git = ["git", "-C", str(PACKAGE), *command]
    return subprocess.run(git, capture_output=True, text=True, check=True, env=own).stdout.strip()
