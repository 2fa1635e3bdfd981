"""A run before its first step: its training images, its model at its initial parameters, and what trains it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from iwax.checks import LARGEST
from iwax.data import (
    VALIDATION_PART,
    Dataset,
    as_array,
    binarize,
    check_images,
    check_likelihood,
    check_stored,
    hold_out,
)
from iwax.errors import IwaxError
from iwax.keys import TrainingKeys
from iwax.models import ARCHITECTURES, OwnModel, is_own
from iwax.runs.config import RunConfig
from iwax.runs.resolution import ResolvedRun
from iwax.training import Trainer, TrainState, WarmUp

__all__ = ["architecture", "build_model", "fitted", "prepare", "training_images", "validation_images"]

CHECKED = 4  # training examples on which a model of one's own is checked


def training_images(run: ResolvedRun, data: Dataset) -> np.ndarray:
    """The training images that a run asks for: the first of those that its recipe trains on, less those for validation.

    Raises:
        ValueError: more images than there are, or images that do not fit the likelihood or the binarisation.
    """
    return _training_and_validation(run, data)[0]


def fitted(run: ResolvedRun, data: Dataset) -> ResolvedRun:
    """The run on these data: named after them, and with a batch size that fits its training images if it was left out.

    Raises:
        ValueError: as `training_images`.
    """
    run = run.on(data)
    return run.fitting(len(training_images(run, data)))


def validation_images(run: ResolvedRun, data: Dataset) -> np.ndarray | None:
    """The images on which a run is judged along training, and never trains; None if it has none apart from the test's.

    Raises:
        ValueError: as `training_images`; or the data have no part for validation, which is asked for.
    """
    return None if run.validation is None else _training_and_validation(run, data)[1]


def _training_and_validation(run: ResolvedRun, data: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    images, wanted = run.recipe.training_images(as_array(data.train)), run.config.train_images
    if wanted is not None:
        if wanted > len(images):
            raise IwaxError(
                f"Expected train_images to be at most {len(images)}, all that {run.recipe.name} trains on of "
                f"{data.name}; got {wanted}."
            )
        images = images[:wanted]
    _check(run, images, "training examples")
    if run.validation is None:
        return images, None
    if isinstance(run.validation, float | int):
        return hold_out(images, run.validation)
    if data.validation is None:
        raise IwaxError(
            f"Expected validation {VALIDATION_PART!r} of data that have such a part; {data.name} has none. Name a part "
            "of the training images, such as 0.1."
        )
    held_out = as_array(data.validation)
    _check(run, held_out, "validation examples")
    return images, held_out


def _check(run: ResolvedRun, images: np.ndarray, name: str) -> None:
    """Raises ValueError for images that do not fit the likelihood or the binarisation."""
    check_images(images, run.binarize, name)
    check_stored(images, run.binarize, name)
    check_likelihood(run.real_valued, images, run.binarize, name)


def build_model(run: ResolvedRun, images: np.ndarray, own: OwnModel | None = None) -> Any:
    """The model of a run at its initial parameters, for these training images.

    Arguments:
        own: the code of a model of one's own, if it is at hand; what FILE.py:FUNCTION names if left out.
    """
    config = run.config
    if is_own(config.model):
        return (own or OwnModel.read(config.model)).make(images, TrainingKeys.model(config.seed))
    scale = 255 if images.dtype == np.uint8 else 1
    mean = images.reshape(len(images), -1).mean(axis=0, dtype=np.float64) / scale
    zero = np.full_like(mean, 0.5 if config.likelihood == "bernoulli" else 0.0)  # a logit of 0
    start = {"data-mean": mean, "zero": zero, "init": None}[run.recipe.output_bias]
    return architecture(config, mean.size, None if start is None else jnp.asarray(start, jnp.float32))


def architecture(config: RunConfig, data_size: int, data_mean: jax.Array | None = None) -> Any:
    """One of iwax's own models as a resolved configuration has it, for examples of `data_size` values."""
    return ARCHITECTURES[config.model](
        key=TrainingKeys.model(config.seed),
        data_size=data_size,
        data_mean=data_mean,
        init=config.init,
        scale_map=config.scale_map,
        likelihood=config.likelihood,
    )


def prepare(
    run: ResolvedRun, data: Dataset, own: OwnModel | None = None, *, check: bool = False
) -> tuple[Trainer, TrainState]:
    """What trains a run, and its state before the first step; `check` a model of one's own."""
    images = training_images(run, data)
    warmup = run.config.kl_warmup
    steps_per_epoch = len(images) // run.recipe.batch_size
    trainer = Trainer(
        images=images,
        kl_weight=None if warmup is None else WarmUp(warmup * steps_per_epoch),
        recipe=run.recipe,
        key=TrainingKeys.of_seed(run.config.seed).key,
        batch_size=run.recipe.batch_size,
        binarize=run.binarize,
        update=run.update,
        precision=run.config.precision,
        devices=run.config.devices or 1,
        early=run.early,
    )
    _check_rows(run)
    model = build_model(run, images, own)
    if own is not None:
        if check:
            key = TrainingKeys.model_check(run.config.seed)
            own.check(model, binarize(images[:CHECKED], run.binarize, key), key)
        check_likelihood(getattr(model, "real_valued", None), images, run.binarize, "training examples")
    return trainer, trainer.start(model, run.objective)


def _check_rows(run: ResolvedRun) -> None:
    """Raises ValueError for more samples in a step than a device can count."""
    batch, samples = run.recipe.batch_size, run.objective.total_samples
    if batch * samples > LARGEST:
        raise IwaxError(
            f"Expected batch_size times the samples of each image to be at most {LARGEST}; got {batch} times "
            f"{samples}. Lower --batch-size or --num-samples."
        )
