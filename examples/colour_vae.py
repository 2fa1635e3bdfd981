"""A convolutional variational autoencoder for images in colour, as a model of your own.

    iwax train --model examples/colour_vae.py:make_model --dataset FOLDER --binarize intensities \
               --objective iwae --num-samples 5 --recipe burda-paper --stages 1e-3:20 --batch-size 20 --out runs/colour
    iwax sample runs/colour
    iwax reconstruct runs/colour

FOLDER has images of one size, whose sides are multiples of 4. The likelihood is Gaussian, of intensities from 0 to 1,
with one scale for all pixels that is learned.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from iwax.models import DiagonalNormal

NUM_LATENTS = 32
WIDTH = 16


class Encoder(eqx.Module):
    """From an image (height, width, channels) to the mean and log standard deviation of q(z | x)."""

    convolutions: list
    output: eqx.nn.Linear

    def __init__(self, shape, key):
        keys = jax.random.split(key, 3)
        height, width, channels = shape
        self.convolutions = [
            eqx.nn.Conv2d(channels, WIDTH, 4, stride=2, padding=1, key=keys[0]),
            eqx.nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1, key=keys[1]),
        ]
        self.output = eqx.nn.Linear(2 * WIDTH * (height // 4) * (width // 4), 2 * NUM_LATENTS, key=keys[2])

    def __call__(self, image):
        hidden = jnp.moveaxis(image, -1, 0)  # equinox has channels first
        for convolution in self.convolutions:
            hidden = jax.nn.silu(convolution(hidden))
        return tuple(jnp.split(self.output(hidden.ravel()), 2))


class Decoder(eqx.Module):
    """From z to the mean of p(x | z), (height * width * channels,), and the log of its scale."""

    input: eqx.nn.Linear
    convolutions: list
    bias: jax.Array
    log_scale: jax.Array
    small: tuple = eqx.field(static=True)

    def __init__(self, data_mean, key):
        keys = jax.random.split(key, 3)
        height, width, channels = data_mean.shape
        self.small = (2 * WIDTH, height // 4, width // 4)
        self.input = eqx.nn.Linear(NUM_LATENTS, 2 * WIDTH * (height // 4) * (width // 4), key=keys[0])
        self.convolutions = [
            eqx.nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, stride=2, padding=1, key=keys[1]),
            eqx.nn.ConvTranspose2d(WIDTH, channels, 4, stride=2, padding=1, use_bias=False, key=keys[2]),
        ]
        self.bias, self.log_scale = data_mean, jnp.log(0.3)

    def __call__(self, z):
        hidden = jax.nn.silu(self.input(z)).reshape(self.small)
        hidden = jax.nn.silu(self.convolutions[0](hidden))
        return (jnp.moveaxis(self.convolutions[1](hidden), 0, -1) + self.bias).ravel()


class ColourVAE(eqx.Module):
    """p(z) = N(0, I), p(x | z) = N(decoder(z), scale²), q(z | x) = N(encoder(x)): a batch may have any leading axes."""

    inference: Encoder
    generative: Decoder

    real_valued = True  # bits per dimension mean nothing then, and black and white are refused

    @property
    def prior(self):
        return DiagonalNormal(jnp.zeros(NUM_LATENTS), jnp.zeros(NUM_LATENTS))

    def posterior(self, x):
        return DiagonalNormal(*jnp.vectorize(self.inference, signature="(h,w,c)->(n),(n)")(x))

    def likelihood(self, z):
        mean = jnp.vectorize(self.generative, signature="(n)->(p)")(z)
        return DiagonalNormal(mean, jnp.broadcast_to(self.generative.log_scale, mean.shape))

    def log_joint(self, x, z):
        values = x.reshape(*x.shape[:-3], -1)
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(values)


def make_model(key, data_mean, data_shape):
    """Called by `iwax train`: a key, the mean training image from 0 to 1, and the shape of an image."""
    if len(data_shape) != 3 or any(side % 4 for side in data_shape[:2]):
        raise ValueError(f"Expected images in colour with sides that are multiples of 4; got {data_shape}.")
    encoder_key, decoder_key = jax.random.split(key)
    return ColourVAE(Encoder(data_shape, encoder_key), Decoder(data_mean, decoder_key))
