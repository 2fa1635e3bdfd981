"""Which latent units a model uses, and what becomes of its likelihood without the others.

A unit u is active where the variance over the data of its posterior mean, A_u = Var_x(E_q[u | x]), is above 0.01; where
q(u | x) is the prior whatever x, it is zero. log A_u has two well separated heaps if the count means anything.

Below the top layer the prior of a unit is itself learned: its mean may follow the layer above, and q may agree with it.
Such a unit has a large A_u and no information of its own; `unit_divergences` tells it from those that have.
"""

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxTypeError
from iwax.evaluation.decoding import known_mean
from iwax.evaluation.streaming import count_examples
from iwax.keys import check_key
from iwax.models import Bernoulli, DiagonalNormal, FactorizedModel, MarkovChain, Model, Posterior

__all__ = [
    "ACTIVE",
    "ACTIVE_BY_KL",
    "count_active_by_kl",
    "single_sample_unit_variances",
    "unit_divergences",
    "unit_variances",
]

ACTIVE = 1e-2  # the variance above which a unit is active: Burda et al. (2015)
ACTIVE_BY_KL = 1e-2  # the KL divergence in nats above which it is active by KL
BATCH = 2048  # examples on the device at a time


def unit_variances(model: Model, x: PyTree, key: PRNGKeyArray, *, num_samples: int = 128) -> tuple[np.ndarray, ...]:
    """Var_x(E_q[u | x]) of every latent unit u, a float64 array (event size,) for each stochastic layer.

    The posterior means are averages over samples of the whole chain, so one rule serves every layer; the variance that
    those averages add is subtracted, so that an idle unit's value lies about zero, on either side.

    Reference: Burda, Grosse and Salakhutdinov (2015), arXiv:1509.00519, section 5.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = model.sample(jax.random.key(0), 2000)  # E_q[z | x] = x / 2, and Var(x) = 2
    >>> bool(np.allclose(unit_variances(model, x, jax.random.key(1)), 0.5, atol=0.05))
    True
    """
    check_key(key)
    means, noise = [], []
    for start in range(0, count_examples(x), BATCH):
        batch_key = jax.random.fold_in(key, start)
        batch = jax.tree.map(lambda leaf, start=start: jnp.asarray(leaf[start : start + BATCH]), x)
        mean, variance = _unit_moments(model, batch, batch_key, num_samples)
        means.append([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(mean)])
        noise.append([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(variance)])
    across = [_variance(np.concatenate(batches)) for batches in zip(*means, strict=True)]
    within = [np.concatenate(batches).mean(axis=0) for batches in zip(*noise, strict=True)]
    return tuple((a - w / num_samples).ravel() for a, w in zip(across, within, strict=True))


def single_sample_unit_variances(model: Model, x: Array | np.ndarray, key: PRNGKeyArray) -> tuple[np.ndarray, ...]:
    """The same as the IWAE paper's code has it: Var_x of each layer's mean given one draw of the layers below it.

    For the first layer this is exact; for those above, the sampling noise of the draw is counted as activity. To
    compare with published counts; `unit_variances` has no such excess.

    Raises:
        TypeError: the posterior is neither a `MarkovChain` nor one distribution with a `mean`.
    """
    check_key(key)
    means: list[list[np.ndarray]] = []
    for start in range(0, count_examples(x), BATCH):
        batch = _conditional_means(model, jnp.asarray(x[start : start + BATCH]), jax.random.fold_in(key, start))
        means.append([np.asarray(mean, np.float64) for mean in batch])
    return tuple(_variance(np.concatenate(batches)).ravel() for batches in zip(*means, strict=True))


def unit_divergences(
    model: Model, x: Array | np.ndarray, key: PRNGKeyArray, *, num_samples: int = 128
) -> tuple[np.ndarray, ...]:
    """E[log q(u | below) - log p(u | above)] of every latent unit u in nats, a float64 array (units,) for each layer.

    What the posterior says of a unit beyond what the prior knows from the layer above, averaged over the data and draws
    of the whole chain; all units of all layers add up to the mean KL(q(z | x) || p(z)). One by one they may be negative
    where the layer above has seen the unit's own draw.

    Reference: Sonderby et al., "Ladder Variational Autoencoders" (2016), arXiv:1602.02282.

    Raises:
        TypeError: the model has no `prior`, or its layers are no distributions of this library.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = model.sample(jax.random.key(0), 2000)
    >>> (divergences,) = unit_divergences(model, x, jax.random.key(1))  # q(z | x) = N(x / 2, 2/3), p(z) = N(0, 1)
    >>> bool(np.allclose(divergences, (2 / 3 + 2 / 4 - 1 - np.log(2 / 3)) / 2, atol=0.03))
    True
    """
    check_key(key)
    check_prior(model)
    batches = []
    for start in range(0, count_examples(x), BATCH):
        batch, batch_key = jnp.asarray(x[start : start + BATCH]), jax.random.fold_in(key, start)
        sums = _unit_log_ratios(model, batch, batch_key, num_samples)
        batches.append([np.asarray(layer, np.float64) for layer in sums])
    return tuple(sum(layers) / (len(x) * num_samples) for layers in zip(*batches, strict=True))


def count_active_by_kl(divergences: tuple[np.ndarray, ...]) -> list[int]:
    """How many units of each layer have more than `ACTIVE_BY_KL` nats of their own, of what `unit_divergences` gives.

    >>> count_active_by_kl((np.array([2.1, 0.004, 0.3]), np.array([-0.2])))
    [2, 0]
    """
    return [int(np.sum(layer > ACTIVE_BY_KL)) for layer in divergences]


def chain_of(density: Any) -> tuple[Any, tuple]:
    """A density's first layer in the order of drawing, and the conditionals after it."""
    return (density.first, density.conditionals) if isinstance(density, MarkovChain) else (density, ())


def layers_of(z: PyTree) -> list[Array]:
    """The latent variables of each layer, the one next to x first."""
    return list(z) if isinstance(z, tuple) else [z]


def given_below(posterior: Posterior, layers: list[Array]) -> list[Any]:
    """The density of each layer in q, given the layer below it."""
    first, conditionals = chain_of(posterior)
    return [first, *(conditional(z) for conditional, z in zip(conditionals, layers[:-1], strict=True))]


def _given_above(prior: Any, layers: list[Array]) -> list[Any]:
    """The density of each layer in p, given the layer above it."""
    top, conditionals = chain_of(prior)
    return [*(conditional(z) for conditional, z in zip(reversed(conditionals), layers[1:], strict=True)), top]


def check_prior(model: Model) -> None:
    if not hasattr(model, "prior"):
        raise IwaxTypeError(f"Expected the model to have `prior`, to tell its units apart; got {type(model).__name__}.")


def units_of(density: Any, which: np.ndarray) -> Any:
    """The density of some of the units, which are independent."""
    if not isinstance(density, DiagonalNormal | Bernoulli):
        raise IwaxTypeError(
            "Expected the layers of q and p to be DiagonalNormal or Bernoulli, whose units can be told apart; got "
            f"{type(density).__name__}."
        )
    return jax.tree.map(lambda leaf: leaf[..., which], density)


def _variance(values: np.ndarray) -> np.ndarray:
    """Over the first axis; NaN for a single example, which has none."""
    return values.var(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)


@eqx.filter_jit
def _conditional_means(model: Model, x: Array, key: PRNGKeyArray) -> list[Array]:
    """The mean of each layer of q given a draw of the layers below, (N, units) each."""
    posterior = model.posterior(x)
    densities = given_below(posterior, layers_of(posterior.sample(key, ())))
    means = [mean for mean in map(known_mean, densities) if mean is not None]
    if len(means) < len(densities):
        raise IwaxTypeError(
            f"Expected the posterior to have a `mean` for each layer; got {type(posterior).__name__}, which does not "
            "know its own. `unit_variances` needs none."
        )
    return means


@eqx.filter_jit
def _unit_log_ratios(model: Model, x: Array, key: PRNGKeyArray, num_samples: int) -> list[Array]:
    """log q(u | below) - log p(u | above) of each unit, summed over samples and examples, (units,) for each layer."""
    posterior, prior = model.posterior(x), cast(FactorizedModel, model).prior

    def log_ratios(key: PRNGKeyArray) -> list[Array]:
        layers = layers_of(posterior.sample(key, ()))
        pairs = zip(given_below(posterior, layers), _given_above(prior, layers), layers, strict=True)
        return [jnp.sum(_unit_log_probs(q, z) - _unit_log_probs(p, z), axis=0) for q, p, z in pairs]

    sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(log_ratios, key))
    add = lambda i, sums: jax.tree.map(jnp.add, sums, log_ratios(jax.random.fold_in(key, i)))  # noqa: E731
    return jax.lax.fori_loop(0, num_samples, add, sums)


def _unit_log_probs(density: Any, z: Float[Array, "examples units"]) -> Float[Array, "examples units"]:
    """The log-density of each unit by itself: each becomes an event of size one."""
    all_units = jax.tree.map(lambda leaf: leaf[..., None], units_of(density, np.arange(z.shape[-1])))
    return jax.vmap(lambda density, z: density.log_prob(z), in_axes=-2, out_axes=-1)(all_units, z[..., None])


@eqx.filter_jit
def _unit_moments(model: Model, x: PyTree, key: PRNGKeyArray, num_samples: int) -> tuple[PyTree, PyTree]:
    """Mean and variance of each unit over samples from q(z | x), of (N, *event) each.

    Sums are of what lies between a sample and the first one: of squares about zero, float32 would leave a spread that
    is small beside the mean, or less than nothing.
    """
    posterior = model.posterior(x)

    def sample(i: Array | int) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[0], posterior.sample(jax.random.fold_in(key, i), (1,)))

    origin = sample(0)

    def add(i: Array, sums: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        beyond = jax.tree.map(jnp.subtract, sample(i), origin)
        return jax.tree.map(jnp.add, sums, (beyond, jax.tree.map(jnp.square, beyond)))

    zeros = jax.tree.map(jnp.zeros_like, origin)
    first, second = jax.lax.fori_loop(1, num_samples, add, (zeros, zeros))
    mean = jax.tree.map(lambda z, s: z + s / num_samples, origin, first)
    variance = jax.tree.map(lambda s, m: (s - m**2 / num_samples) / (num_samples - 1), second, first)
    return mean, variance
