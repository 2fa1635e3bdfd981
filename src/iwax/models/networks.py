"""The multilayer perceptrons inside the built-in models, and their initialisations."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from iwax.models.distributions import Bernoulli, DiagonalNormal, softplus
from iwax.models.precision import product

__all__ = ["ACTIVATIONS", "INITS", "SCALE_MAPS", "BernoulliBlock", "Dense", "GaussianBlock"]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": jax.nn.relu, "silu": jax.nn.silu}

Init = Callable[[PRNGKeyArray, int, int], tuple[Array, Array]]
"""(key, num_in, num_out) -> weight (num_in, num_out) and bias (num_out,)."""


def _uniform(key: PRNGKeyArray, shape: tuple[int, ...], half_width: float) -> Array:
    return jax.random.uniform(key, shape, minval=-half_width, maxval=half_width)


def _glorot(key: PRNGKeyArray, num_in: int, num_out: int) -> tuple[Array, Array]:
    """Glorot and Bengio (2010): U(+-sqrt(6 / (n_in + n_out))), biases zero."""
    return _uniform(key, (num_in, num_out), math.sqrt(6 / (num_in + num_out))), jnp.zeros(num_out)


def _glorot_123(key: PRNGKeyArray, num_in: int, num_out: int) -> tuple[Array, Array]:
    """The same, drawn by NumPy's old generator from seed 123 for every layer, as the IWAE paper's code does.

    So layers of one shape start equal (such as the two heads of a Gaussian), and the run's seed changes nothing.
    """
    half_width = math.sqrt(6 / (num_in + num_out))
    weight = np.random.RandomState(123).uniform(-half_width, half_width, (num_in, num_out))
    return jnp.asarray(weight, dtype=float), jnp.zeros(num_out)


def _uniform_in(key: PRNGKeyArray, num_in: int, num_out: int) -> tuple[Array, Array]:
    """U(+-1/sqrt(n_in)), biases zero."""
    return _uniform(key, (num_in, num_out), 1 / math.sqrt(num_in)), jnp.zeros(num_out)


def _torch(key: PRNGKeyArray, num_in: int, num_out: int) -> tuple[Array, Array]:
    """The default of torch.nn.Linear: weights and biases U(+-1/sqrt(n_in))."""
    weight_key, bias_key = jax.random.split(key)
    half_width = 1 / math.sqrt(num_in)
    return _uniform(weight_key, (num_in, num_out), half_width), _uniform(bias_key, (num_out,), half_width)


INITS: dict[str, Init] = {"glorot": _glorot, "glorot-123": _glorot_123, "uniform": _uniform_in, "torch": _torch}

# From the output of a linear layer to the log of a standard deviation.
SCALE_MAPS: dict[str, Callable[[Array], Array]] = {"exp": lambda x: x, "softplus": lambda x: jnp.log(softplus(x))}


class Dense(eqx.Module):
    """x @ weight + bias, for any number of leading axes."""

    weight: Float[Array, "num_in num_out"]
    bias: Float[Array, " num_out"]

    def __init__(self, num_in: int, num_out: int, *, key: PRNGKeyArray, init: str = "glorot") -> None:
        self.weight, self.bias = INITS[init](key, num_in, num_out)

    def __call__(self, x: Float[Array, "*shape num_in"]) -> Float[Array, "*shape num_out"]:
        return product(x, self.weight) + self.bias


class _Trunk(eqx.Module):
    """Hidden layers with one activation after each."""

    layers: tuple[Dense, ...]
    activation: str = eqx.field(static=True)

    def __init__(self, sizes: tuple[int, ...], *, key: PRNGKeyArray, init: str, activation: str) -> None:
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = zip(sizes, sizes[1:], keys, strict=False)
        self.layers = tuple(Dense(a, b, key=k, init=init) for a, b, k in pairs)
        self.activation = activation

    def __call__(self, x: Float[Array, "*shape num_in"]) -> Float[Array, "*shape num_out"]:
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](layer(x))
        return x


class GaussianBlock(eqx.Module):
    """x -> N(mu(x), diag sigma(x)^2): a trunk with two heads. `scale_map` names how sigma is kept positive."""

    trunk: _Trunk
    loc: Dense
    scale: Dense
    scale_map: str = eqx.field(static=True)

    def __init__(
        self, sizes: tuple[int, ...], num_out: int, *, key: PRNGKeyArray, init: str, activation: str, scale_map: str
    ) -> None:
        trunk_key, loc_key, scale_key = jax.random.split(key, 3)
        self.trunk = _Trunk(sizes, key=trunk_key, init=init, activation=activation)
        self.loc = Dense(sizes[-1], num_out, key=loc_key, init=init)
        self.scale = Dense(sizes[-1], num_out, key=scale_key, init=init)
        self.scale_map = scale_map

    def __call__(self, x: Float[Array, "*shape num_in"]) -> DiagonalNormal:
        hidden = self.trunk(x)
        return DiagonalNormal(self.loc(hidden), SCALE_MAPS[self.scale_map](self.scale(hidden)))

    def starting_at(self, mean: Float[Array, " num_out"]) -> "GaussianBlock":
        """The same block with `mean` as the bias of its location."""
        return eqx.tree_at(lambda block: block.loc.bias, self, jnp.asarray(mean, dtype=self.loc.bias.dtype))


class BernoulliBlock(eqx.Module):
    """x -> Bernoulli(logits(x)): a trunk with one head."""

    trunk: _Trunk
    logits: Dense

    def __init__(self, sizes: tuple[int, ...], num_out: int, *, key: PRNGKeyArray, init: str, activation: str) -> None:
        trunk_key, head_key = jax.random.split(key)
        self.trunk = _Trunk(sizes, key=trunk_key, init=init, activation=activation)
        self.logits = Dense(sizes[-1], num_out, key=head_key, init=init)

    def __call__(self, x: Float[Array, "*shape num_in"]) -> Bernoulli:
        return Bernoulli(self.logits(self.trunk(x)))

    def starting_at(self, mean: Float[Array, " num_out"]) -> "BernoulliBlock":
        """The same block with the logit of `mean`, clipped to [0.001, 0.999], as its bias."""
        mean = jnp.clip(jnp.asarray(mean, dtype=self.logits.bias.dtype), 0.001, 0.999)
        return eqx.tree_at(lambda block: block.logits.bias, self, jnp.log(mean) - jnp.log1p(-mean))
