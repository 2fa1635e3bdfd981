"""Objectives: bounds on log p(x) with their gradient estimators. One paper a file; `OBJECTIVES` is the one table."""

from iwax.checks import Named
from iwax.objectives.abstract import check_objective, has_equal_coefficients
from iwax.objectives.aisle import AISLE
from iwax.objectives.autodiff import value_with_gradient_of, weighted_sum
from iwax.objectives.catalog import ObjectiveInfo, describe
from iwax.objectives.coefficients import Coefficients
from iwax.objectives.elbo import ELBO, AnalyticELBO
from iwax.objectives.gdreg import GDReG
from iwax.objectives.iwae import IWAE
from iwax.objectives.jackknife import JVI
from iwax.objectives.loss import as_differentiable_as, in_training, loss, per_example_loss
from iwax.objectives.objective import PATH_ONLY, REPARAMETERIZED, SCORE_FUNCTION, AbstractObjective, Objective
from iwax.objectives.options import Option, every_option, options
from iwax.objectives.rainforth import CIWAE, MIWAE, PIWAE
from iwax.objectives.renyi import VRIWAE
from iwax.objectives.score_function import OVIS, VIMCO
from iwax.objectives.tempering import check_kl_weight
from iwax.objectives.thermodynamic import TVO
from iwax.objectives.wake_sleep import RWS

OBJECTIVES: Named[type[AbstractObjective]] = Named()
OBJECTIVES |= {
    "elbo": ELBO,
    "iwae": IWAE,
    "miwae": MIWAE,
    "ciwae": CIWAE,
    "piwae": PIWAE,
    "vr-iwae": VRIWAE,
    "jvi": JVI,
    "rws": RWS,
    "aisle": AISLE,
    "vimco": VIMCO,
    "ovis": OVIS,
    "tvo": TVO,
    "elbo-analytic": AnalyticELBO,
    "gdreg": GDReG,
}
"""Command-line name -> class. A new objective is one file and one row here."""

__all__ = [
    "AISLE",
    "CIWAE",
    "ELBO",
    "IWAE",
    "JVI",
    "MIWAE",
    "OBJECTIVES",
    "OVIS",
    "PATH_ONLY",
    "PIWAE",
    "REPARAMETERIZED",
    "RWS",
    "SCORE_FUNCTION",
    "TVO",
    "VIMCO",
    "VRIWAE",
    "AbstractObjective",
    "AnalyticELBO",
    "Coefficients",
    "GDReG",
    "Objective",
    "ObjectiveInfo",
    "Option",
    "as_differentiable_as",
    "check_kl_weight",
    "check_objective",
    "describe",
    "every_option",
    "has_equal_coefficients",
    "in_training",
    "loss",
    "options",
    "per_example_loss",
    "value_with_gradient_of",
    "weighted_sum",
]
