"""The numbers of each test image beside a record, by which two models are compared image by image. It imports no JAX.

results/images/ID.npz has log p of every image, and by how much IWAE-64 lies below it, in nats. They are rounded, to a
tenth of what their own Monte-Carlo noise is or less, so that a file takes 30 kB instead of 160.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from iwax.errors import IwaxError
from iwax.experiments.records import Record
from iwax.files import make_folder, write_whole
from iwax.numpy_files import read_arrays

__all__ = ["PerImage", "keep_per_image", "per_image_path"]

FOLDER = "images"
PER_NAT = {"log_p": 16, "minus_kl": 64}  # steps of the rounding
NAMES = {"log_p": "log_likelihood", "minus_kl": "neg_kl"}  # ours -> an evaluation's
CLOSE = 0.01  # nats, within which the mean must be the record's


def keep_per_image(results: Path, record: Record, evaluation: Path) -> bool:
    """Write a record's numbers per image from an evaluation's arrays; whether they were there, and are its own."""
    if not evaluation.exists():
        return False
    arrays = read_arrays(evaluation)
    if "neg_kl" not in arrays and "iwae" in arrays:
        arrays["neg_kl"] = arrays["iwae"] - arrays["log_likelihood"]
    kept = {
        ours: _smallest(np.round(PER_NAT[ours] * arrays[theirs]))
        for ours, theirs in NAMES.items()
        if theirs in arrays and np.isfinite(arrays[theirs]).all()
    }
    if not _is_of(record, {name: values / PER_NAT[name] for name, values in kept.items()}):
        return False
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **kept)
    make_folder(results / FOLDER)
    write_whole(per_image_path(results, record.id), buffer.getvalue())
    return True


def _smallest(values: np.ndarray) -> np.ndarray:
    """As integers of two bytes, or of four where these do not reach."""
    return values.astype(np.int16 if np.abs(values).max(initial=0) < np.iinfo(np.int16).max else np.int32)


def per_image_path(results: Path, id: str) -> Path:
    """Where those of a record are written."""
    return results / FOLDER / f"{id}.npz"


class PerImage:
    """The numbers per image of the records in a folder, each read once.

    Arguments:
        results: the folder of the records; "" where there is none.
        left_out: told of each file that is damaged or of another record, and so is left out.
    """

    def __init__(self, results: str | Path = "", left_out: Callable[[str], None] = lambda message: None) -> None:
        self._results, self._left_out = results, left_out
        self._known: dict[str, Mapping[str, np.ndarray]] = {}

    def of(self, record: Record, metric: str) -> np.ndarray | None:
        """A metric of every test image (N,), in nats; None where it has not been kept."""
        if record.id not in self._known:
            self._known[record.id] = self._read(record) if self._results else {}
        values = self._known[record.id]
        if metric == "nll":
            return None if "log_p" not in values else -values["log_p"]
        if metric == "iwae_64" and len(values) == len(NAMES):
            return values["log_p"] + values["minus_kl"]
        return values.get(metric)

    def _read(self, record: Record) -> Mapping[str, np.ndarray]:
        path = per_image_path(Path(self._results), record.id)
        if not path.exists():
            return {}
        try:
            arrays = read_arrays(path)
        except IwaxError as error:
            self._left_out(f"Left out {path}. {error}")
            return {}
        values = {name: arrays[name] / steps for name, steps in PER_NAT.items() if name in arrays}
        if not _is_of(record, values):
            self._left_out(f"Left out {path}. It holds the numbers of another record.")
            return {}
        return values


def _is_of(record: Record, values: Mapping[str, np.ndarray]) -> bool:
    """Whether there are as many as the record says, with its means."""
    said = record.evaluation["values"]
    return bool(values) and all(
        found.ndim == 1
        and len(found) == record.evaluation.get("num_images")
        and said.get(name) is not None
        and abs(float(np.mean(found)) - said[name]) < CLOSE
        for name, found in values.items()
    )
