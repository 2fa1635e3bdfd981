"""A clock that jumps, in every Python process that has this folder on its path and a folder in IWAX_TORTURE_CLOCK.

The time of day is another at every look, by up to ten years in either direction; the clock for durations, which never
goes back, jumps ahead by up to an hour now and then, as where a machine slept; and the files of the folder get times
between 1970 and 2096, again and again, while the process works.
"""

import contextlib
import os
import random
import threading
import time

VARIABLE = "IWAX_TORTURE_CLOCK"
TEN_YEARS = 3e8


def arm(folder: str) -> None:
    """From now on, in this process."""
    rng, ahead, clock, since = random.Random(), [0.0], time.time, time.monotonic

    def jumping() -> float:
        return clock() + rng.uniform(-TEN_YEARS, TEN_YEARS)

    def leaping() -> float:
        if rng.random() < 0.001:
            ahead[0] += rng.uniform(0, 3600)
        return since() + ahead[0]

    def touch() -> None:
        while True:
            for place, _, names in os.walk(folder):
                for name in names:
                    with contextlib.suppress(OSError):  # it was renamed, or is gone
                        os.utime(os.path.join(place, name), (rng.uniform(0, 4e9), rng.uniform(0, 4e9)))
            time.sleep(0.02)

    time.time, time.monotonic = jumping, leaping
    threading.Thread(target=touch, daemon=True).start()


if os.environ.get(VARIABLE):
    arm(os.environ[VARIABLE])
