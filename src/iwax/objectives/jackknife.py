"""The jackknife of the IWAE bound."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError
from iwax.objectives.coefficients import Coefficients
from iwax.objectives.objective import DOUBLY_REPARAMETERIZED, Objective
from iwax.weights import leave_one_out_log_sum_exp, log_mean_exp, normalised_weights

__all__ = ["JVI"]

MOST_SUBSETS = 100_000  # of samples left out, for orders above one: time and memory are this times K


class JVI(Objective):
    """The order-m jackknife of IWAE: sum_j (-1)^j (K - j)^m / ((m - j)! j!) mean_{j left out} log mean w.

    The mean is over all ways to leave j = 0 .. m of the K samples out; order 0 is IWAE(K), and order 1 is
    K L_K - (K - 1) (mean of the K leave-one-out bounds). The bias for log p(x) falls from O(1/K) to O(1/K^(m + 1)).
    **It is not a bound**: with heavy-tailed weights it lies below log p(x), with light-tailed ones above, and where it
    is trained on, the networks are rewarded for overestimation. Sticking the landing is biased.

    Arguments:
        num_samples: K, more than `order`.
        order: m; 1 costs O(K), m above that O(K^(m + 1)).

    Raises:
        ValueError: there are too few samples for the order, or too many subsets of them.

    Reference: Nowozin, "Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife
    Variational Inference" (2018), OpenReview HyZoi-WRb.

    >>> round(float(JVI(num_samples=2, order=1).bound(jnp.array([0.0, -2.0]))), 4)  # 2 (-0.5662) + 1
    -0.1324
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)
    order: int = eqx.field(static=True, kw_only=True, default=1, metadata={"help": "Order of the jackknife."})

    has_own_coefficients = False  # but a closed form of those of the bound

    @property
    def needs_independence(self) -> bool:
        return True  # or else leaving samples out says nothing of the bias

    def __check_init__(self) -> None:
        check_positive_integer("order", self.order, least=0)
        if self.num_samples <= self.order:
            raise IwaxError(
                f"Expected num_samples to be more than order={self.order} of the jackknife; got {self.num_samples}."
            )
        if self.order > 1 and math.comb(self.num_samples, self.order) > MOST_SUBSETS:
            raise IwaxError(
                f"Expected at most {MOST_SUBSETS} ways to leave {self.order} samples out; got "
                f"{math.comb(self.num_samples, self.order)} for num_samples={self.num_samples}. Lower one of them."
            )

    def _terms(self) -> list[tuple[int, float]]:
        """(number left out j, factor of the mean of the bounds without j samples)."""
        m, num_samples = self.order, self.num_samples
        factor = [(-1) ** j * (num_samples - j) ** m / math.factorial(m - j) / math.factorial(j) for j in range(m + 1)]
        return list(enumerate(factor))

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return jnp.sum(jnp.stack([factor * _mean_bound_without(log_w, j) for j, factor in self._terms()]), axis=0)

    def weight(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        return self._mean_weights(log_w, power=1)

    def _mean_weights(self, log_w: Array, power: int) -> Array:
        terms = [factor * _mean_weight_without(log_w, j, power) for j, factor in self._terms()]
        return jnp.sum(jnp.stack(terms), axis=0)

    def all_coefficients(self, log_w: Float[Array, "samples *batch"]) -> Coefficients:
        if self.gradient != DOUBLY_REPARAMETERIZED:
            return super().all_coefficients(log_w)
        # The jackknife is linear in bounds of the IWAE kind, whose path coefficients are their squared weights.
        path = self._mean_weights(log_w, power=2)
        return Coefficients(self.weight(log_w), path, jnp.zeros_like(path))


def _kept(num_samples: int, num_left_out: int) -> np.ndarray:
    """(subsets, samples): which samples each subset keeps."""
    left_out = np.array(list(itertools.combinations(range(num_samples), num_left_out)))
    kept = np.ones((len(left_out), num_samples), dtype=bool)
    np.put_along_axis(kept, left_out, False, axis=1)
    return kept


def _subsets(log_w: Array, num_left_out: int) -> Array:
    """(subsets, samples, *batch): log-weights, with -inf for those left out."""
    kept = _kept(log_w.shape[0], num_left_out)
    return jnp.where(kept.reshape(kept.shape + (1,) * (log_w.ndim - 1)), log_w, -jnp.inf)


def _mean_bound_without(log_w: Array, num_left_out: int) -> Array:
    """The mean over subsets of the IWAE bound without `num_left_out` samples."""
    if num_left_out == 0:
        return log_mean_exp(log_w)
    if num_left_out == 1:
        log_sum = leave_one_out_log_sum_exp(log_w)
    elif num_left_out == 2:
        log_sum = _leave_two_out_log_sum_exp(log_w)
    else:
        log_sum = jax.nn.logsumexp(_subsets(log_w, num_left_out), axis=1)
    return jnp.mean(log_sum, axis=0) - jnp.log(jnp.asarray(log_w.shape[0] - num_left_out, log_w.dtype))


def _leave_two_out_log_sum_exp(log_w: Array) -> Array:
    """log of the sum without samples i < j: (pairs, *batch), in O(K) for each i."""
    num_samples = log_w.shape[0]
    first = jnp.eye(num_samples, dtype=bool).reshape((num_samples,) * 2 + (1,) * (log_w.ndim - 1))
    without = jax.vmap(leave_one_out_log_sum_exp)(jnp.where(first, -jnp.inf, log_w))
    return without[np.triu_indices(num_samples, 1)]


def _mean_weight_without(log_w: Array, num_left_out: int, power: int) -> Array:
    """The mean over subsets of w~^power, normalised within the subset; zero for what is left out."""
    if num_left_out == 0:
        return normalised_weights(log_w) ** power
    if num_left_out == 1:
        # w~_k without i is exp(log w_k - s_i), s_i the leave-one-out log-sum: the sum over i != k is one more of those.
        log_sum = leave_one_out_log_sum_exp(log_w)
        total = jnp.exp(power * log_w + leave_one_out_log_sum_exp(-power * log_sum))
        return jnp.where(log_w == -jnp.inf, 0, total) / log_w.shape[0]
    return jnp.mean(jax.nn.softmax(_subsets(log_w, num_left_out), axis=1) ** power, axis=0)
