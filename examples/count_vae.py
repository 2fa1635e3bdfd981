"""A variational autoencoder for counts, of words or of genes, with a Poisson likelihood, as a model of your own.

    python examples/count_vae.py             # writes the data, counts.npy
    iwax train --model examples/count_vae.py:make_model --dataset ./counts.npy --binarize none \
               --objective iwae --num-samples 5 --recipe burda-paper --stages 3e-3:10 --batch-size 50 --out runs/counts
    iwax evaluate runs/counts
    iwax sample runs/counts --out rates.npy         # the means of p(x | z)
    iwax sample runs/counts --out counts-of-it.npy --drawn

Another likelihood is another class of these three members: `log_prob(x)`, `mean`, and `sample(key)`. NumPyro's will
do, such as `numpyro.distributions.StudentT(df, loc, scale).to_event(1)` for real values with outliers.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from iwax.models import DiagonalNormal

NUM_LATENTS = 2
NUM_COLUMNS = 10


def make_data(count=2000, seed=0):
    """Counts (count, 10), int32: Poisson, with rates that two hidden factors multiply."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(1).normal(size=(NUM_LATENTS, NUM_COLUMNS)) / 2
    return rng.poisson(np.exp(1 + rng.normal(size=(count, NUM_LATENTS)) @ loadings)).astype(np.int32)


class Poisson(eqx.Module):
    """Independent counts over the last axis, from the logarithms of their rates, (*batch, columns)."""

    log_rate: jax.Array

    @property
    def mean(self):
        return jnp.exp(self.log_rate)

    def log_prob(self, value):
        terms = value * self.log_rate - jnp.exp(self.log_rate) - jax.scipy.special.gammaln(value + 1)
        return jnp.sum(terms, axis=-1)

    def sample(self, key, sample_shape=()):
        return jax.random.poisson(key, self.mean, sample_shape + self.log_rate.shape)


class CountVAE(eqx.Module):
    """p(z) = N(0, I), p(x | z) = Poisson(exp(decoder(z))), q(z | x) = N(encoder(log(1 + x)))."""

    inference: eqx.nn.MLP
    generative: eqx.nn.MLP

    @property
    def prior(self):
        return DiagonalNormal(jnp.zeros(NUM_LATENTS), jnp.zeros(NUM_LATENTS))

    def posterior(self, x):
        hidden = jnp.vectorize(self.inference, signature="(n)->(m)")(jnp.log1p(x))
        return DiagonalNormal(*jnp.split(hidden, 2, axis=-1))

    def likelihood(self, z):
        return Poisson(jnp.vectorize(self.generative, signature="(n)->(m)")(z))

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x)


def make_model(key, data_mean, data_shape):
    """Called by `iwax train`: a key, the mean of the training data, where the rates start, and the shape of a row."""
    encoder_key, decoder_key = jax.random.split(key)
    (size,) = data_shape
    decoder = eqx.nn.MLP(NUM_LATENTS, size, 32, 1, activation=jnp.tanh, key=decoder_key)
    decoder = eqx.tree_at(lambda mlp: mlp.layers[-1].bias, decoder, jnp.log(data_mean + 0.1))
    return CountVAE(eqx.nn.MLP(size, 2 * NUM_LATENTS, 32, 1, activation=jnp.tanh, key=encoder_key), decoder)


if __name__ == "__main__":
    np.save("counts.npy", make_data())
