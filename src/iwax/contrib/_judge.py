"""Judge a NumPyro model with its fitted guide, and draw from its posterior: by importance weights, with the diagnosis.

    log w_s = log p(x, z_s) - log q(z_s),  z_s ~ q        one for each element of the plates that hold every site

Of these come the evidence log p(x) with its errors and k-hat; and, by drawing among the z_s in proportion to w_s, draws
from the posterior that are as good as k-hat says.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from iwax.checks import check_positive_integer, nearest
from iwax.contrib._plates import Layout, Trace, check_guide_class, plate_sizes, read_layout, sample_sites
from iwax.contrib._program import Program, terms
from iwax.errors import IwaxError, IwaxTypeError
from iwax.evaluation import Evaluation, block_sizes, judge_log_weights, samples_in_blocks
from iwax.keys import check_key, stream

__all__ = ["PosteriorSample", "evaluate", "posterior_sample"]

CHUNK = 64  # samples that are drawn at a time


@dataclasses.dataclass(frozen=True)
class PosteriorSample:
    """Draws by importance resampling, and what they are worth.

    Attributes:
        draws: latent site of the model -> (num_draws, *shape).
        evaluation: of the weights among which was drawn: where its k-hat is above 0.7 the draws are not those of the
            posterior, and its `ess` says of how many different values they are at most.
    """

    draws: dict[str, np.ndarray]
    evaluation: Evaluation


@dataclasses.dataclass(frozen=True)
class _Sites:
    """Where a weight belongs: the plates of the weights, their sizes, and which axes of each latent they are."""

    layout: Layout
    sizes: tuple[int, ...]
    axes: dict[str, tuple[int, ...]]
    """Latent -> axis of its value for each of the plates."""


def evaluate(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: dict[str, Any],
    *args: Any,
    key: PRNGKeyArray,
    num_samples: int = 5000,
    iwae_samples: int | Sequence[int] = 64,
    chunk_size: int = CHUNK,
    joint: bool = False,
    examples: Any = None,
    **kwargs: Any,
) -> Evaluation:
    """log p(x) with its errors, IWAE-K, -KL(Q||P), ELBO, k-hat and advice, of a fitted guide.

    One "example" for each element of the plates that hold every site of model and guide, one in all where there is no
    such plate or `joint` is asked for: then it is the evidence of all data. Nested plates are in the order of the
    data's axes, the outermost first, so that `log_likelihood.reshape(rows, columns)` has that of each element in its
    place. Memory does not grow with the number of samples.

    Arguments:
        model, guide: programs of NumPyro, without subsampling.
        params: of `svi.run(...).params` or `svi.get_params(state)`: a value for each param site of the programs.
        args, kwargs: of the programs.
        key: seed of the samples.
        num_samples: k, cut down to a multiple of the block sizes.
        iwae_samples: K of IWAE-K; several give several bounds, and the first gives -KL(Q||P).
        chunk_size: samples drawn at a time; changes speed and rounding only.
        joint: one weight for all sites, whatever the plates.
        examples: the data of each weight, for `iwax compare` to know them by their hash.

    Raises:
        ValueError: a site has no place in an importance weight, is marked for enumeration, or is subsampled; `params`
            lacks a param site, or has one that is not there. Names it.
        TypeError: `params` is no dictionary, or `key` no key of JAX.

    Reference: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model(x):
    ...     with numpyro.plate("data", len(x)):
    ...         z = numpyro.sample("z", dist.Normal(0, 1))
    ...         numpyro.sample("x", dist.Normal(z, 1), obs=x)
    >>> def guide(x):
    ...     with numpyro.plate("data", len(x)):
    ...         numpyro.sample("z", dist.Normal(x / 2, 0.8))
    >>> x = jnp.linspace(-1, 1, 5)
    >>> evaluation = evaluate(model, guide, {}, x, key=jax.random.key(0), num_samples=1280)
    >>> error = evaluation.log_likelihood - dist.Normal(0, 2**0.5).log_prob(x)
    >>> bool(abs(error.mean()) < 0.01)
    True
    """
    sizes = block_sizes(iwae_samples)
    num_samples = samples_in_blocks(num_samples, sizes)
    check_positive_integer("chunk_size", chunk_size)
    sites = _read_sites(Program(model, guide), key, (params, args, kwargs), joint)
    runs = _runs(Program(model, guide), sites, key, (params, args, kwargs), num_samples, chunk_size)
    chunks = (log_w for log_w, _ in runs)
    return judge_log_weights(chunks, num_samples=num_samples, iwae_samples=sizes, examples=examples)


def posterior_sample(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: dict[str, Any],
    *args: Any,
    key: PRNGKeyArray,
    num_draws: int = 1000,
    num_samples: int = 5000,
    chunk_size: int = CHUNK,
    joint: bool = False,
    **kwargs: Any,
) -> PosteriorSample:
    """Draws from the posterior of a NumPyro model by importance resampling of its guide, with their diagnosis.

    `num_samples` draws of the guide, of which `num_draws` are taken with replacement in proportion to their weights;
    for each element of the plates of the weights by itself. All draws of the guide are held in memory.

    Arguments:
        model, guide, params, args, kwargs, key, chunk_size, joint: as for `evaluate`.
        num_draws: of the posterior.
        num_samples: of the guide, at least 64.

    Raises:
        ValueError: as for `evaluate`; or weights that are all zero, or not finite.

    Reference: Rubin, "Using the SIR algorithm to simulate posterior distributions" (1988).

    >>> import numpyro, numpyro.distributions as dist
    >>> def model(x):
    ...     numpyro.sample("x", dist.Normal(numpyro.sample("z", dist.Normal(0, 1)), 1), obs=x)
    >>> def guide(x):
    ...     numpyro.sample("z", dist.Normal(0, 1))
    >>> found = posterior_sample(model, guide, {}, 1.0, key=jax.random.key(0), num_draws=1000)
    >>> bool(abs(found.draws["z"].mean() - 0.5) < 0.1)  # the posterior is N(1/2, 1/2)
    True
    """
    check_positive_integer("num_draws", num_draws)
    check_positive_integer("chunk_size", chunk_size)
    num_samples = samples_in_blocks(num_samples, (64,))
    program, inputs = Program(model, guide), (params, args, kwargs)
    sites = _read_sites(program, key, inputs, joint)
    found = list(_runs(program, sites, key, inputs, num_samples, chunk_size))
    log_w = np.concatenate([np.asarray(own, np.float64) for own, _ in found])
    evaluation = judge_log_weights(log_w)
    if not np.isfinite(evaluation.log_likelihood).all():
        raise IwaxError("Expected weights that are finite and not all zero, to draw among them; " + evaluation.notes[0])
    uniforms = np.asarray(jax.random.uniform(stream(key, "resampling"), (num_draws, log_w.shape[1])), np.float64)
    chosen = _choose(log_w, uniforms).reshape(num_draws, *sites.sizes)
    values = {name: np.concatenate([np.asarray(drawn[name]) for _, drawn in found]) for name in sites.axes}
    return PosteriorSample(
        {name: _taken(value, chosen, sites.axes[name]) for name, value in values.items()}, evaluation
    )


def _read_sites(program: Program, key: PRNGKeyArray, inputs: Any, joint: bool) -> _Sites:
    """Read off one abstract run, which computes nothing."""
    check_guide_class(program.guide)
    check_key(key)
    params = inputs[0]
    if not isinstance(params, Mapping):
        raise IwaxTypeError(
            f"Expected params to be a dictionary, as svi.get_params(state) is; got {type(params).__name__}. "
            "Of programs without param sites it is {}."
        )
    traces: list[Trace] = []
    jax.eval_shape(lambda key: traces.extend(program.run(key, inputs, {})), key)
    _check_params(params, traces)
    layout = _in_order(read_layout(*traces, joint=joint, linear=False), traces[0])
    if layout.scale != 1:
        raise IwaxError(
            f"Expected programs that see all of their data; got plates {', '.join(layout.plates)} with a subsample. "
            "Pass batches of the data as arguments, each as a plate of its own size."
        )
    sizes = plate_sizes(traces[0]) | plate_sizes(traces[1])
    axes = {}
    for name, site in sample_sites(traces[0]).items():
        if not site["is_observed"]:
            batch = jnp.ndim(site["value"]) - site["fn"].event_dim
            dims = {frame.name: frame.dim for frame in site["cond_indep_stack"]}
            axes[name] = tuple(batch + dims[plate] for plate in layout.plates)
    return _Sites(layout, tuple(sizes[plate][0] for plate in layout.plates), axes)


def _check_params(params: Mapping[str, Any], traces: Sequence[Trace]) -> None:
    """Raises ValueError for a param site that would stay at its initial value, and for a value of none."""
    sites = sorted({name for trace in traces for name, site in trace.items() if site["type"] == "param"})
    if unknown := [name for name in params if name not in sites]:
        raise IwaxError(
            f"Expected params to be of the param sites {', '.join(sites) or '(none)'}; got {unknown[0]!r}, which is "
            f"none.{nearest(unknown[0], sites, otherwise=' Leave it out.')}"
        )
    if absent := [name for name in sites if name not in params]:
        raise IwaxError(
            f"Expected params to have a value for each param site; got none for {', '.join(map(repr, absent))}, which "
            "would stay at the initial value. Pass those of svi.get_params(state)."
        )


def _in_order(layout: Layout, model_trace: Trace) -> Layout:
    """The layout with its plates as the data's axes are, the outermost first; every site of the model has them all."""
    site = next(iter(sample_sites(model_trace).values()))
    dims = {frame.name: frame.dim for frame in site["cond_indep_stack"]}
    return layout._replace(plates=tuple(sorted(layout.plates, key=dims.__getitem__)))


def _runs(
    program: Program, sites: _Sites, key: PRNGKeyArray, inputs: Any, num_samples: int, chunk_size: int
) -> Iterator[tuple[Array, dict[str, Array]]]:
    """(log-weights (samples, examples), the draws of the model's latents), some samples at a time.

    Sample s is drawn from a key of its own, so that the size of chunks changes rounding only.
    """
    arrays, static = eqx.partition(inputs, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))

    @jax.jit
    def run(numbers: Array, arrays: Any) -> tuple[Array, dict[str, Array]]:
        def one(number: Array) -> tuple[Array, dict[str, Array]]:
            traces = program.run(jax.random.fold_in(samples_key, number), eqx.combine(arrays, static), {})
            num, log_q = terms(traces, sites.layout)
            return (num - log_q).reshape(-1), {name: traces[0][name]["value"] for name in sites.axes}

        return jax.vmap(one)(numbers)

    samples_key = stream(key, "evaluation samples")
    for start in itertools.count(0, chunk_size):
        if start >= num_samples:
            return
        found = run(jnp.arange(start, start + chunk_size), arrays)
        yield jax.tree.map(lambda leaf, start=start: leaf[: num_samples - start], found)


def _choose(log_w: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """For each example the samples that are drawn in proportion to their weights, (draws, examples)."""
    shares = np.cumsum(np.exp(log_w - log_w.max(axis=0)), axis=0)
    columns = [np.searchsorted(own, u * own[-1], side="right") for own, u in zip(shares.T, uniforms.T, strict=True)]
    return np.minimum(np.stack(columns, axis=1), len(log_w) - 1)


def _taken(values: np.ndarray, chosen: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The samples (S, *shape) that were chosen (draws, *plates), where plate i is axis `axes[i]` of the shape."""
    order = np.argsort(axes)
    shape = [1] * (values.ndim - 1)
    for axis, size in zip(axes, chosen.shape[1:], strict=True):
        shape[axis] = size
    index = chosen.transpose(0, *(1 + order)).reshape(len(chosen), *shape)
    return np.take_along_axis(values, np.broadcast_to(index, (len(chosen), *values.shape[1:])), axis=0)
