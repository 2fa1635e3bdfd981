"""The thermodynamic variational objective: log p(x) as an integral, bounded by its left Riemann sum."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError
from iwax.objectives.coefficients import Coefficients
from iwax.objectives.objective import SCORE_FUNCTION, Objective

__all__ = ["TVO", "thermodynamic_integrand"]


def thermodynamic_integrand(
    log_w: Float[Array, "samples *batch"], t: float | Float[Array, ""]
) -> Float[Array, " *batch"]:
    """E[log w] under pi_t, proportional to q^(1 - t) p(x, z)^t: sum_k v_k log w_k, v = softmax(t log w), in nats.

    It never decreases in t from the ELBO at 0 to the evidence upper bound at 1; its integral over [0, 1] is log p(x).
    Left sums are lower bounds and right sums upper bounds, up to the bias of self-normalised weights.
    """
    v = _tempered(log_w, t)
    total = jnp.sum(jnp.where(v == 0, 0, v * log_w), axis=0)
    return jnp.where(jnp.max(log_w, axis=0) == -jnp.inf, -jnp.inf, total)


def _tempered(log_w: Array, t: float | Array) -> Array:
    t = jnp.asarray(t, log_w.dtype)
    return jax.nn.softmax(jnp.where(t == 0, 0, t * log_w), axis=0)


class TVO(Objective):
    """A left Riemann sum of thermodynamic integration: sum_i (t_{i+1} - t_i) E_{pi_{t_i}}[log w].

    pi_t interpolates from q at t = 0 to the posterior at t = 1, and each expectation is taken by self-normalised
    weights v = softmax(t log w). One interval is the ELBO. The points are 0, then `num_intervals` - 1 others spaced
    evenly in log t from `first_point` towards 1. The gradient is of score-function type (discrete latent variables
    will do), with the bias of order 1/K of self-normalised weights from two intervals on.

    Arguments:
        num_samples: K, at least 2.
        num_intervals: terms of the sum.
        first_point: the smallest point after 0.

    Reference: Masrani, Le and Wood, "The Thermodynamic Variational Objective" (2019), arXiv:1907.00031.

    >>> TVO(num_samples=2, num_intervals=3, first_point=0.25).points.tolist()
    [0.0, 0.25, 0.5]
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)
    num_intervals: int = eqx.field(
        static=True,
        kw_only=True,
        default=5,
        metadata={"help": "Intervals of the Riemann sum.", "label": "{} intervals"},
    )
    first_point: float = eqx.field(
        static=True,
        kw_only=True,
        default=0.1,
        metadata={"help": "First inverse temperature after 0.", "label": "first point {}"},
    )
    gradient: str = eqx.field(static=True, kw_only=True, default=SCORE_FUNCTION)

    gradients = (SCORE_FUNCTION,)

    def __check_init__(self) -> None:
        check_positive_integer("num_samples", self.num_samples, least=2)
        check_positive_integer("num_intervals", self.num_intervals)
        if not 0 < self.first_point < 1:
            raise IwaxError(f"Expected first_point to be strictly between 0 and 1; got {self.first_point!r}.")

    @property
    def points(self) -> np.ndarray:
        """The left ends of the intervals, (num_intervals,)."""
        return np.append(0.0, np.geomspace(self.first_point, 1, self.num_intervals)[:-1])

    @property
    def widths(self) -> np.ndarray:
        """The lengths of the intervals, (num_intervals,); they sum to one."""
        return np.diff(self.points, append=1.0)

    @property
    def is_unbiased(self) -> bool:
        return self.num_intervals == 1

    @property
    def target(self) -> str:
        return "the bound" if self.is_unbiased else "the bound, self-normalised (bias of order 1/K)"

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        terms = [width * thermodynamic_integrand(log_w, t) for t, width in self._terms(log_w)]
        return jnp.sum(jnp.stack(terms), axis=0)

    def all_coefficients(self, log_w: Float[Array, "samples *batch"]) -> Coefficients:
        # d/dt of E_pi_t is a covariance with log w; K / (K - 1) removes the bias of its estimate at t = 0.
        correction = self.num_samples / (self.num_samples - 1)
        a = c = jnp.zeros_like(log_w)
        for t, width in self._terms(log_w):
            v = _tempered(log_w, t)
            excess = correction * (log_w - thermodynamic_integrand(log_w, t))
            a += width * jnp.where(v == 0, 0, v * (1 + t * excess))
            c += width * jnp.where(v == 0, 0, v * (1 - (1 - t) * excess))
        return Coefficients(a, jnp.zeros_like(a), c)

    def _terms(self, log_w: Array) -> list[tuple[Array, Array]]:
        """(point, width) pairs in the precision of the log-weights."""
        return [
            (jnp.asarray(t, log_w.dtype), jnp.asarray(w, log_w.dtype))
            for t, w in zip(self.points, self.widths, strict=True)
        ]
