"""Random numbers: who draws what, and from which key. The one owner of it.

A key that a model is given may be split and folded by it as it likes: `jax.random.split(key, n)[i]` and
`jax.random.fold_in(key, i)` are the same key. So what draws beside a model (a choice among its samples, say) takes its
key from another *stream* of the same key, which no splitting or folding reaches: a named pattern is laid over the bits
of the key first, and only then is it folded. Threefry's keys may be such relatives of one another (Salmon, Moraes,
Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).

The keys of training are older than the streams and kept, so that a seed still trains to the same bits. All others are
streams of the key that their command or function is given.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from iwax.checks import check_choice, check_seed
from iwax.errors import IwaxError, IwaxTypeError

__all__ = [
    "PURPOSES",
    "EvaluationKeys",
    "FormerEvaluationKeys",
    "TrainingKeys",
    "check_key",
    "recorded",
    "root_key",
    "stream",
]

PURPOSES = {
    "test binarisation": "black and white test examples, once",
    "evaluation samples": "z for log p, by example and block",
    "active units": "z for the variances of posterior means",
    "single-sample units": "z for the same as the IWAE paper's code has it",
    "unit divergences": "z for what each unit holds",
    "evaluation along training": "a whole evaluation, with streams of its own",
    "own-model check": "whether a model of one's own keeps the contract",
    "dropout": "what the networks of a model drop in a step of training",
    "resampling": "which samples go backward",
    "implicit choice": "which of K draws of q is kept",
    "annealing": "chains on test examples",
    "simulated examples": "draws from the model for annealing from both sides",
    "annealing upwards": "chains on simulated examples",
    "annealing downwards": "chains that run backwards on simulated examples",
    "simulated evaluation": "z for log p of simulated examples",
    "reconstructions": "z of the examples that are pictured",
    "samples": "z from the prior, to be pictured",
    "samples given z": "x drawn from p(x | z), for that z or for one that is reconstructed",
    "codes": "z of the examples that are encoded",
    "similarity": "z of the examples whose SSIM is measured",
    "posterior picture": "a pool of z for each example pictured",
    "exact picture": "z for q_IW at the points of a grid",
    "prior of dropped units": "units that pruning draws from the prior",
    "explorer": "the ranges of the sliders",
    "spreads": "z of rows held out, by whose log p the spreads of a table's model are widened",
    "imputation samples": "z for the missing values of a row of a table",
    "imputed rows": "which of those samples stand for a row",
    "imputed values": "the missing values given them",
    "held-out values": "which observed values are hidden to measure the error of imputing them",
}

_LISTENERS: list[Callable[[str, Array], None]] = []


def check_key(key: Any, name: str = "key") -> None:
    """Raises TypeError for what is no key of JAX, such as a seed, and ValueError for several."""
    if not isinstance(key, Array | np.ndarray):
        such = f"jax.random.key({key})" if type(key) is int else "jax.random.key(0)"
        raise IwaxTypeError(f"Expected {name} to be a key of JAX, such as {such}; got {key!r}.")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim:
        raise IwaxError(f"Expected {name} to be one key of JAX; got {key.size} of them. Pass one, such as the first.")


def root_key(seed: int) -> PRNGKeyArray:
    """The key of a seed.

    Raises:
        ValueError: a seed that is no integer from 0 to 2^32 - 1, of which JAX would take the last 32 bits.
    """
    check_seed(seed)
    return jax.random.key(seed)


def stream(key: PRNGKeyArray, purpose: str) -> PRNGKeyArray:
    """The key for one of `PURPOSES`, out of reach of whoever splits or folds `key` itself.

    Streams of streams are streams of their own, too: their order matters.

    Arguments:
        key: typed or raw, of any of JAX's generators.
        purpose: one of `PURPOSES`.

    Raises:
        ValueError: a purpose that is not listed.

    >>> key = jax.random.key(0)
    >>> bool(stream(key, "samples") == stream(key, "similarity"))
    False
    """
    check_choice("purpose", purpose, PURPOSES)
    check_key(key)
    data = jax.random.key_data(key)
    pattern = np.frombuffer(hashlib.sha256(purpose.encode()).digest(), np.uint32)[: data.shape[-1]]
    related = data ^ jnp.asarray(pattern)
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        related = jax.random.wrap_key_data(related, impl=jax.random.key_impl(key))
    return _told(purpose, jax.random.fold_in(related, 1))


@contextlib.contextmanager
def recorded() -> Iterator[list[tuple[str, tuple[int, ...]]]]:
    """Every key that is derived here within the context, as (purpose, its words); for tests.

    A program that was compiled before tells nothing: clear them first (`jax.clear_caches`).
    """
    found: list[tuple[str, tuple[int, ...]]] = []

    def listen(purpose: str, data: Array | np.ndarray) -> None:
        found.extend((purpose, tuple(row.tolist())) for row in np.asarray(data).reshape(-1, data.shape[-1]))

    _LISTENERS.append(listen)
    try:
        yield found
        jax.effects_barrier()
    finally:
        _LISTENERS.remove(listen)


def _told(purpose: str, key: Array) -> Array:
    for listen in _LISTENERS:
        jax.debug.callback(partial(listen, purpose), jax.random.key_data(key))
    return key


class _Stream:
    """An attribute that is the stream of its owner's key for one purpose."""

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose

    def __get__(self, owner: "EvaluationKeys", _: type) -> PRNGKeyArray:
        return stream(owner.key, self.purpose)


@dataclasses.dataclass(frozen=True)
class EvaluationKeys:
    """What `evaluate` and every command that judges a run draw from, given one key; each a stream of its own.

    All of them binarise test examples, and draw z for log p, as `evaluate` does with the same seed. Nobody who judges
    derives a key otherwise.
    """

    key: PRNGKeyArray

    binarisation = _Stream("test binarisation")
    samples = _Stream("evaluation samples")
    units = _Stream("active units")
    single_sample_units = _Stream("single-sample units")
    divergences = _Stream("unit divergences")
    annealing = _Stream("annealing")
    simulated = _Stream("simulated examples")
    annealing_upwards = _Stream("annealing upwards")
    annealing_downwards = _Stream("annealing downwards")
    simulated_samples = _Stream("simulated evaluation")
    reconstructions = _Stream("reconstructions")
    prior_samples = _Stream("samples")
    codes = _Stream("codes")
    similarity = _Stream("similarity")
    posterior_picture = _Stream("posterior picture")
    exact_picture = _Stream("exact picture")
    explorer = _Stream("explorer")

    @classmethod
    def of_seed(cls, seed: int) -> "EvaluationKeys":
        return cls(root_key(seed))


class _Child(_Stream):
    """One of three splits of the owner's key in place of its stream."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __get__(self, owner: EvaluationKeys, _: type) -> PRNGKeyArray:
        return jax.random.split(owner.key, 3)[self.index]


class FormerEvaluationKeys(EvaluationKeys):
    """Those of records made before there were streams, which are verified with them. They are also keys of training."""

    binarisation = _Child(0)
    samples = _Child(1)
    units = _Child(2)


@dataclasses.dataclass(frozen=True)
class TrainingKeys:
    """What a run draws from, given the key of its training: `of_seed` for a run of the command line."""

    key: PRNGKeyArray

    @classmethod
    def of_seed(cls, seed: int) -> "TrainingKeys":
        return cls(jax.random.fold_in(root_key(seed), 1))

    @staticmethod
    def model(seed: int) -> PRNGKeyArray:
        """For the initial parameters."""
        return _told("initial parameters", jax.random.fold_in(root_key(seed), 0))

    @staticmethod
    def along(seed: int) -> PRNGKeyArray:
        """For the evaluations along training, always the same draws."""
        return stream(root_key(seed), "evaluation along training")

    @staticmethod
    def model_check(seed: int) -> PRNGKeyArray:
        """For the first look at a model of one's own."""
        return stream(root_key(seed), "own-model check")

    @property
    def validation(self) -> "EvaluationKeys":
        """For judging validation examples along `iwax.fit`, always the same draws."""
        return EvaluationKeys(stream(self.key, "evaluation along training"))

    @property
    def fixed_binarisation(self) -> PRNGKeyArray:
        """For black and white training images that are drawn once; no epoch and no step reaches it."""
        return _told("fixed binarisation", jax.random.fold_in(self.key, 2**31 - 1))

    def shuffling(self, epoch: Array | int) -> PRNGKeyArray:
        return _told("shuffling", jax.random.fold_in(jax.random.fold_in(self.key, 0), epoch))

    def steps(self, steps: Array) -> Array:
        """For binarisation and for the samples of z of each step, (steps, 2)."""
        own = jax.vmap(lambda step: jax.random.split(jax.random.fold_in(jax.random.fold_in(self.key, 1), step)))(steps)
        _told("step binarisation", own[:, 0])
        _told("step samples", own[:, 1])
        return own
