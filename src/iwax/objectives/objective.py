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

from typing import Any, ClassVar, final

import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.keys import stream
from iwax.models import Model, Posterior, checked_log_joint, freeze
from iwax.objectives.abstract import (
    DOUBLY_REPARAMETERIZED,
    PATH_ONLY,
    REPARAMETERIZED,
    SCORE_FUNCTION,
    STICKING_THE_LANDING,
    AbstractObjective,
)
from iwax.objectives.autodiff import one_pass, scale_cotangents, weighted_sum
from iwax.objectives.coefficients import Coefficients, resample, take_samples
from iwax.objectives.tempering import TemperedModel, TemperedPosterior, Weight, tempered_path

__all__ = [
    "DOUBLY_REPARAMETERIZED",
    "PATH_ONLY",
    "REPARAMETERIZED",
    "SCORE_FUNCTION",
    "STICKING_THE_LANDING",
    "AbstractObjective",
    "Objective",
]


class Objective(AbstractObjective):
    """A bound on log p(x) that is a function of log-weights alone, and its gradient estimators.

    To add one, write `formula`: the bound of one or more examples from their log-weights, (S, *batch) -> (*batch).
    Its gradients (all three), training, evaluation and records follow; docs/add-an-objective.md walks through one.

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

    >>> import jax.numpy as jnp
    >>> class Median(Objective):
    ...     def formula(self, log_w):
    ...         return jnp.median(log_w, axis=0)
    >>> Median(num_samples=3).bound(jnp.array([[-1.0], [-2.0], [-6.0]])).tolist()
    [-2.0]
    """

    backwards = ("all", "resampled")
    has_weights_as_coefficients: ClassVar[bool] = False  # a and b, where they differ: one backward pass serves both
    has_own_coefficients: ClassVar[bool] = False  # or else they are those of the bound's own derivative

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Whoever writes them need not know that second derivatives depend on it; whoever knows may say otherwise.
        if "all_coefficients" in vars(cls) and "has_own_coefficients" not in vars(cls):
            cls.has_own_coefficients = True

    @property
    @final
    def beyond_log_weights(self) -> str:
        return ""

    @property
    @final
    def has_second_derivatives(self) -> bool:
        plain = self.gradient == REPARAMETERIZED and self.backward == "all" and not self.learned
        return plain and not self.has_own_coefficients

    @property
    def takes_kl_weight(self) -> bool:
        return self.gradient != SCORE_FUNCTION and not self.learned and not self.has_own_coefficients

    @final
    def estimate(
        self, model: Model, x: PyTree, key: PRNGKeyArray, kl_weight: Weight | None = None
    ) -> tuple[Float[Array, " *batch"], Float[Array, " *batch"]]:
        """The bound of each example, and a surrogate whose gradient is the estimator's; both (*batch), in nats."""
        log_w, surrogate = self.weigh(model, x, key, kl_weight)
        return self.bound(log_w), surrogate

    @final
    def weigh(
        self, model: Model, x: PyTree, key: PRNGKeyArray, kl_weight: Weight | None = None
    ) -> tuple[Float[Array, "samples *batch"], Float[Array, " *batch"]]:
        """The log-weights of new samples, constant to the gradient, and the surrogate that belongs to them; in nats.

        With a `kl_weight` the surrogate is that of the tempered log-weights (`iwax.objectives.tempering`) of the same
        samples; those returned are as they are.
        """
        posterior = model.posterior(x)
        z, log_q = self.draw(posterior, key)
        log_w = reported = checked_log_joint(model, x, z, log_q) - log_q
        if kl_weight is not None:
            model, posterior = TemperedModel(model, kl_weight), TemperedPosterior(posterior, kl_weight)
            log_w, log_q = model.tempered(log_w, z, log_q), kl_weight * log_q
        log_w = log_w if self.has_second_derivatives else jax.lax.stop_gradient(log_w)
        coefficients = freeze(self).all_coefficients(log_w)
        fraction = freeze(self).path_fraction(log_w) if self.gradient == DOUBLY_REPARAMETERIZED else None
        if kl_weight is not None and self.gradient == DOUBLY_REPARAMETERIZED:
            coefficients, fraction = tempered_path(coefficients, fraction, kl_weight)
        if self.backward == "resampled":
            chosen, coefficients = resample(coefficients, stream(key, "resampling"), self.num_resampled or 1)
            z, log_q, fraction = jax.tree.map(lambda leaf: take_samples(leaf, chosen), (z, log_q, fraction))
        return jax.lax.stop_gradient(reported), self.surrogate(model, posterior, x, z, log_q, coefficients, fraction)

    @final
    def surrogate(
        self,
        model: Model,
        posterior: Posterior,
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
