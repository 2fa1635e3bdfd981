"""A convolutional variational autoencoder for black-and-white images, as a model of your own.

    iwax train --model examples/convolutional_vae.py:make_model --dataset mnist-sample \
               --objective iwae --num-samples 5 --stages 3e-3:5 --batch-size 20 --out runs/convolutional
    iwax evaluate runs/convolutional
    iwax reconstruct runs/convolutional
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from iwax.models import Bernoulli, DiagonalNormal

NUM_LATENTS = 20
CHANNELS = 16


class Encoder(eqx.Module):
    """From an image (height, width) to the mean and log standard deviation of q(z | x)."""

    convolutions: list
    output: eqx.nn.Linear

    def __init__(self, shape, key):
        keys = jax.random.split(key, 3)
        self.convolutions = [
            eqx.nn.Conv2d(1, CHANNELS, 4, stride=2, padding=1, key=keys[0]),
            eqx.nn.Conv2d(CHANNELS, 2 * CHANNELS, 4, stride=2, padding=1, key=keys[1]),
        ]
        height, width = shape
        self.output = eqx.nn.Linear(2 * CHANNELS * (height // 4) * (width // 4), 2 * NUM_LATENTS, key=keys[2])

    def __call__(self, image):
        hidden = image[None]
        for convolution in self.convolutions:
            hidden = jax.nn.silu(convolution(hidden))
        return tuple(jnp.split(self.output(hidden.ravel()), 2))


class Decoder(eqx.Module):
    """From z to the logits of p(x | z), one for each pixel."""

    input: eqx.nn.Linear
    convolutions: list
    bias: jax.Array
    small: tuple = eqx.field(static=True)

    def __init__(self, data_mean, key):
        keys = jax.random.split(key, 3)
        height, width = data_mean.shape
        self.small = (2 * CHANNELS, height // 4, width // 4)
        self.input = eqx.nn.Linear(NUM_LATENTS, 2 * CHANNELS * (height // 4) * (width // 4), key=keys[0])
        self.convolutions = [
            eqx.nn.ConvTranspose2d(2 * CHANNELS, CHANNELS, 4, stride=2, padding=1, key=keys[1]),
            eqx.nn.ConvTranspose2d(CHANNELS, 1, 4, stride=2, padding=1, use_bias=False, key=keys[2]),
        ]
        self.bias = jax.scipy.special.logit(jnp.clip(data_mean, 0.001, 0.999)).ravel()

    def __call__(self, z):
        hidden = jax.nn.silu(self.input(z)).reshape(self.small)
        hidden = jax.nn.silu(self.convolutions[0](hidden))
        return self.convolutions[1](hidden).ravel() + self.bias


class ConvolutionalVAE(eqx.Module):
    """p(z) = N(0, I), p(x | z) = Bernoulli(decoder(z)), q(z | x) = N(encoder(x)): a batch may have any leading axes."""

    inference: Encoder
    generative: Decoder

    @property
    def prior(self):
        return DiagonalNormal(jnp.zeros(NUM_LATENTS), jnp.zeros(NUM_LATENTS))

    def posterior(self, x):
        return DiagonalNormal(*jnp.vectorize(self.inference, signature="(h,w)->(n),(n)")(x))

    def likelihood(self, z):
        return Bernoulli(jnp.vectorize(self.generative, signature="(n)->(p)")(z))

    def log_joint(self, x, z):
        pixels = x.reshape(*x.shape[:-2], -1)
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(pixels)


def make_model(key, data_mean, data_shape):
    """Called by `iwax train`: a key, the mean training image, and the shape of an image."""
    if len(data_shape) != 2 or any(side % 4 for side in data_shape):
        raise ValueError(f"Expected images with sides that are multiples of 4; got {data_shape}.")
    encoder_key, decoder_key = jax.random.split(key)
    return ConvolutionalVAE(Encoder(data_shape, encoder_key), Decoder(data_mean, decoder_key))
