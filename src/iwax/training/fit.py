"""Training: a run's data and recipe, cut into chunks of compiled steps; and `fit`, all of it in one call."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.checks import check_choice, check_positive_integer
from iwax.data import (
    Dataset,
    as_examples,
    binarize,
    check_examples,
    check_likelihood,
    check_stored,
    is_tree,
    num_examples,
)
from iwax.errors import IwaxError, IwaxTypeError, NonFiniteLossError
from iwax.keys import TrainingKeys
from iwax.models import PRECISIONS, Model, matrix_precision
from iwax.objectives import AbstractObjective
from iwax.training.recipe import Recipe
from iwax.training.recipes import get_recipe
from iwax.training.steps import TrainState, run_steps, start
from iwax.training.updates import Update

__all__ = ["FitResult", "NonFiniteLossError", "TrainState", "Trainer", "fit"]

Record = dict[str, int | float]


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What `fit` returns: the trained model and objective (a learned beta lives there), and a record per epoch."""

    model: Model
    objective: AbstractObjective
    opt_state: PyTree
    records: list[Record]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainer:
    """One training run: its compiled step and its data, without its state.

    Arguments:
        images: training data, (N, *event), or a pytree of such arrays, as stored; binarised afresh at each visit where
            `binarize` is "dynamic".
        recipe: the recipe, as it is for these data.
        key: seed of the whole run.
        update: what a step updates, by which objective.
        precision: of the operands of matrix products, "float32" or "bfloat16"; see `iwax.models.precision`.
    """

    images: PyTree
    recipe: Recipe
    key: PRNGKeyArray
    batch_size: int
    binarize: str = "dynamic"
    update: Update = "joint"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_positive_integer("batch_size", self.batch_size)
        check_choice("precision", self.precision, PRECISIONS)
        check_examples(self.images, self.binarize)
        if self.batch_size > num_examples(self.images):
            raise IwaxError(
                f"Expected batch_size to be at most the number of training examples, {num_examples(self.images)}; "
                f"got {self.batch_size}."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch; what is left over is another handful of examples each time they are shuffled."""
        return num_examples(self.images) // self.batch_size

    def start(self, model: Model, objective: AbstractObjective) -> TrainState:
        """The state before the first step."""
        return start(model, objective, self.update, self.recipe, self.steps_per_epoch)

    def record(self, state: TrainState) -> Record:
        """The record of the epoch that `state` has just finished; bounds in nats, averaged over its steps."""
        step = int(state.step)
        means = np.mean(np.asarray(state.bounds, np.float64), axis=0)
        record = {"epoch": step // self.steps_per_epoch, "step": step, "bound": float(np.ravel(means)[-1])}
        if np.ndim(means):
            record["inference_bound"] = float(means[0])
        record["learning_rate"] = float(self.recipe.learning_rate(self.steps_per_epoch)(step - 1))
        return record | {name: float(getattr(state.objective, name)) for name in state.objective.reported}

    def on_device(self) -> PyTree:
        """The images as the program takes them; black and white already, if they are to be drawn once."""
        images = jax.tree.map(jnp.asarray, self.images)
        if self.binarize != "fixed":
            return images
        return binarize(images, "fixed", TrainingKeys(self.key).fixed_binarisation).astype(bool)

    def advance(self, state: TrainState, images: PyTree, num_steps: int) -> TrainState:
        """The state after `num_steps` more steps, or after the last step of the epoch if that comes first.

        Raises:
            NonFiniteLossError: the loss of a step was not finite, or the parameters are not.
        """
        rule = "none" if self.binarize == "fixed" else self.binarize
        stop = self.stop(int(state.step), num_steps)
        with matrix_precision(self.precision):
            after, finite = run_steps(state, images, self.key, stop, self.update, self.recipe, self.batch_size, rule)
        self.check_finite(after, bool(finite))
        return after

    def stop(self, step: int, num_steps: int) -> Array:
        """Where `num_steps` more steps from `step` end: at the end of the epoch at the latest."""
        return jnp.asarray(min(step + num_steps, (step // self.steps_per_epoch + 1) * self.steps_per_epoch))

    def chunks(self, state: TrainState, total_steps: int, seconds: float | None = None) -> Iterator[TrainState]:
        """The state after each chunk of steps, of about so many seconds, and after each epoch, up to `total_steps`.

        Without `seconds`, after each epoch only.
        """
        return in_chunks(self, state, total_steps, seconds)

    def check_finite(self, state: TrainState, parameters_are: bool) -> None:
        """Raises NonFiniteLossError where the last step went wrong."""
        step = int(state.step)
        slot = (step - 1) % self.steps_per_epoch
        bounds = np.asarray(state.bounds)[: slot + 1].reshape(slot + 1, -1)
        if parameters_are and np.isfinite(bounds[-1]).all():
            return
        finite = [row for row in bounds[:-1] if np.isfinite(row).all()]
        before = f"the last finite bound was {finite[-1][-1]:.4f}, a step before" if finite else "it was the first"
        what = "parameters that are not" if np.isfinite(bounds[-1]).all() else f"a bound of {bounds[-1][-1]}"
        raise NonFiniteLossError(
            f"Expected a finite loss; got {what} at step {step} (epoch {(step - 1) // self.steps_per_epoch + 1}); "
            f"{before} of the epoch. Lower the learning rate, or look for extreme values in the data."
        )


def in_chunks(trainer: Any, state: Any, total_steps: int, seconds: float | None = None) -> Iterator[Any]:
    """The chunks of a `Trainer`, or of whatever advances a state as it does."""
    images, chunk = trainer.on_device(), trainer.steps_per_epoch if seconds is None else 1
    while int(state.step) < total_steps:
        started, first = time.monotonic(), int(state.step)
        state = trainer.advance(state, images, min(chunk, total_steps - first))
        rate = (int(state.step) - first) / (time.monotonic() - started)
        # At most twice as long as the last, since the first of all is mostly compilation.
        if seconds is not None:
            chunk = max(1, min(2 * chunk, int(seconds * rate)))
        yield state


def fit(
    model: Model,
    objective: AbstractObjective,
    data: Any,
    *,
    recipe: str | Recipe | None = None,
    key: PRNGKeyArray,
    epochs: int | None = None,
    batch_size: int | None = None,
    binarize: str = "dynamic",
    update: Update = "joint",
    on_epoch: Callable[[Record], None] | None = None,
    protocol: str | Recipe | None = None,
) -> FitResult:
    """Train `model` by ascending `objective`, both of them if the objective has something to learn.

    Arguments:
        model: the pair of densities; see `iwax.models.model`. It is trained from where it stands: of the recipe,
            initial weights and biases concern the command line, which builds the model too.
        objective: the bound and its gradient estimator.
        data: a `Dataset`, of which the training half is used, an array (N, *event), a data set of Hugging Face or
            PyTorch, as `iwax.data.as_array` takes it, or a pytree of arrays (N, ...) such as
            `{"values": x, "mask": mask}`, which reaches the model as it is (`binarize="none"`).
        recipe: how to train, by a name in `iwax.training.RECIPES` or a value; for a `Dataset`, as it is for the data
            set of that name. It must be given.
        key: seed of everything random: shuffling, binarisation, samples of z.
        epochs: passes over the data; the whole schedule of the recipe if left out, else it is cut off there.
        batch_size: the recipe's if left out.
        binarize: "dynamic" (afresh at each visit), "fixed", "threshold", "intensities" (grey values / 255) or "none"
            (values as they are); see `iwax.data.binarize`. What the model's likelihood is no density of is refused, if
            the model says what it is by `real_valued`, as `iwax.VAE` does.
        update: "joint", or `Alternating(inference=..., generative=...)`, each with an objective of its own; then
            `objective` stays as it is.
        on_epoch: called with the record of each epoch.
        protocol: the former name of `recipe`.

    Returns:
        The trained model and objective, the optimiser's state, and a record per epoch: epoch, step, mean bound in nats
        (the generative network's, and with `Alternating` also the inference network's), learning rate, and beta where
        there is one.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite.
        ValueError: data that do not fit the rule, the recipe or the likelihood.
        TypeError: no recipe, or one by each of its names.

    >>> import iwax, jax
    >>> x = iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 100)
    >>> result = iwax.fit(iwax.LinearGaussian.isotropic(2), iwax.IWAE(num_samples=8), x, recipe="burda-paper",
    ...                   key=jax.random.key(1), epochs=2, binarize="none")
    >>> len(result.records)
    2
    """
    recipe = get_recipe(_one_of(recipe, protocol))
    if isinstance(data, Dataset):
        recipe = recipe.for_run(data.name)
    epochs = recipe.epochs if epochs is None else epochs
    check_positive_integer("epochs", epochs)
    recipe = recipe.lasting(epochs)
    images = recipe.training_images(as_examples(data.train if isinstance(data, Dataset) else data))
    if isinstance(data, Dataset):
        check_stored(images, binarize)
    if not is_tree(images):
        check_likelihood(getattr(model, "real_valued", None), images, binarize)
    trainer = Trainer(
        images=images,
        recipe=recipe,
        key=key,
        batch_size=recipe.batch_size if batch_size is None else batch_size,
        binarize=binarize,
        update=update,
    )
    records = []
    for state in trainer.chunks(trainer.start(model, objective), epochs * trainer.steps_per_epoch):
        records.append(trainer.record(state))
        if on_epoch is not None:
            on_epoch(records[-1])
    return FitResult(state.model, state.objective, state.opt_state, records)


def _one_of(recipe: str | Recipe | None, protocol: str | Recipe | None) -> str | Recipe:
    """The recipe, by its name or its former one."""
    given = [value for value in (recipe, protocol) if value is not None]
    if len(given) != 1:
        values = f"recipe={_named(recipe)} and protocol={_named(protocol)}"
        raise IwaxTypeError(f"Expected recipe, or protocol as it was called before, to be given once; got {values}.")
    return given[0]


def _named(recipe: str | Recipe | None) -> str:
    """A recipe by its name, since a whole one is long."""
    return recipe.name if isinstance(recipe, Recipe) else repr(recipe)
