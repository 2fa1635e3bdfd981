"""A study as a list of points, each measured once: finished ones are kept as JSON lines, and a rerun skips them."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from iwax.files import dumps, make_folder
from iwax.progress import Progress
from iwax.runs import RunFolder

__all__ = ["POINTS", "Point", "measure_points"]

POINTS = "points.jsonl"
HEARS_SECONDS = 0.1
"""After which a thread that waits for others looks for signals, which the system may give to any."""
Point = dict[str, Any]
"""All that decides a measurement, as a JSON object."""


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
    kept = [(record["point"], record) for record in folder.records(POINTS)]
    folder.write(POINTS, (out / POINTS).read_bytes().rpartition(b"\n")[0] + b"\n" if kept else b"")  # no torn last line
    lock, done, total = threading.Lock(), [], sum(map(cost, points))

    def record_of(point: Point) -> dict[str, Any]:
        record = next((record for other, record in kept if other == point), None)
        if record is None:
            begin = time.monotonic()
            record = {"point": point, **measure(point), "seconds": round(time.monotonic() - begin, 1)}
            record = json.loads(dumps(record))  # as a rerun will read it: what is not finite is None
            with lock:
                folder.append(POINTS, record)
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
