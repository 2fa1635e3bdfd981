"""Values missing because of what they are: the self-masking model of not-MIWAE.

    p(s | x) = prod_j sigma(l_j(x_j))^s_j (1 - sigma(l_j(x_j)))^(1 - s_j)        s_j = 1: x_j is observed

What it assumes: whether a value is missing depends on that value alone, by a function l_j of this form. No data can
test that; where it is wrong, imputations are wrong by an amount that nothing here shows.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

__all__ = ["MISSINGNESS", "SelfMasking"]

MISSINGNESS = ("ignorable", "self-masking", "self-masking-nonlinear")
HIDDEN = 8  # units of each column's network


class SelfMasking(eqx.Module):
    """l_j(x) = slope_j x + offset_j, and a small network of x more if it is non-linear; for each of some columns.

    Reference: Ipsen, Mattei and Frellsen, "not-MIWAE: Deep Generative Modelling with Missing not at Random Data"
    (2021), arXiv:2006.12871.
    """

    slope: Float[Array, " columns"]
    offset: Float[Array, " columns"]
    inner: tuple[Array, Array, Array] | None
    """Weights and offsets inside and weights outside of each column's network, (columns, HIDDEN) each."""

    def __init__(self, num_columns: int, *, linear: bool, key: PRNGKeyArray) -> None:
        self.slope, self.offset = jnp.zeros(num_columns), jnp.zeros(num_columns)
        weights = jax.random.normal(key, (2, num_columns, HIDDEN))
        self.inner = None if linear else (weights[0], weights[1], jnp.zeros((num_columns, HIDDEN)))

    def logits(self, x: Float[Array, "*shape columns"]) -> Float[Array, "*shape columns"]:
        """l_j(x_j), the log-odds that x_j is observed."""
        logits = self.slope * x + self.offset
        if self.inner is None:
            return logits
        weight, offset, out = self.inner
        return logits + jnp.sum(out * jnp.tanh(x[..., None] * weight + offset), axis=-1)

    def log_prob(
        self, mask: Bool[Array, "*batch columns"], x: Float[Array, "*shape columns"]
    ) -> Float[Array, "*shape columns"]:
        """log p(s_j | x_j) in nats for the mask s."""
        return jax.nn.log_sigmoid(jnp.where(mask, 1, -1) * self.logits(x))
