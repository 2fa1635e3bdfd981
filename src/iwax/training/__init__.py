"""Training: `fit`, its steps, recipes and optimisers, validation, several runs as one program. No files."""

from iwax.training.cohort import VARYING, Cohort, CohortState
from iwax.training.early import EarlyPart, with_fewer
from iwax.training.fit import FitResult, NonFiniteLossError, Trainer, fit
from iwax.training.muon import muon
from iwax.training.recipe import Recipe, Stages
from iwax.training.recipes import RECIPES, get_recipe
from iwax.training.selection import BY, Selection
from iwax.training.soap import soap
from iwax.training.steps import TrainState
from iwax.training.trainer import WarmUp
from iwax.training.updates import UPDATES, Alternating, Update, ascended, phases

__all__ = [
    "BY",
    "RECIPES",
    "UPDATES",
    "VARYING",
    "Alternating",
    "Cohort",
    "CohortState",
    "EarlyPart",
    "FitResult",
    "NonFiniteLossError",
    "Recipe",
    "Selection",
    "Stages",
    "TrainState",
    "Trainer",
    "Update",
    "WarmUp",
    "ascended",
    "fit",
    "get_recipe",
    "muon",
    "phases",
    "soap",
    "with_fewer",
]
