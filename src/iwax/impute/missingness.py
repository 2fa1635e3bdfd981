"""Values missing because of what they are: the self-masking model of not-MIWAE.

    p(s | x) = prod_j sigma(l_j(x_j))^s_j (1 - sigma(l_j(x_j)))^(1 - s_j)        s_j = 1: x_j is observed

What it assumes: whether a value is missing depends on that value alone, by a function l_j of this form. No data can
test that; where it is wrong, imputations are wrong by an amount that nothing here shows. Even its direction, whether
large or small values go missing, is hardly in the data: say it where it is known ("self-masking-above" or "-below").
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

__all__ = ["MISSINGNESS", "SelfMasking"]

MISSINGNESS = ("ignorable", "self-masking", "self-masking-above", "self-masking-below", "self-masking-nonlinear")
HIDDEN = 8  # units of each column's network
DIRECTIONS = {"self-masking-above": -1, "self-masking-below": 1}  # the sign of the slopes, where it is known
SPEED = 10.0
"""Log-odds for each unit of a parameter: Adam moves a parameter by its learning rate a step at most, 2 or 3 units in
all of a training, where values that vanish beyond a threshold need log-odds of tens."""


class SelfMasking(eqx.Module):
    """l_j(x) = slope_j x + offset_j, and a small network of x more if it is non-linear; for each of some columns.

    With a `direction` of 1 or -1 all slopes have that sign: small, or large values are the likelier missing.

    Reference: Ipsen, Mattei and Frellsen, "not-MIWAE: Deep Generative Modelling with Missing not at Random Data"
    (2021), arXiv:2006.12871.
    """

    raw_slope: Float[Array, " columns"]
    raw_offset: Float[Array, " columns"]
    inner: tuple[Array, Array, Array] | None
    """Weights and offsets inside and weights outside of each column's network, (columns, HIDDEN) each."""
    direction: int = eqx.field(static=True)

    def __init__(self, num_columns: int, kind: str, *, key: PRNGKeyArray) -> None:
        self.raw_slope, self.raw_offset = jnp.zeros(num_columns), jnp.zeros(num_columns)
        self.direction, linear = DIRECTIONS.get(kind, 0), kind != "self-masking-nonlinear"
        weights = jax.random.normal(key, (2, num_columns, HIDDEN))
        self.inner = None if linear else (weights[0], weights[1], jnp.zeros((num_columns, HIDDEN)))

    @property
    def slope(self) -> Float[Array, " columns"]:
        """Log-odds that a value is observed, for each unit of the value."""
        slope = SPEED * self.raw_slope
        return self.direction * jax.nn.softplus(slope + 1) if self.direction else slope

    @property
    def offset(self) -> Float[Array, " columns"]:
        """Those at zero."""
        return SPEED * self.raw_offset

    def logits(self, x: Float[Array, "*shape columns"]) -> Float[Array, "*shape columns"]:
        """l_j(x_j), the log-odds that x_j is observed."""
        logits = self.slope * x + self.offset
        if self.inner is None:
            return logits
        weight, offset, out = self.inner
        return logits + SPEED * jnp.sum(out * jnp.tanh(x[..., None] * weight + offset), axis=-1)

    def log_prob(
        self, mask: Bool[Array, "*batch columns"], x: Float[Array, "*shape columns"]
    ) -> Float[Array, "*shape columns"]:
        """log p(s_j | x_j) in nats for the mask s."""
        return jax.nn.log_sigmoid(jnp.where(mask, 1, -1) * self.logits(x))
