"""A run's folder of which every file is read once, however often it is asked for: for who takes much of it at once."""

from collections.abc import Callable
from functools import partial
from typing import Any

from iwax.runs.config import RunConfig
from iwax.runs.folder import RunFolder
from iwax.runs.stated import Stated

__all__ = ["StillFolder"]


class StillFolder(RunFolder):
    """What the files of a run held when they were first asked for; to be read only, as all who ask have the same."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder.path)
        self._held: dict[str, Any] = {}

    def _once(self, what: str, read: Callable[[], Any]) -> Any:
        if what not in self._held:
            self._held[what] = read()
        return self._held[what]

    def config(self) -> RunConfig:
        config: RunConfig = self._once("config", super().config)
        return config

    def json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._once(name, partial(super().json, name))
        return found

    def records(self, name: str, kind: Any = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._once(f"{name} {kind}", partial(super().records, name, kind))
        return found

    def checksums(self) -> set[str]:
        found: set[str] = self._once("checksums", super().checksums)
        return found

    def last_stated(self) -> Stated:
        found: Stated = self._once("stated", super().last_stated)
        return found
