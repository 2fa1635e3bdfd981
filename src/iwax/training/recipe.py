"""A training recipe as a value: how a model is initialised and trained."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
import optax
from jaxtyping import PyTree

from iwax.checks import check_choice, check_positive_integer
from iwax.data import num_examples
from iwax.errors import IwaxError, IwaxTypeError, NoticeWarning
from iwax.objectives import AbstractObjective
from iwax.training.clipping import clip_outliers
from iwax.training.early import EarlyPart
from iwax.training.muon import muon
from iwax.training.optimisers import adam
from iwax.training.soap import soap

__all__ = ["Optimizer", "Recipe", "Stages", "check_optimizer"]

GRADIENT_SCALES = ("mean", "sum")
SHUFFLES = ("epoch", "never", "once")
DECAYS = ("stages", "cosine")
ADAM_ONLY = {"epsilon_hat": False, "second_moment": 0.0, "previous_moments": False}  # as they are in the others
OTHERS: dict[str, Callable[..., optax.GradientTransformation]] = {"soap": soap, "muon": muon}
ALGORITHMS = ("adam", *OTHERS)
OUTPUT_BIASES = ("data-mean", "zero", "init")
PERMUTATION_SEED = 123  # of "once"

Stages = tuple[tuple[float, int], ...]
Optimizer: TypeAlias = optax.GradientTransformation | Callable[[Any], Any] | int | float
"""What `fit` takes in place of a recipe's: a transformation, or the rate of the recipe's own by step or for all."""
Overrides = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is initialised and trained; everything but the model, the objective and the data.

    The optimiser is Adam in one of the forms of `iwax.training.optimisers`, SOAP (`iwax.training.soap`) or
    Muon (`iwax.training.muon`), applied to every parameter alike.
    """

    name: str
    source: str
    """Where it is published, and what is not stated there."""
    batch_size: int
    """Images per step; images left over from an epoch are another handful each time it is shuffled."""
    stages: Stages
    """(learning rate, epochs), one after another; the last rate goes on for ever."""
    decay: str = "stages"
    """"stages": each rate as long as its stage lasts; "cosine": the first rate, falling to zero along half a cosine
    over the epochs of all stages."""
    warm_up: float = 0.0
    """Part of the epochs in which a cosine's rate first rises from zero, linearly."""
    algorithm: str = "adam"
    """What turns gradients into steps: "adam", "soap" or "muon"."""
    clip: float = 0.0
    """A gradient of more than this many times the usual norm is clipped to it (`iwax.training.clipping`); 0: none."""
    early_samples: int | None = None
    """How many samples of each image an objective of more has in the early part of a run, all taken backward and shared
    out among its groups if it can be (`iwax.training.early`), and all of its own from then on. None or 0: none."""
    early_part: float = 0.8
    """Which part of a run's epochs that is, where there are `early_samples`."""
    parts: int | None = None
    """Into how many equal parts a minibatch goes through the networks, one after another, each with a key of its own;
    None: as many as keep one in a CPU's cache (`iwax.training.steps.num_parts`), on every device, so that draws do not
    depend on it. On a GPU 1 is quicker where it fits into memory, and another run."""
    gradient_scale: str = "mean"
    """Whether a minibatch's gradient is the "mean" or the "sum" over its images; it matters to epsilon."""
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    """Adam's, in units of the gradient."""
    epsilon_hat: bool = False
    """Whether epsilon stands outside the bias correction."""
    second_moment: float = 0.0
    """Where Adam's second moment starts."""
    previous_moments: bool = False
    """Theano's order of updates: each step uses the moments from before its own gradient; the first moves nothing."""
    init: str = "glorot"
    """How weights are drawn: a name in `iwax.models.networks.INITS`."""
    output_bias: str = "data-mean"
    """Where the output layer's bias starts: at the "data-mean" (its logit for Bernoulli), at "zero", or as `init` has
    it ("init")."""
    scale_map: str = "exp"
    """From a linear layer to a standard deviation: "exp" or "softplus"."""
    shuffle: str = "epoch"
    """Whether training images are shuffled every "epoch", "never", or "once": permuted before any are held out, by
    NumPy's old generator from seed 123, and then kept in that order."""
    held_out: int = 0
    """How many training images, from the end, are never trained on."""
    gradient: str | None = None
    """The estimator of the gradient that a run takes if it names none and its objective's first is reparameterized, for
    independent samples; None: the objective's first. `iwax.fit` is given an objective, which says so itself."""
    by_dataset: Overrides = ()
    """What is different for a data set: ((name, ((field, value), ...)), ...)."""
    by_model: Overrides = ()
    """What is different for one of `iwax.ARCHITECTURES`, in the same form. `iwax.fit` is given a model without such a
    name, so none of it applies there."""

    def __post_init__(self) -> None:
        check_positive_integer("batch_size", self.batch_size)
        if self.parts is not None:
            check_positive_integer("parts", self.parts)
            if self.batch_size % self.parts:
                raise IwaxError(f"Expected parts to divide batch_size={self.batch_size}; got {self.parts!r}.")
        check_positive_integer("held_out", self.held_out, least=0)
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise IwaxError(f"Expected {name} to be at least 0 and below 1; got {getattr(self, name)!r}.")
        if not self.epsilon > 0:
            raise IwaxError(f"Expected epsilon to be positive; got {self.epsilon!r}.")
        if not 0 <= self.second_moment < float("inf"):
            raise IwaxError(f"Expected second_moment to be finite and not negative; got {self.second_moment!r}.")
        if not (self.clip == 0 or 1 <= self.clip < float("inf")):
            raise IwaxError(f"Expected clip to be 0, or finite and at least 1; got {self.clip!r}.")
        if self.early_samples is not None:
            check_positive_integer("early_samples", self.early_samples, least=0)
        if not 0 < self.early_part < 1:
            raise IwaxError(f"Expected early_part to be above 0 and below 1; got {self.early_part!r}.")
        check_choice("gradient_scale", self.gradient_scale, GRADIENT_SCALES)
        check_choice("shuffle", self.shuffle, SHUFFLES)
        check_choice("output_bias", self.output_bias, OUTPUT_BIASES)
        check_choice("decay", self.decay, DECAYS)
        check_choice("algorithm", self.algorithm, ALGORITHMS)
        if not 0 <= self.warm_up < 1 or (self.warm_up and self.decay != "cosine"):
            raise IwaxError(
                f"Expected warm_up to be at least 0 and below 1, and 0 unless decay is cosine; got {self.warm_up!r}."
            )
        for name, plain in ADAM_ONLY.items():
            if self.algorithm != "adam" and getattr(self, name) != plain:
                raise IwaxError(f"Expected no {name} with {self.algorithm}; got {getattr(self, name)!r}.")
        if not self.stages or not all(0 <= rate < float("inf") and epochs >= 1 for rate, epochs in self.stages):
            raise IwaxError(
                "Expected stages to hold pairs of a finite rate, not negative, and a number of epochs, at least 1; "
                f"got {self.stages!r}."
            )

    @property
    def epochs(self) -> int:
        """The length of the whole schedule."""
        return sum(epochs for _, epochs in self.stages)

    def learning_rate(self, steps_per_epoch: int, given: optax.Schedule | int | float | None = None) -> optax.Schedule:
        """The rate of each step, counted from 0; the last stage's goes on for ever, and a cosine stays at its end.

        A rate or schedule that is `given` takes its place.
        """
        if given is not None:
            return given if callable(given) else optax.constant_schedule(given)
        if self.decay == "cosine":
            steps = self.epochs * steps_per_epoch
            rising = round(self.warm_up * steps)
            return optax.warmup_cosine_decay_schedule(
                0.0 if rising else self.stages[0][0], self.stages[0][0], rising, steps
            )
        rates, lengths = zip(*self.stages, strict=True)
        ends = [steps_per_epoch * sum(lengths[: i + 1]) for i in range(len(lengths) - 1)]
        return optax.join_schedules([optax.constant_schedule(rate) for rate in rates], ends)

    def optimiser(self, steps_per_epoch: int, given: Optimizer | None = None) -> optax.GradientTransformation:
        """Adam, SOAP or Muon with this recipe's numbers, of clipped gradients if it clips them.

        A transformation that is `given` takes the place of all that, a rate or schedule that of the rates.
        """
        if isinstance(given, optax.GradientTransformation):
            return given
        rule = self._rule(self.learning_rate(steps_per_epoch, given))
        return optax.chain(clip_outliers(self.clip), rule) if self.clip else rule

    def _rule(self, rate: optax.Schedule) -> optax.GradientTransformation:
        if self.algorithm in OTHERS:
            return OTHERS[self.algorithm](rate, beta1=self.beta1, beta2=self.beta2, epsilon=self.epsilon)
        return adam(
            rate,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            second_moment=self.second_moment,
            epsilon_hat=self.epsilon_hat,
            previous_moments=self.previous_moments,
        )

    def starting_at(self, rate: float) -> "Recipe":
        """The same schedule with every rate in proportion, so that the first (a cosine's highest) is `rate`."""
        if not 0 < rate < float("inf"):
            raise IwaxError(f"Expected learning_rate to be positive and finite; got {rate!r}.")
        (first, epochs), *others = self.stages
        if first == 0:
            raise IwaxError(f"Expected a schedule whose first rate is not 0 for learning_rate; got {self.stages!r}.")
        stages = ((rate, epochs), *((other * (rate / first), length) for other, length in others))
        return dataclasses.replace(self, stages=stages)

    def scaled(self, factor: float) -> "Recipe":
        """The same schedule over `factor` times as many epochs; every stage keeps at least one."""
        if not 0 < factor < float("inf"):
            raise IwaxError(f"Expected factor to be positive; got {factor!r}.")
        stages = tuple((rate, max(1, round(epochs * factor))) for rate, epochs in self.stages)
        return dataclasses.replace(self, stages=stages)

    def lasting(self, epochs: int) -> "Recipe":
        """The recipe of a run of so many epochs: a cosine is as long as that; stages are cut off there, by the run."""
        if self.decay == "stages" or epochs == self.epochs:
            return self
        return dataclasses.replace(self, stages=((self.stages[0][0], epochs),))

    def early(self, epochs: int, objectives: Sequence[AbstractObjective]) -> EarlyPart | None:
        """The early part of a run of so many epochs, of which at least the last is not in it; None for none.

        Arguments:
            objectives: what it climbs; one of as few samples anyhow has no early part.
        """
        length = min(round(self.early_part * epochs), epochs - 1)
        if not self.early_samples or length < 1 or any(o.total_samples <= self.early_samples for o in objectives):
            return None
        return EarlyPart(length, self.early_samples)

    def fitting(self, num_examples: int) -> "Recipe":
        """The recipe with a batch size that fits so few training examples: a tenth, where its own is over half of them.

        Warns (NoticeWarning) then, and where whole batches leave a fifth of them or more out of each epoch. All of them
        are a batch, too.
        """
        if 2 * self.batch_size <= num_examples or self.batch_size == num_examples:
            self._notice_left_out(num_examples)
            return self
        fitting = max(1, num_examples // 10)
        warnings.warn(
            f"Batches of {fitting} examples, a tenth of the {num_examples} there are, in place of the "
            f"{self.batch_size} of the recipe {self.name}; batch_size sets another number.",
            NoticeWarning,
            stacklevel=3,
        )
        return dataclasses.replace(self, batch_size=fitting)

    def _notice_left_out(self, count: int) -> None:
        size = self.batch_size
        if 5 * (count % size) < count:
            return
        better = min(range(size, size // 2, -1), key=lambda other: count % other)
        warnings.warn(
            f"Batches of {size} leave {count % size} of the {count} training examples out of each epoch, "
            f"{'others' if self.shuffle == 'epoch' else 'the same'} each time; batch_size={better} leaves out "
            f"{count % better}.",
            NoticeWarning,
            stacklevel=4,
        )

    def for_run(self, dataset: str, model: str = "") -> "Recipe":
        """The recipe for one data set and one model, by their names, with what is different there filled in.

        >>> from iwax.training import get_recipe
        >>> get_recipe("dd2434").for_run("omniglot").batch_size
        45
        """
        different = dict(dict(self.by_dataset).get(dataset, ())) | dict(dict(self.by_model).get(model, ()))
        return dataclasses.replace(self, **different, by_dataset=(), by_model=())

    def training_images(self, images: PyTree) -> PyTree:
        """Those of `images`, arrays (N, *event), that are trained on, in the order in which they stand.

        Raises:
            ValueError: all of them would be held out.
        """
        count = num_examples(images)
        if self.held_out >= count:
            raise IwaxError(f"Expected held_out to leave some of the {count} training images; got {self.held_out}.")
        if self.shuffle == "once":
            order = np.random.RandomState(PERMUTATION_SEED).permutation(count)
            images = jax.tree.map(lambda leaf: leaf[order], images)
        return jax.tree.map(lambda leaf: leaf[: count - self.held_out], images)


def check_optimizer(given: Any) -> None:
    """Raise ValueError or TypeError for what is no `Optimizer`; None is left out."""
    if given is None or isinstance(given, optax.GradientTransformation):
        return
    form = "a transformation of optax, such as optax.adam(1e-3), a schedule of rates, or a rate"
    rate = _first_rate(given) if callable(given) else given
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number | jax.Array) or np.ndim(rate):
        got = "a function that gives no rate. Call it first" if callable(given) else type(given).__name__
        raise IwaxTypeError(f"Expected optimizer to be {form}; got {got}.")
    if not 0 <= float(rate) < float("inf"):
        raise IwaxError(f"Expected the rate of optimizer to be finite and not negative; got {float(rate)!r}.")


def _first_rate(schedule: Callable[[Any], Any]) -> Any:
    """Of a schedule; None for a function that takes no step alone."""
    try:
        return schedule(0)
    except TypeError:
        return None
