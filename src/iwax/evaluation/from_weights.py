"""An evaluation from log-weights alone, whoever drew them and with whatever program.

All that `iwax.evaluate` says of likelihoods rests on log w_s = log p(x, z_s) - log q(z_s | x), z_s ~ q(. | x). Here
these come as arrays, in chunks of any size, and are summed in the order and the pieces in which `evaluate` sums its
own, so that the same draws give the same numbers to the bit.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from iwax.checks import check_positive_integer
from iwax.data import as_numpy, check_mask, is_tree, numbers_of, test_set_hash
from iwax.errors import IwaxError, IwaxTypeError
from iwax.evaluation.blocks import block_sizes, samples_in_blocks
from iwax.evaluation.evaluate import BLOCK_SIZE, gather, tally_values
from iwax.evaluation.leave_one_out import kept_size
from iwax.evaluation.result import Evaluation
from iwax.evaluation.streaming import BLOCK, ROWS, Tally, chunk_shape

__all__ = ["judge_log_weights"]

EXAMPLES = 512  # whose weights are in double precision at a time
SPARE = 64  # weights kept beyond twice those wanted, while the number of samples is not known


def judge_log_weights(
    log_w: Any,
    *,
    num_samples: int | None = None,
    iwae_samples: int | Sequence[int] = BLOCK_SIZE,
    examples: Any = None,
    test_hash: str = "",
) -> Evaluation:
    """The evaluation of a model of which log-weights are known: log p with its errors, IWAE-K, -KL, k-hat, advice.

        log w_s = log p(x, z_s) - log q(z_s | x),  z_s ~ q(. | x)        in nats, independent over s

    What `iwax.evaluate` returns, to the bit if the draws are its own; without what log-weights do not tell (active
    units, the ELBO's parts). Memory grows with the square root of k only, if chunks come one by one.

    Arguments:
        log_w: an array (k, n): k samples of each of n examples, or an iterable of such chunks along the samples, of
            any sizes. Arrays of NumPy (also memory-mapped), JAX, PyTorch, and whatever else knows DLPack. float16 is
            taken, with a note of what its rounding does; NaN, +inf, and examples with nothing but -inf are counted in
            the notes, and their log p is not finite.
        num_samples: k, of an iterable. It may be left out; then samples must come in no particular order.
        iwae_samples: K of IWAE-K; several give several bounds, and the first gives -KL(Q||P). What is beyond whole
            blocks is left out, so that every number is from the same samples; a note says so.
        examples: the n examples as they were evaluated (binarised), (n, *event), or a pytree of arrays
            (n, ...); their hash says to `iwax compare` on what the model was judged.
        test_hash: that hash, in their place.

    Raises:
        TypeError: values that are no floating-point numbers.
        ValueError: a wrong shape, fewer samples than one block, or another number of them than `num_samples`.

    Reference: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519; for k-hat,
    Vehtari et al., "Pareto smoothed importance sampling" (2015), arXiv:1507.02646.

    >>> log_w = np.random.default_rng(0).normal(-0.5, 1.0, (640, 50))  # log p = 0
    >>> evaluation = judge_log_weights(log_w)
    >>> bool(abs(evaluation.log_likelihood.mean()) < 3 * evaluation.summary()["log_p_mc_error"])
    True
    >>> bool((judge_log_weights(iter(np.split(log_w, 10))).log_likelihood == evaluation.log_likelihood).all())
    True
    """
    sizes = block_sizes(iwae_samples)
    chunks = _Chunks(log_w, num_samples)
    parts = _tallied(chunks, sizes)
    batches = [tally_values(tally, split=False) for tally in parts]
    values = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    used = parts[0].num_samples
    if examples is not None:
        test_hash = _hash(examples, chunks.num_examples)
    return gather(values, sizes, (), used, test_hash, notes=_notes(chunks, used, sizes))


class _Chunks:
    """The chunks (samples, n) of a stream as arrays, each checked as it comes; what all of them were, after the last.

    Attributes:
        num_samples: k as it is known beforehand, or None.
        num_examples: n.
        seen: samples that have come.
        rounding: the largest distance of neighbouring numbers among half-precision values, in nats; else 0.
    """

    def __init__(self, log_w: Any, num_samples: int | None) -> None:
        if num_samples is not None:
            check_positive_integer("num_samples", num_samples)
        self.seen, self.rounding = 0, 0.0
        if hasattr(log_w, "shape"):
            array = _as_numpy(log_w)
            self.first, self.rest, self.num_samples = array, iter(()), len(array) if array.ndim else None
            if num_samples not in (None, self.num_samples):
                raise IwaxError(f"Expected log_w of num_samples={num_samples} samples; got {self.num_samples}.")
        else:
            if isinstance(log_w, str | bytes) or not isinstance(log_w, Iterable):
                raise IwaxTypeError(
                    f"Expected log_w to be an array (samples, examples), or an iterable of them; got {log_w!r}."
                )
            chunks = iter(log_w)
            first = next(chunks, None)
            if first is None:
                raise IwaxError("Expected log_w to hold at least one chunk; got none. Was the iterator used before?")
            self.first, self.rest, self.num_samples = _as_numpy(first), chunks, num_samples
        if self.first.ndim != 2:
            raise IwaxError(
                f"Expected log_w of shape (samples, examples); got {self.first.shape}. Of one example: log_w[:, None]; "
                "an iterable gives chunks of that shape, not samples one by one."
            )
        self.num_examples = self.first.shape[1]
        if self.num_examples == 0:
            raise IwaxError(f"Expected log_w to hold at least one example; got shape {self.first.shape}.")

    def __iter__(self) -> Iterator[np.ndarray]:
        for chunk in itertools.chain([self.first], map(_as_numpy, self.rest)):
            if chunk.ndim != 2 or chunk.shape[1] != self.num_examples:
                raise IwaxError(
                    f"Expected every chunk of log_w to be (samples, {self.num_examples}), as the first; got "
                    f"{chunk.shape}. Chunks are of the same examples."
                )
            self.seen += len(chunk)
            if self.num_samples is not None and self.seen > self.num_samples:
                break
            yield chunk
        if self.num_samples not in (None, self.seen):
            more = "more" if self.seen > (self.num_samples or 0) else self.seen
            raise IwaxError(f"Expected chunks of num_samples={self.num_samples} samples together; got {more}.")

    def pieces(self, length: int) -> Iterator[np.ndarray]:
        """All samples again, in float64 and in pieces of `length`, the last of which may be shorter."""
        waiting: list[np.ndarray] = []
        held = 0
        for chunk in self:
            start = 0
            while start < len(chunk):
                piece = chunk[start : start + length - held]
                start, held = start + len(piece), held + len(piece)
                waiting.append(self._double(piece))
                if held == length:
                    yield np.concatenate(waiting)
                    waiting, held = [], 0
        if held:
            yield np.concatenate(waiting)

    def _double(self, piece: np.ndarray) -> np.ndarray:
        double = piece.astype(np.float64)
        if piece.dtype.itemsize == 2:
            finite = np.abs(double[np.isfinite(double)])
            digits = 10 if piece.dtype == np.float16 else 7  # of the fraction, in binary: float16, bfloat16
            largest = float(finite.max()) if finite.size else 0.0
            self.rounding = max(self.rounding, 2.0 ** (math.frexp(largest)[1] - 1 - digits) if largest else 0.0)
        return double


class _OpenTally(Tally):
    """A tally whose number of samples is known at its end only.

    The tail that k-hat wants grows with k. More of the largest are kept than are wanted so far, which is enough for
    samples in no particular order; whether it was enough is known at the end, from the largest that was dropped.
    """

    def __init__(self, num_examples: int, block_sizes: Sequence[int]) -> None:
        super().__init__(num_examples, 0, block_sizes=block_sizes)
        self.dropped = np.full(num_examples, -np.inf)

    def _keep_largest(self, log_w: np.ndarray) -> None:
        self.num_samples += log_w.shape[1]
        held, size = np.concatenate([self.tail, log_w], axis=1), 2 * kept_size(self.num_samples) + SPARE
        if (surplus := held.shape[1] - size) > 0:
            held = np.partition(held, surplus - 1, axis=1)
            self.dropped = np.maximum(self.dropped, held[:, surplus - 1])
            held = held[:, surplus:]
        self.tail = held

    def close(self) -> None:
        """Keep what is wanted of all samples.

        Raises:
            ValueError: some of it was dropped.
        """
        size = kept_size(self.num_samples)
        self.tail = np.partition(self.tail, -size, axis=1)[:, -size:]
        if (self.tail.min(axis=1) < self.dropped).any():
            raise IwaxError(
                "Expected log_w in no particular order, where num_samples is left out: the largest weights came early, "
                f"and k-hat needs more of them than were kept. Pass num_samples={self.num_samples}, or shuffle."
            )


def _in_blocks(num_samples: int, num_examples: int, sizes: Sequence[int]) -> int:
    """`samples_in_blocks`; a few samples of many examples may well be an array that lies the other way."""
    if num_samples < max(sizes):
        turned = " Of shape (examples, samples), pass log_w.T." if num_examples >= max(sizes) else ""
        raise IwaxError(
            f"Expected log_w, of shape (samples, examples), to have at least {max(sizes)} samples, one block of "
            f"IWAE-{max(sizes)}; got {num_samples} of {num_examples} examples.{turned}"
        )
    return samples_in_blocks(num_samples, sizes)


def _tallied(chunks: _Chunks, sizes: Sequence[int]) -> list[Tally]:
    """The tally of every few examples, of whole blocks of all sizes."""
    k, n = chunks.num_samples, chunks.num_examples
    starts = [slice(start, min(start + EXAMPLES, n)) for start in range(0, n, EXAMPLES)]
    tallies: list[Tally]
    if k is None:
        whole = math.lcm(*sizes)
        length, total = whole * max(1, ROWS // whole), None
        tallies = [_OpenTally(part.stop - part.start, sizes) for part in starts]
    else:
        total = _in_blocks(k, n, sizes)
        length, whole = BLOCK * chunk_shape(n, total, ROWS)[1], 1
        size = kept_size(total)
        tallies = [Tally(part.stop - part.start, total, block_sizes=sizes, tail_size=size) for part in starts]
    done = 0
    for piece in chunks.pieces(length):
        piece = piece[: len(piece) // whole * whole if total is None else total - done]
        done += len(piece)
        for part, tally in zip(starts, tallies, strict=True):
            if len(piece):
                tally.add(np.ascontiguousarray(piece[:, part].T))
    _in_blocks(chunks.seen, n, sizes)
    for tally in tallies:
        if isinstance(tally, _OpenTally):
            tally.close()
    return tallies


def _as_numpy(values: Any) -> np.ndarray:
    """An array of any framework as NumPy's, without a copy where that can be."""
    check_mask(values, "log_w")
    values = as_numpy(values)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise IwaxTypeError(f"Expected log_w of floating-point numbers, in nats; got dtype {values.dtype}.")
    return values


def _hash(examples: Any, count: int) -> str:
    examples = jax.tree.map(numbers_of, examples) if is_tree(examples) else numbers_of(examples)
    for leaf in jax.tree.leaves(examples):
        if not leaf.ndim or len(leaf) != count:
            raise IwaxError(f"Expected examples to be the {count} of log_w, (n, *event); got shape {leaf.shape}.")
    return test_set_hash(examples)


def _notes(chunks: _Chunks, used: int, sizes: Sequence[int]) -> list[str]:
    """What was left out, and what half precision does."""
    notes = []
    if left_out := chunks.seen - used:
        blocks = " and ".join(map(str, sizes))
        notes.append(f"{left_out} of {chunks.seen} samples are left out, beyond whole blocks of {blocks}.")
    if chunks.rounding:
        notes.append(
            f"Log-weights came in half precision, rounded to {chunks.rounding:.2g} nats where they are largest: no "
            "error says what that does to log p and k-hat. Compute them in float32."
        )
    return notes
