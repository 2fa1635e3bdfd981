"""The networks of a table model, and the density of z beside the noise of missing values."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from iwax.models import Dense, DiagonalNormal

__all__ = ["MLP", "Decoder", "NoisyDensity", "WithNoise"]


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


class Decoder(eqx.Module):
    """From z to the outputs of each group of columns: locations (rates, logits), then spreads.

    One network makes all, or the locations only, and spreads are constants.
    """

    network: MLP
    spreads: Float[Array, " spreads"] | None
    parts: tuple[tuple[int, int], ...] = eqx.field(static=True)
    """(locations, spreads) of each group."""

    def __init__(
        self,
        latent_size: int,
        hidden_sizes: tuple[int, ...],
        parts: Sequence[tuple[int, int]],
        constant: bool,
        *,
        key: PRNGKeyArray,
    ) -> None:
        self.parts = tuple(parts)
        locations, spreads = (sum(part[i] for part in parts) for i in (0, 1))
        self.network = MLP((latent_size, *hidden_sizes, locations if constant else locations + spreads), key=key)
        self.spreads = jnp.zeros(spreads) if constant else None

    def __call__(self, z: Float[Array, "*shape latents"]) -> list[Float[Array, "*shape outputs"]]:
        outputs = self.network(z)
        further = None if self.spreads is None else jnp.broadcast_to(self.spreads, (*z.shape[:-1], *self.spreads.shape))
        found, first, second = [], 0, 0
        for locations, spreads in self.parts:
            if further is None:
                found.append(outputs[..., first : first + locations + spreads])
                first += locations + spreads
            else:
                own, own_spreads = outputs[..., first : first + locations], further[..., second : second + spreads]
                found.append(jnp.concatenate([own, own_spreads], axis=-1))
                first, second = first + locations, second + spreads
        return found

    def shifted(self, by: np.ndarray) -> "Decoder":
        """The same with so much added to the spreads, (spreads,) of all groups in their order."""
        if self.spreads is not None:
            return eqx.tree_at(lambda decoder: decoder.spreads, self, self.spreads + by.astype(self.spreads.dtype))
        pieces, start = [], 0
        for locations, spreads in self.parts:
            pieces += [np.zeros(locations), by[start : start + spreads]]
            start += spreads
        bias = self.network.layers[-1].bias
        shift = np.concatenate(pieces).astype(bias.dtype)
        return eqx.tree_at(lambda decoder: decoder.network.layers[-1].bias, self, bias + shift)


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
