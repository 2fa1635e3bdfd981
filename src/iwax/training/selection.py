"""Which epoch of a run is the best by its validation examples, and whether it has stopped to improve."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["BY", "Selection"]

BY = "IWAE-64"
"""What models are selected by: the bound of 64 samples, in nats, as a mean over validation examples."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """The best judgement so far, and how many have come since.

    Attributes:
        epoch: of the best judgement; 0 before there is one.
        value: its IWAE-64 in nats.
        since: judgements after it, or after training was extended.

    >>> selection = Selection().after(1, -90.0).after(2, -88.0).after(3, -89.0)
    >>> selection.epoch, selection.since, selection.has_run_out(1)
    (2, 1, True)
    """

    epoch: int = 0
    value: float = -math.inf
    since: int = 0

    def after(self, epoch: int, value: float | None) -> "Selection":
        """The same with one more judgement; what is not finite (None) is never better. Of equals the first is best."""
        if value is not None and value > self.value:
            return Selection(epoch, value)
        return dataclasses.replace(self, since=self.since + 1)

    def has_run_out(self, patience: int | None) -> bool:
        """Whether so many judgements in a row were no better than the best before them."""
        return patience is not None and self.since >= patience

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]], name: str, extended: int = 0) -> "Selection":
        """The selection of records, by what they hold under `name`; those without it were not judged.

        Arguments:
            extended: the epoch up to which training was planned at first; patience begins afresh there.
        """
        selection = cls()
        for record in records:
            if name not in record:
                continue
            if extended and record["epoch"] > extended:
                selection, extended = dataclasses.replace(selection, since=0), 0
            selection = selection.after(record["epoch"], record[name])
        return dataclasses.replace(selection, since=0) if extended else selection
