"""A variational autoencoder for real-valued data, with a Gaussian likelihood, as a model of your own.

    python examples/gaussian_vae.py          # writes the data, bumps.npy
    iwax train --model examples/gaussian_vae.py:make_model --dataset ./bumps.npy --binarize none \
               --objective iwae --num-samples 5 --epochs 50 --batch-size 50 --out runs/bumps
    iwax evaluate runs/bumps
    iwax reconstruct runs/bumps
"""

import math

import numpy as np

import iwax

SIDE = 8
NOISE = 0.1


def make_data(count=2000, seed=0):
    """Images (count, 8, 8), float32: a bump at a random place, and Gaussian noise of standard deviation 0.1."""
    rng = np.random.default_rng(seed)
    row, column = rng.uniform(1, SIDE - 2, (2, count, 1, 1))
    i, j = np.mgrid[:SIDE, :SIDE]
    bumps = np.exp(-((i - row) ** 2 + (j - column) ** 2) / 2)
    return (bumps + NOISE * rng.normal(size=bumps.shape)).astype(np.float32)


def make_model(key, data_mean, data_shape):
    """Called by `iwax train`: a key, the mean of the training data, and the shape of an example.

    Two latent units, as many as a bump has coordinates; mean and scale of every pixel are learned.
    """
    return iwax.VAE(math.prod(data_shape), [2], [[64, 64]], key=key, likelihood="gaussian", data_mean=data_mean)


if __name__ == "__main__":
    np.save("bumps.npy", make_data())
