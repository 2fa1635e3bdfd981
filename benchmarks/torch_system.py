"""The same model in PyTorch, written as well as its users write it: data in memory, each image encoded once, logits,
logsumexp, fused Adam; eager, and with `torch.compile`."""

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.case import HIDDEN, Case, Inputs

LOG_TWO_PI = math.log(2 * math.pi)


class TorchVAE(torch.nn.Module):
    """The networks of the case, with the parameters of `Inputs`."""

    def __init__(self, case: Case, parameters: list[np.ndarray]) -> None:
        super().__init__()
        self.case = case
        iterator = iter(parameters)

        def linear() -> torch.nn.Linear:
            weight, bias = torch.from_numpy(next(iterator).T.copy()), torch.from_numpy(next(iterator).copy())
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            layer.weight, layer.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
            return layer

        def block(hidden: tuple[int, ...], heads: int) -> torch.nn.ModuleList:
            return torch.nn.ModuleList([linear() for _ in range(len(hidden) + heads)])

        hidden = HIDDEN[case.layers]
        self.up = torch.nn.ModuleList([block(widths, 2) for widths in hidden])
        self.down = torch.nn.ModuleList(
            [block(widths, 1 if i == case.layers - 1 else 2) for i, widths in enumerate(reversed(hidden))]
        )

    def log_weights(self, x: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
        """(samples, batch)."""
        below, log_q, layers = x, torch.zeros(()), []
        for block, epsilon in zip(self.up, noise, strict=True):
            mean, log_scale = _heads(block, below)
            below = mean + log_scale.exp() * epsilon
            log_q = log_q + (-0.5 * epsilon**2 - log_scale - 0.5 * LOG_TWO_PI).sum(-1)
            layers.append(below)
        log_p = (-0.5 * below**2 - 0.5 * LOG_TWO_PI).sum(-1)
        for block, z in zip(self.down[:-1], reversed(layers[:-1]), strict=True):
            mean, log_scale = _heads(block, below)
            log_p = log_p + (-0.5 * ((z - mean) * (-log_scale).exp()) ** 2 - log_scale - 0.5 * LOG_TWO_PI).sum(-1)
            below = z
        *hidden, output = self.down[-1]
        for layer in hidden:
            below = torch.tanh(layer(below))
        logits = output(below)
        pixels = functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        return log_p - pixels.sum(-1) - log_q

    def loss(self, x: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
        """Minus the mean bound."""
        log_w = self.log_weights(x, noise)
        case = self.case
        if case.objective == "iwae":
            return -(torch.logsumexp(log_w, 0) - math.log(len(log_w))).mean()
        assert case.objective == "miwae"
        grouped = log_w.reshape(case.num_groups, case.num_samples, -1)
        return -(torch.logsumexp(grouped, 1) - math.log(case.num_samples)).mean()


def _heads(block: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    *hidden, loc, scale = block
    for layer in hidden:
        x = torch.tanh(layer(x))
    return loc(x), scale(x)


class Eager:
    def __init__(self, case: Case, inputs: Inputs) -> None:
        self.case, self.inputs = case, inputs
        self.images = torch.from_numpy(inputs.images)
        self.model = TorchVAE(case, inputs.parameters)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.latents = [noise.shape[-1] for noise in inputs.noise]
        self.loss = self.model.loss

    def check(self) -> tuple[np.ndarray, list[np.ndarray]]:
        model = TorchVAE(self.case, self.inputs.parameters)
        loss = model.loss(torch.from_numpy(self.inputs.x), [torch.from_numpy(e) for e in self.inputs.noise])
        loss.backward()
        return -loss.detach().numpy(), [-_as_stored(p.grad) for p in model.parameters()]

    def run(self, steps: int) -> None:
        batch, samples = self.case.batch, self.case.total_samples
        order = torch.randperm(len(self.images))
        for step in range(steps):
            start = (step * batch) % (len(self.images) - batch + 1)
            x = torch.bernoulli(self.images[order[start : start + batch]])
            noise = [torch.randn(samples, batch, size) for size in self.latents]
            self.optimiser.zero_grad(set_to_none=True)
            self.loss(x, noise).backward()
            self.optimiser.step()


class Compiled(Eager):
    def __init__(self, case: Case, inputs: Inputs) -> None:
        super().__init__(case, inputs)
        self.loss = torch.compile(self.model.loss)

    def check(self) -> tuple[np.ndarray, list[np.ndarray]]:
        loss = self.loss(torch.from_numpy(self.inputs.x), [torch.from_numpy(e) for e in self.inputs.noise])
        loss.backward()
        return -loss.detach().numpy(), [-_as_stored(p.grad) for p in self.model.parameters()]


class CompiledBfloat16(Eager):
    """The same under PyTorch's own mixed precision."""

    def __init__(self, case: Case, inputs: Inputs) -> None:
        super().__init__(case, inputs)
        compiled = torch.compile(self.model.loss)

        def loss(x: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return compiled(x, noise)

        self.loss = loss


def _as_stored(gradient: torch.Tensor) -> np.ndarray:
    return gradient.T.numpy() if gradient.ndim == 2 else gradient.numpy()
