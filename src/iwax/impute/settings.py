"""How a table's model is built and trained: options, and what follows from the number of rows."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from iwax.checks import check_positive_integer, is_number
from iwax.errors import IwaxError, IwaxTypeError
from iwax.impute.columns import CODED
from iwax.training import Recipe

__all__ = ["Settings"]

STEPS, FEW_STEPS = 12_000, 4000  # of training, where the number of epochs is left out: at least
LEAST_EPOCHS = 50
SMALL = 1000  # rows, below which steps visit each so often that the model learns them by heart
ROWS_A_COLUMN = 100  # below which spreads are not learned as functions of z
LEAST_JUDGED = 10  # rows
JUDGE_EVERY = 50  # steps
PATIENCE = 10  # judgements


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a table's model is built and trained.

    Attributes:
        kinds: of columns, for all of them or by name; those left out are inferred (`iwax.impute.KINDS`).
        missingness: "ignorable", or how values come to be missing because of what they are; see `TableModel`.
        latent_size: of z.
        hidden_sizes: widths of the hidden layers of both networks.
        constant_spreads: see `TableModel`; if left out, so below 1,000 rows and below 100 rows for each column.
        train_samples: K of the bound that is maximised, IWAE-K of what is observed. If left out 5, and 20 where missing
            values are drawn with z, as they are if `missingness` is not "ignorable".
        epochs: passes over the table. If left out, at least 50, and 12,000 steps; 4,000 below 1,000 rows, and with
            `missingness`, where a step has four times the samples.
        validation: part of the rows that a first training does not see, by whose log p it is found after how many
            epochs to stop; a second one on all rows learns as long. 0: none, all rows are trained on for all epochs. If
            left out, 0.1 where the table has fewer than 1,000 rows and `epochs` is left out, too.
        batch_size: rows in a step, cut down to the table's.
        learning_rate: of Adam, at its highest; it falls to zero along half a cosine.
    """

    kinds: str | Mapping[str, str] | None = None
    missingness: str = "ignorable"
    latent_size: int = 10
    hidden_sizes: Sequence[int] = (128, 128)
    constant_spreads: bool | None = None
    train_samples: int | None = None
    epochs: int | None = None
    validation: float | None = None
    batch_size: int = 64
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("latent_size", "train_samples", "batch_size", "epochs"):
            if getattr(self, name) is not None:
                check_positive_integer(name, getattr(self, name))
        if not isinstance(self.kinds, str | Mapping | None):
            raise IwaxTypeError(
                f"Expected kinds to be one kind for all columns, or kinds by name, such as {{'age': 'count'}}; got "
                f"{self.kinds!r}."
            )
        if not hasattr(self.hidden_sizes, "__len__") or isinstance(self.hidden_sizes, str):
            raise IwaxTypeError(
                f"Expected hidden_sizes to be the widths of layers, such as (128, 128); got {self.hidden_sizes!r}."
            )
        for size in self.hidden_sizes:
            check_positive_integer("each of hidden_sizes", size)
        if self.constant_spreads not in (None, True, False):
            raise IwaxError(f"Expected constant_spreads to be True, False or None; got {self.constant_spreads!r}.")
        if self.validation is not None and not (is_number(self.validation) and 0 <= self.validation < 1):
            raise IwaxError(f"Expected validation to be at least 0 and below 1; got {self.validation!r}.")
        if not (is_number(self.learning_rate) and 0 < self.learning_rate < math.inf):
            raise IwaxError(f"Expected learning_rate to be positive; got {self.learning_rate!r}.")

    @property
    def coded(self) -> list[str]:
        """The columns that are said to hold categories."""
        kinds = self.kinds if isinstance(self.kinds, Mapping) else {}
        return [name for name, kind in kinds.items() if kind in CODED]

    @property
    def num_samples(self) -> int:
        """K in training."""
        return self.train_samples or (5 if self.missingness == "ignorable" else 20)

    def has_constant_spreads(self, rows: int, columns: int) -> bool:
        """Whether the model of a table of that size has them."""
        is_small = rows < max(SMALL, ROWS_A_COLUMN * columns)
        return is_small if self.constant_spreads is None else self.constant_spreads

    def judged(self, rows: int) -> int:
        """How many of so many rows are held out to choose the epoch; at least 10, or none if 10 is half of them."""
        is_small = rows < SMALL and self.epochs is None
        part = (0.1 if is_small else 0.0) if self.validation is None else self.validation
        count = max(LEAST_JUDGED, round(part * rows))
        return count if part and 2 * count < rows else 0

    def epochs_of(self, rows: int) -> int:
        """Passes over a table of so many rows."""
        steps = STEPS if rows >= SMALL and self.missingness == "ignorable" else FEW_STEPS
        return self.epochs or max(LEAST_EPOCHS, -(-steps // self._steps(rows)))

    def epochs_on_all(self, rows: int, best: int) -> int:
        """Passes of the training on all rows, where rows held out found the epoch `best` to be the best.

        The rate has hardly fallen there, and here it falls to zero, which is as good as a larger batch at the end. So
        many passes have the same sum of rates: twice as many if `best` is early.
        """
        planned = self.epochs_of(rows)
        return round(best + planned * math.sin(math.pi * best / planned) / math.pi)

    def training(self, rows: int) -> dict[str, Any]:
        """The options of `iwax.fit` for a table of so many rows."""
        if not (judged := self.judged(rows)):
            recipe = self.recipe(rows, self.epochs_of(rows))
            return {"recipe": recipe, "batch_size": recipe.batch_size}
        every = max(1, JUDGE_EVERY // self._steps(rows))
        recipe = self.recipe(rows - judged, self.epochs_of(rows))
        judging = {"validation": judged, "keep": "best", "eval_every": every, "patience": PATIENCE}
        return {"recipe": recipe, "batch_size": recipe.batch_size, **judging}

    def recipe(self, trained: int, epochs: int) -> Recipe:
        """How so many rows are trained on."""
        return Recipe(
            name="impute",
            source="This project's own, docs/imputation.md.",
            batch_size=min(self.batch_size, trained),
            stages=((self.learning_rate, epochs),),
            decay="cosine",
            warm_up=0.02,
            clip=5.0,
            parts=1,
        )

    def _steps(self, rows: int) -> int:
        """Of an epoch."""
        trained = rows - self.judged(rows)
        return max(1, trained // min(self.batch_size, trained))
