"""One process at a time: a lock on an open file. It ends with the process that holds it, however that ends."""

import time
from typing import IO

from filelock import lock_descriptor, unlock_descriptor

from iwax.errors import IwaxError

__all__ = ["BusyError", "is_free", "try_lock"]

PATIENCE = 0.3  # seconds; who only asks whether a lock is free holds it for microseconds
PAUSE = 0.01


class BusyError(IwaxError):
    """Another process works on the same thing."""


def try_lock(file: IO, patience: float = PATIENCE) -> bool:
    """Whether the lock on an open file was free; then it is held until the file is closed.

    Arguments:
        file: of any mode; its content does not matter.
        patience: seconds for which to try again, so that somebody's `is_free` is not taken for work.
    """
    deadline = time.monotonic() + patience
    while not lock_descriptor(file.fileno(), blocking=False):
        if time.monotonic() >= deadline:
            return False
        time.sleep(PAUSE)
    return True


def is_free(file: IO) -> bool:
    """Whether nobody holds the lock on an open file, which is taken for an instant to find out."""
    free = try_lock(file, 3 * PAUSE)  # longer than the instant of another that asks
    if free:
        unlock_descriptor(file.fileno())
    return free
