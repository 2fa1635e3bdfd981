"""A study as a list of points, each measured once: finished ones are kept as JSON lines, and a rerun skips them.

Each line holds the checksum of what else is in it, so that what was damaged is measured again, and never shown.
"""

import functools
import json
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Required, TypedDict

from iwax.files import dumps, make_folder
from iwax.progress import Progress
from iwax.reading import Count
from iwax.runs import RunFolder, locked

__all__ = ["POINTS", "Point", "measure_points", "measured_points"]

POINTS, LOCK = "points.jsonl", ".points.lock"
PATIENCE = 60.0
"""Seconds that a line waits for those of other processes, which measure points of the same folder."""
HEARS_SECONDS = 0.1
"""After which a thread that waits for others looks for signals, which the system may give to any."""
Point = dict[str, Any]
"""All that decides a measurement, as a JSON object."""


class Kept(TypedDict, total=False):
    """A line of points.jsonl, beside what was measured; those of earlier versions have no checksum."""

    point: Required[Point]
    checksum: Count


def measured_points(folder: Path) -> list[dict[str, Any]]:
    """What a folder holds of points that were measured; [] where that is nothing. Damaged lines are left out.

    Raises:
        ValueError: one is no such line at all.
    """
    kept = [dict(record) for record in RunFolder(folder).records(POINTS, Kept)]
    pairs = [(record, record.pop("checksum", None)) for record in kept]
    return [record for record, checksum in pairs if checksum in (None, _checksum(record))]


def _checksum(record: dict[str, Any]) -> int:
    return zlib.crc32(dumps(record).encode())


def _line(record: dict[str, Any]) -> str:
    return dumps(record | {"checksum": _checksum(record)}) + "\n"


def measure_points(
    out: Path,
    points: Sequence[Point],
    measure: Callable[[Point], dict[str, Any]],
    *,
    cost: Callable[[Point], int] = lambda point: 1,
    on_progress: Callable[[Progress], None] | None = None,
    workers: int = 1,
) -> list[dict[str, Any]]:
    """What `measure` says of every point, in their order, from out/points.jsonl where it is there already.

    Arguments:
        out: a folder, made if need be.
        points: what to measure.
        measure: from a point to a JSON object.
        cost: of a point, for the progress bar.
        on_progress: called after each point.
        workers: threads that measure at once; more than one where a measurement keeps one core busy only.
    """
    make_folder(out)
    folder = RunFolder(out)
    busy = (
        f"Expected {out / POINTS} to be written by one process at a time; another has been at it for long. Try again."
    )
    alone = functools.partial(locked, out / LOCK, busy, PATIENCE)
    with alone():
        kept = [(record["point"], record) for record in measured_points(out)]
        folder.write(POINTS, "".join(_line(record) for _, record in kept))  # without a damaged or half-written one
    lock, done, total = threading.Lock(), [], sum(map(cost, points))

    def record_of(point: Point) -> dict[str, Any]:
        record = next((record for other, record in kept if other == point), None)
        if record is None:
            begin = time.monotonic()
            record = {"point": point, **measure(point), "seconds": round(time.monotonic() - begin, 1)}
            record = json.loads(dumps(record))  # as a rerun will read it: what is not finite is None
            with alone():
                folder.append(POINTS, record | {"checksum": _checksum(record)})
        with lock:
            done.append(cost(point))
            if on_progress is not None:
                on_progress(Progress(sum(done), total, f"{len(done)}/{len(points)} points"))
        return record

    pool = ThreadPoolExecutor(workers)
    try:
        return [_heard(future) for future in [pool.submit(record_of, point) for point in points]]
    finally:
        pool.shutdown(cancel_futures=True)  # an interruption waits for what is being measured, and starts no more


def _heard(future: Future[dict[str, Any]]) -> dict[str, Any]:
    """What is measured in another thread; a signal is answered meanwhile."""
    while not wait([future], HEARS_SECONDS).done:
        pass
    return future.result()
