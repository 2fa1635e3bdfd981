"""What was missing in a table, in its own values, and whether to believe it."""

import dataclasses
from typing import Any

import numpy as np

__all__ = ["TableImputation"]


@dataclasses.dataclass(frozen=True)
class TableImputation:
    """What was missing in a table, in its own values; lists have one array for each column.

    Attributes:
        names: of the columns.
        completed: what was observed, and in place of what was not the mean given the observed values of the row (for
            counts rounded, for "binary" and "categorical" the most probable value), (rows,) each; the median of the
            draws where the mean of a "positive" column is above all of them, or no number that a float holds.
        mc_error: standard error of those means from the finite number of samples, (rows,); NaN where observed, infinite
            where a median stands. For "binary" and "categorical" that of the probability of the value.
        lower, upper: quantiles of what is missing given what is observed, (rows,); the value where observed.
        multiple: as many completed tables as were asked for, each with the missing values drawn.
        log_likelihood: log p(x_obs) of each row in nats, a density of the values themselves, (rows,).
        ess: effective samples of each row.
        khat: Pareto k-hat of each row: above 0.7 what is said of the row rests on a few samples.
    """

    names: tuple[str, ...]
    completed: list[np.ndarray]
    mc_error: list[np.ndarray]
    lower: list[np.ndarray]
    upper: list[np.ndarray]
    multiple: list[list[np.ndarray]]
    log_likelihood: np.ndarray
    ess: np.ndarray
    khat: np.ndarray
    incomplete: np.ndarray
    """Which rows miss a value."""

    @property
    def advice(self) -> str | None:
        """What to do where weights are bad or means rest on tails; None where neither is so."""
        return " ".join(said for said in (self._of_weights, self.of_tails) if said) or None

    @property
    def of_tails(self) -> str | None:
        """Which columns have medians in place of means, and what to do; None if none has."""
        medians = {name: int(np.isinf(error).sum()) for name, error in zip(self.names, self.mc_error, strict=True)}
        if not (found := ", ".join(f"{count:,} of {name!r}" for name, count in medians.items() if count)):
            return None
        return (
            f"Medians stand in place of means that rest on a tail which no draw reaches, for missing values by column: "
            f"{found}. Choose another kind, such as 'continuous', or Imputer(constant_spreads=True)."
        )

    @property
    def _of_weights(self) -> str | None:
        with np.errstate(invalid="ignore"):
            bad = np.mean(self.khat[self.incomplete] > 0.7) if self.incomplete.any() else 0.0
        if not bad > 0:
            return None
        return (
            f"Pareto k-hat is above 0.7 for {bad:.1%} of the rows with missing values: there imputations and their "
            "errors rest on a few samples. Draw more samples, or train longer for a closer q(z | x)."
        )

    @classmethod
    def joined(cls, parts: list["TableImputation"]) -> "TableImputation":
        """Those of several batches of rows, in their order."""

        def joined(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            if name == "names":
                return values[0]
            if name == "multiple":
                return [[np.concatenate(c) for c in zip(*tables, strict=True)] for tables in zip(*values, strict=True)]
            if isinstance(values[0], list):
                return [np.concatenate(column) for column in zip(*values, strict=True)]
            return np.concatenate(values)

        return cls(**{field.name: joined(field.name) for field in dataclasses.fields(cls)})
