"""What every objective has, whether it is a function of log-weights alone or not."""

import abc
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.checks import check_choice, check_positive_integer
from iwax.errors import IwaxError, IwaxTypeError
from iwax.models import Model, Posterior, draw, freeze
from iwax.objectives.autodiff import own_derivatives
from iwax.objectives.coefficients import Coefficients, resample, spread
from iwax.objectives.sampling import SAMPLINGS, draw_dependent

__all__ = [
    "DOUBLY_REPARAMETERIZED",
    "PATH_ONLY",
    "REPARAMETERIZED",
    "SCORE_FUNCTION",
    "STICKING_THE_LANDING",
    "AbstractObjective",
    "check_objective",
    "has_equal_coefficients",
]

REPARAMETERIZED = "reparameterized"
STICKING_THE_LANDING = "sticking-the-landing"
DOUBLY_REPARAMETERIZED = "doubly-reparameterized"
SCORE_FUNCTION = "score-function"  # its path coefficient is zero
PATH_ONLY = (STICKING_THE_LANDING, DOUBLY_REPARAMETERIZED)  # their score coefficient is zero


def check_objective(objective: Any, name: str = "objective") -> None:
    """Raises TypeError for what is no objective: a name, or a class that has not been called."""
    if isinstance(objective, AbstractObjective):
        return
    called = f"{objective.__name__}()" if isinstance(objective, type) else "iwax.IWAE(num_samples=5)"
    raise IwaxTypeError(f"Expected {name} to be an objective of iwax, such as {called}; got {objective!r}.")


class AbstractObjective(eqx.Module):
    """What every objective has: a bound on log p(x), and the gradient estimator with which it is maximised.

    Abstract: `formula`, the bound of log-weights; `estimate`, how a model's value and gradient come about; and what is
    to be known of that, `beyond_log_weights` and `has_second_derivatives`. `Objective` has all but the formula, for
    whatever is a function of log-weights alone. Of the rest, what is final is so to Python, too: a class with its
    own is refused. All other properties and methods are answers and closed forms that a class may know better.

    Arrays among the fields (beta, alpha) are hyper-parameters, constant to the gradient unless named in `learned`. What
    the fields mean is with `Objective`.
    """

    num_samples: int = eqx.field(
        static=True,
        kw_only=True,
        metadata={"help": "K: importance samples per image, and per group where there are groups."},
    )
    backward: str = eqx.field(
        static=True,
        kw_only=True,
        default="all",
        metadata={"help": "Samples that the backward pass takes: all, or resampled (some)."},
    )
    num_resampled: int | None = eqx.field(
        static=True,
        kw_only=True,
        default=None,
        metadata={"help": "How many samples are drawn for a resampled backward pass; 1 if left out."},
    )
    sampling: str = eqx.field(
        static=True,
        kw_only=True,
        default="independent",
        metadata={
            "help": "Draws of z: independent, antithetic or sobol (where the estimator allows).",
            "label": "{} draws",
        },
    )
    gradient: str = eqx.field(
        static=True,
        kw_only=True,
        default=REPARAMETERIZED,
        metadata={
            "help": "Estimator: reparameterized, sticking-the-landing, doubly-reparameterized or score-function; if "
            "left out the recipe's, if the objective has it, or the objective's first."
        },
    )

    gradients: ClassVar[tuple[str, ...]] = (REPARAMETERIZED, STICKING_THE_LANDING, DOUBLY_REPARAMETERIZED)
    reported: ClassVar[tuple[str, ...]] = ()  # names of scalar attributes that belong in every record (such as beta)
    backwards: ClassVar[tuple[str, ...]] = ("all",)  # what `backward` may be

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            owner = next((base for base in cls.__mro__[1:] if name in vars(base)), object)
            member = getattr(owner, name, None)
            if getattr(getattr(member, "fget", member), "__final__", False):
                raise IwaxTypeError(
                    f"Expected {cls.__name__} to leave {name} as {owner.__name__} has it; got its own. "
                    "An objective that is no function of log-weights alone is an iwax.objectives.AbstractObjective."
                )

    def __check_init__(self) -> None:
        check_positive_integer("num_samples", self.num_samples)
        check_choice("gradient", self.gradient, self.gradients, of=type(self).__name__)
        self._check_sampling()
        self._check_backward()

    def _check_backward(self) -> None:
        check_choice("backward", self.backward, self.backwards, of=type(self).__name__)
        if self.num_resampled is not None:
            check_positive_integer("num_resampled", self.num_resampled)
            if self.backward != "resampled":
                raise IwaxError(
                    f"Expected num_resampled with backward='resampled' only; got it with backward={self.backward!r}."
                )

    def _check_sampling(self) -> None:
        name, size = type(self).__name__, self.total_samples
        check_choice("sampling", self.sampling, SAMPLINGS)
        if self.sampling != "independent" and self.needs_independence:
            raise IwaxError(
                f"Expected sampling='independent' for {name} with gradient={self.gradient!r}, which is derived for "
                f"independent samples and biased for others; got {self.sampling!r}."
            )
        if self.sampling == "antithetic" and size % 2:
            raise IwaxError(f"Expected an even number of samples for antithetic sampling; got {size} for {name}.")
        if self.sampling == "sobol" and size & (size - 1):
            raise IwaxError(f"Expected a power of two of samples for Sobol sampling; got {size} for {name}.")

    @abc.abstractmethod
    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        """The bound in nats, from the log-weights; the rule that a new objective writes."""

    @abc.abstractmethod
    def estimate(
        self, model: Model, x: PyTree, key: PRNGKeyArray
    ) -> tuple[Float[Array, " *batch"], Float[Array, " *batch"]]:
        """The bound of each example, and a surrogate whose gradient is the estimator's; both (*batch), in nats."""

    @property
    @abc.abstractmethod
    def beyond_log_weights(self) -> str:
        """What the estimator needs besides log-weights, in words; empty for a function of log-weights alone."""

    @property
    @abc.abstractmethod
    def has_second_derivatives(self) -> bool:
        """Whether the loss is minus the bound to derivatives of any order; other estimators refuse a second one."""

    @property
    def takes_kl_weight(self) -> bool:
        """Whether the estimator is right for tempered log-weights, too; see `iwax.objectives.tempering`."""
        return False

    @property
    def total_samples(self) -> int:
        """S: how many samples of z the objective draws per example."""
        return self.num_samples

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the fields that training may change."""
        return ()

    @property
    def has_constant_weights(self) -> bool:
        """Whether phi's bound is a mean of log-weights, so that u does not depend on them; with K = 1 it always is."""
        return self.num_samples == 1

    @property
    def needs_independence(self) -> bool:
        """Whether the estimator is right for independent samples only, as all but plain derivatives are."""
        return self.gradient == SCORE_FUNCTION or (self.gradient in PATH_ONLY and not self.has_constant_weights)

    @property
    def is_unbiased(self) -> bool:
        """Whether `gradient` estimates the gradient of this bound without bias.

        Sticking the landing drops a term that has mean zero only where the weight u is constant.
        """
        return self.gradient != STICKING_THE_LANDING or self.has_constant_weights

    @property
    def target(self) -> str:
        """The quantity whose gradient `gradient` estimates, in words; `is_unbiased` says whether it is the bound."""
        if self.is_unbiased:
            return "the bound"
        return "theta: the bound; phi: not the bound, but its gradient plus E[sum_s u_s grad log q(z_s | x)]"

    @final
    def bound(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        """The bound in nats, (S, *batch) -> (*batch): what is reported.

        Raises:
            ValueError: the leading axis does not hold `total_samples` samples.
        """
        if log_w.ndim == 0 or log_w.shape[0] != self.total_samples:
            raise IwaxError(
                f"Expected log_w to have a leading axis of {self.total_samples} samples (the total_samples of this "
                f"{type(self).__name__}); got shape {log_w.shape}."
            )
        objective = freeze(self)
        if self.learned:
            objective = eqx.tree_at(self._learned_leaves, objective, self._learned_leaves(self))
        return objective.formula(log_w)

    def learned_from(self, former: "AbstractObjective") -> "AbstractObjective":
        """The same objective with what a former one of its class has learned."""
        return eqx.tree_at(self._learned_leaves, self, self._learned_leaves(former))

    def _learned_leaves(self, objective: Any) -> list[Any]:
        return [getattr(objective, name) for name in self.learned]

    def weight(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        """u = dL/dlog w, the weight of each sample's total derivative."""
        return jax.grad(lambda log_w: jnp.sum(freeze(self).bound(log_w)))(log_w)

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"] | None:
        """(u - du_s/dlog w_s) / u in closed form, where there is one and it lies in [0, 1].

        With it the doubly-reparameterized gradient needs one pass through the decoder, as the plain one does. Not to
        be computed by division: u underflows.
        """
        return None

    @final
    def coefficients(self, log_w: Float[Array, "samples *batch"], key: PRNGKeyArray | None = None) -> Coefficients:
        """The constants a, b, c of the gradient estimator, each (S, *batch).

        Arguments:
            log_w: log-weights, (S, *batch).
            key: needed where samples are resampled; those not drawn have coefficients of zero.
        """
        every = self.all_coefficients(log_w)
        if self.backward == "all":
            return every
        if key is None:
            raise IwaxError("Expected a key for the coefficients of backward='resampled'; got None.")
        chosen, drawn = resample(every, key, self.num_resampled or 1)
        return spread(drawn, chosen, len(log_w))

    def all_coefficients(self, log_w: Float[Array, "samples *batch"]) -> Coefficients:
        """`coefficients` where all samples go backward: what objectives that are not derived from a bound override."""
        u = self.weight(log_w)
        if self.gradient == REPARAMETERIZED:
            return Coefficients(u, u, u)
        if self.gradient == STICKING_THE_LANDING:
            return Coefficients(u, u, jnp.zeros_like(u))
        fraction = self.path_fraction(log_w)
        path = u - own_derivatives(self.weight, log_w) if fraction is None else u * fraction
        return Coefficients(u, path, jnp.zeros_like(u))

    @final
    def draw(self, posterior: Posterior, key: PRNGKeyArray) -> tuple[PyTree, Float[Array, "samples *batch"]]:
        """`total_samples` draws z and their log q(z | x), dependent if `sampling` says so.

        Raises:
            ValueError: the gradient needs reparameterized samples, or the sampling `from_noise`, and the posterior
                has none.
        """
        if self.gradient != SCORE_FUNCTION and not getattr(posterior, "has_rsample", True):
            raise IwaxError(
                f"Expected a posterior with reparameterized samples for gradient={self.gradient!r}; got "
                f"{type(posterior).__name__}, whose has_rsample is false. Use an objective with a score-function "
                "gradient, such as VIMCO."
            )
        if self.sampling == "independent":
            return draw(posterior, key, self.total_samples)
        return draw_dependent(posterior, key, self.total_samples, self.sampling)


def has_equal_coefficients(objective: AbstractObjective) -> bool:
    """Whether a, b and c are one and the same array: the surrogate's gradient is then the bound's own, as it stands."""
    found: list[bool] = []

    def look(log_w: Array, key: PRNGKeyArray) -> None:
        a, b, c = objective.coefficients(log_w, key)
        found.append(a is b and b is c)

    jax.eval_shape(look, jnp.zeros(objective.total_samples), jax.random.key(0))
    return found[0]
