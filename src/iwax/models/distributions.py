"""The three distributions of the built-in models, with the event summed inside.

They are the subset of `numpyro.distributions` that the inner loop of training needs, written for one thing it lacks:
sharing work. A draw knows its own noise, so its density needs no division; a Bernoulli layer takes one logarithm for
many values, and its derivative is that of the softplus, by hand.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from iwax.threefry import written_out

__all__ = ["Bernoulli", "DiagonalNormal", "MarkovChain", "softplus"]

LOG_TWO_PI = 1.8378770664093453
TOGETHER, LANES = 16, 8  # factors of a product, each at most 2; numbers that a processor takes at a time, at least


class DiagonalNormal(eqx.Module):
    """N(loc, diag(exp(log_scale))^2) over the last axis; loc and log_scale are (*batch, event)."""

    loc: Float[Array, "*batch event"]
    log_scale: Float[Array, "*batch event"]

    @property
    def mean(self) -> Float[Array, "*batch event"]:
        return self.loc

    def sample_and_log_prob(
        self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Float[Array, "*shape event"], Float[Array, "*shape"]]:
        """Reparameterized draws, (*sample_shape, *batch, event), and their log-density, (*sample_shape, *batch)."""
        return self.from_noise(jax.random.normal(written_out(key), sample_shape + jnp.shape(self.loc), self.loc.dtype))

    def from_noise(
        self, noise: Float[Array, "*shape event"]
    ) -> tuple[Float[Array, "*shape event"], Float[Array, "*shape"]]:
        """The draws that standard normal numbers make, and their log-density."""
        log_prob = -0.5 * noise**2 - self.log_scale - 0.5 * LOG_TWO_PI
        return self.loc + jnp.exp(self.log_scale) * noise, jnp.sum(log_prob, axis=-1)

    def to_noise(self, value: Float[Array, "*shape event"]) -> Float[Array, "*shape event"]:
        """The standard normal numbers of which `from_noise` makes `value`."""
        return (value - self.loc) * jnp.exp(-self.log_scale)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Float[Array, "*shape event"]:
        return self.sample_and_log_prob(key, sample_shape)[0]

    def log_prob(self, value: Float[Array, "*values event"]) -> Float[Array, "*shape"]:
        """Log-density in nats, summed over the event."""
        standardised = (value - self.loc) * jnp.exp(-self.log_scale)
        return jnp.sum(-0.5 * standardised**2 - self.log_scale - 0.5 * LOG_TWO_PI, axis=-1)


class Bernoulli(eqx.Module):
    """Independent binary values over the last axis, from logits (*batch, event). Not reparameterizable."""

    logits: Float[Array, "*batch event"]

    has_rsample: ClassVar[bool] = False

    @property
    def mean(self) -> Float[Array, "*batch event"]:
        return jax.nn.sigmoid(self.logits)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Float[Array, "*shape event"]:
        shape = sample_shape + jnp.shape(self.logits)
        return jax.random.bernoulli(written_out(key), self.mean, shape).astype(self.logits.dtype)

    def log_prob(self, value: Float[Array, "*values event"]) -> Float[Array, "*shape"]:
        """sum_d x_d l_d - softplus(l_d) in nats. For x between 0 and 1 this is the cross-entropy, not a density."""
        return jnp.sum(value * self.logits - _ramp(self.logits), axis=-1) - _summed_logs(self.logits)


class MarkovChain(eqx.Module):
    """z1 ~ first, z2 | z1 ~ conditionals[0](z1), ...: an array for one layer, else a tuple in the order of the data.

    `top_down` chains (priors) draw the layer farthest from the data first; the tuple is (z1, ..., zL) all the same.
    """

    first: DiagonalNormal
    conditionals: tuple = ()
    top_down: bool = eqx.field(static=True, default=False)

    def sample_and_log_prob(
        self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Array | tuple[Array, ...], Float[Array, "*shape"]]:
        """Reparameterized draws of every layer and their joint log-density in nats."""
        keys = jax.random.split(written_out(key), 1 + len(self.conditionals))
        z, log_prob = self.first.sample_and_log_prob(keys[0], sample_shape)
        layers = [z]
        for conditional, key in zip(self.conditionals, keys[1:], strict=True):
            z, log_prob_z = conditional(layers[-1]).sample_and_log_prob(key)
            layers.append(z)
            log_prob += log_prob_z
        return self._in_data_order(layers), log_prob

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array | tuple[Array, ...]:
        return self.sample_and_log_prob(key, sample_shape)[0]

    def from_noise(
        self, noise: Float[Array, "*shape size"]
    ) -> tuple[Array | tuple[Array, ...], Float[Array, "*shape"]]:
        """The draws that standard normal numbers make, as many as all layers hold, and their joint log-density."""
        size = self.first.loc.shape[-1]
        z, log_prob = self.first.from_noise(noise[..., :size])
        layers = [z]
        for conditional in self.conditionals:
            density, noise = conditional(layers[-1]), noise[..., size:]
            size = density.loc.shape[-1]
            z, log_prob_z = density.from_noise(noise[..., :size])
            layers.append(z)
            log_prob += log_prob_z
        return self._in_data_order(layers), log_prob

    def to_noise(self, z: Array | tuple[Array, ...]) -> Float[Array, "*shape size"]:
        """The standard normal numbers of which `from_noise` makes z."""
        layers = self._in_drawing_order(z)
        densities = [self.first, *(c(below) for c, below in zip(self.conditionals, layers[:-1], strict=True))]
        return jnp.concatenate([d.to_noise(value) for d, value in zip(densities, layers, strict=True)], axis=-1)

    def log_prob(self, z: Array | tuple[Array, ...]) -> Float[Array, "*shape"]:
        """Joint log-density of all layers in nats."""
        layers = self._in_drawing_order(z)
        log_prob = self.first.log_prob(layers[0])
        for conditional, below, z_next in zip(self.conditionals, layers[:-1], layers[1:], strict=True):
            log_prob += conditional(below).log_prob(z_next)
        return log_prob

    def _in_drawing_order(self, z: Array | tuple[Array, ...]) -> list[Array]:
        layers = list(z) if isinstance(z, tuple) else [z]
        return layers[::-1] if self.top_down else layers

    def _in_data_order(self, layers: list[Array]) -> Array | tuple[Array, ...]:
        if len(layers) == 1:
            return layers[0]
        return tuple(layers[::-1]) if self.top_down else tuple(layers)


def softplus(x: Array) -> Array:
    """log(1 + exp x), with sigmoid as its derivative: about a third of the time of `jax.nn.softplus` on a CPU."""
    return _ramp(x) + jnp.log1p(jnp.exp(-jnp.abs(jax.lax.stop_gradient(x))))


@jax.custom_jvp
def _ramp(x: Array) -> Array:
    """max(x, 0), with the derivative of softplus(x) = max(x, 0) + log(1 + e^-|x|): the logarithm is added without."""
    return jnp.maximum(x, 0)


@_ramp.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _ramp(primals[0]), jax.nn.sigmoid(primals[0]) * tangents[0]


def _summed_logs(x: Float[Array, "*batch event"]) -> Float[Array, "*batch"]:
    """sum_d log(1 + e^-|x_d|), taken as constant; of up to 16 at a time, as the logarithm of their product.

    A logarithm of each took longer than all else about a pixel. In float32 a factor 1 + e loses less than 6e-8, which
    the sum loses, too.
    """
    terms = jnp.exp(-jnp.abs(jax.lax.stop_gradient(x)))
    size = x.shape[-1]
    together = next((n for n in range(TOGETHER, 1, -1) if size % (LANES * n) == 0), None)
    if together is None:
        return jnp.sum(jnp.log1p(terms), axis=-1)
    factors = (1 + terms).reshape(*x.shape[:-1], together, size // together)
    return jnp.sum(jnp.log(jnp.prod(factors, axis=-2)), axis=-1)
