"""The checkpoints in a run's folder: which of them is the last, the best, the one that is judged."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from iwax.checks import check_choice
from iwax.errors import IwaxError
from iwax.runs.contents import BEST, CHECKPOINT, NEW, PREVIOUS
from iwax.runs.stated import Stated, read_stated, stated_checksum

if TYPE_CHECKING:  # what only looks at folders does not wait for JAX
    from iwax.runs.checkpoint import Checkpoint

__all__ = ["CheckpointFiles"]

Kind = TypeVar("Kind")


class CheckpointFiles:
    """Reads the checkpoints in the folder `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def checksums(self) -> set[str]:
        """Those that the last checkpoint, and the best one, say they have; their arrays are not read."""
        stated = {name: stated_checksum(self.path / name) for name in (BEST, NEW, CHECKPOINT, PREVIOUS)}
        last = next((stated[name] for name in (NEW, CHECKPOINT, PREVIOUS) if stated[name] is not None), None)
        return {checksum for checksum in (last, stated[BEST]) if checksum is not None}

    def to_judge(self, which: str | None = None) -> "Checkpoint":
        """The checkpoint that is judged: "best" or "last"; if left out the best, where the run keeps it.

        Raises:
            ValueError: there is none.
        """
        from iwax.runs.checkpoint import read_checkpoint

        check_choice("checkpoint", which or "best", ("best", "last"))
        there = (self.path / BEST).exists()
        if which == "best" and not there:
            raise IwaxError(
                f"Expected a best checkpoint in {self.path}; it keeps none so far. Judge the last one, or train with "
                "--validation 0.1 --keep best."
            )
        return read_checkpoint(self.path / BEST) if there and which != "last" else self.last_checkpoint()

    def checkpoints(self, problems: list[str] | None = None, *, best: bool = False) -> Iterator["Checkpoint"]:
        """The good checkpoints, newest first, then the `best`; what is wrong with others goes into `problems`."""
        from iwax.runs.checkpoint import read_checkpoint

        for name in (NEW, CHECKPOINT, PREVIOUS, *([BEST] if best else [])):
            if (self.path / name).exists():
                try:
                    yield read_checkpoint(self.path / name)
                except IwaxError as error:
                    if problems is not None:
                        problems.append(str(error))

    def checkpoint(self) -> "Checkpoint":
        """The last good checkpoint.

        Raises:
            ValueError: there is none.
        """
        problems: list[str] = []
        for checkpoint in self.checkpoints(problems):
            return checkpoint
        raise IwaxError(" ".join(problems) or f"Expected a checkpoint in {self.path}; there is none. Train it first.")

    def last_checkpoint(self) -> "Checkpoint":
        """The last checkpoint, and no other in its place: the one before it is that of another, less trained model.

        Raises:
            ValueError: there is none, or it is damaged.
        """
        from iwax.runs.checkpoint import read_checkpoint

        return self._last(read_checkpoint)

    def last_stated(self) -> Stated:
        """What the last checkpoint says it holds; its arrays are not read, whose numbers may be damaged.

        Raises:
            ValueError: there is none, or it is cut off.
        """
        return self._last(read_stated)

    def _last(self, read: Callable[[Path], Kind], again: bool = True) -> Kind:
        """What `read` says of the last checkpoint; on failure once more, as training may just have renamed it."""
        path = self.path / (NEW if (self.path / NEW).exists() else CHECKPOINT)
        try:
            return read(path)
        except (IwaxError, FileNotFoundError) as error:
            if again:
                return self._last(read, again=False)
            more = " `iwax train --resume` goes on from the one before." if (self.path / PREVIOUS).exists() else ""
            if not path.exists():
                raise IwaxError(
                    f"Expected a checkpoint in {self.path}, {CHECKPOINT}; there is none.{more or ' Train it first.'}"
                ) from error
            raise IwaxError(f"{error}{more}") from error
