"""A run so small that tests can afford many: 40 images of 16 grey pixels, one-layer, batches of 10."""

import numpy as np

from iwax.data import Dataset
from iwax.runs.config import RunConfig


def tiny_data(seed: int = 0, train: int = 40) -> Dataset:
    images = np.random.default_rng(seed).integers(0, 256, (train + 12, 4, 4), np.uint8)
    return Dataset(
        train=images[:train],
        test=images[train:],
        name="tiny",
        split="standard",
        checksums={"tiny": f"seed {seed}"},
        source="this test",
    )


def tiny_config(**fields) -> RunConfig:
    recipe = {"protocol": "burda-paper", "batch_size": 10, "epochs": 2}
    return RunConfig(**{"objective": "elbo", "num_samples": 1, "dataset": "tiny"} | recipe | fields)


def values_per_image(path, name: str = "log_likelihood") -> np.ndarray:
    """Of a judged run's evaluation.npz, which is closed again."""
    with np.load(path / "evaluation.npz") as arrays:
        return arrays[name]


class Bare:
    """A model of the required members alone, of which nothing is asked: it is refused for want of the optional ones."""

    def posterior(self, x):
        raise AssertionError

    def log_joint(self, x, z):
        raise AssertionError
