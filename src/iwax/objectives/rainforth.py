"""The three objectives of Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better" (2018).

Tightening the bound (K) helps the generative network and starves the inference network of signal; each of the three
takes a different way between the ELBO and the IWAE bound at the same budget. arXiv:1802.04537.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from iwax.checks import check_choice, check_positive_integer
from iwax.errors import IwaxError
from iwax.objectives.coefficients import Coefficients
from iwax.objectives.iwae import IWAE
from iwax.objectives.objective import DOUBLY_REPARAMETERIZED, Objective
from iwax.weights import log_mean_exp, normalised_weights

__all__ = ["CIWAE", "MIWAE", "PIWAE"]

FORMER_RULES = {"seed002": "unconstrained"}  # which configurations of before hold


def _in_groups(log_w: Array, num_groups: int) -> Array:
    """(M * K, *batch) -> (M, K, *batch): sample s is number k of group m, s = m K + k."""
    return log_w.reshape(num_groups, -1, *log_w.shape[1:])


class MIWAE(Objective):
    """The mean of M independent IWAE bounds of K samples: (1/M) sum_m log (1/K) sum_k w_{m,k}.

    Its expectation is that of IWAE(K), its variance an M-th. MIWAE(M, 1) is the ELBO with M samples and MIWAE(1, K) is
    IWAE(K). "MIWAE" here is *multiply* importance weighted; Mattei and Frellsen's of 2019 is about missing data.
    Sticking the landing is biased from K = 2 on.

    Reference: Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better" (2018), arXiv:1802.04537.

    >>> log_w = jnp.array([0.0, -jnp.inf, 0.0, 0.0])  # groups (0, -inf) and (0, 0)
    >>> float(MIWAE(num_groups=2, num_samples=2).bound(log_w))
    -0.3465735912322998
    """

    num_groups: int = eqx.field(static=True, kw_only=True, default=8, metadata={"help": "M: groups of samples."})
    num_samples: int = eqx.field(static=True, kw_only=True, default=8)

    def __check_init__(self) -> None:
        check_positive_integer("num_groups", self.num_groups)

    @property
    def total_samples(self) -> int:
        return self.num_groups * self.num_samples

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return jnp.mean(log_mean_exp(_in_groups(log_w, self.num_groups), axis=1), axis=0)

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        return normalised_weights(_in_groups(log_w, self.num_groups), axis=1).reshape(log_w.shape)


class PIWAE(Objective):
    """Two bounds on one set of M K samples: IWAE(M K) for the generative, MIWAE(M, K) for the inference parameters.

    There is no function of which this is the gradient. What it reports as its bound is IWAE(M K); the bound that the
    inference network climbs is `inference_bound`. Sticking the landing is biased from K = 2 on.

    Reference: Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better" (2018), arXiv:1802.04537.

    >>> float(PIWAE(num_groups=2, num_samples=2).bound(jnp.zeros(4)))
    0.0
    """

    num_groups: int = eqx.field(static=True, kw_only=True, default=8, metadata={"help": "M: groups of samples."})
    num_samples: int = eqx.field(static=True, kw_only=True, default=8)

    has_weights_as_coefficients = True

    def __check_init__(self) -> None:
        check_positive_integer("num_groups", self.num_groups)

    @property
    def total_samples(self) -> int:
        return self.num_groups * self.num_samples

    @property
    def takes_kl_weight(self) -> bool:
        return self.gradient != DOUBLY_REPARAMETERIZED  # whose path coefficients are of another bound than a

    @property
    def inference_objective(self) -> MIWAE:
        """MIWAE(M, K), the objective of the inference parameters."""
        return MIWAE(
            num_groups=self.num_groups, num_samples=self.num_samples, gradient=self.gradient, sampling=self.sampling
        )

    @property
    def target(self) -> str:
        theta, phi = f"IWAE({self.total_samples})", f"MIWAE({self.num_groups}, {self.num_samples})"
        if self.is_unbiased:
            return f"theta: {theta}; phi: {phi}"
        return f"theta: {theta}; phi: not {phi}, but its gradient plus E[sum_s u_s grad log q(z_s | x)]"

    def inference_bound(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        """MIWAE(M, K) of the same log-weights, in nats: never above the reported bound."""
        return self.inference_objective.bound(log_w)

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        return IWAE(num_samples=self.total_samples).formula(log_w)

    def all_coefficients(self, log_w: Float[Array, "samples *batch"]) -> Coefficients:
        inference = self.inference_objective.all_coefficients(log_w)
        return Coefficients(self.weight(log_w), inference.path, inference.score)


class CIWAE(Objective):
    """A convex combination of two bounds on the same K samples: beta ELBO + (1 - beta) IWAE(K).

    beta = 1 is the ELBO, beta = 0 is IWAE(K). With `beta_rule`:

    - "fixed": beta stays as given.
    - "ascend": beta is learned by ascending this bound together with the networks, as the sigmoid of a free number.
      The ELBO never exceeds the IWAE bound on the same samples, so the derivative in beta is never positive and
      **beta goes to 0**: this is IWAE with a detour. At K = 1 it does not move at all.
    - "descend": beta descends the bound that the networks ascend, equation (16) of the report that proposed learning
      beta, as printed. **beta goes to 1**: this is the ELBO with a detour.

    - "unconstrained": what the program of that report does ("seed002" in older configurations): beta itself, without
      bounds, ascends the bound, whose ELBO takes a sample of its own. There are 1 + K samples, the ELBO's first. From
      K = 2 on **beta passes 0 and falls on**, where the value is no bound any more; at K = 1 it wanders at random.

    None has an interior optimum; they are here to show that. Sticking the landing is biased from K = 2 on.

    Arguments:
        beta: the weight of the ELBO, or its initial value where it is learned.
        beta_rule: how beta changes, see above.

    Reference: Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better" (2018), arXiv:1802.04537.

    >>> log_w = jnp.array([0.0, -2.0])
    >>> float(CIWAE(num_samples=2, beta=1.0).bound(log_w))
    -1.0
    """

    num_samples: int = eqx.field(static=True, kw_only=True)
    beta_parameter: Float[Array, "..."] = eqx.field(
        metadata={
            "option": "beta",
            "help": "Weight of the ELBO, from 0 (IWAE) to 1 (ELBO); where it starts if learned.",
            "label": "β {}",
        }
    )
    beta_rule: str = eqx.field(
        static=True,
        kw_only=True,
        metadata={"help": "How beta changes: fixed, ascend, descend or unconstrained.", "label": "learned ({})"},
    )

    beta_rules = ("fixed", "ascend", "descend", "unconstrained")
    reported = ("beta",)

    def __init__(
        self,
        *,
        num_samples: int = 64,
        beta: float | Array = 0.5,
        beta_rule: str = "fixed",
        gradient: str = "reparameterized",
        sampling: str = "independent",
        backward: str = "all",
        num_resampled: int | None = None,
    ) -> None:
        beta_rule = FORMER_RULES.get(beta_rule, beta_rule)
        check_choice("beta_rule", beta_rule, self.beta_rules)
        if isinstance(beta, int | float) and not 0 <= beta <= 1:
            raise IwaxError(f"Expected beta to be between 0 (IWAE) and 1 (ELBO); got {beta!r}.")
        if isinstance(beta, int | float) and beta_rule in ("ascend", "descend") and beta in (0, 1):
            raise IwaxError(f"Expected beta strictly between 0 and 1 where it is learned; got {beta!r}.")
        self.num_samples = num_samples
        self.gradient = gradient
        self.sampling = sampling
        self.backward = backward
        self.num_resampled = num_resampled
        self.beta_rule = beta_rule
        self.beta_parameter = self._parameter_of(jnp.asarray(beta, dtype=float))

    def _parameter_of(self, beta: Array) -> Array:
        return jnp.log(beta) - jnp.log1p(-beta) if self._is_logit else beta

    def learned_from(self, former: Any) -> "CIWAE":
        """The same objective with the beta of a former one, whose rule may have another parameter for it."""
        is_same = former.beta_rule == self.beta_rule
        parameter = former.beta_parameter if is_same else self._parameter_of(former.beta)
        return eqx.tree_at(lambda objective: objective.beta_parameter, self, parameter)

    @property
    def _is_logit(self) -> bool:
        return self.beta_rule in ("ascend", "descend")

    @property
    def total_samples(self) -> int:
        return self.num_samples + (self.beta_rule == "unconstrained")

    @property
    def needs_independence(self) -> bool:
        return super().needs_independence or self.beta_rule == "unconstrained"

    @property
    def beta(self) -> Float[Array, "..."]:
        """The weight of the ELBO."""
        if not self._is_logit:
            return self.beta_parameter
        parameter = self.beta_parameter
        return jax.nn.sigmoid(_reversed_gradient(parameter) if self.beta_rule == "descend" else parameter)

    @property
    def learned(self) -> tuple[str, ...]:
        return () if self.beta_rule == "fixed" else ("beta_parameter",)

    def formula(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, " *batch"]:
        # At its end points the mixture is one of the bounds, even where the other is -inf (0 * inf is no number).
        beta = self.beta.astype(log_w.dtype)
        for_elbo, for_iwae = (log_w[:1], log_w[1:]) if self.beta_rule == "unconstrained" else (log_w, log_w)
        elbo = jnp.where(beta == 0, 0, beta * jnp.mean(for_elbo, axis=0))
        iwae = jnp.where(beta == 1, 0, (1 - beta) * log_mean_exp(for_iwae))
        return elbo + iwae

    def path_fraction(self, log_w: Float[Array, "samples *batch"]) -> Float[Array, "samples *batch"]:
        if self.beta_rule == "unconstrained":
            return jnp.concatenate([jnp.ones_like(log_w[:1]), normalised_weights(log_w[1:])])
        # (beta/K + (1 - beta) w~^2) / (beta/K + (1 - beta) w~), without dividing by what may underflow.
        w, beta = normalised_weights(log_w), self.beta.astype(log_w.dtype)
        odds = jnp.log(beta / self.num_samples) - jnp.log1p(-beta) - jax.nn.log_softmax(log_w, axis=0)
        from_elbo = jnp.where(jnp.isnan(odds), 0, jax.nn.sigmoid(odds))  # NaN: beta = 0 and w~ = 0, of weight u = 0
        return w + (1 - w) * from_elbo


@jax.custom_jvp
def _reversed_gradient(x: Array) -> Array:
    """The identity with the opposite derivative: ascending in it descends in x."""
    return x


@_reversed_gradient.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return primals[0], -tangents[0]
