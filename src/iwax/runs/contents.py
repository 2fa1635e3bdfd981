"""What a run's folder holds: the names of its files, and what the creation of a run leaves that was interrupted.

Creating a run is a state of its folder, which ends when config.json is there: it is written last. Before, the folder
has nothing but files of iwax's own, and is as good as new. Where a run is overwritten, its config.json first takes the
name `.replaced`, which says that the rest may go, whatever it is.
"""

import contextlib
import hashlib
from pathlib import Path

from iwax.errors import IwaxError
from iwax.files import PART, read_json

__all__ = [
    "BEST",
    "CHECKPOINT",
    "COHORT",
    "CONFIG",
    "ENVIRONMENT",
    "EVALUATIONS",
    "JUDGED",
    "LOCK",
    "METRICS",
    "MODEL",
    "NEW",
    "PARTIAL",
    "PREVIOUS",
    "REPLACED",
    "STATUS",
    "clear",
    "clear_parts",
    "is_as_new",
]

CONFIG, ENVIRONMENT, STATUS = "config.json", "environment.json", "status.json"
METRICS, EVALUATIONS = "metrics.jsonl", "evaluations.jsonl"
CHECKPOINT, PREVIOUS, NEW = (
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
    "checkpoint.new.safetensors",
)
BEST = "checkpoint.best.safetensors"
COHORT = "cohort.json"
LOCK, REPLACED = ".lock", ".replaced"
MODEL = "model.py"
JUDGED = "evaluation.json"
PARTIAL = "evaluation.partial"
TRAINED = (NEW, CHECKPOINT, PREVIOUS, BEST, METRICS, EVALUATIONS, STATUS)
RESULTS = (  # of judging, as patterns
    *(JUDGED, "evaluation.npz", PARTIAL, "judgement.json", "samples.png", "reconstructions.png"),
    *("annealing.json", "annealing.jsonl", ".annealing.lock", "posterior.json", "ssim.json", "ssim-*.json"),
    "evaluation-*.*",
    *(f"figures/{name}.*" for name in ("trust", "active-units", "estimators", "annealing", "posterior")),
    *("figures/ssim.png", "figures/ssim-*.png"),
    *(f"snr/{name}" for name in ("points.jsonl", ".points.lock", "table.md", "snr.svg", "snr.pdf")),
)


def is_as_new(path: Path) -> bool:
    """Whether there is no such folder, or it is empty, or holds only what the creation of a run left.

    A model.py is left only if environment.json says that it is this one; else it may be the user's.
    """
    if not path.exists():
        return True
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir()}
    if not names:
        return True
    if CONFIG in names or LOCK not in names:
        return False
    if REPLACED in names:
        return True
    others = {name for name in names if not _is_part(name)} - {LOCK, ENVIRONMENT}
    return not others or (others == {MODEL} and _is_kept_model(path))


def clear(path: Path) -> None:
    """Remove what the run in a folder wrote, but for its configuration, environment and model; files of others stay."""
    for pattern in (*TRAINED, *RESULTS):
        for file in path.glob(pattern):
            file.unlink(missing_ok=True)
    for folder in ("figures", "snr"):
        for part in (path / folder).glob(f".*{PART}"):
            part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it is not there, or holds something else
            (path / folder).rmdir()


def clear_parts(path: Path) -> None:
    """Remove what a process that trained left half-written; who judges the run meanwhile keeps what is his."""
    for file in path.iterdir():
        if _is_part(file.name):
            file.unlink(missing_ok=True)


def _is_part(name: str) -> bool:
    """Whether a file is one of those of training, half-written."""
    begins = tuple(f".{own}." for own in (CONFIG, ENVIRONMENT, MODEL, *TRAINED))
    return name.startswith(begins) and name.endswith(PART)


def _is_kept_model(path: Path) -> bool:
    try:
        recorded = read_json(path / ENVIRONMENT)["model"]["sha256"]
        return bool(hashlib.sha256((path / MODEL).read_bytes()).hexdigest() == recorded)
    except (OSError, IwaxError, KeyError, TypeError):
        return False
