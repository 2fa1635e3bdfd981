"""The importance weighted autoencoder's bound."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.models.model import freeze
from iwax.objectives.objective import (
    DOUBLY_REPARAMETERIZED,
    STICKING_THE_LANDING,
    Coefficients,
    Objective,
    check_positive_integer,
    checked_log_joint,
)
from iwax.weights import log_mean_exp, normalised_weights

__all__ = ["IWAE"]


class IWAE(Objective):
    """The log of the mean of K weights: log (1/K) sum_k w_k.

    A lower bound on log p(x) in expectation, tighter with every K, equal to the ELBO at K = 1. The
    doubly-reparameterised gradient is unbiased. Sticking the landing is **biased** for it from K = 2 on: its
    expectation is the bound's gradient plus the wake-phi update of reweighted wake-sleep.

    With `backward="resampled"` one of the K samples is drawn by its weight, and the gradient is that of this sample
    alone: the same expectation with more noise, for one sample's backward pass through the generative network (section
    3 of Burda et al.). The mean of a few draws has less noise, for as many backward passes. The bound still takes K
    forward.

    Arguments:
        backward: "all" samples or some "resampled".
        num_resampled: how many are drawn, independently and with replacement; 1 if left out.

    References: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519; Tucker,
    Lawson, Gu and Maddison, "Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives" (2018),
    arXiv:1810.04152.

    >>> float(IWAE(num_samples=2).bound(jnp.array([0.0, -jnp.inf])))  # log(1/2)
    -0.6931471824645996
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)
    backward: str = eqx.field(static=True, kw_only=True, default="all")
    num_resampled: int | None = eqx.field(static=True, kw_only=True, default=None)

    backwards = ("all", "resampled")

    def __check_init__(self) -> None:
        if self.backward not in self.backwards:
            raise ValueError(f"Expected backward to be one of {', '.join(self.backwards)}; got {self.backward!r}.")
        if self.num_resampled is not None:
            check_positive_integer("num_resampled", self.num_resampled)
            if self.backward != "resampled":
                raise ValueError(
                    f"Expected num_resampled with backward='resampled' only; got backward={self.backward!r}."
                )

    @property
    def beyond_log_weights(self) -> str:
        return "" if type(self).estimate is IWAE.estimate else super().beyond_log_weights  # which only saves work

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return log_mean_exp(log_w)

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        return normalised_weights(log_w)

    def coefficients(self, log_w: Float[Array, "samples *batch"], key: PRNGKeyArray | None = None) -> Coefficients:
        if self.backward == "all":
            return super().coefficients(log_w, key)
        if key is None:
            raise ValueError("Expected a key for the coefficients of backward='resampled'; got None.")
        chosen = jax.nn.one_hot(self._choices(log_w, key), self.num_samples, dtype=log_w.dtype, axis=0)
        return self._coefficients_of(chosen.mean(axis=1), self.path_fraction(log_w))

    def estimate(
        self, model: Any, x: PyTree, key: PRNGKeyArray
    ) -> tuple[Float[Array, " *batch"], Float[Array, " *batch"]]:
        if self.backward == "all":
            return super().estimate(model, x, key)
        posterior = model.posterior(x)
        z, log_q = self.draw(posterior, key)
        log_w = jax.lax.stop_gradient(checked_log_joint(freeze(model), x, freeze(z), freeze(log_q)) - log_q)
        chosen = self._choices(log_w, jax.random.fold_in(key, 1))

        def choose(leaf: Array) -> Array:
            index = chosen.reshape(chosen.shape + (1,) * (leaf.ndim - chosen.ndim))
            return jnp.take_along_axis(leaf, index, axis=0)

        z, log_q, fraction = jax.tree.map(choose, (z, log_q, self.path_fraction(log_w)))
        coefficients = self._coefficients_of(jnp.full_like(fraction, 1 / len(fraction)), fraction)
        only = fraction if self.gradient == DOUBLY_REPARAMETERIZED else None
        return self.bound(log_w), self.surrogate(model, posterior, x, z, log_q, coefficients, only)

    def _choices(self, log_w: Array, key: PRNGKeyArray) -> Array:
        """The numbers of the samples drawn by their weights, (num_resampled, *batch)."""
        shape = (self.num_resampled or 1, *log_w.shape[1:])
        return jax.random.categorical(key, log_w, axis=0, shape=shape)

    def _coefficients_of(self, chosen: Array, fraction: Array) -> Coefficients:
        """Those of the chosen samples: equal weights, by which the weights w~ of all become their probability."""
        if self.gradient == STICKING_THE_LANDING:
            return Coefficients(chosen, chosen, jnp.zeros_like(chosen))
        if self.gradient == DOUBLY_REPARAMETERIZED:
            return Coefficients(chosen, chosen * fraction, jnp.zeros_like(chosen))
        return Coefficients(chosen, chosen, chosen)
