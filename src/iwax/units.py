"""Which latent units a model uses, and what becomes of its likelihood without the others.

A unit u is active where the variance over the data of its posterior mean, A_u = Var_x(E_q[u | x]), is above 0.01; where
q(u | x) is the prior whatever x, it is zero. log A_u has two well separated heaps if the count means anything.

Below the top layer the prior of a unit is itself learned: its mean may follow the layer above, and q may agree with it.
Such a unit has a large A_u and no information of its own; `unit_divergences` tells it from those that have.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.decoding import known_mean
from iwax.keys import stream
from iwax.models.distributions import Bernoulli, DiagonalNormal, MarkovChain

__all__ = [
    "ACTIVE",
    "HOLDING",
    "PrunedModel",
    "count_holding",
    "prune",
    "single_sample_unit_variances",
    "unit_divergences",
    "unit_variances",
]

ACTIVE = 1e-2  # the variance above which a unit is active: Burda et al. (2015)
HOLDING = 1e-2  # the divergence in nats above which it holds something
BATCH = 2048  # examples on the device at a time


def unit_variances(
    model: Any, x: Array | np.ndarray, key: PRNGKeyArray, *, num_samples: int = 128
) -> tuple[np.ndarray, ...]:
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
    means, noise = [], []
    for start in range(0, len(x), BATCH):
        batch_key = jax.random.fold_in(key, start)
        mean, variance = _unit_moments(model, jnp.asarray(x[start : start + BATCH]), batch_key, num_samples)
        means.append([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(mean)])
        noise.append([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(variance)])
    across = [_variance(np.concatenate(batches)) for batches in zip(*means, strict=True)]
    within = [np.concatenate(batches).mean(axis=0) for batches in zip(*noise, strict=True)]
    return tuple((a - w / num_samples).ravel() for a, w in zip(across, within, strict=True))


def single_sample_unit_variances(model: Any, x: Array | np.ndarray, key: PRNGKeyArray) -> tuple[np.ndarray, ...]:
    """The same as the IWAE paper's code has it: Var_x of each layer's mean given one draw of the layers below it.

    For the first layer this is exact; for those above, the sampling noise of the draw is counted as activity. To
    compare with published counts; `unit_variances` has no such excess.

    Raises:
        TypeError: the posterior is neither a `MarkovChain` nor one distribution with a `mean`.
    """
    means: list[list[np.ndarray]] = []
    for start in range(0, len(x), BATCH):
        batch = _conditional_means(model, jnp.asarray(x[start : start + BATCH]), jax.random.fold_in(key, start))
        means.append([np.asarray(mean, np.float64) for mean in batch])
    return tuple(_variance(np.concatenate(batches)).ravel() for batches in zip(*means, strict=True))


def unit_divergences(
    model: Any, x: Array | np.ndarray, key: PRNGKeyArray, *, num_samples: int = 128
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
    _check_prior(model)
    batches = []
    for start in range(0, len(x), BATCH):
        batch, batch_key = jnp.asarray(x[start : start + BATCH]), jax.random.fold_in(key, start)
        sums = _unit_log_ratios(model, batch, batch_key, num_samples)
        batches.append([np.asarray(layer, np.float64) for layer in sums])
    return tuple(sum(layers) / (len(x) * num_samples) for layers in zip(*batches, strict=True))


def count_holding(divergences: tuple[np.ndarray, ...]) -> list[int]:
    """How many units of each layer hold more than `HOLDING` nats of their own, of what `unit_divergences` gives.

    >>> count_holding((np.array([2.1, 0.004, 0.3]), np.array([-0.2])))
    [2, 0]
    """
    return [int(np.sum(layer > HOLDING)) for layer in divergences]


def prune(model: Any, active: tuple[np.ndarray, ...]) -> "PrunedModel":
    """The model with its inactive units drawn from the prior, given the layers above, instead of the posterior.

    A draw of q', for active units a and inactive units i of each layer:

        z~_1, ..., z~_L ~ q(z | x);  z_l,a = z~_l,a;  then from the top, z_l,i ~ p(z_l,i | z_l+1)

    The layers above still see the z~_i they were inferred from. These are auxiliary variables; giving the target their
    own density prod_l q(z~_l,i | z~_l-1), which integrates to one, cancels them from the weight

        w = p(x, z) / (prod_l q(z_l,a | z~_l-1) p(z_l,i | z_l+1)),     E[w] = p(x)

    so that every bound made of these weights remains a lower bound on log p(x), for any choice of units. With one layer
    there are none, and q' = q(z_a | x) p(z_i).

    Arguments:
        model: has `prior`; within a layer, given its neighbours, units are independent in q and in p.
        active: for each stochastic layer, which units stay, booleans (units,): such as those whose `unit_variances` are
            above `ACTIVE`.

    Raises:
        TypeError: the model has no `prior`, or its layers are no distributions of this library.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = jnp.ones((1, 2))
    >>> float(iwax.log_likelihood(prune(model, (np.zeros(2, bool),)), x, jax.random.key(0))[0])  # from the prior alone
    -3.0...
    """
    _check_prior(model)
    return PrunedModel(model, tuple(tuple(np.flatnonzero(layer).tolist()) for layer in active))


class PrunedModel(eqx.Module):
    """What `prune` returns; its posterior can be drawn from, with the weight's denominator, and no more."""

    model: Any
    active: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def posterior(self, x: PyTree) -> "_PrunedPosterior":
        return _PrunedPosterior(self.model.posterior(x), self.model.prior, self.active)

    def log_joint(self, x: PyTree, z: PyTree) -> Float[Array, "samples ..."]:
        """log p(x, z) in nats."""
        return self.model.log_joint(x, z)


class _PrunedPosterior(eqx.Module):
    posterior: Any
    prior: Any
    active: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def sample_and_log_prob(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> tuple[PyTree, Array]:
        """Draws z, and log of the denominator of w. Active units have the noise that the posterior alone would have."""
        drawn = self.posterior.sample(key, sample_shape)
        layers = _layers(drawn)
        if len(layers) != len(self.active):
            raise ValueError(f"Expected active units of {len(layers)} stochastic layers; got {len(self.active)}.")
        top, downwards = _chain(self.prior)
        inferred = _given_below(self.posterior, layers)
        log_prob, above = jnp.zeros(layers[0].shape[:-1]), None
        for i in reversed(range(len(layers))):
            density = top if above is None else downwards[len(layers) - 2 - i](above)
            fresh_key = jax.random.fold_in(stream(key, "prior of dropped units"), i)
            fresh = density.sample(fresh_key, layers[i].shape[:-1] if above is None else ())
            kept = np.array(self.active[i], dtype=int)
            dropped = np.setdiff1d(np.arange(layers[i].shape[-1]), kept)
            above = layers[i] = layers[i].at[..., dropped].set(fresh[..., dropped])
            log_prob += _units(inferred[i], kept).log_prob(above[..., kept])
            log_prob += _units(density, dropped).log_prob(above[..., dropped])
        return (tuple(layers) if isinstance(drawn, tuple) else layers[0]), log_prob


def _chain(density: Any) -> tuple[Any, tuple]:
    """A density's first layer in the order of drawing, and the conditionals after it."""
    return (density.first, density.conditionals) if isinstance(density, MarkovChain) else (density, ())


def _layers(z: PyTree) -> list[Array]:
    """The latent variables of each layer, the one next to x first."""
    return list(z) if isinstance(z, tuple) else [z]


def _given_below(posterior: Any, layers: list[Array]) -> list[Any]:
    """The density of each layer in q, given the layer below it."""
    first, conditionals = _chain(posterior)
    return [first, *(conditional(z) for conditional, z in zip(conditionals, layers[:-1], strict=True))]


def _given_above(prior: Any, layers: list[Array]) -> list[Any]:
    """The density of each layer in p, given the layer above it."""
    top, conditionals = _chain(prior)
    return [*(conditional(z) for conditional, z in zip(reversed(conditionals), layers[1:], strict=True)), top]


def _check_prior(model: Any) -> None:
    if not hasattr(model, "prior"):
        raise TypeError(f"Expected the model to have `prior`, to tell its units apart; got {type(model).__name__}.")


def _units(density: Any, which: np.ndarray) -> Any:
    """The density of some of the units, which are independent."""
    if not isinstance(density, DiagonalNormal | Bernoulli):
        raise TypeError(
            "Expected the layers of q and p to be DiagonalNormal or Bernoulli, whose units can be told apart; got "
            f"{type(density).__name__}."
        )
    return jax.tree.map(lambda leaf: leaf[..., which], density)


def _variance(values: np.ndarray) -> np.ndarray:
    """Over the first axis; NaN for a single example, which has none."""
    return values.var(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)


@eqx.filter_jit
def _conditional_means(model: Any, x: Array, key: PRNGKeyArray) -> list[Array]:
    """The mean of each layer of q given a draw of the layers below, (N, units) each."""
    posterior = model.posterior(x)
    densities = _given_below(posterior, _layers(posterior.sample(key, ())))
    means = [mean for mean in map(known_mean, densities) if mean is not None]
    if len(means) < len(densities):
        raise TypeError(
            f"Expected the posterior to have a `mean` for each layer; got {type(posterior).__name__}, which does not "
            "know its own. `unit_variances` needs none."
        )
    return means


@eqx.filter_jit
def _unit_log_ratios(model: Any, x: Array, key: PRNGKeyArray, num_samples: int) -> list[Array]:
    """log q(u | below) - log p(u | above) of each unit, summed over samples and examples, (units,) for each layer."""
    posterior = model.posterior(x)

    def log_ratios(key: PRNGKeyArray) -> list[Array]:
        layers = _layers(posterior.sample(key, ()))
        pairs = zip(_given_below(posterior, layers), _given_above(model.prior, layers), layers, strict=True)
        return [jnp.sum(_unit_log_probs(q, z) - _unit_log_probs(p, z), axis=0) for q, p, z in pairs]

    sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(log_ratios, key))
    add = lambda i, sums: jax.tree.map(jnp.add, sums, log_ratios(jax.random.fold_in(key, i)))  # noqa: E731
    return jax.lax.fori_loop(0, num_samples, add, sums)


def _unit_log_probs(density: Any, z: Float[Array, "examples units"]) -> Float[Array, "examples units"]:
    """The log-density of each unit by itself: each becomes an event of size one."""
    all_units = jax.tree.map(lambda leaf: leaf[..., None], _units(density, np.arange(z.shape[-1])))
    return jax.vmap(lambda density, z: density.log_prob(z), in_axes=-2, out_axes=-1)(all_units, z[..., None])


@eqx.filter_jit
def _unit_moments(model: Any, x: Array, key: PRNGKeyArray, num_samples: int) -> tuple[PyTree, PyTree]:
    """Mean and variance of each unit over samples from q(z | x), of (N, *event) each."""
    posterior = model.posterior(x)

    def add(i: Array, sums: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        z = posterior.sample(jax.random.fold_in(key, i), (1,))
        return (
            jax.tree.map(lambda s, z: s + z[0], sums[0], z),
            jax.tree.map(lambda s, z: s + z[0] ** 2, sums[1], z),
        )

    z = jax.eval_shape(lambda: posterior.sample(key, (1,)))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), z)
    first, second = jax.lax.fori_loop(0, num_samples, add, (zeros, zeros))
    mean = jax.tree.map(lambda s: s / num_samples, first)
    variance = jax.tree.map(lambda s, m: (s - num_samples * m**2) / (num_samples - 1), second, mean)
    return mean, variance
