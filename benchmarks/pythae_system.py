"""Pythae (PyPI), with the networks of the case: its own trainer, as its users run it, and its models in a bare loop.

What it prints is sum w~ log w, not the bound; its gradient is that of the bound, and is what is compared. Its MIWAE and
PIWAE weigh over the axis of groups, so a case (M, K) is given to it as (K, M).
"""

import os
import tempfile
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.models import CIWAE, IWAE, MIWAE, PIWAE, CIWAEConfig, IWAEConfig, MIWAEConfig, PIWAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

from benchmarks.case import DATA, LATENT, Case, Inputs
from benchmarks.torch_system import TorchVAE, _as_stored, _heads

os.environ.setdefault("TQDM_DISABLE", "1")


class Encoder(BaseEncoder):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor) -> ModelOutput:
        mean, log_scale = _heads(self.block, x)
        return ModelOutput(embedding=mean, log_covariance=2 * log_scale)


class Decoder(BaseDecoder):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, z: torch.Tensor) -> ModelOutput:
        *hidden, output = self.block
        for layer in hidden:
            z = torch.tanh(layer(z))
        return ModelOutput(reconstruction=torch.sigmoid(output(z)))


def make_model(case: Case, parameters: list[np.ndarray]) -> Any:
    assert case.layers == 1, "Pythae's IWAE has one stochastic layer"
    networks = TorchVAE(case, parameters)
    options: dict[str, Any] = {
        "input_dim": (DATA,),
        "latent_dim": LATENT[1][0],
        "reconstruction_loss": "bce",
        "number_samples": case.num_samples,
    }
    kind, config = {
        "iwae": (IWAE, IWAEConfig),
        "ciwae": (CIWAE, CIWAEConfig),
        "miwae": (MIWAE, MIWAEConfig),
        "piwae": (PIWAE, PIWAEConfig),
    }[case.objective]
    if case.objective in ("miwae", "piwae"):
        options |= {"number_samples": case.num_groups, "number_gradient_estimates": case.num_samples}
    if case.objective == "ciwae":
        options["beta"] = 0.5
    return kind(config(**options), encoder=Encoder(networks.up[0]), decoder=Decoder(networks.down[0]))


class Images(BaseDataset):
    """Images binarised when they are fetched, as Pythae's examples do."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__(images, torch.zeros(len(images)))

    def __getitem__(self, index: int) -> DatasetOutput:
        return DatasetOutput(data=torch.bernoulli(self.data[index]), labels=self.labels[index])


class BareLoop:
    def __init__(self, case: Case, inputs: Inputs) -> None:
        self.case, self.inputs = case, inputs
        self.images = torch.from_numpy(inputs.images)
        self.model = make_model(case, inputs.parameters)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def check(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Its gradient at the shared noise; its loss is not the bound, so none is given (NaN)."""
        model = make_model(self.case, self.inputs.parameters)
        noise = torch.from_numpy(self.inputs.noise[0])
        grouped = self.case.objective in ("miwae", "piwae")
        shape = (self.case.num_groups, self.case.num_samples) if grouped else (self.case.num_samples,)
        noise = noise.reshape(*shape, *noise.shape[1:])
        noise = noise.permute(2, 1, 0, 3) if grouped else noise.permute(1, 0, 2)
        model._sample_gauss = lambda mean, scale: (mean + noise * scale, noise)
        model(DatasetOutput(data=torch.from_numpy(self.inputs.x))).loss.backward()
        stored = [*model.encoder.parameters(), *model.decoder.parameters()]
        return np.asarray(np.nan), [-_as_stored(p.grad) for p in stored]

    def run(self, steps: int) -> None:
        batch, order = self.case.batch, torch.randperm(len(self.images))
        for step in range(steps):
            start = (step * batch) % (len(self.images) - batch + 1)
            x = torch.bernoulli(self.images[order[start : start + batch]])
            self.optimiser.zero_grad()
            self.model(DatasetOutput(data=x)).loss.backward()
            self.optimiser.step()


class ItsTrainer(BareLoop):
    def run(self, steps: int) -> None:
        """Epochs of its trainer that make `steps` steps in all; building it is not counted by the second call on."""
        batch = self.case.batch
        per_epoch = min(steps, len(self.images) // batch)
        trainer = self._trainer(per_epoch * batch)
        for _ in range(steps // per_epoch):
            trainer.train_step(1)

    def _trainer(self, num_images: int) -> BaseTrainer:
        if getattr(self, "_size", None) != num_images:
            config = BaseTrainerConfig(
                output_dir=tempfile.mkdtemp(), per_device_train_batch_size=self.case.batch, num_epochs=1
            )
            self._made = BaseTrainer(self.model, Images(self.images[:num_images]), training_config=config)
            self._made.prepare_training()
            self._size = num_images
        return self._made


class Likelihood(BareLoop):
    """`get_nll` of `batch` images with `num_samples` importance samples, 500 at a time."""

    def run(self, steps: int) -> None:
        x = torch.from_numpy(self.inputs.x)
        with torch.no_grad():
            for _ in range(steps):
                self.model.get_nll(x, n_samples=self.case.num_samples, batch_size=min(500, self.case.num_samples))
