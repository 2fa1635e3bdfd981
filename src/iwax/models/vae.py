"""Variational autoencoders of any depth, with multilayer perceptrons between their stochastic layers.

    p(x, z) = p(z_L) p(z_{L-1} | z_L) ... p(x | z_1),     q(z | x) = q(z_1 | x) q(z_2 | z_1) ... q(z_L | z_{L-1})

All conditional densities of z are diagonal Gaussians, p(z_L) is N(0, I), and p(x | z_1) is Bernoulli or Gaussian.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from iwax.checks import Named, check_choice, check_positive_integer
from iwax.errors import IwaxError
from iwax.keys import check_key
from iwax.models.distributions import Bernoulli, DiagonalNormal, MarkovChain
from iwax.models.networks import ACTIVATIONS, INITS, SCALE_MAPS, BernoulliBlock, GaussianBlock

__all__ = ["ARCHITECTURES", "LIKELIHOODS", "VAE"]

LIKELIHOODS = ("bernoulli", "gaussian")


class VAE(eqx.Module):
    """A variational autoencoder with L stochastic layers.

    A draw z is an array (samples, *batch, latent size) for L = 1, else a tuple of L of them, z_1 (nearest the data)
    first. Data are vectors of `data_size` values, or images of as many pixels.

    Arguments:
        data_size: number of values of one example.
        latent_sizes: size of each stochastic layer, the one nearest the data first.
        hidden_sizes: for each of them, the widths of the hidden layers between it and what lies below; the generative
            network mirrors them.
        key: for the weights.
        likelihood: "bernoulli" (binary data; logits) or "gaussian" (real data; mean and scale are both learned).
        activation: "tanh", "relu" or "silu".
        scale_map: "exp" or "softplus", from a linear layer to a standard deviation.
        init: "glorot", uniform of half-width sqrt(6 / (n_in + n_out)), or "uniform", 1 / sqrt(n_in), both with zero
            biases; "torch", 1 / sqrt(n_in) for biases, too; "glorot-123", that of the IWAE paper's code, without `key`.
        data_mean: mean of the training data, (data_size,) or image-shaped; the output starts there: for Bernoulli as
            the logit of the mean clipped to [0.001, 0.999]. Left out, the output bias starts at zero.

    Reference: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519.

    >>> model = VAE(784, [50], [[200, 200]], key=jax.random.key(0))
    >>> model.num_parameters
    425284
    """

    inference: tuple[GaussianBlock, ...]
    """q(z_1 | x), q(z_2 | z_1), ..."""
    generative: tuple[GaussianBlock | BernoulliBlock, ...]
    """p(z_{L-1} | z_L), ..., p(x | z_1): from the top down."""
    data_size: int = eqx.field(static=True)
    latent_sizes: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        data_size: int,
        latent_sizes: Sequence[int],
        hidden_sizes: Sequence[Sequence[int]],
        *,
        key: PRNGKeyArray,
        likelihood: str = "bernoulli",
        activation: str = "tanh",
        scale_map: str = "exp",
        init: str = "glorot",
        data_mean: Float[Array | np.ndarray, "..."] | None = None,
    ) -> None:
        if len(latent_sizes) != len(hidden_sizes) or not latent_sizes:
            raise IwaxError(
                "Expected hidden_sizes to hold one list of widths per stochastic layer; got "
                f"{len(hidden_sizes)} for {len(latent_sizes)} layers."
            )
        check_key(key)
        check_positive_integer("data_size", data_size)
        check_choice("likelihood", likelihood, LIKELIHOODS)
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("scale_map", scale_map, SCALE_MAPS)
        check_choice("init", init, INITS)
        options: dict[str, Any] = {"init": init, "activation": activation}
        depth, sizes = len(latent_sizes), (data_size, *latent_sizes)
        up_keys, down_keys = jax.random.split(key, (2, depth))

        def upwards(layer: int) -> tuple[int, ...]:
            return (sizes[layer], *hidden_sizes[layer])

        def downwards(layer: int) -> tuple[int, ...]:
            return (sizes[layer + 1], *reversed(hidden_sizes[layer]))

        def gaussian(widths: tuple[int, ...], size: int, key: PRNGKeyArray) -> GaussianBlock:
            return GaussianBlock(widths, size, key=key, scale_map=scale_map, **options)

        self.inference = tuple(gaussian(upwards(i), sizes[i + 1], up_keys[i]) for i in range(depth))
        conditionals = [gaussian(downwards(i), sizes[i], down_keys[i]) for i in reversed(range(1, depth))]
        output: GaussianBlock | BernoulliBlock
        if likelihood == "bernoulli":
            output = BernoulliBlock(downwards(0), data_size, key=down_keys[0], **options)
        else:
            output = gaussian(downwards(0), data_size, down_keys[0])
        self.generative = (*conditionals, output if data_mean is None else output.starting_at(jnp.ravel(data_mean)))
        self.data_size, self.latent_sizes = data_size, tuple(latent_sizes)

    @property
    def prior(self) -> MarkovChain:
        """p(z), of which N(0, I) is the top."""
        zeros = jnp.zeros(self.latent_sizes[-1])
        return MarkovChain(DiagonalNormal(zeros, zeros), self.generative[:-1], top_down=True)

    def posterior(self, x: Shaped[Array, "..."]) -> MarkovChain:
        """q(z | x) for vectors (*batch, data_size) or images of data_size pixels."""
        return MarkovChain(self.inference[0](self._vectors(x)), self.inference[1:])

    def likelihood(self, z: Array | tuple[Array, ...]) -> Bernoulli | DiagonalNormal:
        """p(x | z), of vectors."""
        return self.generative[-1](z[0] if isinstance(z, tuple) else z)

    def log_joint(self, x: Shaped[Array, "..."], z: Array | tuple[Array, ...]) -> Float[Array, "samples *batch"]:
        """log p(x, z) in nats, (samples, *batch)."""
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(self._vectors(x))

    @property
    def real_valued(self) -> bool:
        """Whether p(x | z) is a density of real values, rather than of black and white."""
        return isinstance(self.generative[-1], GaussianBlock)

    @property
    def num_parameters(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(self, eqx.is_inexact_array)))

    def _vectors(self, x: Array) -> Float[Array, "*batch data_size"]:
        """Images as vectors, counts and truth values as numbers."""
        for axes in range(1, x.ndim + 1):
            if math.prod(x.shape[-axes:]) == self.data_size:
                x = x.reshape(*x.shape[:-axes], self.data_size)
                return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)
        example = x.shape[1:] or x.shape  # the first axis is a batch, of which callers of `fit` chose no size
        raise IwaxError(
            f"Expected x to have {self.data_size} values per example, as many as the model was made for; got "
            f"{math.prod(example)}, of shape {example}. Make the model with data_size= as many as the data have."
        )


def _architecture(latent_sizes: Sequence[int], hidden_sizes: Sequence[Sequence[int]]) -> Callable[..., VAE]:
    def build(
        *,
        key: PRNGKeyArray,
        data_mean: Float[Array | np.ndarray, "..."] | None = None,
        init: str = "glorot",
        data_size: int = 784,
        **options: Any,
    ) -> VAE:
        """A `VAE` of this architecture; further options are those of `VAE`."""
        return VAE(data_size, latent_sizes, hidden_sizes, key=key, data_mean=data_mean, init=init, **options)

    return build


ARCHITECTURES: Named[Callable[..., VAE]] = Named(
    {
        "one-layer": _architecture([50], [[200, 200]]),  # Burda et al. (2015), 425,284 parameters
        "two-layer": _architecture([100, 50], [[200, 200], [100, 100]]),  # Burda et al. (2015), 521,084 parameters
        "larger": _architecture([20], [[400, 400]]),  # the larger model of the second report, 973,624 parameters
    }
)
"""Name -> function of (key, data_mean, init, ...) -> VAE."""
