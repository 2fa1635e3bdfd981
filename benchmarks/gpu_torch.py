"""Training steps of PyTorch as fast as its users can have them on a GPU: the loss compiled, the whole step replayed as
a CUDA graph, several runs at once by `torch.func.vmap`. On a processor, without graphs."""

import time
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, grad, vmap

from benchmarks.case import DATA, HIDDEN, LATENT, Case
from benchmarks.torch_system import TorchVAE

WARM_UP = 3  # steps before a capture, as PyTorch's manual has it


def parameters(case: Case, seed: int) -> list[np.ndarray]:
    """Weight and bias of each linear layer, in the order of `Inputs`."""
    rng, found = np.random.default_rng(seed), []

    def linear(m: int, n: int) -> None:
        limit = (6 / (m + n)) ** 0.5
        found.extend([rng.uniform(-limit, limit, (m, n)).astype(np.float32), np.zeros(n, np.float32)])

    sizes = (DATA, *LATENT[case.layers])
    blocks = [(sizes[i], widths, sizes[i + 1], 2) for i, widths in enumerate(HIDDEN[case.layers])]
    blocks += [
        (sizes[i + 1], widths[::-1], sizes[i], 1 if i == 0 else 2)
        for i, widths in reversed(list(enumerate(HIDDEN[case.layers])))
    ]
    for below, widths, above, heads in blocks:
        for m, n in zip((below, *widths), widths, strict=False):
            linear(m, n)
        for _ in range(heads):
            linear(widths[-1], above)
    return found


class LossVAE(TorchVAE):
    """Called, it gives its loss, as `torch.func` wants it."""

    def forward(self, x: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
        return self.loss(x, noise)


class TorchSteps:
    """So many runs of a case, and what takes some steps of all of them.

    Attributes:
        way: how they are taken, in words.
        fell_back: why not in a faster way, if one was tried in vain.
    """

    def __init__(self, runs: int, num_samples: int, batch: int, turn: int, *, compiled: bool) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.case, self.runs, self.turn = Case(num_samples=num_samples, batch=batch), runs, turn
        self.images = torch.rand(2000, DATA, device=self.device)
        self.models = [LossVAE(self.case, parameters(self.case, seed)).to(self.device) for seed in range(runs)]
        names = [name for name, _ in self.models[0].named_parameters()]
        named = [dict(model.named_parameters()) for model in self.models]
        own = [[each[name].detach() for each in named] for name in names]
        self.weights = {
            name: (torch.stack(tensors) if runs > 1 else tensors[0].clone()).requires_grad_()
            for name, tensors in zip(names, own, strict=True)
        }
        on_gpu = self.device.type == "cuda"
        self.optimiser = torch.optim.Adam(self.weights.values(), lr=1e-3, fused=True, capturable=on_gpu)
        self.fell_back = ""
        self._step, self.way = self._fastest(compiled=compiled, graph=on_gpu)

    def take(self) -> int:
        """How many steps were taken."""
        for _ in range(self.turn):
            self._step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return self.turn

    def peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None

    def _fastest(self, *, compiled: bool, graph: bool) -> tuple[Any, str]:
        """The first way that works, from the fastest to the plainest."""
        ways = [(c, g) for c in (compiled, False) for g in (graph, False)]
        for with_compiler, as_graph in dict.fromkeys(ways):
            words = ["compiled" if with_compiler else "eager", *(["CUDA graph"] if as_graph else [])]
            try:
                step = self._one_step(torch.compile(self._gradients) if with_compiler else self._gradients)
                return (self._captured(step) if as_graph else self._tried(step)), ", ".join(words)
            except Exception as error:  # of a compiler, whatever it raises
                self.fell_back += f"{', '.join(words)}: {type(error).__name__}. "
        raise RuntimeError(f"Expected PyTorch to take a step; it took none. {self.fell_back}")

    def _gradients(self, weights: dict[str, torch.Tensor], x: torch.Tensor, noise: torch.Tensor) -> Any:
        """Of the loss, of every run at once where there are several."""

        def loss(weights: dict[str, torch.Tensor], x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            return functional_call(self.models[0], weights, (x, [noise]))

        return vmap(grad(loss))(weights, x, noise) if self.runs > 1 else grad(loss)(weights, x, noise)

    def _one_step(self, gradients: Any) -> Any:
        lead = (self.runs,) if self.runs > 1 else ()
        shape = (*lead, self.case.total_samples, self.case.batch, LATENT[1][0])

        def step() -> None:
            picked = torch.randint(len(self.images), (*lead, self.case.batch), device=self.device)
            x, noise = torch.bernoulli(self.images[picked]), torch.randn(shape, device=self.device)
            for name, value in gradients({n: w.detach() for n, w in self.weights.items()}, x, noise).items():
                self.weights[name].grad = value
            self.optimiser.step()

        return step

    def _tried(self, step: Any) -> Any:
        step()
        return step

    def _captured(self, step: Any) -> Any:
        """The step as a graph of kernels, which one call replays."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay


def machine() -> dict[str, Any]:
    """What PyTorch says of itself; None of what it does not see."""
    gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if gpu else "cpu"
    return {"device": name, "gpu": gpu, "versions": {"torch": torch.__version__}, "date": time.strftime("%Y-%m-%d")}
