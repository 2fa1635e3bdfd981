"""Places that a command reads: folders, or URLs of stores, of which what there is is brought into a folder first."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from iwax.cli.kinds import Run

__all__ = ["FOLDER", "JUDGED", "PLACE", "Folder", "brought", "opened_place"]


class Place(click.Path):
    """A folder as a path, or the URL of a store as it is written."""

    name = "place"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if "://" in str(value) else super().convert(value, param, ctx)


class Folder(Place):
    """A folder of runs; of a store its working folder here, into which all but checkpoints has been brought."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return opened_place(super().convert(value, param, ctx))[0]


class Judged(Run):
    """What `iwax evaluate` takes: a run as others do, or the URL of a store as it is written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if "://" in str(value) else super().convert(value, param, ctx)


PLACE, FOLDER, JUDGED = Place(), Folder(), Judged()


def opened_place(place: Path | str) -> tuple[Path, Any]:
    """The folder in which to work, and the store that mirrors it, of which all but checkpoints is there; or None.

    Raises:
        IwaxError: the memory of this process, which is no place for what other processes or later commands read.
    """
    if isinstance(place, Path):
        return place, None
    from iwax.errors import IwaxError
    from iwax.sweeps import Mirror, working_folder

    if place.startswith("memory://"):
        raise IwaxError(
            f"Expected a store that outlives this command; got {place}, which is the memory of one process. Give a "
            "folder, or the URL of an object store."
        )
    store = Mirror(place, working_folder(place))
    store.fetch()
    return store.folder, store


@contextlib.contextmanager
def brought(places: Sequence[Path | str]) -> Iterator[list[Path]]:
    """Folders of runs with their checkpoints in place of URLs; what is new of their results is put back at the end."""
    opened = [opened_place(place) for place in places]
    for _, store in opened:
        if store is not None:
            store.fetch_runs()
    try:
        yield [folder for folder, _ in opened]
    finally:
        for _, store in opened:
            if store is not None:
                store.push_results()
