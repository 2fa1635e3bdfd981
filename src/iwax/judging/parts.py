"""An evaluation in parts, by processes that know nothing of each other, put together to the bits of a single one.

A part is a run of whole batches of test images. Random numbers are keyed by image, batches are cut as they would be in
one process, and sums over images are made once all are there: so it matters in nothing who computed what.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from iwax.errors import IwaxError
from iwax.files import dumps, write_whole
from iwax.judging.partial import partial_evaluation
from iwax.reading import Count, read_typed

__all__ = ["add_to_clock", "clock_of_parts", "finished_parts", "open_part", "part_of"]


class Clock(TypedDict):
    """What FIRST-LAST.clock says: how many images of the part were computed, and in how many seconds of one process."""

    images: Count
    seconds: float


def part_of(index: int, count: int, num_examples: int, batch: int) -> slice:
    """Part `index` of `count`, from 1: which examples, as many whole batches as the others have, or one more.

    >>> [part_of(index, 3, 70, 20) for index in (1, 2, 3)]
    [slice(0, 20, None), slice(20, 40, None), slice(40, 70, None)]
    """
    if not 1 <= index <= count:
        raise IwaxError(f"Expected a part to be from 1 to {count}; got {index}.")
    batches = -(-num_examples // batch)
    first, last = ((number * batches) // count for number in (index - 1, index))
    return slice(first * batch, min(last * batch, num_examples))


def open_part(folder: Path, part: slice, settings: dict[str, Any]) -> contextlib.AbstractContextManager[Any]:
    """The finished examples of a part, as `iwax.judging.partial.partial_evaluation` keeps those of an evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    own = settings | {"part": [part.start, part.stop]}
    return partial_evaluation(folder / f"{part.start}-{part.stop}.partial", own)


def finished_parts(folder: str | Path | None, settings: dict[str, Any], start: int) -> Iterator[dict[str, np.ndarray]]:
    """The values of the parts that are whole and of these settings, in order from example `start`, without a gap."""
    if folder is None:
        return
    folder = Path(folder)
    names = [re.fullmatch(r"(\d+)-(\d+)\.partial", path.name) for path in folder.glob("*.partial")]
    for begin, end in sorted((int(name[1]), int(name[2])) for name in names if name):
        if begin == start:
            with open_part(folder, slice(begin, end), settings) as found:
                if len(found) != end - begin:
                    return
                yield found.values
            start = end


def add_to_clock(folder: Path, part: slice, images: int, seconds: float) -> None:
    """Note that so many images of a part were computed, and how long that took, beside what was noted before."""
    path = folder / f"{part.start}-{part.stop}.clock"
    before = _clock(path)
    write_whole(path, dumps({"images": before["images"] + images, "seconds": before["seconds"] + seconds}))


def clock_of_parts(folder: Path) -> tuple[int, float]:
    """How many images the processes of all parts computed, and the sum of their seconds."""
    clocks = [_clock(path) for path in folder.glob("*.clock")]
    return sum(clock["images"] for clock in clocks), sum(clock["seconds"] for clock in clocks)


def _clock(path: Path) -> Clock:
    """What a file says; nothing where there is none, or no whole one, as it decides nothing but a speed."""
    with contextlib.suppress(IwaxError):
        found: Clock = read_typed(path, Clock)
        return found
    return {"images": Count(0), "seconds": 0.0}
