"""Score-function gradients of the IWAE bound, for latent variables that cannot be reparameterized.

With a learning signal d_k = L - w~_k for sample k, where L is the bound, and a baseline h_k for it,

    gradient in phi = E[sum_k (d_k - h_k) grad log q(z_k | x)]

without bias if h_k does not depend on z_k. The -w~_k comes from log q inside the weights; without it the expectation is
that of sticking the landing.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from iwax.checks import check_choice, check_positive_integer
from iwax.errors import IwaxError
from iwax.objectives.coefficients import Coefficients
from iwax.objectives.objective import SCORE_FUNCTION, Objective
from iwax.weights import leave_one_out_log_sum_exp, leave_one_out_sum, log_mean_exp, normalised_weights

__all__ = ["OVIS", "VIMCO"]


class VIMCO(Objective):
    """The IWAE bound by score functions, baselines from the other samples: log (1/K) sum_k w_k.

    The baseline of sample k is the bound with w_k replaced by a mean of the other weights: the geometric one, as in
    the paper, or the arithmetic one.

    Arguments:
        num_samples: K, at least 2.
        baseline: "geometric" or "arithmetic".

    Reference: Mnih and Rezende, "Variational Inference for Monte Carlo Objectives" (2016), arXiv:1602.06725.

    >>> VIMCO(num_samples=2).coefficients(jnp.zeros(2)).score.tolist()
    [0.5, 0.5]
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)
    baseline: str = eqx.field(
        static=True,
        kw_only=True,
        default="geometric",
        metadata={"help": "Baseline: geometric or arithmetic.", "label": "{} baseline"},
    )
    gradient: str = eqx.field(static=True, kw_only=True, default=SCORE_FUNCTION)

    gradients = (SCORE_FUNCTION,)
    baselines = ("geometric", "arithmetic")

    def __check_init__(self) -> None:
        check_positive_integer("num_samples", self.num_samples, least=2)
        check_choice("baseline", self.baseline, self.baselines)

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return log_mean_exp(log_w)

    def all_coefficients(self, log_w: Float[Array, "samples *batch"]) -> Coefficients:
        w, others = normalised_weights(log_w), leave_one_out_log_sum_exp(log_w)
        if self.baseline == "geometric":
            instead = leave_one_out_sum(log_w) / (self.num_samples - 1)
        else:
            instead = others - jnp.log(jnp.asarray(self.num_samples - 1, log_w.dtype))
        signal = jnp.logaddexp(others, log_w) - jnp.logaddexp(others, instead)  # L - h_k: the log K cancel
        return Coefficients(w, jnp.zeros_like(w), w - signal)


class OVIS(Objective):
    """The IWAE bound by score functions, with near-optimal baselines: log (1/K) sum_k w_k.

    With `num_auxiliary` = S > 0 the baseline of sample k is the mean of its learning signal with z_k replaced by each
    of S further samples: unbiased, at the cost of K + S samples. With S = 0 it is the asymptotic form
    log (1/K) sum_{j != k} w_j - gamma w~_k - gamma log(1 - 1/K): **gamma = 0 is unbiased** (VIMCO with the arithmetic
    mean, up to a constant), **gamma = 1 is not**, since that baseline depends on z_k: its expectation is that of IWAE
    with sticking the landing. Between them gamma times what that adds, E[sum_k w~_k grad log q(z_k | x)], is added.

    Arguments:
        num_samples: K, at least 2.
        num_auxiliary: S.
        gamma: 0 to 1, where S = 0.

    Reference: Lievin, Dittadi, Christensen and Winther, "Optimal Variance Control of the Score-Function Gradient
    Estimator for Importance-Weighted Bounds" (2020), arXiv:2008.01998.

    >>> OVIS(num_samples=2, num_auxiliary=3).total_samples
    5
    """

    num_samples: int = eqx.field(static=True, kw_only=True, default=50)
    num_auxiliary: int = eqx.field(
        static=True,
        kw_only=True,
        default=0,
        metadata={"help": "Auxiliary samples of the baseline; 0 for its approximation.", "label": "{} auxiliary"},
    )
    gamma: float = eqx.field(
        static=True,
        kw_only=True,
        default=0.0,
        metadata={"help": "Of the baseline's approximation: 0 is unbiased.", "label": "γ {}"},
    )
    gradient: str = eqx.field(static=True, kw_only=True, default=SCORE_FUNCTION)

    gradients = (SCORE_FUNCTION,)

    def __check_init__(self) -> None:
        check_positive_integer("num_samples", self.num_samples, least=2)
        check_positive_integer("num_auxiliary", self.num_auxiliary, least=0)
        if not 0 <= self.gamma <= 1:
            raise IwaxError(f"Expected gamma to be between 0 (unbiased) and 1; got {self.gamma!r}.")
        if self.gamma and self.num_auxiliary:
            raise IwaxError(f"Expected gamma to be 0 where num_auxiliary is not; got {self.gamma!r}.")

    @property
    def total_samples(self) -> int:
        return self.num_samples + self.num_auxiliary

    @property
    def is_unbiased(self) -> bool:
        return self.gamma == 0

    @property
    def target(self) -> str:
        factor = "" if self.gamma == 1 else f"{self.gamma:g} "
        return super().target.replace("plus E[", f"plus {factor}E[")

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return log_mean_exp(log_w[: self.num_samples])

    def all_coefficients(self, log_w: Float[Array, "samples *batch"]) -> Coefficients:
        log_w, auxiliary = log_w[: self.num_samples], log_w[self.num_samples :]
        w, others = normalised_weights(log_w), leave_one_out_log_sum_exp(log_w)
        log_sum = jnp.logaddexp(others, log_w)
        if self.num_auxiliary:
            replaced = jnp.logaddexp(others, auxiliary[:, None])  # (S, K, *batch)
            share = jnp.exp(auxiliary[:, None] - replaced)
            signal = log_sum - w - jnp.mean(replaced - share, axis=0)
        else:
            # L - w~ - [log mean of the others - gamma w~ + (1 - gamma) log(1 - 1/K)], with log sums for log means.
            shift = self.gamma * jnp.log1p(-1 / jnp.asarray(self.num_samples, log_w.dtype))
            signal = log_sum - others + shift - (1 - self.gamma) * w
        idle = jnp.zeros_like(auxiliary)
        a, c = jnp.concatenate([w, idle]), jnp.concatenate([-signal, idle])
        return Coefficients(a, jnp.zeros_like(a), c)
