"""Judge files of log-weights, from whatever program; evaluations as files, written and read again."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iwax.errors import IwaxError
from iwax.evaluation import Evaluation, from_arrays, judge_log_weights
from iwax.files import dumps
from iwax.numpy_files import map_npy, open_archive, read_arrays
from iwax.reading import read_typed
from iwax.runs import AGAIN, JUDGED, Evaluated, RunFolder

__all__ = ["judge_weights", "pack_arrays", "read_evaluation", "write_evaluation"]

ARRAYS = "evaluation.npz"
MEANS = ("log_p", "neg_kl", "elbo")
NAMES = ("log_w", "log_weights")  # of the array in an .npz file that has several


def judge_weights(
    paths: Sequence[str | Path],
    *,
    data: str | Path | None = None,
    iwae_samples: int | Sequence[int] = 64,
) -> Evaluation:
    """The evaluation of files of log-weights, as `iwax.judge_log_weights` has it of arrays.

    Arguments:
        paths: .npy or .npz files, each (samples, examples) in nats, of the same examples; read piece by piece.
        data: a .npy file of the examples, (examples, *event), as they were evaluated (binarised).
        iwae_samples: K of IWAE-K; several give several bounds, and the first gives -KL(Q||P).

    Raises:
        ValueError: a file that is no array of that shape.
        OSError: one that cannot be read.
    """
    arrays = [_read(Path(path)) for path in paths]
    if not arrays:
        raise IwaxError("Expected at least one file of log-weights; got none.")
    num_samples = sum(len(array) for array in arrays if array.ndim)
    examples = None if data is None else _read(Path(data))
    chunks: Iterator[np.ndarray] = iter(arrays)
    try:
        return judge_log_weights(chunks, num_samples=num_samples or None, iwae_samples=iwae_samples, examples=examples)
    except IwaxError as error:
        raise IwaxError(f"{error} (of {', '.join(map(str, paths))})") from error


def write_evaluation(evaluation: Evaluation, path: str | Path, *, weights: Sequence[str] = ()) -> tuple[Path, Path]:
    """Write PATH.evaluation.json, the summary, and PATH.evaluation.npz, every number per example; returns both.

    Arguments:
        weights: the names of the files that were judged.
    """
    path = Path(path)
    start = path.stem if path.suffix in (".npy", ".npz") else path.name
    summary, arrays = (path.with_name(f"{start}.{name}") for name in (JUDGED, ARRAYS))
    folder = RunFolder(path.parent)
    folder.write(arrays.name, pack_arrays(evaluation))
    folder.write(summary.name, dumps({**evaluation.summary(), "weights": list(weights)}, indent=2) + "\n")
    return summary, arrays


def read_evaluation(path: str | Path) -> Evaluation:
    """The evaluation in a folder (a run's), or of an evaluation.npz with its evaluation.json beside it.

    Raises:
        ValueError: there is none, or what is there belongs to no evaluation.
    """
    path = Path(path)
    arrays = path / ARRAYS if path.is_dir() else path
    summary = arrays.with_suffix(".json")
    if not (arrays.is_file() and summary.is_file()):
        raise IwaxError(f"Expected an evaluation in {path}, {arrays.name} and {summary.name}; there is none.")
    found = read_arrays(arrays)
    said = read_typed(summary, Evaluated, AGAIN)
    try:
        evaluation = from_arrays(found, said)
        _check_same(evaluation, said)
    except IwaxError as error:
        raise IwaxError(f"Expected {arrays} and {summary.name} beside it to be one evaluation; {error}") from error
    return evaluation


def _check_same(evaluation: Evaluation, said: Mapping[str, Any]) -> None:
    """Raises ValueError where the means over examples are not those of the summary, as far as it has them."""
    found = evaluation.summary()
    for name in MEANS:
        ours, theirs = found[name], said.get(name, found[name])
        if ours != theirs and not (
            ours is not None and theirs is not None and math.isclose(ours, theirs, rel_tol=1e-9)
        ):
            raise IwaxError(f"the arrays have {name} {ours}; got {theirs}. {AGAIN}")


def pack_arrays(evaluation: Evaluation) -> bytes:
    """The content of evaluation.npz: every number per example, in nats, and A_u of every unit of each layer."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **evaluation.to_numpy())
    return buffer.getvalue()


def _read(path: Path) -> Any:
    """The array of a file, mapped from the disk where its format allows."""
    if path.suffix not in (".npy", ".npz"):
        raise IwaxError(
            f"Expected a file of NumPy, .npy or .npz; got {path}. numpy.save(path, log_w) writes one, of a PyTorch "
            "tensor with log_w.numpy()."
        )
    if path.suffix == ".npy":
        return map_npy(path)
    with open_archive(path) as found:
        name = next((name for name in NAMES if name in found), found.names[0] if len(found.names) == 1 else None)
        if name is None:
            raise IwaxError(
                f"Expected {path} to hold one array, or one of the name log_w; got {', '.join(found.names) or 'none'}."
            )
        return found.read(name)
