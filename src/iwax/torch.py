"""Every objective for PyTorch: a loss whose backward pass is the estimator's gradient.

The coefficients of an estimator are constants to the gradient, so JAX need only see the log-weights, as numbers:

    log_w -> bound, a, b, c (JAX)        J = sum a log p - sum b (path) - sum c log q (PyTorch)

The densities stay the caller's, and so do their gradients. `docs/pytorch.md` has a plain loop and one for Lightning.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from iwax.objectives.objective import PATH_ONLY, SCORE_FUNCTION, Objective

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError(
        'Expected PyTorch to be installed for iwax.torch; pip install "iwax[torch]" brings it.'
    ) from error

__all__ = ["loss", "per_example_loss"]


def loss(
    objective: Objective,
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


def per_example_loss(
    objective: Objective,
    log_p: Tensor,
    log_q: Tensor,
    z: Tensor | Sequence[Tensor] | None = None,
    log_q_frozen: Tensor | None = None,
) -> Tensor:
    """`loss` before its mean: minus the bound of each example in nats, (*batch)."""
    layers = [z] if isinstance(z, Tensor) else list(() if z is None else z)
    _check(objective, log_p, log_q)
    _check_given(objective, log_p, layers, log_q_frozen)
    bound, a, b, c = _coefficients(objective, log_p.detach() - log_q.detach())
    if not torch.is_grad_enabled():
        return -bound
    if objective.gradient == SCORE_FUNCTION:
        return _loss(bound, _weighted(a, log_p) - _weighted(c, log_q))
    if c is None and log_q_frozen is None:
        raise _missing(objective, "log_q_frozen, the density of q at z by detached parameters")
    density = log_q_frozen if c is None else log_q
    if b is a:
        return _loss(bound, _weighted(a, log_p - density))
    if not layers:
        raise _missing(objective, "z, the samples at which log_p was computed")
    layers = [layer for layer in layers if layer.requires_grad]  # of a q that is held constant none does
    _check_layers(layers)
    surrogate = _weighted(a, log_p) if c is None else _weighted(a, log_p) - _weighted(c, density)
    missing = _weighted(b, log_p - density).sum() - surrogate.sum()
    along_path = torch.autograd.grad(missing, layers, retain_graph=True, allow_unused=True) if layers else ()
    return _loss(bound, surrogate, layers, along_path)


class _Loss(torch.autograd.Function):
    """-bound, with the gradient of -surrogate; keeps the cotangent that arrives, for the hooks of the samples."""

    @staticmethod
    def forward(ctx: Any, bound: Tensor, surrogate: Tensor, arrived: list[Tensor]) -> Tensor:
        ctx.arrived = arrived
        return -bound

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        ctx.arrived[:] = cotangents
        return None, -cotangents[0], None


def _loss(
    bound: Tensor, surrogate: Tensor, layers: Sequence[Tensor] = (), along_path: Sequence[Tensor | None] = ()
) -> Tensor:
    """The loss of each example; to what reaches `layers` on the way back, what the path misses is added."""
    arrived: list[Tensor] = []

    def add(missing: Tensor) -> Any:
        def hook(gradient: Tensor) -> Tensor:
            if not arrived:  # another loss comes this way
                return gradient
            example = arrived[0].reshape(1, *arrived[0].shape, *(1,) * (missing.ndim - 1 - arrived[0].ndim))
            return gradient - (example * missing).to(gradient.dtype)  # samples of half precision have such gradients

        return hook

    for z, missing in zip(layers, along_path, strict=True):
        if missing is not None:
            z.register_hook(add(missing))
    return _Loss.apply(bound, surrogate, arrived)


def _weighted(coefficient: Tensor, term: Tensor) -> Tensor:
    """sum_s c_s t_s, where a coefficient of zero multiplies nothing, not even an infinity."""
    return torch.where(coefficient == 0, torch.zeros_like(term), coefficient * term).sum(0)


def _coefficients(objective: Objective, log_w: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
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
def _compiled(objective: Objective, log_w: Any, key: Any) -> tuple:
    a, b, c = objective.coefficients(log_w, key)
    return objective.bound(log_w), a, None if b is a else b, None if objective.gradient in PATH_ONLY else c


def _check(objective: Any, log_p: Any, log_q: Any) -> None:
    if not isinstance(objective, Objective):
        raise TypeError(
            f"Expected objective to be an iwax objective such as iwax.IWAE(num_samples=5); got {objective!r}."
        )
    for given, value in (("log_p", log_p), ("log_q", log_q)):
        if not isinstance(value, Tensor):
            raise TypeError(f"Expected {given} to be a torch tensor; got {type(value).__name__}.")
    name = type(objective).__name__
    if objective.beyond_log_weights:
        raise ValueError(
            f"Expected an objective that is a function of log-weights; got {name}, which needs "
            f"{objective.beyond_log_weights}."
        )
    if objective.sampling != "independent" or objective.learned:
        field = "sampling='independent', since the samples are yours," if objective.sampling != "independent" else ""
        field = field or "beta_rule='fixed', since nothing here trains the objective,"
        raise ValueError(f"Expected {field} for iwax.torch; got {objective}.")
    if log_p.shape != log_q.shape or log_p.ndim == 0 or log_p.shape[0] != objective.total_samples:
        raise ValueError(
            f"Expected log_p and log_q to be (S, *batch) with S = {objective.total_samples}, the total_samples of this "
            f"{name}; got {tuple(log_p.shape)} and {tuple(log_q.shape)}."
        )


def _check_given(objective: Objective, log_p: Tensor, layers: Sequence[Tensor], log_q_frozen: Tensor | None) -> None:
    """What goes wrong in silence: other samples than those of the densities, and a density that is not frozen."""
    for z in layers:
        if z.shape[: log_p.ndim] != log_p.shape:
            raise ValueError(
                f"Expected z to be (S, *batch, *event), with log_p's {tuple(log_p.shape)} first; got {tuple(z.shape)}."
            )
        if objective.gradient == SCORE_FUNCTION and z.requires_grad:
            raise ValueError(
                f"Expected detached samples for {type(objective).__name__} with gradient='score-function'; got z with "
                "a gradient. Compute log_p and log_q at z.detach()."
            )
    if log_q_frozen is None:
        return
    if log_q_frozen.shape != log_p.shape:
        raise ValueError(
            f"Expected log_q_frozen to be of log_p's shape {tuple(log_p.shape)}; got {tuple(log_q_frozen.shape)}."
        )
    found = _leaf_beside(log_q_frozen, layers) if layers else None
    if found is not None:
        raise ValueError(
            f"Expected log_q_frozen to be computed at z by detached parameters; its gradient reaches a tensor of shape "
            f"{tuple(found.shape)} that is not behind z. Detach the parameters (of networks by "
            "torch.func.functional_call), and give in z the samples of every layer."
        )


def _leaf_beside(density: Tensor, layers: Sequence[Tensor]) -> Tensor | None:
    """A parameter that `density` has a gradient in, other than through `layers`; None if there is none."""
    seen = {z.grad_fn for z in layers}
    nodes = [density.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)  # of the node that accumulates a leaf's gradient
        if leaf is not None and not any(leaf is z for z in layers):
            return leaf
        nodes.extend(before for before, _ in node.next_functions)
    return None


def _check_layers(layers: Sequence[Tensor]) -> None:
    """Stochastic layers must not reach the density through one another, or their path would be counted twice."""
    for i, below in enumerate(layers):
        others = [z for j, z in enumerate(layers) if j != i and z.requires_grad]
        if below.requires_grad and others:
            found = torch.autograd.grad(sum(z.sum() for z in others), below, retain_graph=True, allow_unused=True)
            if found[0] is not None:
                raise ValueError(
                    f"Expected z to hold samples that do not depend on one another; layer {i + 1} leads to another. "
                    "Compute log_p and log_q_frozen at z.clone() of each layer, and give those clones."
                )


def _missing(objective: Objective, what: str) -> ValueError:
    return ValueError(
        f"Expected {what}, for {type(objective).__name__} with gradient={objective.gradient!r}; got None."
    )
