"""Objectives: bounds on log p(x) with their gradient estimators. One paper a file; `OBJECTIVES` is the one table."""

from iwax.objectives.catalog import ObjectiveInfo, describe
from iwax.objectives.elbo import ELBO
from iwax.objectives.iwae import IWAE
from iwax.objectives.jackknife import JVI
from iwax.objectives.objective import Coefficients, Objective, loss, per_example_loss
from iwax.objectives.rainforth import CIWAE, MIWAE, PIWAE
from iwax.objectives.renyi import VRIWAE

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "iwae": IWAE,
    "miwae": MIWAE,
    "ciwae": CIWAE,
    "piwae": PIWAE,
    "vr-iwae": VRIWAE,
    "jvi": JVI,
}
"""Command-line name -> class. A new objective is one file and one row here."""

__all__ = [
    "CIWAE",
    "ELBO",
    "IWAE",
    "JVI",
    "MIWAE",
    "OBJECTIVES",
    "PIWAE",
    "VRIWAE",
    "Coefficients",
    "Objective",
    "ObjectiveInfo",
    "describe",
    "loss",
    "per_example_loss",
]
