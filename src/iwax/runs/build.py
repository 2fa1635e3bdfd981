"""From a run's configuration to the objects it names, with every choice checked and every default filled in."""

import dataclasses
import inspect
from typing import Any

import jax.numpy as jnp
import numpy as np

from iwax.checks import check_choice, check_positive_integer
from iwax.data import BINARIZATIONS, DATASETS, Dataset, as_array, check_images, check_likelihood, check_stored
from iwax.errors import IwaxError
from iwax.keys import TrainingKeys
from iwax.models import ARCHITECTURES, INITS, LIKELIHOODS, PRECISIONS, SCALE_MAPS, OwnModel, is_own
from iwax.objectives import IWAE, MIWAE, OBJECTIVES, PIWAE, REPARAMETERIZED, AbstractObjective
from iwax.runs.config import OBJECTIVE_FIELDS, RunConfig
from iwax.training import RECIPES, UPDATES, Alternating, Recipe, Stages, Update

__all__ = ["build_model", "build_objective", "build_recipe", "build_update", "overridden", "resolve"]

RECIPE_FIELDS = tuple(
    field.name
    for field in dataclasses.fields(Recipe)
    if field.name not in ("name", "source", "by_dataset", "by_model", "gradient", "parts")
)
EVALUATION = {"eval_images": 500, "eval_samples": 640}
VAE_ONLY = ("likelihood", "init", "output_bias", "scale_map")  # choices that a model of your own makes itself

_CHOICES: dict[str, Any] = {
    "model": ARCHITECTURES,
    "likelihood": LIKELIHOODS,
    "binarize": BINARIZATIONS,
    "init": INITS,
    "scale_map": SCALE_MAPS,
    "update": UPDATES,
    "precision": PRECISIONS,
}
REAL_VALUED = {"bernoulli": False, "gaussian": True, None: None}
_COUNTS = {"epochs": 1, "train_images": 1, "eval_every": 1, "eval_images": 1, "eval_samples": 64}  # and their least


def build_objective(config: RunConfig) -> AbstractObjective:
    """The objective that a configuration names, with its recipe's estimator of the gradient if it names none.

    Raises:
        ValueError: an unknown name, an option that the objective does not have, or a value out of its range.
    """
    check_choice("objective", config.objective, OBJECTIVES)
    cls = OBJECTIVES[config.objective]
    accepted = inspect.signature(cls).parameters
    options = {name: getattr(config, name) for name in OBJECTIVE_FIELDS if getattr(config, name) is not None}
    preferred = _published(config).gradient
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


def build_recipe(config: RunConfig) -> Recipe:
    """The recipe that a configuration names, as it is for its data and model, with what the configuration overrides.

    Raises:
        ValueError: an unknown recipe, or a value out of its range.
    """
    recipe = _published(config)
    given: dict[str, Any] = {name: getattr(config, name) for name in RECIPE_FIELDS}
    given = {name: value for name, value in given.items() if value is not None}
    if "stages" in given:
        given["stages"] = _read_stages(given["stages"])
    recipe = dataclasses.replace(recipe, **given)
    if config.schedule_scale is not None:
        recipe = recipe.scaled(config.schedule_scale)
    return recipe if config.epochs is None else recipe.lasting(config.epochs)


def overridden(config: RunConfig) -> dict[str, Any]:
    """What a configuration changes of its recipe: field -> the published value and the run's."""
    published, used = _published(config), build_recipe(config)
    return {
        name: {"protocol": getattr(published, name), "run": getattr(used, name)}
        for name in RECIPE_FIELDS
        if getattr(published, name) != getattr(used, name)
    }


def build_update(config: RunConfig) -> Update:
    """What a step updates: "joint", or for PIWAE's (M, K) the inference network on MIWAE(M, K), then the generative
    one on IWAE(K), as the report that alternates them does with (10, 10).

    Raises:
        ValueError: an unknown update, or an alternating one for another objective.
    """
    check_choice("update", config.update, UPDATES)
    if config.update == "joint":
        return "joint"
    objective = build_objective(config)
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


def resolve(config: RunConfig) -> RunConfig:
    """The same configuration with every default written out, so that its record says all.

    Raises:
        ValueError: a choice that does not exist (the message names the nearest that does), or a value out of range.
    """
    for name, least in _COUNTS.items():
        if getattr(config, name) is not None:
            check_positive_integer(name, getattr(config, name), least)
    recipe = build_recipe(config)
    objective = build_objective(config)
    build_update(config)
    filled = {name: _plain(getattr(objective, name)) for name in OBJECTIVE_FIELDS if hasattr(objective, name)}
    unscaled = build_recipe(dataclasses.replace(config, schedule_scale=None, epochs=None))
    filled |= {name: getattr(unscaled, name) for name in RECIPE_FIELDS} | {"stages": _written(unscaled.stages)}
    filled["likelihood"] = config.likelihood or "bernoulli"
    filled["binarize"] = config.binarize or _default_binarize(config)
    filled["epochs"] = recipe.epochs if config.epochs is None else config.epochs
    filled |= _filled_evaluation(config)
    own = is_own(config.model)
    if own:
        filled |= _left_to_own(config)
    config = dataclasses.replace(config, **filled)
    for name, choices in _CHOICES.items():
        if not (own and name in ("model", *VAE_ONLY)):
            check_choice(name, getattr(config, name), choices)
    check_likelihood(REAL_VALUED[config.likelihood], np.zeros(0), str(config.binarize))  # as far as no data are needed
    return config


def training_images(config: RunConfig, data: Dataset) -> np.ndarray:
    """The training images that a configuration asks for: the first of those that its recipe trains on.

    Raises:
        ValueError: more images than there are, or images that do not fit the likelihood or the binarisation.
    """
    images = build_recipe(config).training_images(as_array(data.train))
    if config.train_images is not None:
        if config.train_images > len(images):
            raise IwaxError(
                f"Expected train_images to be at most {len(images)}, all that {config.protocol} trains on of "
                f"{data.name}; got {config.train_images}."
            )
        images = images[: config.train_images]
    rule = config.binarize or _default_binarize(config)
    check_images(images, rule, "training images")
    check_stored(images, rule, "training images")
    likelihood = config.likelihood or (None if is_own(config.model) else "bernoulli")
    check_likelihood(REAL_VALUED[likelihood], images, rule, "training images")
    return images


def build_model(config: RunConfig, images: np.ndarray, own: OwnModel | None = None) -> Any:
    """The model that a (resolved) configuration names, at its initial parameters, for these training images.

    Arguments:
        own: the code of a model of one's own, if it is at hand; what FILE.py:FUNCTION names if left out.
    """
    key = TrainingKeys.model(config.seed)
    if is_own(config.model):
        return (own or OwnModel.read(config.model)).make(images, key)
    scale = 255 if images.dtype == np.uint8 else 1
    mean = images.reshape(len(images), -1).mean(axis=0, dtype=np.float64) / scale
    zero = np.full_like(mean, 0.5 if config.likelihood == "bernoulli" else 0.0)  # a logit of 0
    start = {"data-mean": mean, "zero": zero, "init": None}[config.output_bias or "data-mean"]
    return ARCHITECTURES[config.model](
        key=key,
        data_size=mean.size,
        data_mean=None if start is None else jnp.asarray(start, jnp.float32),
        init=config.init,
        scale_map=config.scale_map,
        likelihood=config.likelihood,
    )


def _default_binarize(config: RunConfig) -> str:
    """What the likelihood takes: black and white; a Gaussian, intensities of grey images and one's own as they are."""
    if config.likelihood != "gaussian":
        return "dynamic"
    return "intensities" if config.dataset in DATASETS else "none"


def _published(config: RunConfig) -> Recipe:
    check_choice("recipe", config.protocol, RECIPES)
    return RECIPES[config.protocol].for_run(config.dataset, config.model)


def _filled_evaluation(config: RunConfig) -> dict[str, int]:
    """The size of the evaluations along training, where there are any."""
    given = {name: getattr(config, name) for name in EVALUATION if getattr(config, name) is not None}
    if config.eval_every is not None:
        return EVALUATION | given
    if given:
        name = next(iter(given))
        raise IwaxError(f"Expected {name} together with eval_every only; got {given[name]} without it.")
    return {}


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
    return ",".join(f"{rate!r}:{epochs}" for rate, epochs in stages)


def _read_stages(text: str) -> Stages:
    try:
        pairs = [part.split(":") for part in text.split(",")]
        return tuple((float(rate), int(epochs)) for rate, epochs in pairs)
    except ValueError:
        raise IwaxError(f"Expected stages to be RATE:EPOCHS,RATE:EPOCHS,...; got {text!r}.") from None


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | str | None) else round(float(value), 6)
