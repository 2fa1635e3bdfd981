"""The densities of the columns of a table given z: one class a kind, for all columns of that kind at once.

Each has `log_prob(value)` in nats, `moments()`, the mean and variance of each number that describes a column, and
`sample(key)`; leading axes are those of z, the last one is the columns of the kind.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, PRNGKeyArray

__all__ = ["OUTPUTS", "Binary", "Categorical", "NegativeBinomial", "Normal", "Poisson", "StudentT"]

LOG_TWO_PI = 1.8378770664093453
OUTPUTS = {"continuous": 3, "gaussian": 2, "positive": 2, "count": 2, "poisson": 1, "binary": 1, "categorical": 1}
"""Outputs of the decoder for a column of each kind; of a categorical one, for each category."""
LEAST_DF = 3.0  # of a Student-t, so that it has a variance
LARGEST_LOG_RATE = 15.0


class Normal(eqx.Module):
    """N(loc, exp(log_scale)^2), and its exponential where `log_unit` says so.

    `log_unit` is s where the value of a column is exp(s number) in units of its geometric mean (log-normal: s is the
    standard deviation of the logarithms), and 0 where it is the number itself: `moments` are those of the value.
    """

    loc: Float[Array, "*shape columns"]
    log_scale: Float[Array, "*shape columns"]
    log_unit: Float[Array, " columns"]

    def log_prob(self, value: Float[Array, "*values columns"]) -> Float[Array, "*shape columns"]:
        return -0.5 * ((value - self.loc) * jnp.exp(-self.log_scale)) ** 2 - self.log_scale - 0.5 * LOG_TWO_PI

    def moments(self) -> tuple[Array, Array]:
        variance = jnp.exp(2 * self.log_scale)
        log_variance = self.log_unit**2 * variance  # of the logarithm of the value
        mean = jnp.exp(self.log_unit * self.loc + 0.5 * log_variance)
        is_log = self.log_unit > 0
        return jnp.where(is_log, mean, self.loc), jnp.where(is_log, mean**2 * jnp.expm1(log_variance), variance)

    def from_noise(self, noise: Float[Array, "*shape columns"]) -> Float[Array, "*shape columns"]:
        """The numbers that standard normal ones make."""
        return self.loc + jnp.exp(self.log_scale) * noise

    def value(self, number: Float[Array, "*shape columns"]) -> Float[Array, "*shape columns"]:
        """Numbers in the units of `moments`."""
        return jnp.where(self.log_unit > 0, jnp.exp(self.log_unit * number), number)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*shape columns"]:
        return self.from_noise(jax.random.normal(key, self.loc.shape, self.loc.dtype))


class StudentT(eqx.Module):
    """Student's t with location, scale and degrees of freedom above 3."""

    loc: Float[Array, "*shape columns"]
    log_scale: Float[Array, "*shape columns"]
    df: Float[Array, "*shape columns"]

    def log_prob(self, value: Float[Array, "*values columns"]) -> Float[Array, "*shape columns"]:
        squared = ((value - self.loc) * jnp.exp(-self.log_scale)) ** 2
        constant = _log_gamma_ratio(0.5 * self.df) - 0.5 * jnp.log(self.df * jnp.pi) - self.log_scale
        return constant - 0.5 * (self.df + 1) * jnp.log1p(squared / self.df)

    def moments(self) -> tuple[Array, Array]:
        return self.loc, jnp.exp(2 * self.log_scale) * self.df / (self.df - 2)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*shape columns"]:
        return self.loc + jnp.exp(self.log_scale) * jax.random.t(key, self.df, self.loc.shape, self.loc.dtype)


class NegativeBinomial(eqx.Module):
    """Counts of mean exp(log_mean) and variance mean + mean^2 / size, size = exp(log_size)."""

    log_mean: Float[Array, "*shape columns"]
    log_size: Float[Array, "*shape columns"]

    def log_prob(self, value: Float[Array, "*values columns"]) -> Float[Array, "*shape columns"]:
        size = jnp.exp(self.log_size)
        log_total = jnp.logaddexp(self.log_mean, self.log_size)
        choose = gammaln(value + size) - gammaln(size) - gammaln(value + 1)
        return choose + size * (self.log_size - log_total) + value * (self.log_mean - log_total)

    def moments(self) -> tuple[Array, Array]:
        mean = jnp.exp(self.log_mean)
        return mean, mean + jnp.exp(2 * self.log_mean - self.log_size)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*shape columns"]:
        rate_key, count_key = jax.random.split(key)
        rate = jax.random.gamma(rate_key, jnp.exp(self.log_size)) * jnp.exp(self.log_mean - self.log_size)
        return jax.random.poisson(count_key, rate).astype(rate.dtype)


class Poisson(eqx.Module):
    """Counts of mean and variance exp(log_rate)."""

    log_rate: Float[Array, "*shape columns"]

    def log_prob(self, value: Float[Array, "*values columns"]) -> Float[Array, "*shape columns"]:
        return value * self.log_rate - jnp.exp(self.log_rate) - gammaln(value + 1)

    def moments(self) -> tuple[Array, Array]:
        rate = jnp.exp(self.log_rate)
        return rate, rate

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*shape columns"]:
        return jax.random.poisson(key, jnp.exp(self.log_rate)).astype(self.log_rate.dtype)


class Binary(eqx.Module):
    """0 or 1."""

    logits: Float[Array, "*shape columns"]

    def log_prob(self, value: Float[Array, "*values columns"]) -> Float[Array, "*shape columns"]:
        return value * self.logits - jax.nn.softplus(self.logits)

    def moments(self) -> tuple[Array, Array]:
        mean = jax.nn.sigmoid(self.logits)
        return mean, mean * (1 - mean)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*shape columns"]:
        return jax.random.bernoulli(key, jax.nn.sigmoid(self.logits)).astype(self.logits.dtype)


class Categorical(eqx.Module):
    """Codes 0, 1, ...; the logits of categories that a column does not have are -inf."""

    logits: Float[Array, "*shape columns categories"]

    def log_prob(self, value: Float[Array, "*values columns"]) -> Float[Array, "*shape columns"]:
        log_p = jax.nn.log_softmax(self.logits)
        codes = jnp.broadcast_to(value.astype(int), log_p.shape[:-1])
        return jnp.take_along_axis(log_p, codes[..., None], axis=-1)[..., 0]

    def moments(self) -> tuple[Array, Array]:
        """Of the indicators of the categories, column after column."""
        mean = jax.nn.softmax(self.logits)
        mean = mean.reshape(*mean.shape[:-2], -1)
        return mean, mean * (1 - mean)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*shape columns"]:
        return jax.random.categorical(key, self.logits).astype(self.logits.dtype)


def _log_gamma_ratio(x: Array) -> Array:
    """log of Gamma(x + 1/2) / Gamma(x) for x of 1.5 and more, to 1e-6.

    Stirling's series three steps further on, and back by Gamma(x + 1) = x Gamma(x). In float32 the difference of two
    `gammaln` is twenty times farther off, and it and its derivative take longer than all else of a Student-t.
    """
    far = x + 3
    series = 0.5 * jnp.log(far) - 1 / (8 * far) + 1 / (192 * far**3) - 1 / (640 * far**5)
    return series + jnp.log(x * (x + 1) * (x + 2) / ((x + 0.5) * (x + 1.5) * (x + 2.5)))
