"""The speed run: recipes tried, and what became of them, in search of the published quality at a tenth of its cost.

Every attempt trains the same model with the same objective, ELBO(1), on MNIST; its record is made at the scale "trial".
"""

from typing import Any

from iwax.config import RunConfig
from iwax.experiments.study import Cell, Study, Table

__all__ = ["STUDY", "TRIED"]

SOAP: dict[str, Any] = {"protocol": "burda-paper", "algorithm": "soap", "beta1": 0.95, "beta2": 0.95, "epsilon": 1e-8}
SOAP |= {"decay": "cosine", "warm_up": 0.02, "batch_size": 250}
PUBLISHED: dict[str, Any] = {"protocol": "burda-paper", "batch_size": 100}


def _attempt(idea: str, **recipe: Any) -> Cell:
    return Cell(idea, "NLL", RunConfig(objective="elbo", num_samples=1, **recipe), "nll")


ATTEMPTS = (_attempt("the published recipe, its schedule at 0.03 of its length", **PUBLISHED, schedule_scale=0.03),)

TRIED: tuple[tuple[str, str, str], ...] = ()
"""(date, idea, what came of it): what was tried in scratch code only and never became an option, so has no record."""

STUDY = Study(
    name="speedrun",
    title="The quality of the published recipe at a tenth of its arithmetic",
    source="docs/speedrun.md",
    tables=(Table("attempts", "Recipes tried: negative log-likelihood of the first 1,000 test images", ATTEMPTS),),
    keeps_recipe=True,
)
