"""The networks of a table model, and the density of z beside the noise of missing values."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from iwax.models import Dense, DiagonalNormal

__all__ = ["MLP", "NoisyDensity", "WithNoise"]


class MLP(eqx.Module):
    """A multilayer perceptron: hidden layers with ReLU, and one linear layer; without hidden ones it is linear."""

    layers: tuple[Dense, ...]

    def __init__(self, sizes: Sequence[int], *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = tuple(Dense(a, b, key=k) for a, b, k in zip(sizes, sizes[1:], keys, strict=False))

    def __call__(self, x: Float[Array, "*shape num_in"]) -> Float[Array, "*shape num_out"]:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)


class WithNoise(NamedTuple):
    """A draw of a model with `missingness`: z, and the noise e of the missing values."""

    code: Array
    noise: Array


class NoisyDensity(eqx.Module):
    """A density of z beside standard normal noise."""

    code: DiagonalNormal
    noise: DiagonalNormal

    def sample_and_log_prob(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> tuple[WithNoise, Array]:
        keys = jax.random.split(key)
        code, log_code = self.code.sample_and_log_prob(keys[0], sample_shape)
        noise, log_noise = self.noise.sample_and_log_prob(keys[1], sample_shape)
        return WithNoise(code, noise), log_code + log_noise

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> WithNoise:
        return self.sample_and_log_prob(key, sample_shape)[0]

    def log_prob(self, z: WithNoise) -> Array:
        return self.code.log_prob(z.code) + self.noise.log_prob(z.noise)
