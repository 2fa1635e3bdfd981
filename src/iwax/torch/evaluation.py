"""Judge a PyTorch model: what `iwax.evaluate` says, of any module that can return log-weights for a batch."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iwax.checks import check_positive_integer
from iwax.data import numbers_of, test_set_hash
from iwax.errors import IwaxError, IwaxTypeError
from iwax.evaluation import Evaluation, block_sizes, join_evaluations, judge_log_weights, samples_in_blocks

__all__ = ["evaluate"]

BATCH = 100  # examples at a time of a tensor


def evaluate(
    log_weights: Callable[[Any, int], Tensor],
    loader: Any,
    *,
    num_samples: int = 5000,
    iwae_samples: int | Sequence[int] = 64,
    chunk_size: int = 64,
    seed: int | None = 0,
    across_processes: bool = False,
) -> Evaluation:
    """Log-likelihood, IWAE-K, -KL(Q||P), ELBO, their errors, k-hat and advice, of a model in PyTorch.

        log w_s = log p(x, z_s) - log q(z_s | x),  z_s ~ q(. | x)        in nats, independent over s

    Without gradients, in double precision from the log-weights on, in memory that does not grow with k. A module given
    as `log_weights` is in evaluation mode meanwhile; of any other function it is yours to call `model.eval()` first.

    Arguments:
        log_weights: (batch, S) -> log-weights of S new samples of z for each example of the batch, (S, examples); a
            function or a module, compiled and wrapped ones (DistributedDataParallel) among them. Where a batch has S
            examples it is asked once more, for S + 1 samples that are not counted: the axes may be in the wrong order.
        loader: an iterable of batches in a fixed order, as a DataLoader without shuffling is, each passed on as it is;
            or a tensor of examples (N, *event).
        num_samples: k, cut down to a multiple of the block sizes, so that every number is from the same samples.
        iwae_samples: K of IWAE-K; several give several bounds, and the first gives -KL(Q||P).
        chunk_size: S, samples asked for at a time; changes speed, memory, and which numbers are drawn.
        seed: of PyTorch's generators meanwhile, which are then as they were before; None leaves them alone.
        across_processes: join what all processes of the default group found, each of its own loader, in the order of
            their ranks. Every process must call this; each draws numbers of its own.

    Raises:
        TypeError: `log_weights` returns something else than a tensor of floating-point numbers.
        ValueError: it is of another shape, the loader is empty, or there are fewer samples than one block.

    Reference: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519.

    >>> from torch.distributions import Normal
    >>> prior = Normal(0.0, 1.0)  # z; x | z ~ N(z, 1), so that x ~ N(0, 2)
    >>> def log_weights(x, samples):
    ...     q = Normal(x / 2, 0.7)
    ...     z = q.sample((samples,))
    ...     return prior.log_prob(z) + Normal(z, 1.0).log_prob(x) - q.log_prob(z)
    >>> x = torch.linspace(-1, 1, 5)
    >>> evaluation = evaluate(log_weights, x, num_samples=640)
    >>> error = evaluation.log_likelihood - Normal(0.0, 2**0.5).log_prob(x).numpy()
    >>> bool(abs(error.mean()) < 1e-3)
    True
    """
    sizes = block_sizes(iwae_samples)
    num_samples = samples_in_blocks(num_samples, sizes)
    check_positive_integer("chunk_size", chunk_size)
    parts: list[Evaluation] = []
    examples: list[Any] = []
    with torch.no_grad(), _evaluating(log_weights), _seeded(_own_seed(seed, across_processes)):
        for batch in loader.split(BATCH) if isinstance(loader, Tensor) else loader:
            chunks = _chunks(log_weights, batch, num_samples, chunk_size)
            parts.append(judge_log_weights(chunks, num_samples=num_samples, iwae_samples=sizes))
            examples.append(_examples(batch))
    if across_processes:
        found: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, parts)
        return join_evaluations([part for own in found for part in own])
    if not parts:
        raise IwaxError("Expected loader to yield at least one batch; got none. Was the iterator used before?")
    return join_evaluations(parts, test_hash=_hash(examples, [len(part.log_likelihood) for part in parts]))


def _chunks(log_weights: Callable[[Any, int], Tensor], batch: Any, num_samples: int, size: int) -> Iterator[Tensor]:
    """The log-weights of one batch, (S, examples) at a time."""
    for start in range(0, num_samples, size):
        wanted = min(size, num_samples - start)
        log_w = _called(log_weights, batch, wanted)
        if start == 0 and log_w.shape[1] == wanted:  # (examples, S) would look the same: another number tells
            with torch.random.fork_rng(devices=_devices()):
                _called(log_weights, batch, wanted + 1)
        yield log_w


def _called(log_weights: Callable[[Any, int], Tensor], batch: Any, wanted: int) -> Tensor:
    """What `log_weights` returns, once it is (wanted, examples)."""
    log_w = log_weights(batch, wanted)
    if not isinstance(log_w, Tensor):
        raise IwaxTypeError(f"Expected log_weights to return a torch tensor; got {type(log_w).__name__}.")
    if log_w.ndim != 2 or log_w.shape[0] != wanted:
        raise IwaxError(
            f"Expected log_weights(batch, {wanted}) to return ({wanted}, examples), one for each of both; "
            f"got {tuple(log_w.shape)}. Sum over the events, and over neither samples, which come first, nor examples."
        )
    if isinstance(batch, Tensor) and log_w.shape[1] != len(batch):
        raise IwaxError(
            f"Expected log_weights(batch, {wanted}) to return ({wanted}, {len(batch)}) for {len(batch)} examples; "
            f"got {tuple(log_w.shape)}."
        )
    return log_w


@contextlib.contextmanager
def _evaluating(log_weights: Any) -> Iterator[None]:
    """A module in evaluation mode, and each of its parts as it was afterwards."""
    modules = list(log_weights.modules()) if isinstance(log_weights, torch.nn.Module) else []
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """PyTorch's generators from a seed, and as they were afterwards."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=_devices()):
        torch.manual_seed(seed)
        yield


def _devices() -> list[int]:
    """Those whose generators a seed reaches, beside the CPU's."""
    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []


def _own_seed(seed: int | None, across_processes: bool) -> int | None:
    """Of this process: the seed itself for the first, others for the others, whose errors must be independent."""
    if across_processes and not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise IwaxError(
            "Expected a process group for across_processes=True; got none. Call torch.distributed.init_process_group "
            "in every process, or leave it out."
        )
    rank = torch.distributed.get_rank() if across_processes else 0
    if seed is None or rank == 0:
        return seed
    return int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])


def _examples(batch: Any) -> Any:
    """The examples of a batch: itself, the first of a tuple or list (before labels), or all tensors of a dictionary."""
    if isinstance(batch, tuple | list) and batch:
        batch = batch[0]
    if isinstance(batch, dict) and all(isinstance(value, Tensor) for value in batch.values()):
        return {name: numbers_of(value) for name, value in batch.items()}
    return numbers_of(batch) if isinstance(batch, Tensor) else None


def _hash(examples: Sequence[Any], counts: Iterable[int]) -> str:
    """That of all examples, as `iwax.evaluate` has it of the same; "" where a batch is of another kind."""
    if all(isinstance(own, np.ndarray) and len(own) == n for own, n in zip(examples, counts, strict=True)):
        return test_set_hash(np.concatenate(list(examples)))
    if all(isinstance(own, dict) for own in examples):
        return test_set_hash({name: np.concatenate([own[name] for own in examples]) for name in examples[0]})
    return ""
