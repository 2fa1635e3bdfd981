"""What is measured: a case, and the inputs that every system computes it on."""

import dataclasses
import json
from pathlib import Path

import numpy as np

__all__ = ["DATA", "ESTIMATOR", "HIDDEN", "LATENT", "Case", "Inputs"]

DATA = 784
ESTIMATOR = "iwax: "  # and an objective's or a gradient's name: the same case with that
HIDDEN = {1: ((200, 200),), 2: ((200, 200), (100, 100))}
LATENT = {1: (50,), 2: (100, 50)}


@dataclasses.dataclass(frozen=True)
class Case:
    """A training step of the model of Burda et al. (2015), or (`task` "likelihood") log p^ of `batch` images."""

    layers: int = 1
    num_samples: int = 1
    batch: int = 20
    objective: str = "iwae"
    num_groups: int = 1
    gradient: str = "reparameterized"
    task: str = "train"

    @property
    def name(self) -> str:
        budget = f"{self.num_groups}, {self.num_samples}" if self.num_groups > 1 else f"{self.num_samples}"
        gradient = "" if self.gradient == "reparameterized" else f" {self.gradient}"
        what = "likelihood" if self.task == "likelihood" else f"{self.objective}({budget}){gradient}"
        return f"{what}, {self.layers} layer{'s' * (self.layers > 1)}, batch {self.batch}"

    @property
    def total_samples(self) -> int:
        return self.num_groups * self.num_samples

    def with_estimator(self, name: str) -> "Case":
        """The same budget of samples under another gradient, or another objective: in eights, where it has groups."""
        if "-" in name:
            return dataclasses.replace(self, gradient=name)
        groups = 8 if name in ("miwae", "piwae") else 1
        return dataclasses.replace(self, objective=name, num_groups=groups, num_samples=self.total_samples // groups)

    @classmethod
    def from_json(cls, text: str) -> "Case":
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Shared by all systems of a case, in a file.

    Attributes:
        parameters: weight (in, out) and bias of each linear layer: the networks upwards, then those from the top down;
            in each the hidden layers, then the heads (mean, log standard deviation; or logits).
        x: the batch, black and white, (batch, 784) float32.
        noise: the standard normal numbers of each layer, (samples, batch, latent).
        images: training images in [0, 1], (N, 784) float32.
    """

    parameters: list[np.ndarray]
    x: np.ndarray
    noise: list[np.ndarray]
    images: np.ndarray

    def save(self, path: Path) -> None:
        arrays = {f"p{i:03d}": value for i, value in enumerate(self.parameters)}
        arrays |= {f"e{i}": value for i, value in enumerate(self.noise)}
        np.savez(path, allow_pickle=False, x=self.x, images=self.images, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Inputs":
        with np.load(path) as file:
            arrays = dict(file)
        named = [(name, arrays[name]) for name in sorted(arrays)]
        return cls(
            parameters=[value for name, value in named if name[0] == "p"],
            x=arrays["x"],
            noise=[value for name, value in named if name[0] == "e"],
            images=arrays["images"],
        )
