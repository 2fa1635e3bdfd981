"""`fit`: a model, an objective and data in, a trained model out, all in one call."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import PRNGKeyArray, PyTree

from iwax.checks import check_positive_integer
from iwax.data import (
    Dataset,
    as_examples,
    check_examples,
    check_likelihood,
    check_precision,
    check_stored,
    is_tree,
    num_examples,
)
from iwax.errors import IwaxError, IwaxTypeError, NonFiniteLossError
from iwax.keys import check_key
from iwax.models import Model
from iwax.objectives import AbstractObjective, check_objective
from iwax.training.course import Course, FitResult, resumed
from iwax.training.recipe import Optimizer, Recipe
from iwax.training.recipes import get_recipe
from iwax.training.steps import TrainState
from iwax.training.trainer import Trainer
from iwax.training.updates import Update, ascended
from iwax.training.validation import judge_of, split_off

__all__ = ["FitResult", "NonFiniteLossError", "TrainState", "Trainer", "fit"]

DEFAULT = "fast"  # that of `iwax train`, too


def fit(
    model: Model | FitResult,
    objective: AbstractObjective,
    data: Any,
    *,
    recipe: str | Recipe | None = None,
    key: PRNGKeyArray,
    epochs: int | None = None,
    batch_size: int | None = None,
    binarize: str = "dynamic",
    update: Update = "joint",
    optimizer: Optimizer | None = None,
    kl_weight: int | float | optax.Schedule | None = None,
    validation: Any = None,
    eval_every: int = 1,
    keep: str = "last",
    patience: int | None = None,
    on_epoch: Callable[..., Any] | None = None,
    devices: int = 1,
    protocol: str | Recipe | None = None,
) -> FitResult:
    """Train `model` by ascending `objective`, both of them if the objective has something to learn.

    Arguments:
        model: the pair of densities; see `iwax.models.model`. It is trained from where it stands: of the recipe,
            initial weights and biases concern the command line, which builds the model too. Or what `fit` returned,
            for more epochs: parameters, optimiser and what the objective has learned go on from their last step. With
            the same other arguments it is the longer run to the bit, if the learning rate of a step does not depend on
            the length (a cosine's does: it is then that of the longer run); `patience` begins afresh.
        objective: the bound and its gradient estimator.
        data: a `Dataset`, of which the training half is used, an array (N, *event), a data set of Hugging Face or
            PyTorch, as `iwax.data.as_array` takes it, or a pytree of arrays (N, ...) such as
            `{"values": x, "mask": mask}`, which reaches the model as it is (`binarize="none"`).
        recipe: how to train, by a name in `iwax.training.RECIPES` or a value; for a `Dataset`, as it is for the data
            set of that name. If left out "fast", as for `iwax train`: of the recipes here the one that reaches a given
            log p with the least arithmetic (docs/speedrun.md), and it clips what would make it diverge.
        key: seed of everything random: shuffling, binarisation, samples of z.
        epochs: passes over the data, more of them after a result; the whole schedule of the recipe if left out, else
            it is cut off there. Of a recipe with an early part of fewer samples, that is a part of these.
        batch_size: if left out the recipe's, or a tenth of the examples where that is more than half of them
            (a `NoticeWarning` says so, and where whole batches leave a fifth or more out of each epoch).
        binarize: "dynamic" (afresh at each visit), "fixed", "threshold", "intensities" (grey values / 255) or "none"
            (values as they are); see `iwax.data.binarize`. What the model's likelihood is no density of is refused, if
            the model says what it is by `real_valued`, as `iwax.VAE` does.
        update: "joint", or `Alternating(inference=..., generative=...)`, each with an objective of its own; then
            `objective` stays as it is.
        optimizer: a transformation of optax in place of the recipe's optimiser, clipping and schedule; or a learning
            rate, or a schedule of it by step, for the recipe's.
        kl_weight: lambda of the log-weights log p(x | z) + lambda (log p(z) - log q(z | x)) whose bound the gradient
            climbs: a number, or a function of the step, counted from 0, such as `optax.linear_schedule(0, 1, 500)` for
            a warm-up. Bounds are reported of the log-weights as they are (lambda = 1), in records and of validation
            examples. The model needs a `prior`; objectives that cannot take one are refused. See
            `iwax.objectives.tempering`.
        validation: examples that are never trained on and judged along training: a part of those for training (0.1), a
            number of them, "val" for that of a `Dataset`, or other data as `data` may be. Which are drawn does not
            depend on `key`.
        eval_every: judge the validation examples every so many epochs, and at the end, as `validation_iwae_64` and
            `validation_log_p` of the epoch's record: means in nats over 500 of them at most, evenly spaced, by 640
            samples each, which are the same every time.
        keep: "last", or "best": the result's model and objective are those of the epoch of the best validation IWAE-64.
        patience: stop after so many judgements in a row without a better validation IWAE-64.
        on_epoch: called with the record of each epoch, and with the model if it takes two arguments; training stops
            where it returns False.
        devices: how many of JAX's devices share each minibatch, whose size is a multiple of it; the result is that of
            one device but for rounding.
        protocol: the former name of `recipe`.

    Returns:
        The trained model and objective, the optimiser's state, and a record per epoch: epoch, step, mean bound in nats
        (the generative network's, and with `Alternating` also the inference network's), samples (their number in that
        bound, of a recipe with `early_samples`), learning rate unless `optimizer` is a transformation, the KL weight
        and the validation numbers where there are any, and beta where there is one.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite.
        ValueError: data that do not fit the rule, the recipe or the likelihood; choices that do not go together.
        TypeError: what is no objective, no key or no optimizer; a recipe by each of its names.

    >>> import iwax, jax
    >>> x = iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 100)
    >>> result = iwax.fit(iwax.LinearGaussian.isotropic(2), iwax.IWAE(num_samples=8), x, key=jax.random.key(1),
    ...                   epochs=2, batch_size=20, validation=0.2, binarize="none")
    >>> len(result.records)
    2
    """
    check_objective(objective)
    check_key(key)
    chosen, before = get_recipe(_one_of(recipe, protocol)), model if isinstance(model, FitResult) else None
    chosen = chosen.for_run(data.name) if isinstance(data, Dataset) else chosen
    images = chosen.training_images(as_examples(data.train if isinstance(data, Dataset) else data))
    images, held_out = split_off(images, data, validation)
    for name, part in {"training examples": images, "validation examples": held_out}.items():
        _check(part, name, isinstance(data, Dataset), model if before is None else before.model, binarize)
    for leaf in jax.tree.leaves(images):
        check_precision(leaf, "training examples")
    total = _total_epochs(epochs, chosen, before)
    chosen = chosen.lasting(total) if batch_size is not None else chosen.lasting(total).fitting(num_examples(images))
    trainer = Trainer(
        images=images,
        recipe=chosen,
        key=key,
        batch_size=chosen.batch_size if batch_size is None else batch_size,
        binarize=binarize,
        update=update,
        optimizer=optimizer,
        kl_weight=kl_weight,
        devices=devices,
        early=chosen.early(total, ascended(objective, update)),
    )
    course = Course(before, judge_of(held_out, binarize, key, eval_every, keep, patience), keep, patience, on_epoch)
    state = resumed(model, trainer, objective) if isinstance(model, FitResult) else trainer.start(model, objective)
    total_steps = total * trainer.steps_per_epoch
    for after in trainer.chunks(state, total_steps):
        state = after
        if not course.goes_on(state, trainer.record(state), int(state.step) == total_steps):
            break
    return course.result(state)


def _check(images: PyTree, name: str, is_stored: bool, model: Model | FitResult, binarize: str) -> None:
    """Raises ValueError for examples that do not fit the rule or the likelihood; None are left out."""
    if images is None:
        return
    check_examples(images, binarize, name)
    if is_stored:
        check_stored(images, binarize, name)
    if not is_tree(images):
        check_likelihood(getattr(model, "real_valued", None), images, binarize, name)


def _total_epochs(epochs: int | None, recipe: Recipe, before: FitResult | None) -> int:
    """How many epochs there are in all, with those of an earlier result."""
    done = 0 if before is None else before.epochs
    if epochs is None and done >= recipe.epochs:
        raise IwaxError(
            f"Expected epochs, as the result has had {done} and the recipe {recipe.name} has {recipe.epochs}; got None."
        )
    more = recipe.epochs - done if epochs is None else epochs
    check_positive_integer("epochs", more)
    return done + more


def _one_of(recipe: str | Recipe | None, protocol: str | Recipe | None) -> str | Recipe:
    """The recipe, by its name or its former one, or the default."""
    given = [value for value in (recipe, protocol) if value is not None]
    if len(given) > 1:
        values = f"recipe={_named(recipe)} and protocol={_named(protocol)}"
        raise IwaxTypeError(f"Expected recipe, or protocol as it was called before, to be given once; got {values}.")
    return given[0] if given else DEFAULT


def _named(recipe: str | Recipe | None) -> str:
    """A recipe by its name, since a whole one is long."""
    return recipe.name if isinstance(recipe, Recipe) else repr(recipe)
