"""A configuration resolved: every choice checked, every default filled in, and the values that it names. Made once."""

import dataclasses
from typing import Any

import numpy as np

from iwax.checks import check_choice, check_positive_integer, check_seed
from iwax.data import BACKGROUNDS, BINARIZATIONS, DATASETS, Dataset, as_validation, check_likelihood
from iwax.errors import IwaxError
from iwax.models import ARCHITECTURES, INITS, LIKELIHOODS, PRECISIONS, SCALE_MAPS, is_own
from iwax.objectives import AbstractObjective
from iwax.runs.build import (
    RECIPE_FIELDS,
    as_long_as,
    build_objective,
    build_update,
    published_recipe,
    with_early,
    with_overrides,
)
from iwax.runs.config import OBJECTIVE_FIELDS, RunConfig
from iwax.runs.paths import absolute
from iwax.training import UPDATES, EarlyPart, Recipe, Stages, Update, ascended

__all__ = ["AlongTraining", "ResolvedRun", "resolve"]

EVALUATION = {"eval_images": 500, "eval_samples": 640}
VAE_ONLY = ("likelihood", "init", "output_bias", "scale_map")  # choices that a model of your own makes itself
KEEPS = ("last", "best")
COUNTS = {  # and their least
    **dict.fromkeys(("epochs", "train_images", "eval_every", "eval_images", "patience", "devices"), 1),
    "eval_samples": 64,
}
CHOICES: dict[str, Any] = {
    "model": ARCHITECTURES,
    "likelihood": LIKELIHOODS,
    "binarize": BINARIZATIONS,
    "init": INITS,
    "scale_map": SCALE_MAPS,
    "update": UPDATES,
    "precision": PRECISIONS,
}
REAL_VALUED = {"bernoulli": False, "gaussian": True, None: None}


@dataclasses.dataclass(frozen=True)
class AlongTraining:
    """The evaluations along training: every so many epochs, of how many images, by how many samples each."""

    every: int
    num_images: int
    num_samples: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ResolvedRun:
    """What a run is: its configuration with every default filled in, and the values that this names.

    Attributes:
        config: what config.json holds; resolved again, it gives the same.
        recipe: as the run trains by it: with what the configuration overrides, its schedule scaled and cut.
        objective: where training begins.
        update: what a step updates.
        epochs: passes over the data.
        binarize: the rule for training images.
        along: the evaluations along training; None for none.
        batch_is_free: whether the batch size was left out, so that it may fit the data.
    """

    config: RunConfig
    recipe: Recipe
    objective: AbstractObjective
    update: Update
    epochs: int
    binarize: str
    along: AlongTraining | None
    batch_is_free: bool = False

    @property
    def early(self) -> EarlyPart | None:
        """The first epochs, if they train an objective of fewer samples."""
        return self.recipe.early(self.epochs, ascended(self.objective, self.update))

    def early_steps(self, steps: int, steps_per_epoch: int) -> int:
        """How many of the first `steps` are in the early part."""
        return 0 if self.early is None else min(steps, self.early.epochs * steps_per_epoch)

    @property
    def test_binarize(self) -> str:
        """How test images are binarised: once, where training images are drawn afresh."""
        return "fixed" if self.binarize == "dynamic" else self.binarize

    @property
    def validation(self) -> str | int | float | None:
        """A part of the training images, a number of them, "val" for the data's own part, or None."""
        return None if self.config.validation is None else as_validation(self.config.validation)

    @property
    def real_valued(self) -> bool | None:
        """Whether p(x | z) is a density of real values; None where a model of one's own says it itself."""
        return REAL_VALUED[self.config.likelihood]

    def on(self, data: Dataset) -> "ResolvedRun":
        """The same run, named after the data that it really has; from now on its paths hold from any folder."""
        started_from = absolute(self.config.init_from)
        config = dataclasses.replace(self.config, dataset=data.name, split=data.split, init_from=started_from)
        return dataclasses.replace(self, config=config)

    def fitting(self, num_images: int) -> "ResolvedRun":
        """The same run with a batch size that fits so many training images, if it was left out."""
        if not self.batch_is_free:
            return self
        recipe = self.recipe.fitting(num_images)
        config = dataclasses.replace(self.config, batch_size=recipe.batch_size)
        return dataclasses.replace(self, recipe=recipe, config=config)

    def overridden(self) -> dict[str, Any]:
        """What the run changes of its published recipe: field -> both values, under the names that records hold."""
        published = published_recipe(self.config)
        return {
            name: {"protocol": getattr(published, name), "run": getattr(self.recipe, name)}
            for name in RECIPE_FIELDS
            if getattr(published, name) != getattr(self.recipe, name)
        }


def resolve(config: RunConfig | ResolvedRun) -> ResolvedRun:
    """The run that a configuration means; one that is resolved already is returned as it is.

    Raises:
        ValueError: a choice that does not exist (the message names the nearest that does), or a value out of range.
    """
    if isinstance(config, ResolvedRun):
        return config
    check_seed(config.seed)
    for name, least in COUNTS.items():
        if getattr(config, name) is not None:
            check_positive_integer(name, getattr(config, name), least)
    unscaled = with_overrides(published_recipe(config), config)
    defaults = build_objective(config)
    unscaled, early = with_early(unscaled, config, ascended(defaults, build_update(config, defaults)))
    recipe = as_long_as(unscaled, config)
    epochs, binarize = config.epochs or recipe.epochs, config.binarize or _default_binarize(config)
    config = _with_selection(config)
    if config.kl_warmup is not None and not 0 < config.kl_warmup < float("inf"):
        raise IwaxError(f"Expected kl_warmup to be a positive number of epochs; got {config.kl_warmup!r}.")
    along, batch_is_free = _along(config), config.batch_size is None
    filled: dict[str, Any] = {
        **{name: _option(config, defaults, name) for name in OBJECTIVE_FIELDS if hasattr(defaults, name)},
        **{name: getattr(unscaled, name) for name in RECIPE_FIELDS},
        **{"stages": _written(unscaled.stages), "epochs": epochs, "binarize": binarize},
        **early,
        "devices": None if config.devices == 1 else config.devices,
        "likelihood": config.likelihood or "bernoulli",
    }
    if along is not None:
        filled |= {"eval_every": along.every, "eval_images": along.num_images, "eval_samples": along.num_samples}
    if is_own(config.model):
        filled |= _left_to_own(config)
    config = dataclasses.replace(config, **filled)
    _check_choices(config)
    objective = build_objective(config)  # of the numbers that are written, which may have fewer digits
    return ResolvedRun(
        config=config,
        recipe=recipe,
        objective=objective,
        update=build_update(config, objective),
        epochs=epochs,
        binarize=binarize,
        along=along,
        batch_is_free=batch_is_free,
    )


def _check_choices(config: RunConfig) -> None:
    """Raises ValueError for a choice that does not exist, or for two that do not go together."""
    own = is_own(config.model)
    for name, choices in CHOICES.items():
        if not (own and name in ("model", *VAE_ONLY)):
            check_choice(name, getattr(config, name), choices)
    if config.background is not None:
        check_choice("background", config.background, BACKGROUNDS)
    check_likelihood(REAL_VALUED[config.likelihood], np.zeros(0), str(config.binarize))  # as far as no data are needed


def _default_binarize(config: RunConfig) -> str:
    """What the likelihood takes: black and white; a Gaussian, intensities of grey images and one's own as they are."""
    if config.likelihood != "gaussian":
        return "dynamic"
    return "intensities" if config.dataset in DATASETS else "none"


def _with_selection(config: RunConfig) -> RunConfig:
    """The configuration with its choices of validation in one spelling each; raises ValueError for what is none."""
    check_choice("keep", config.keep or "last", KEEPS)
    keep = None if config.keep == "last" else config.keep
    for name, value in {"keep": keep, "patience": config.patience}.items():
        if value is not None and config.validation is None:
            raise IwaxError(
                f"Expected validation together with {name}; got {name} {value} without it. Give it, such as 0.1."
            )
    validation = None if config.validation is None else str(as_validation(config.validation))
    return dataclasses.replace(config, keep=keep, validation=validation)


def _along(config: RunConfig) -> AlongTraining | None:
    given = {name: getattr(config, name) for name in EVALUATION if getattr(config, name) is not None}
    if config.eval_every is not None or config.validation is not None:
        sizes = EVALUATION | given
        return AlongTraining(config.eval_every or 1, sizes["eval_images"], sizes["eval_samples"])
    if given:
        name = next(iter(given))
        raise IwaxError(f"Expected {name} together with eval_every only; got {given[name]} without it.")
    return None


def _left_to_own(config: RunConfig) -> dict[str, Any]:
    """What the record of a model of one's own leaves open; raises ValueError where it was given."""
    for name in VAE_ONLY:
        default = getattr(RunConfig, name)
        if getattr(config, name) != default:
            raise IwaxError(
                f"Expected no {name} with a model of your own; got {getattr(config, name)!r}. Choose it in "
                f"{config.model}."
            )
    return {name: getattr(RunConfig, name) for name in VAE_ONLY}


def _written(stages: Stages) -> str:
    """A schedule as a configuration has it; reading it gives the same numbers to the bit."""
    return ",".join(f"{rate!r}:{epochs}" for rate, epochs in stages)


def _option(config: RunConfig, objective: Any, name: str) -> Any:
    """An option of the objective: a number as it was asked for, however small, or the objective's own in few digits."""
    value, asked = getattr(objective, name), getattr(config, name)
    if isinstance(value, int | str | None):
        return value
    return float(asked) if asked is not None else float(str(np.float32(value)))
