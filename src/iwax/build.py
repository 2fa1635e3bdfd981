"""From a run's configuration to the objects it names, with every choice checked and every default filled in."""

import dataclasses
import inspect
from typing import Any

import jax
import numpy as np

from iwax.checks import check_choice
from iwax.config import RunConfig
from iwax.data import BINARIZATIONS, Dataset, check_images
from iwax.models.networks import INITS, SCALE_MAPS
from iwax.models.vae import ARCHITECTURES, LIKELIHOODS, VAE
from iwax.objectives import OBJECTIVES, Objective
from iwax.objectives.objective import check_positive_integer
from iwax.protocols import PROTOCOLS

__all__ = ["build_model", "build_objective", "resolve", "training_images"]

OUTPUT_BIASES = ("data-mean", "zero")
OBJECTIVE_FIELDS = ("num_groups", "num_samples", "beta", "beta_rule", "gradient")


def build_objective(config: RunConfig) -> Objective:
    """The objective that a configuration names.

    Raises:
        ValueError: an unknown name, an option that the objective does not have, or a value out of its range.
    """
    check_choice("objective", config.objective, OBJECTIVES)
    cls = OBJECTIVES[config.objective]
    accepted = inspect.signature(cls).parameters
    options = {name: getattr(config, name) for name in OBJECTIVE_FIELDS if getattr(config, name) is not None}
    for name in options:
        if name not in accepted:
            with_it = ", ".join(key for key, other in OBJECTIVES.items() if name in inspect.signature(other).parameters)
            raise ValueError(
                f"Expected no {name} for objective {config.objective!r}; got {options[name]!r}. "
                f"It belongs to {with_it}."
            )
    return cls(**options)


def resolve(config: RunConfig) -> RunConfig:
    """The same configuration with every default written out, so that its record says all.

    Raises:
        ValueError: a choice that does not exist (the message names the nearest that does), or a value out of range.
    """
    check_choice("protocol", config.protocol, PROTOCOLS)
    protocol = PROTOCOLS[config.protocol]
    objective = build_objective(config)
    filled = {name: _plain(getattr(objective, name)) for name in OBJECTIVE_FIELDS if hasattr(objective, name)}
    for name in ("epochs", "batch_size", "init", "output_bias", "scale_map"):
        given = getattr(config, name)
        filled[name] = getattr(protocol, name) if given is None else given
    config = dataclasses.replace(config, **filled)
    for name, choices in _CHOICES.items():
        check_choice(name, getattr(config, name), choices)
    for name in ("epochs", "batch_size", "train_images"):
        if getattr(config, name) is not None:
            check_positive_integer(name, getattr(config, name))
    return config


_CHOICES: dict[str, Any] = {
    "model": ARCHITECTURES,
    "likelihood": LIKELIHOODS,
    "binarize": BINARIZATIONS,
    "init": INITS,
    "output_bias": OUTPUT_BIASES,
    "scale_map": SCALE_MAPS,
}


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | str) else round(float(value), 6)


def training_images(config: RunConfig, data: Dataset) -> np.ndarray:
    """The training images that a configuration asks for.

    Raises:
        ValueError: more images than there are, or images that do not fit the likelihood or the binarisation.
    """
    images = data.train
    if config.train_images is not None:
        if config.train_images > len(images):
            raise ValueError(
                f"Expected train_images to be at most {len(images)}, all of {data.name}; got {config.train_images}."
            )
        images = images[: config.train_images]
    check_images(images, config.binarize, "training images")
    return images


def build_model(config: RunConfig, images: np.ndarray) -> VAE:
    """The model that a (resolved) configuration names, at its initial parameters, for these training images."""
    scale = 255 if images.dtype == np.uint8 else 1
    mean = images.reshape(len(images), -1).mean(axis=0, dtype=np.float64) / scale
    return ARCHITECTURES[config.model](
        key=jax.random.fold_in(jax.random.key(config.seed), 0),
        data_size=mean.size,
        data_mean=mean.astype(np.float32) if config.output_bias == "data-mean" else None,
        init=config.init,
        scale_map=config.scale_map,
        likelihood=config.likelihood,
    )
