"""Every objective for PyTorch: a loss whose backward pass is the estimator's gradient.

The coefficients of an estimator are constants to the gradient, so JAX need only see the log-weights, as numbers:

    log_w -> bound, a, b, c (JAX)        J = sum a log p - sum b (path) - sum c log q (PyTorch)

The densities stay the caller's, and so do their gradients. `docs/pytorch.md` has a plain loop and one for Lightning.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from iwax.errors import IwaxError
from iwax.extras import missing
from iwax.objectives import PATH_ONLY, SCORE_FUNCTION, AbstractObjective

try:
    import torch
    from torch import Tensor
except ModuleNotFoundError as error:
    raise missing("torch", "iwax.torch") from error

from iwax.torch.autograd import BoundLoss, EstimatorLoss
from iwax.torch.checks import (
    check_frozen,
    check_given,
    check_inputs,
    check_no_transform,
    check_samples,
    missing_argument,
    once_only,
)
from iwax.torch.evaluation import evaluate

__all__ = ["evaluate", "loss", "per_example_loss"]


def loss(
    objective: AbstractObjective,
    log_p: Tensor,
    log_q: Tensor,
    z: Tensor | Sequence[Tensor] | None = None,
    log_q_frozen: Tensor | None = None,
) -> Tensor:
    """Minus the mean bound over the batch, in nats: a scalar whose `backward()` is the estimator of `objective`.

    Arguments:
        objective: any of `iwax.OBJECTIVES` that is a function of log-weights.
        log_p: log p(x, z_s), (S, *batch) with S = objective.total_samples, in group-major order s = m K + k.
        log_q: log q(z_s | x), (S, *batch). For "score-function" estimators, of samples that are detached.
        z: the samples at which both were computed, (S, *batch, *event), or a sequence of them, one for each stochastic
            layer. Needed where theta and the path along z have coefficients of their own: "doubly-reparameterized",
            and PIWAE. Where one layer leads to the next, compute the densities at `z.clone()` of each, and give those.
        log_q_frozen: log q(z_s | x) by detached parameters, differentiable in z, (S, *batch). Needed by
            "sticking-the-landing" and "doubly-reparameterized". With several layers the weights of the conditional
            networks are detached too, not only their means and scales (`torch.func.functional_call` on detached
            parameters): anything less is biased.

    Raises:
        ValueError: a shape is wrong, what the estimator needs is missing, or the objective needs more than log-weights.

    Reference: Tucker, Lawson, Gu and Maddison, "Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives"
    (2018), arXiv:1810.04152; the other estimators cite theirs in their own docstrings.

    >>> import iwax, torch
    >>> mean = torch.zeros(3, 2, requires_grad=True)
    >>> z = mean + torch.randn(8, 3, 2, generator=torch.manual_seed(0))
    >>> log_q = -0.5 * ((z - mean) ** 2).sum(-1)
    >>> log_q_frozen = -0.5 * ((z - mean.detach()) ** 2).sum(-1)
    >>> log_p = -0.5 * (z**2).sum(-1) - 0.5 * ((1 - z) ** 2).sum(-1)
    >>> objective = iwax.IWAE(num_samples=8, gradient="doubly-reparameterized")
    >>> loss(objective, log_p, log_q, z, log_q_frozen).backward()
    >>> mean.grad.shape
    torch.Size([3, 2])
    """
    return per_example_loss(objective, log_p, log_q, z, log_q_frozen).mean()


@torch.compiler.disable  # torch.compile leaves this function to Python, where JAX belongs
def per_example_loss(
    objective: AbstractObjective,
    log_p: Tensor,
    log_q: Tensor,
    z: Tensor | Sequence[Tensor] | None = None,
    log_q_frozen: Tensor | None = None,
) -> Tensor:
    """`loss` before its mean: minus the bound of each example in nats, (*batch).

    Where examples get unequal weights and the estimator needs z, the model must treat them apart (no batch
    normalisation over them), or what one example adds to another's samples gets the wrong weight.

    Arguments:
        objective, log_p, log_q, z, log_q_frozen: as for `loss`; log_p and log_q are (samples, *batch), in nats.

    Raises:
        ValueError: as `loss`.

    >>> import iwax
    >>> log_p = torch.zeros(5, 3, requires_grad=True)
    >>> per_example_loss(iwax.IWAE(num_samples=5, gradient="reparameterized"), log_p, torch.zeros(5, 3)).shape
    torch.Size([3])
    """
    layers = [z] if isinstance(z, Tensor) else list(() if z is None else z)
    check_inputs(objective, log_p, log_q)
    check_given(objective, log_p, layers, log_q_frozen)
    if objective.has_second_derivatives:
        return BoundLoss.apply(partial(_derivative, objective), log_p - log_q)[0]
    check_no_transform(objective, log_p, log_q)
    bound, a, b, c = _coefficients(objective, log_p.detach() - log_q.detach())
    if not torch.is_grad_enabled():
        return -bound
    refusal = once_only(objective)
    if objective.gradient == SCORE_FUNCTION:
        return EstimatorLoss.apply(refusal, bound, (), _weighted(a, log_p) - _weighted(c, log_q))
    density = log_q if c is not None else check_frozen(objective, log_q, log_q_frozen, layers)
    if b is a:
        return EstimatorLoss.apply(refusal, bound, (), _weighted(a, log_p - density))
    if not layers:
        raise missing_argument(objective, "z, the samples at which log_p was computed")
    layers = [layer for layer in layers if layer.requires_grad]  # of a q that is held constant none does
    check_samples(layers, log_q, {"log_p": log_p, "log_q_frozen" if c is None else "log_q": density})
    surrogate = _weighted(a, log_p) if c is None else _weighted(a, log_p) - _weighted(c, density)
    missing = _along_path(_weighted(b, log_p - density).sum() - surrogate.sum(), layers)
    return EstimatorLoss.apply(refusal, bound, missing, surrogate, *layers)


def _along_path(difference: Tensor, layers: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The derivative of `difference` in each of the samples, (S, *batch, *event)."""
    try:
        return torch.autograd.grad(difference, layers, retain_graph=True) if layers else ()
    except RuntimeError as error:
        if "checkpoint" not in str(error):
            raise
        raise IwaxError(
            "Expected log_p and log_q_frozen by torch.utils.checkpoint(..., use_reentrant=False), if checkpointed, for "
            "an estimator that needs z; got use_reentrant=True, through which PyTorch gives no gradient in z."
        ) from error


def _weighted(coefficient: Tensor, term: Tensor) -> Tensor:
    """sum_s c_s t_s, where a coefficient of zero multiplies nothing, not even an infinity."""
    return torch.where(coefficient == 0, torch.zeros_like(term), coefficient * term).sum(0)


def _coefficients(objective: AbstractObjective, log_w: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """(bound, a, b, c); b is a where they are one and the same, and c is None where it is zero on purpose."""
    double = log_w.dtype == torch.float64
    numbers = log_w.to("cpu", torch.float64 if double else torch.float32).numpy()
    key = (
        jax.random.key(int(torch.randint(2**31 - 1, ()))) if getattr(objective, "backward", "") == "resampled" else None
    )
    with jax.enable_x64(double), jax.default_device(jax.devices("cpu")[0]):
        values = jax.tree.map(np.array, _compiled(objective, jnp.asarray(numbers), key))
    bound, a, b, c = (None if value is None else torch.from_numpy(value).to(log_w) for value in values)
    return bound, a, a if b is None else b, c


@eqx.filter_jit
def _compiled(objective: AbstractObjective, log_w: Any, key: Any) -> tuple:
    a, b, c = objective.coefficients(log_w, key)
    return objective.bound(log_w), a, None if b is a else b, None if objective.gradient in PATH_ONLY else c


def _derivative(objective: AbstractObjective, order: int, *inputs: Tensor) -> tuple[Tensor, ...]:
    """What `BoundLoss` asks for: of order 0 (bound, weights), else the derivative of that order."""
    double = inputs[0].dtype == torch.float64
    numbers = [v.detach().to("cpu", torch.float64 if double else torch.float32).numpy() for v in inputs]
    with jax.enable_x64(double), jax.default_device(jax.devices("cpu")[0]):
        values = _compiled_derivative(objective, order, [jnp.asarray(v) for v in numbers])
    return tuple(torch.from_numpy(np.array(value)).to(inputs[0]) for value in values)


@eqx.filter_jit
def _compiled_derivative(objective: AbstractObjective, order: int, inputs: Sequence[Any]) -> tuple:
    """Order 1 takes (log_w, cotangent); each further order takes the inputs of the one below, and its cotangents."""

    def derivative(order: int, *inputs: Any) -> tuple:
        weights = objective.coefficients(inputs[0]).generative
        if order == 0:
            return objective.bound(inputs[0]), weights
        if order == 1:
            return (inputs[1] * weights,)
        below = partial(derivative, order - 1)
        number = _number_of_inputs(order - 1)
        return jax.vjp(below, *inputs[:number])[1](inputs[number:])

    return derivative(order, *inputs)


def _number_of_inputs(order: int) -> int:
    """1, 2, 3, 5, 8: a vector-Jacobian product takes the inputs and as many cotangents as there are outputs."""
    return 1 if order == 0 else 2 if order == 1 else _number_of_inputs(order - 1) + _number_of_inputs(order - 2)
