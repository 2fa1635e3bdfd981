"""What a list of studies asks of the records in a folder: what each is of, and no numbers; an index has it of many."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from iwax.errors import IwaxError
from iwax.experiments.records import read_record
from iwax.runs import RunIndex, file_signature

__all__ = ["ListedRecord", "list_records"]


class ListedRecord(NamedTuple):
    """The fields of a `Record` of these names; `num_samples` is the k of its evaluation."""

    id: str
    scale: str
    asked: Mapping[str, Any]
    started_from: Mapping[str, Any] | None
    num_samples: int | None


def list_records(folder: str | Path, left_out: Callable[[str], None] | None = None) -> list[ListedRecord]:
    """What the records in a folder are of, by ID; [] where there is no folder.

    What was read before, of files that have not changed since, is taken from an index where there are many.

    Arguments:
        left_out: told of each file that is no record, which is then left out; such a file is an error if left out.

    Raises:
        ValueError: a file that is no record, or whose name is not its ID.
    """
    found, paths = [], sorted(Path(folder).glob("*.json"))
    with RunIndex(folder, len(paths)) as index:
        for path in paths:
            try:
                fields = index.value("listed", path.name, file_signature(path), partial(_fields, path))
            except IwaxError as error:
                if left_out is None:
                    raise
                left_out(f"Left out a record. {error}")
            else:
                found.append(ListedRecord(**fields))
    return found


def _fields(path: Path) -> dict[str, Any]:
    record = read_record(path)
    same: dict[str, Any] = {name: getattr(record, name) for name in ("id", "scale", "asked", "started_from")}
    return same | {"num_samples": record.evaluation.get("num_samples")}
