"""Objectives: bounds on log p(x), each with its gradient estimators. One paper a file; `OBJECTIVES` is the one table."""

from iwax.objectives.elbo import ELBO
from iwax.objectives.iwae import IWAE
from iwax.objectives.objective import Coefficients, Objective, loss, per_example_loss
from iwax.objectives.rainforth import CIWAE, MIWAE, PIWAE

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "iwae": IWAE,
    "miwae": MIWAE,
    "ciwae": CIWAE,
    "piwae": PIWAE,
}
"""Command-line name -> class. A new objective is one file and one row here."""

__all__ = [
    "CIWAE",
    "ELBO",
    "IWAE",
    "MIWAE",
    "OBJECTIVES",
    "PIWAE",
    "Coefficients",
    "Objective",
    "loss",
    "per_example_loss",
]
