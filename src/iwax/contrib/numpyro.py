"""Importance-weighted bounds and their gradient estimators as a loss of NumPyro's `SVI`; the fit judged afterwards.

Each particle runs the guide for its draws r, and then both programs again on these draws, to take two kinds of
derivative apart (sg: stop-gradient). Model and guide may share parameters: what a parameter is to the gradient follows
from the run in which it is live.

    num_A, log q_A    parameters live, draws constant
    num_B, log q_B    parameters constant, draws live

    log w = sg(num - log q)
    J = sum_s  a_s num_A  +  b_s (num_B - log q_B)  -  c_s log q_A

num is the model's log-density minus that of the guide's Delta and factor sites, and a, b, c are the objective's
coefficients. Where they are equal, J is sum_s a_s log w_s of a single run.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.errors import IwaxError
from iwax.extras import missing

try:
    from numpyro.infer import elbo
except ModuleNotFoundError as error:
    raise missing("numpyro", "iwax.contrib.numpyro") from error

from iwax.contrib._judge import PosteriorSample, evaluate, posterior_sample
from iwax.contrib._plates import Layout, Trace, check_guide_class, check_guide_densities, read_layout
from iwax.contrib._program import Program, seed_plates, terms
from iwax.keys import stream
from iwax.models import freeze
from iwax.objectives import (
    ELBO,
    PATH_ONLY,
    SCORE_FUNCTION,
    AbstractObjective,
    as_differentiable_as,
    check_objective,
    has_equal_coefficients,
    value_with_gradient_of,
    weighted_sum,
)

__all__ = ["ImportanceWeightedELBO", "PosteriorSample", "evaluate", "posterior_sample"]


class ImportanceWeightedELBO(elbo.ELBO):
    """Any bound and gradient estimator of iwax as `SVI(model, guide, optim, loss=ImportanceWeightedELBO(objective))`.

    The loss is minus the bound in nats, summed over the data and scaled up where they are subsampled. Draws are those
    of `RenyiELBO` from the same key, so that IWAE with the plain gradient equals `RenyiELBO(alpha=0)` where the latter
    is right.

    A plate that holds every site of model and guide has one importance weight for each of its elements; all else is
    summed inside a weight. docs/numpyro.md has the rule, and what is refused and why.

    Arguments:
        objective: an iwax objective that is a function of log-weights.
        joint: one weight for all sites, whatever the plates.
        vectorize_particles: whether to map over particles by `jax.vmap` (or by the callable given) or one by one.

    Raises:
        ValueError: here, if the objective does not fit; from the loss, if a site does not, by name.

    References: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519; Tucker,
    Lawson, Gu and Maddison, "Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives" (2018),
    arXiv:1810.04152.

    >>> import iwax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import SVI
    >>> def model(x):
    ...     with numpyro.plate("data", len(x)):
    ...         z = numpyro.sample("z", dist.Normal(0, 1))
    ...         numpyro.sample("x", dist.Normal(z, 1), obs=x)
    >>> def guide(x):
    ...     slope = numpyro.param("slope", 0.1)
    ...     with numpyro.plate("data", len(x)):
    ...         numpyro.sample("z", dist.Normal(slope * x, 0.7))
    >>> loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=8, gradient="doubly-reparameterized"))
    >>> svi = SVI(model, guide, numpyro.optim.Adam(0.01), loss=loss)
    >>> result = svi.run(jax.random.key(0), 300, jnp.linspace(-2, 2, 9), progress_bar=False)
    >>> print(round(float(result.params["slope"]), 1))  # the posterior mean is x / 2
    0.5
    """

    def __init__(
        self, objective: Any, *, joint: bool = False, vectorize_particles: bool | Callable[..., Any] = True
    ) -> None:
        _check_objective(objective)
        super().__init__(num_particles=objective.total_samples, vectorize_particles=vectorize_particles)
        self.objective = objective
        self.joint = joint
        self.can_infer_discrete = objective.gradient == SCORE_FUNCTION
        self._is_total_derivative = has_equal_coefficients(objective)

    def loss(
        self,
        rng_key: PRNGKeyArray,
        param_map: dict[str, Any],
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Array:
        """Minus the bound in nats, whose gradient in `param_map` is that of the objective's estimator."""
        check_guide_class(guide)
        plate_key, key = jax.random.split(rng_key)
        program = Program(seed_plates(model, plate_key), seed_plates(guide, plate_key))
        keys = jax.random.split(key, self.num_particles)
        inputs = (param_map, args, kwargs)
        layout = self._layout(program, keys[0], inputs)
        coefficient_key = stream(key, "resampling")
        run = self._particle()
        num, log_q, path = self.vectorize_particles_fn(lambda key: run(program, layout, key, inputs), keys)
        log_w = num - log_q if self.objective.has_second_derivatives else freeze(num - log_q)
        a, b, c = freeze(self.objective).coefficients(log_w, coefficient_key)
        if self._is_total_derivative:
            surrogate = weighted_sum(a, path)
        else:
            surrogate = weighted_sum(a, num) + weighted_sum(b, path)
            surrogate -= 0 if self.objective.gradient in PATH_ONLY else weighted_sum(c, log_q)
        value = self.objective.bound(freeze(log_w))
        value, surrogate = as_differentiable_as(self.objective, value, surrogate, inputs)
        return -layout.scale * jnp.sum(value_with_gradient_of(value, surrogate))

    def _particle(self) -> Callable[..., tuple[Array, Array, Array]]:
        """The run of one particle: num_A, log q_A, and what the path coefficient multiplies."""
        if self._is_total_derivative:
            return _one_run
        return _constant_run if self.objective.gradient == SCORE_FUNCTION else _two_runs

    def loss_with_mutable_state(self, *args: Any, **kwargs: Any) -> Any:
        """The loss; programs with mutable sites are refused by it, by name."""
        return {"loss": self.loss(*args, **kwargs), "mutable_state": None}

    def _layout(self, program: "Program", key: PRNGKeyArray, inputs: PyTree) -> Layout:
        """Read off one abstract run, which computes nothing."""
        traces: list[Trace] = []
        jax.eval_shape(lambda key: traces.extend(program.run(key, inputs, {})), key)
        model_trace, guide_trace = traces
        layout = read_layout(model_trace, guide_trace, joint=self.joint, linear=_is_linear(self.objective))
        check_guide_densities(model_trace, guide_trace, layout.random, self.objective)
        return layout


def _one_run(program: Program, layout: Layout, key: PRNGKeyArray, inputs: PyTree) -> tuple[Array, Array, Array]:
    """Everything live: for equal coefficients, which multiply the total derivative of log w."""
    num, log_q = terms(program.run(key, inputs, {}), layout)
    return num, log_q, num - log_q


def _two_runs(program: Program, layout: Layout, key: PRNGKeyArray, inputs: PyTree) -> tuple[Array, Array, Array]:
    """The two kinds of derivative apart."""
    draws = _draws(program, layout, key, inputs)
    num, log_q = terms(program.run(key, inputs, freeze(draws)), layout)
    path_num, path_log_q = terms(program.run(key, freeze(inputs), draws), layout)
    return num, log_q, path_num - path_log_q


def _constant_run(program: Program, layout: Layout, key: PRNGKeyArray, inputs: PyTree) -> tuple[Array, Array, Array]:
    """No path derivative: the draws may be discrete."""
    num, log_q = terms(program.run(key, inputs, freeze(_draws(program, layout, key, inputs))), layout)
    return num, log_q, jnp.zeros_like(num)


def _draws(program: Program, layout: Layout, key: PRNGKeyArray, inputs: PyTree) -> dict[str, Array]:
    guide_trace = program.run_guide(key, inputs, {})
    return {name: guide_trace[name]["value"] for name in layout.random}


def _is_linear(objective: AbstractObjective) -> bool:
    """Whether the bound is a mean of log-weights."""
    return isinstance(objective, ELBO) or objective.total_samples == 1


def _check_objective(objective: Any) -> None:
    """Refuses objectives that are no function of log-weights, or that `SVI` cannot train."""
    check_objective(objective)
    kind = type(objective)
    if objective.beyond_log_weights:
        raise IwaxError(
            f"Expected an objective that is a function of log-weights, all that a NumPyro program offers; got "
            f"{kind.__name__}, which needs {objective.beyond_log_weights}."
        )
    if objective.sampling != "independent":
        raise IwaxError(
            f"Expected an objective with sampling='independent', since NumPyro's sites draw their own numbers; got "
            f"{objective.sampling!r}."
        )
    if objective.learned:
        raise IwaxError(
            f"Expected an objective without learned fields, since SVI trains param sites only; got {kind.__name__} "
            f"with {', '.join(objective.learned)}. Fix it, or train with iwax.fit."
        )
