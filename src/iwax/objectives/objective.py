"""What an objective is, and how one bound gives every gradient estimator.

Samples z_1 .. z_S ~ q(. | x) have log-weights log w_s = log p(x, z_s) - log q(z_s | x). An objective is a bound
L(log w); everything else follows from its weight u = dL/dlog w:

    gradient in theta    sum_s a_s grad log p(x, z_s)
    gradient in phi      sum_s b_s (path derivative of log w_s) - sum_s c_s (score of q at z_s)

    reparameterized           a = b = c = u
    sticking-the-landing      a = b = u,  c = 0
    doubly-reparameterized    a = u,  b = u - du_s/dlog w_s,  c = 0
    score-function            b = 0,  a and c by the objective; needs no reparameterized samples

The coefficients are constants to differentiation, so one surrogate serves all of them (sg: stop-gradient):

    J = sum sg(a) log p(x, sg z) + sum sg(b) [log p_frozen(x, z) - log q_frozen(z)] - sum sg(c) log q(sg z)

Where a = b = c = u its gradient is the bound's own, and so are the derivatives of that gradient, to which u is none.
"""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError
from iwax.keys import stream
from iwax.models import checked_log_joint, draw, freeze
from iwax.objectives.autodiff import one_pass, own_derivatives, scale_cotangents, weighted_sum
from iwax.objectives.coefficients import Coefficients, resample, spread, take_samples
from iwax.objectives.sampling import SAMPLINGS, draw_dependent

__all__ = [
    "DOUBLY_REPARAMETERIZED",
    "REPARAMETERIZED",
    "SCORE_FUNCTION",
    "STICKING_THE_LANDING",
    "Objective",
]

REPARAMETERIZED = "reparameterized"
STICKING_THE_LANDING = "sticking-the-landing"
DOUBLY_REPARAMETERIZED = "doubly-reparameterized"
SCORE_FUNCTION = "score-function"  # its path coefficient is zero
PATH_ONLY = (STICKING_THE_LANDING, DOUBLY_REPARAMETERIZED)  # their score coefficient is zero


class Objective(eqx.Module):
    """A bound on log p(x), and the gradient estimator with which it is maximised.

    To add one, write `formula`: the bound of one or more examples from their log-weights, (S, *batch) -> (*batch).
    Its gradients (all three), training, evaluation and records follow; docs/add-an-objective.md walks through one.

    Arrays among the fields (beta, alpha) are hyper-parameters, constant to the gradient unless named in `learned`.

    Arguments:
        num_samples: K, the number of importance samples per example (and per group, where there are groups).
        gradient: which estimator of the bound's gradient to use; one of `gradients`.
        sampling: "independent", "antithetic" or "sobol" draws; the latter two only where the estimator stays valid.
        backward: "all" samples, or some "resampled": drawn in proportion to the largest of their coefficients, by
            which these are divided. The same expected gradient with more noise, for the backward pass of those drawn
            alone; all samples still go forward. With one draw it is section 3 of Burda, Grosse and Salakhutdinov,
            "Importance Weighted Autoencoders" (2015).
        num_resampled: how many are drawn, by systematic resampling (Kitagawa, "Monte Carlo Filter and Smoother for
            Non-Gaussian Nonlinear State Space Models", 1996); 1 if left out.
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
    has_weights_as_coefficients: ClassVar[bool] = False  # a and b, where they differ: one backward pass serves both

    def __check_init__(self) -> None:
        check_positive_integer("num_samples", self.num_samples)
        if self.gradient not in self.gradients:
            raise IwaxError(
                f"Expected gradient to be one of {', '.join(self.gradients)} for {type(self).__name__}; "
                f"got {self.gradient!r}."
            )
        self._check_sampling()
        self._check_backward()

    def _check_backward(self) -> None:
        choices = ("all", "resampled") if type(self).estimate is Objective.estimate else ("all",)
        if self.backward not in choices:
            raise IwaxError(
                f"Expected backward to be one of {', '.join(choices)} for {type(self).__name__}; got {self.backward!r}."
            )
        if self.num_resampled is not None:
            check_positive_integer("num_resampled", self.num_resampled)
            if self.backward != "resampled":
                raise IwaxError(
                    f"Expected num_resampled with backward='resampled' only; got it with backward={self.backward!r}."
                )

    def _check_sampling(self) -> None:
        name, size = type(self).__name__, self.total_samples
        if self.sampling not in SAMPLINGS:
            raise IwaxError(f"Expected sampling to be one of {', '.join(SAMPLINGS)}; got {self.sampling!r}.")
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
    def beyond_log_weights(self) -> str:
        """What the estimator needs besides log-weights, in words; empty for a function of log-weights alone."""
        return "" if type(self).estimate is Objective.estimate else "what its own `estimate` takes from the model"

    @property
    def has_second_derivatives(self) -> bool:
        """Whether the loss is minus the bound to derivatives of any order; other estimators refuse a second one."""
        plain = self.gradient == REPARAMETERIZED and self.backward == "all" and not self.learned
        return plain and type(self).all_coefficients is Objective.all_coefficients and not self.beyond_log_weights

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

    def estimate(
        self, model: Any, x: PyTree, key: PRNGKeyArray
    ) -> tuple[Float[Array, " *batch"], Float[Array, " *batch"]]:
        """The bound of each example, and a surrogate whose gradient is the estimator's; both (*batch), in nats.

        Objectives that are no function of log-weights alone override this method, and nothing else.
        """
        log_w, surrogate = self.weigh(model, x, key)
        return self.bound(log_w), surrogate

    def weigh(
        self, model: Any, x: PyTree, key: PRNGKeyArray
    ) -> tuple[Float[Array, "samples *batch"], Float[Array, " *batch"]]:
        """The log-weights of new samples, constant to the gradient, and the surrogate that belongs to them; in nats."""
        posterior = model.posterior(x)
        z, log_q = self.draw(posterior, key)
        log_w = checked_log_joint(model, x, z, log_q) - log_q
        log_w = log_w if self.has_second_derivatives else jax.lax.stop_gradient(log_w)
        coefficients = freeze(self).all_coefficients(log_w)
        fraction = freeze(self).path_fraction(log_w) if self.gradient == DOUBLY_REPARAMETERIZED else None
        if self.backward == "resampled":
            chosen, coefficients = resample(coefficients, stream(key, "resampling"), self.num_resampled or 1)
            z, log_q, fraction = jax.tree.map(lambda leaf: take_samples(leaf, chosen), (z, log_q, fraction))
        return jax.lax.stop_gradient(log_w), self.surrogate(model, posterior, x, z, log_q, coefficients, fraction)

    def draw(self, posterior: Any, key: PRNGKeyArray) -> tuple[PyTree, Float[Array, "samples *batch"]]:
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

    def surrogate(
        self,
        model: Any,
        posterior: Any,
        x: PyTree,
        z: PyTree,
        log_q: Array,
        coefficients: Coefficients,
        fraction: Array | None,
    ) -> Float[Array, " *batch"]:
        """J, in its cheapest exact form: equal coefficients (one and the same array) share one pass.

        Forward passes that look repeated here are one after compilation; what counts is the number of backward ones.
        """
        a, b, c = coefficients
        if self.gradient == SCORE_FUNCTION:
            surrogate = weighted_sum(a, model.log_joint(x, freeze(z)))
            return surrogate - weighted_sum(c, posterior.log_prob(freeze(z)))
        if a is not b and self.has_weights_as_coefficients:
            a, fraction = one_pass(a, b)
        if a is b:
            surrogate = weighted_sum(a, model.log_joint(x, z))
        elif fraction is not None:
            surrogate = weighted_sum(a, model.log_joint(x, scale_cotangents(z, fraction)))
        else:
            surrogate = weighted_sum(a, model.log_joint(x, freeze(z)))
            surrogate += weighted_sum(b, freeze(model).log_joint(x, z))
        if b is c:
            return surrogate - weighted_sum(b, log_q)
        surrogate -= weighted_sum(b, freeze(posterior).log_prob(z))
        return surrogate if self.gradient in PATH_ONLY else surrogate - weighted_sum(c, posterior.log_prob(freeze(z)))
