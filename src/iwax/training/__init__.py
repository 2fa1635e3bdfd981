"""Training: `fit`, its steps, recipes and optimisers, several runs as one program. No files, no evaluation."""

from iwax.training.cohort import VARYING, Cohort, CohortState
from iwax.training.fit import FitResult, NonFiniteLossError, Trainer, fit
from iwax.training.recipe import Protocol, Stages
from iwax.training.recipes import PROTOCOLS, get_protocol
from iwax.training.soap import soap
from iwax.training.steps import TrainState
from iwax.training.updates import UPDATES, Alternating, Update, phases

__all__ = [
    "PROTOCOLS",
    "UPDATES",
    "VARYING",
    "Alternating",
    "Cohort",
    "CohortState",
    "FitResult",
    "NonFiniteLossError",
    "Protocol",
    "Stages",
    "TrainState",
    "Trainer",
    "Update",
    "fit",
    "get_protocol",
    "phases",
    "soap",
]
