"""What an executor is: something that runs tasks as processes somewhere, and says how each of them ended.

An executor decides nothing: not what is left to do, not what is tried again. It keeps no state that matters, so that
losing it, or a machine of its, loses no more than the time since a run's last checkpoint.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

__all__ = ["BUSY", "Ended", "Executor", "Task", "first_sentence"]

BUSY = 75  # exit status of a task that found its lease held: somebody else is working on it (EX_TEMPFAIL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """`iwax ARGUMENTS` as a process of its own; it starts, or goes on exactly with, what it works on.

    Paths only, no arrays: a task is some hundred bytes on its way to another machine.

    Attributes:
        name: by which it is reported.
        arguments: of the command line.
        log: the file to which all it says is added.
        lease: the file of its lease (`iwax.sweeps.lease`); None for a task that anybody may do at any time.
        timeout: seconds after which another machine may take the lease.
        cores: how many it is pinned to. Sums are divided among them, so that their number is part of the last bits.
        gpus: how many GPUs it needs; a fraction for a share of one.
        devices: GPUs of this machine of which it takes a free one; empty where the executor hands them out.
        environment: variables set before anything is imported.
    """

    name: str
    arguments: tuple[str, ...]
    log: str
    lease: str | None = None
    timeout: float = 120.0
    cores: int = 1
    gpus: float = 0.0
    devices: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A task that ended: its exit status (minus a signal's number for one that was killed), None if it was lost."""

    task: Task
    status: int | None
    note: str = ""


def first_sentence(error: BaseException) -> str:
    """What an engine's error says, in one line, without its advice, which is about the engine and may be long.

    >>> first_sentence(RuntimeError("The node\\nis dead. To see its logs, use a command."))
    'The node is dead'
    """
    return " ".join(str(error).split()).partition(". ")[0].rstrip(".")


class Executor(Protocol):
    """Where tasks run. As a context it is there to be used inside, and is closed at the end."""

    slots: int | None
    """How many tasks run at a time; None for an engine with a queue, which takes all there are."""

    def start(self, tasks: Sequence[Task]) -> None:
        """Start tasks, or queue them; returns at once."""

    def wait(self, seconds: float) -> list[Ended]:
        """The tasks that have ended since the last call, after at most so many seconds."""

    def stop(self) -> None:
        """Interrupt what runs, so that it writes its checkpoint, and drop what is queued.

        Waits for the checkpoints where the engine tells of them. Where it does not, as Slurm, the same command finds
        their leases held, and waits for those.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: Any) -> None: ...
