"""What a run chooses by its validation images: the epoch whose checkpoint is kept, and when to stop.

All of it is read from the records, so that a run that is interrupted and gone on with chooses as an undisturbed one.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp

from iwax.runs.checkpoint import read_checkpoint
from iwax.runs.config import RunConfig
from iwax.runs.folder import BEST, ENVIRONMENT, EVALUATIONS, RunFolder
from iwax.runs.kinds import selected_of
from iwax.training import BY, Selection, TrainState

__all__ = ["Choice"]

NUMBER = "iwae_64"  # of a record along training


@dataclasses.dataclass(frozen=True)
class Choice:
    """The choice of one run, as its records have it so far."""

    folder: RunFolder
    config: RunConfig

    @property
    def is_kept(self) -> bool:
        """Whether the best checkpoint is kept beside the last."""
        return self.config.keep == "best"

    @property
    def selection(self) -> Selection:
        """The best epoch on the validation images, and how long ago it was."""
        extensions = self.folder.json(ENVIRONMENT).get("extensions", [])
        extended = extensions[-1]["epoch"] if extensions else 0
        return Selection.of(self.folder.records(EVALUATIONS), NUMBER, extended)

    @property
    def has_run_out(self) -> bool:
        """Whether training stops early."""
        return self.config.patience is not None and self.selection.has_run_out(self.config.patience)

    def status(self) -> dict[str, Any]:
        """What status.json says of it: the best epoch and by what, and whether training stopped early."""
        if self.config.validation is None or not (selection := self.selection).epoch:
            return {}
        early = {"stopped_early": self.config.patience} if self.has_run_out else {}
        return {"best": self._words(selection), **early}

    def save(self, state: TrainState) -> None:
        """Keep what is judged of `state`, whose epoch is the best so far."""
        parameters = dataclasses.replace(state, opt_state=(), bounds=jnp.zeros(0))
        self.folder.save_best(parameters, self._words(self.selection))

    def complete(self, state: TrainState, epoch: int) -> None:
        """Keep it if a crash came between the last checkpoint and the best one of the same epoch."""
        if not self.is_kept or not epoch or self.selection.epoch != epoch:
            return
        path = self.folder.path / BEST
        if not path.exists() or selected_of(read_checkpoint(path).notes, path).get("epoch") != epoch:
            self.save(state)

    def _words(self, selection: Selection) -> dict[str, Any]:
        held_out = self.folder.json(ENVIRONMENT).get("validation", {})
        by = f"{BY} of {held_out.get('judged', '')} validation images".replace("  ", " ")
        return {"epoch": selection.epoch, "value": selection.value, "by": by}
