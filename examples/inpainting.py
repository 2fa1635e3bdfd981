"""MNIST digits with a missing quadrant, filled by the model of tables: a pixel is a binary column like any other.

    python examples/inpainting.py               # a minute or two on 2 cores; writes inpainting.png
    python examples/inpainting.py --epochs 200  # better

Training sees every digit with one quadrant missing, always the same one: what is hidden is never learned from.
"""

import argparse

import jax
import numpy as np

import iwax
from iwax.figures import image_rows
from iwax.impute import Column, TableModel, impute_rows

SIDE = 28
PIXELS = tuple(Column(f"pixel {i}", "binary", categories=(0, 1)) for i in range(SIDE * SIDE))
UNKNOWN = 0.35  # the grey that stands for what is missing


def quadrants_missing(count, seed=0):
    """Masks (count, 784), false in one quadrant of each image."""
    mask = np.ones((count, SIDE, SIDE), bool)
    half = SIDE // 2
    for image, quadrant in zip(mask, np.random.default_rng(seed).integers(4, size=count), strict=True):
        row, column = half * (quadrant // 2), half * (quadrant % 2)
        image[row : row + half, column : column + half] = False
    return mask.reshape(count, -1)


def with_holes(images, seed=0):
    """The model's x of grey images (N, 28, 28): black and white, a quadrant of each missing."""
    values = (images.reshape(len(images), -1) >= 128).astype(np.float32)
    mask = quadrants_missing(len(images), seed)
    return {"values": np.where(mask, values, 0).astype(np.float32), "mask": mask}, values


def make_model(key, latent_size=20):
    """p(x_obs, z) of the pixels that are seen."""
    return TableModel(PIXELS, latent_size=latent_size, hidden_sizes=(200, 200), key=key)


def main(epochs=40, path="inpainting.png"):
    """Trains, fills ten test digits, and draws them; returns the fraction of hidden pixels that the mean has wrong."""
    data = iwax.data.load("mnist-sample")
    x, _ = with_holes(data.train)
    recipe = iwax.training.get_recipe("burda-paper")
    objective = iwax.IWAE(num_samples=5, gradient="doubly-reparameterized")
    model = make_model(jax.random.key(0))
    model = iwax.fit(
        model, objective, x, recipe=recipe, key=jax.random.key(1), epochs=epochs, batch_size=50, binarize="none"
    ).model
    x, whole = with_holes(data.test[:100], seed=1)
    found = impute_rows(model, x, jax.random.key(2), num_samples=1000, num_draws=3, rows=10)
    rows = {
        "digit": whole,
        "seen": np.where(x["mask"], whole, UNKNOWN),
        "mean": np.where(x["mask"], whole, found.mean),
        **{f"draw {i + 1}": np.where(x["mask"], whole, found.draws[:, i]) for i in range(3)},
    }
    image_rows({label: images[:10] for label, images in rows.items()}, path)
    hidden = ~x["mask"]
    return float(np.mean(((found.mean > 0.5) != whole)[hidden])), float(np.mean(whole[hidden]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", default="inpainting.png")
    arguments = parser.parse_args()
    wrong, white = main(arguments.epochs, arguments.out)
    print(f"{wrong:.1%} of the hidden pixels are wrong; {white:.1%} would be if all were black")
