"""A conditional variational autoencoder, p(x | y): black-and-white images given their labels, as a model of your own.

    python examples/conditional_vae.py       # writes the data, labelled.npy: the pixels of an image, then its label
    iwax train --model examples/conditional_vae.py:make_model --dataset ./labelled.npy --binarize none \
               --objective iwae --num-samples 5 --recipe burda-paper --stages 3e-3:10 --batch-size 50 \
               --out runs/conditional
    iwax evaluate runs/conditional
    iwax encode runs/conditional --out codes.npz

By the command an example is one row of numbers, so that the label is its last. From Python it may have a name, too:
`iwax.fit(model, objective, {"pixels": pixels, "label": labels}, binarize="none", ...)`.

The densities are given y: q(z | x, y), p(x | z, y), and log p is log p(x | y). Images of a label are
`model.images(labels, key)`; `iwax sample` has no labels to draw them for, and says so.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from iwax.models import Bernoulli, DiagonalNormal

NUM_LATENTS = 2
NUM_LABELS = 2
SIDE = 8


def make_data(count=2000, seed=0):
    """Images (count, 64) of 0 and 1, and labels (count,): noisy bars at a random place, across (0) or down (1)."""
    rng = np.random.default_rng(seed)
    labels, places = rng.integers(0, NUM_LABELS, count), rng.integers(0, SIDE - 1, count)
    images = np.zeros((count, SIDE, SIDE))
    for image, label, place in zip(images, labels, places, strict=True):
        image[place : place + 2] = 0.9
        if label == 1:
            image[:] = image.T.copy()
    noise = rng.uniform(size=images.shape)
    return (noise < np.clip(images, 0.05, None)).reshape(count, -1).astype(np.float32), labels


def parts_of(x):
    """Pixels (*batch, D) and the label of each example as one of NUM_LABELS zeros and ones, of either form of data."""
    pixels, label = (x["pixels"], x["label"]) if isinstance(x, dict) else (x[..., :-1], x[..., -1])
    return pixels.astype(float), jax.nn.one_hot(label.astype(int), NUM_LABELS)


class ConditionalVAE(eqx.Module):
    """z ~ N(0, I) whatever y, p(x | z, y) = Bernoulli(decoder(z, y)), q(z | x, y) = N(encoder(x, y))."""

    inference: eqx.nn.MLP
    generative: eqx.nn.MLP

    @property
    def data_size(self):
        """How many values p(x | y) is of: bits per dimension count no label."""
        return self.generative.out_size

    @property
    def prior(self):
        return DiagonalNormal(jnp.zeros(NUM_LATENTS), jnp.zeros(NUM_LATENTS))

    def posterior(self, x):
        hidden = jnp.concatenate(parts_of(x), axis=-1)
        return DiagonalNormal(*jnp.split(jnp.vectorize(self.inference, signature="(n)->(m)")(hidden), 2, axis=-1))

    def given(self, z, label):
        """p(x | z, y) for z (samples, *batch, latents) and labels as zeros and ones, (*batch, NUM_LABELS)."""
        label = jnp.broadcast_to(label, (*z.shape[:-1], NUM_LABELS))
        return Bernoulli(jnp.vectorize(self.generative, signature="(n)->(m)")(jnp.concatenate([z, label], axis=-1)))

    def log_joint(self, x, z):
        pixels, label = parts_of(x)
        return self.prior.log_prob(z) + self.given(z, label).log_prob(pixels)

    def images(self, labels, key):
        """An image, the mean of p(x | z, y) for z from the prior, for each label (N,): (N, D)."""
        z = self.prior.sample(key, (len(labels),))
        return self.given(z, jax.nn.one_hot(labels, NUM_LABELS)).mean


def make_model(key, data_shape):
    """Called by `iwax train`: a key, and the shape of an example, the pixels and the label."""
    encoder_key, decoder_key = jax.random.split(key)
    size = data_shape[0] - 1
    return ConditionalVAE(
        eqx.nn.MLP(size + NUM_LABELS, 2 * NUM_LATENTS, 64, 1, activation=jnp.tanh, key=encoder_key),
        eqx.nn.MLP(NUM_LATENTS + NUM_LABELS, size, 64, 1, activation=jnp.tanh, key=decoder_key),
    )


if __name__ == "__main__":
    pixels, labels = make_data()
    np.save("labelled.npy", np.column_stack([pixels, labels]).astype(np.float32))
