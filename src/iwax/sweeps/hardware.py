"""The cores and GPUs of this machine, found without JAX, and claimed so that no two tasks of a user have the same one.

A claim is a file that its process holds locked, so that it ends with the process, however that ends.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from iwax.errors import IwaxError
from iwax.runs import BusyError, try_lock

__all__ = ["available_cores", "device", "pinned", "visible_gpus"]


def visible_gpus() -> tuple[str, ...]:
    """The NVIDIA GPUs that CUDA would show, as CUDA_VISIBLE_DEVICES names them; found without JAX, which takes memory.

    There are none where JAX_PLATFORMS leaves them out.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return ()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name for name in named.split(",") if name)
    found = [match[1] for path in Path("/dev").glob("nvidia*") if (match := re.fullmatch(r"nvidia(\d+)", path.name))]
    return tuple(sorted(found, key=int))


def available_cores() -> int:
    """How many cores this process may use (`iwax.runs.cores`, without JAX)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def pinned(count: int) -> Iterator[None]:
    """While inside, this process runs on `count` cores, which no other task of this user is pinned to, if it can be.

    Where more tasks run than there are cores, they share them; each still has `count`.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    available = sorted(os.sched_getaffinity(0))
    if count > len(available):
        raise IwaxError(f"Expected cores to be at most {len(available)}, all that this process may use; got {count}.")
    with contextlib.ExitStack() as stack:
        claimed: list[int] = []
        for core in available:
            if len(claimed) < count and (claim := _claim(f"core-{core}")) is not None:
                stack.enter_context(claim)
                claimed.append(core)
        others = [core for core in available if core not in claimed]
        start = os.getpid() % max(1, len(others))
        shared = [*others[start:], *others[:start]][: count - len(claimed)]
        os.sched_setaffinity(0, {*claimed, *shared})
        yield


@contextlib.contextmanager
def device(devices: Sequence[str], share: float) -> Iterator[str]:
    """While inside, a GPU, or a share of one, that no other task of this user has: its name.

    Raises:
        BusyError: they are all taken.
    """
    for device in devices:
        for part in range(max(1, int(1 / share))):
            if (claim := _claim(f"gpu-{device}-{part}")) is not None:
                with claim:
                    yield device
                return
    raise BusyError(f"Expected one of the GPUs {', '.join(devices)} to be free; all are taken. Wait for one.")


def _claim(name: str) -> IO[str] | None:
    """A file that this process holds locked until it closes it; None if another has it."""
    folder = Path(tempfile.gettempdir()) / f"iwax-claims-{os.getuid() if hasattr(os, 'getuid') else 'all'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = open(folder / name, "w")  # noqa: SIM115 (closed by whoever claims)
    if try_lock(file, 0.0):
        return file
    file.close()
    return None
