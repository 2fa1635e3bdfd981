"""How far something long is, as every `on_progress` is told it. No JAX here."""

import dataclasses
from collections.abc import Mapping

__all__ = ["Progress"]


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where training, an evaluation or a study is.

    Attributes:
        step, total_steps: how much is done, of how much; in steps of training, images, or what else counts.
        note: the same in words, with what else is worth seeing now.
        numbers: what the note says of training: runs; epoch and epochs; bound of the latest step in nats; samples of
            that bound, where there are fewer early in a run; seconds, in all sessions; rate, in steps per second. Of
            several runs at once, steps, epochs and rates are of all of them, and the bound is their mean.
    """

    step: int
    total_steps: int
    note: str
    numbers: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
