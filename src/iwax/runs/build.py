"""What a configuration names: its objective, its recipe, and what a step updates; `iwax.runs.resolution` calls it."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

from iwax.checks import check_choice
from iwax.errors import IwaxError
from iwax.objectives import IWAE, MIWAE, OBJECTIVES, PIWAE, REPARAMETERIZED, AbstractObjective
from iwax.runs.config import OBJECTIVE_FIELDS, RunConfig
from iwax.training import RECIPES, UPDATES, Alternating, Recipe, Stages, Update, with_fewer

__all__ = ["as_long_as", "build_objective", "build_update", "published_recipe", "with_early", "with_overrides"]

RECIPE_FIELDS = tuple(
    field.name
    for field in dataclasses.fields(Recipe)
    if field.name not in ("name", "source", "by_dataset", "by_model", "gradient")
)


def build_objective(config: RunConfig) -> AbstractObjective:
    """The objective that a configuration names, with its recipe's estimator of the gradient if it names none.

    Raises:
        ValueError: an unknown name, an option that the objective does not have, or a value out of its range.
    """
    check_choice("objective", config.objective, OBJECTIVES)
    cls = OBJECTIVES[config.objective]
    accepted = inspect.signature(cls).parameters
    options = {name: getattr(config, name) for name in OBJECTIVE_FIELDS if getattr(config, name) is not None}
    preferred = published_recipe(config).gradient
    reparameterized = accepted["gradient"].default == REPARAMETERIZED  # and not a score function
    if preferred in cls.gradients and reparameterized and config.sampling in (None, "independent"):
        options.setdefault("gradient", preferred)
    for name in options:
        if name not in accepted:
            with_it = ", ".join(key for key, other in OBJECTIVES.items() if name in inspect.signature(other).parameters)
            raise IwaxError(
                f"Expected no {name} for objective {config.objective!r}; got {options[name]!r}. "
                f"It belongs to {with_it}."
            )
    return cls(**options)


def published_recipe(config: RunConfig) -> Recipe:
    """The recipe that a configuration names, as it is for its data set and model.

    Raises:
        ValueError: an unknown name.
    """
    check_choice("recipe", config.protocol, RECIPES)
    return RECIPES[config.protocol].for_run(config.dataset, config.model)


def with_overrides(recipe: Recipe, config: RunConfig) -> Recipe:
    """A recipe with those of its numbers and choices that a configuration gives.

    Raises:
        ValueError: a value out of its range.
    """
    given: dict[str, Any] = {name: getattr(config, name) for name in RECIPE_FIELDS}
    given = {name: value for name, value in given.items() if value is not None}
    if "stages" in given:
        given["stages"] = _read_stages(given["stages"])
    recipe = dataclasses.replace(recipe, **given)
    return recipe if config.learning_rate is None else recipe.starting_at(config.learning_rate)


def with_early(
    recipe: Recipe, config: RunConfig, objectives: Sequence[AbstractObjective]
) -> tuple[Recipe, dict[str, Any]]:
    """A recipe without an early part that is none, and the two fields of a configuration as it has one.

    Raises:
        ValueError: as many early samples as one of the objectives has, or too few for it; a part of none.
    """
    least = min(objective.total_samples for objective in objectives)
    if (config.early_samples or 0) >= least:
        raise IwaxError(
            f"Expected early_samples to be fewer than the {least} samples of the objective; got {config.early_samples}."
        )
    if config.early_part is not None and not recipe.early_samples:
        raise IwaxError(
            f"Expected early_samples together with early_part; got early_part {config.early_part:g} without it."
        )
    if recipe.early_samples == 0 and not published_recipe(config).early_samples:
        recipe = dataclasses.replace(recipe, early_samples=None)
    if recipe.early_samples and recipe.early_samples < least:
        for objective in objectives:
            with_fewer(objective, recipe.early_samples)
        return recipe, {"early_samples": recipe.early_samples, "early_part": recipe.early_part}
    return recipe, {"early_samples": 0 if recipe.early_samples == 0 else None, "early_part": None}


def as_long_as(recipe: Recipe, config: RunConfig) -> Recipe:
    """A recipe with its schedule stretched, and cut off, as a configuration says."""
    if config.schedule_scale is not None:
        recipe = recipe.scaled(config.schedule_scale)
    return recipe if config.epochs is None else recipe.lasting(config.epochs)


def build_update(config: RunConfig, objective: AbstractObjective) -> Update:
    """What a step updates: "joint", or for PIWAE's (M, K) the inference network on MIWAE(M, K), then the generative
    one on IWAE(K), as the report that alternates them does with (10, 10).

    Raises:
        ValueError: an unknown update, or an alternating one for another objective.
    """
    check_choice("update", config.update, UPDATES)
    if config.update == "joint":
        return "joint"
    if not isinstance(objective, PIWAE):
        raise IwaxError(
            f"Expected objective to be piwae for an alternating update; got {config.objective!r}. "
            "For other pairs use iwax.fit(update=iwax.Alternating(...))."
        )
    k, gradient = objective.num_samples, objective.gradient
    return Alternating(
        inference=MIWAE(num_groups=objective.num_groups, num_samples=k, gradient=gradient),
        generative=IWAE(num_samples=k, gradient=gradient),
    )


def _read_stages(text: str) -> Stages:
    try:
        pairs = [part.split(":") for part in text.split(",")]
        return tuple((float(rate), int(epochs)) for rate, epochs in pairs)
    except ValueError:
        raise IwaxError(f"Expected stages to be RATE:EPOCHS,RATE:EPOCHS,...; got {text!r}.") from None
