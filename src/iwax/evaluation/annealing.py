"""Annealed importance sampling: log p(x) from chains that walk from a density one can draw from to p(x, z).

Between f_0, q(z | x) or the prior, and f_1 = p(x, z) lie the densities

    log f_t(z) = (1 - t) log f_0(z) + t log p(x, z),        0 = t_0 < t_1 < ... < t_T = 1.

A chain starts at z_0 ~ f_0, and for j = 1, ..., T - 1 takes one step of Hamiltonian Monte Carlo that leaves f_{t_j}
invariant, to z_j. Its log-weight is

    log w = sum_{j=0}^{T-1} (t_{j+1} - t_j) log (p(x, z_j) / f_0(z_j)),

and E[w] = p(x), whatever T and however badly the chains mix: log of a mean of w over chains is a lower bound in
expectation. T = 1 is plain importance sampling. Run backwards, from an exact draw of p(z | x), the same sum with the
opposite sign has E[1 / w] = 1 / p(x), so that -log mean 1 / w is an upper bound; exact draws are there for data
simulated from the model (bidirectional Monte Carlo).

References: Neal, "Annealed importance sampling" (2001), Statistics and Computing 11. Grosse, Ghahramani and Adams,
"Sandwiching the marginal likelihood using bidirectional Monte Carlo" (2015), arXiv:1511.02543. Wu, Burda,
Salakhutdinov and Grosse, "On the quantitative analysis of decoder-based generative models" (2017), arXiv:1611.04273.
"""

import dataclasses
from collections.abc import Callable
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from scipy.special import expit, logsumexp

from iwax.checks import check_choice, check_positive_integer
from iwax.errors import IwaxError, IwaxTypeError
from iwax.evaluation.decoding import having
from iwax.evaluation.hamiltonian import hamiltonian_step, pilot_step_sizes, walk
from iwax.evaluation.streaming import count_examples
from iwax.keys import check_key
from iwax.models import FactorizedModel, Model, checked_log_joint
from iwax.weights import effective_number

__all__ = ["STARTS", "Annealing", "anneal", "schedule", "simulate"]

STARTS = ("posterior", "prior")
CHAINS = 512  # chains on the device at a time
STEEPNESS = 4.0  # of the sigmoid schedule (Wu et al., 2017)
PILOT = 200  # temperatures of the pilot run that finds the step sizes
VARIANCE_DRAWS = 64  # draws from f_0 whose variances scale the steps


@dataclasses.dataclass(frozen=True)
class Annealing:
    """What `anneal` found, in nats, float64.

    Attributes:
        log_weights: log w of each chain, or log 1 / w of each backward chain, (N, chains).
        acceptance: of the Hamiltonian steps, mean over chains and temperatures, (N,); NaN where there were none.
        upper: whether the chains ran backwards.
    """

    log_weights: Float[np.ndarray, "n chains"]
    acceptance: Float[np.ndarray, " n"]
    upper: bool

    @property
    def bound(self) -> Float[np.ndarray, " n"]:
        """log mean w, a lower bound on log p(x) in expectation; or -log mean 1 / w, an upper bound."""
        log_mean = logsumexp(self.log_weights, axis=1) - np.log(self.log_weights.shape[1])
        return -log_mean if self.upper else log_mean

    @property
    def mc_error(self) -> Float[np.ndarray, " n"]:
        """Standard error of `bound` over chains, by the delta method: sqrt(sum w~^2 - 1 / chains).

        Too small where few chains carry the weight. Backward chains share their first z: what that adds is seen over
        examples only.
        """
        return np.sqrt(np.maximum(1 / self.ess - 1 / self.log_weights.shape[1], 0))

    @property
    def ess(self) -> Float[np.ndarray, " n"]:
        """Effective number of chains, from 1 to all."""
        normalised = np.exp(self.log_weights - logsumexp(self.log_weights, axis=1, keepdims=True))
        return effective_number(normalised, axis=1)


def schedule(num_distributions: int) -> Float[np.ndarray, " steps"]:
    """t_0 = 0, ..., t_T = 1 along a sigmoid, dense at both ends: float64, (num_distributions + 1,), exact in float32.

    t_j is proportional to sigmoid(4 (2 j / T - 1)), shifted to start at 0.

    >>> schedule(4).round(3).tolist()
    [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    check_positive_integer("num_distributions", num_distributions)
    t = expit(STEEPNESS * np.linspace(-1, 1, num_distributions + 1))
    return ((t - t[0]) / (t[-1] - t[0])).astype(np.float32).astype(np.float64)


def simulate(model: FactorizedModel, num_examples: int, key: PRNGKeyArray) -> tuple[Array, PyTree]:
    """Data drawn from the model, (N, *event), and the z from which they were: exact draws of p(z | x).

    Raises:
        ValueError: `num_examples` below one, or several keys.
        TypeError: no key, or a model without `prior` and `likelihood`.
    """
    check_key(key)
    check_positive_integer("num_examples", num_examples)
    z_key, x_key = jax.random.split(key)
    factors = having(model, "simulated data", "prior", "likelihood")
    z = factors.prior.sample(z_key, (num_examples,))
    return factors.likelihood(z).sample(x_key), z


def anneal(
    model: Model,
    x: Float[Array | np.ndarray, "n ..."],
    key: PRNGKeyArray,
    *,
    num_distributions: int = 1000,
    num_chains: int = 16,
    start: str = "posterior",
    leapfrog_steps: int = 10,
    z: PyTree | None = None,
    first: int = 0,
    rows: int = CHAINS,
) -> Annealing:
    """Bounds on log p(x) by annealed importance sampling: lower ones, or upper ones from exact draws `z`.

    Step sizes are found, for each example and temperature, by a pilot run with random numbers of its own, and then
    frozen: were they adapted along the way, the steps would no longer leave f_t invariant. Steps are scaled by the
    variances of f_0. Log-weights are summed in float64 on the host.

    Arguments:
        model: the pair of densities, with continuous z; a `prior`, if the start is that.
        x: examples as the model takes them (binarised already), (N, *event).
        key: seed; random numbers are keyed by example, so that those beside it change nothing.
        num_distributions: T. Work grows with T * chains * leapfrog_steps.
        num_chains: chains per example, side by side.
        start: f_0, "posterior" (q(z | x)) or "prior".
        leapfrog_steps: gradients per Hamiltonian step.
        z: a draw of p(z | x) for each example, every leaf (N, *event), as from `simulate`: chains run backwards.
        first: number of the first example, by which its random numbers are keyed.
        rows: chains on the device at a time; changes speed and rounding only.

    Raises:
        ValueError: a number below one, or an unknown start.
        TypeError: z is not continuous, or the model has no prior to start from.
        MissingExtraError: blackjax is not installed.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = jnp.ones((1, 2))
    >>> below = anneal(model, x, jax.random.key(0), num_distributions=20, leapfrog_steps=3).bound
    >>> bool(abs(below[0] - model.log_evidence(x)[0]) < 0.1)
    True
    """
    check_key(key)
    t = schedule(num_distributions)
    for name, value in (("num_chains", num_chains), ("leapfrog_steps", leapfrog_steps), ("rows", rows)):
        check_positive_integer(name, value)
    check_choice("start", start, STARTS)
    if start == "prior" and not hasattr(model, "prior"):
        raise IwaxTypeError(
            f"Expected a model with a prior, for start='prior'; got {type(model).__name__} without one."
        )
    count = count_examples(x)
    for leaf in jax.tree.leaves(z):
        if jnp.shape(leaf)[:1] != (count,):
            raise IwaxError(f"Expected z to hold a draw for each of {count} examples; got shape {jnp.shape(leaf)}.")
    inner = jnp.asarray(t[1:-1] if z is None else t[-2:0:-1], jnp.float32)
    batch = max(1, min(len(x), rows // num_chains))
    log_w, accepted = [], []
    for begin in range(0, len(x), batch):
        indices = np.minimum(np.arange(begin, begin + batch), len(x) - 1)  # the last batch repeats its last example
        of_batch = _taken(x, indices), _taken(z, indices), jnp.asarray(first + indices)
        terms, acceptance = _chains(model, *of_batch, key, inner, start, num_chains, leapfrog_steps)
        log_w.append(np.asarray(terms, np.float64)[: len(x) - begin])
        accepted.append(np.asarray(acceptance, np.float64)[: len(x) - begin])
    steps = np.diff(t) if z is None else -np.diff(t)[::-1]
    mean = np.concatenate(accepted).mean(axis=1) if len(inner) else np.full(len(x), np.nan)
    return Annealing(np.einsum("t,ntc->nc", steps, np.concatenate(log_w)), mean, z is not None)


def _taken(tree: PyTree, indices: np.ndarray) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[indices], tree)


@eqx.filter_jit
def _chains(
    model: Model,
    x: Array,
    z: PyTree | None,
    indices: Array,
    key: PRNGKeyArray,
    inner: Array,
    start: str,
    num_chains: int,
    leapfrog_steps: int,
) -> tuple[Float[Array, "n steps chains"], Float[Array, "n inner"]]:
    """log (p(x, z_j) / f_0(z_j)) before each step at the temperatures `inner`, and after all; acceptance of each."""

    def of_example(x: Array, index: Array, z: PyTree | None) -> tuple[Array, Array]:
        x = x[None]
        keys = jax.random.split(jax.random.fold_in(key, index), 5)
        f_0 = model.posterior(x) if start == "posterior" else cast(FactorizedModel, model).prior
        if not getattr(f_0, "has_rsample", True):
            raise IwaxTypeError(f"Expected continuous z, for Hamiltonian steps; got a {start} of {type(f_0).__name__}.")
        shape = (1,) if start == "prior" else ()  # z is (1, 1, *event): a sample of a batch of one
        flat, unravel = _flattened(f_0.sample(keys[0], (num_chains, *shape)))
        if z is not None:
            flat = jnp.broadcast_to(ravel_pytree(z)[0], flat.shape)

        def log_terms(flat: Array) -> tuple[Array, Array]:
            """log f_0 and log (p(x, z) / f_0)."""
            z = unravel(flat)
            log_f_0 = f_0.log_prob(z)
            log_w = checked_log_joint(model, x, z, log_f_0, batch=1) - log_f_0
            return log_f_0[0, 0], log_w[0, 0]

        if len(inner) == 0:
            return jax.vmap(log_terms)(flat)[1][None], jnp.zeros(0)
        variances = jnp.var(_flattened(f_0.sample(keys[1], (VARIANCE_DRAWS, *shape)))[0], axis=0, ddof=1)
        step = hamiltonian_step(log_terms, variances, leapfrog_steps)
        pilot, t = _flattened(f_0.sample(keys[2], (num_chains, *shape)))[0], schedule(PILOT + 1)[1:-1]
        sizes = pilot_step_sizes(step, pilot, keys[3], jnp.asarray(t, flat.dtype))
        return walk(step, lambda z: log_terms(z)[1], flat, keys[4], inner, jnp.interp(inner, t, sizes))

    return jax.vmap(of_example)(x, indices, z)


def _flattened(z: PyTree) -> tuple[Float[Array, "chains size"], Callable]:
    """z as one vector per chain, and the way back from one to leaves (1, 1, *event)."""
    unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[:1], z))[1]
    return jax.vmap(lambda z: ravel_pytree(z)[0])(z), unravel
