"""What `iwax.torch` refuses by name: what is missing, and what would be wrong in silence."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from iwax.errors import IwaxError, IwaxTypeError
from iwax.objectives import SCORE_FUNCTION, AbstractObjective, check_objective
from iwax.torch.autograd import edge, edges_behind, shape_of

__all__ = [
    "check_frozen",
    "check_given",
    "check_inputs",
    "check_no_transform",
    "check_samples",
    "missing_argument",
    "once_only",
]


def check_inputs(objective: Any, log_p: Any, log_q: Any) -> None:
    check_objective(objective)
    for given, value in (("log_p", log_p), ("log_q", log_q)):
        if not isinstance(value, Tensor):
            raise IwaxTypeError(f"Expected {given} to be a torch tensor; got {type(value).__name__}.")
    name = type(objective).__name__
    if objective.beyond_log_weights:
        raise IwaxError(
            f"Expected an objective that is a function of log-weights; got {name}, which needs "
            f"{objective.beyond_log_weights}."
        )
    if objective.sampling != "independent" or objective.learned:
        field = "sampling='independent', since the samples are yours," if objective.sampling != "independent" else ""
        field = field or "beta_rule='fixed', since nothing here trains the objective,"
        raise IwaxError(f"Expected {field} for iwax.torch; got {objective}.")
    if log_p.shape != log_q.shape or log_p.ndim == 0 or log_p.shape[0] != objective.total_samples:
        raise IwaxError(
            f"Expected log_p and log_q to be (S, *batch) with S = {objective.total_samples}, the total_samples of this "
            f"{name}; got {tuple(log_p.shape)} and {tuple(log_q.shape)}."
        )


def check_given(
    objective: AbstractObjective, log_p: Tensor, layers: Sequence[Tensor], log_q_frozen: Tensor | None
) -> None:
    """Samples and a frozen density of the shapes of the rest, and no gradient in samples where there is to be none."""
    for z in layers:
        if z.shape[: log_p.ndim] != log_p.shape:
            raise IwaxError(
                f"Expected z to be (S, *batch, *event), with log_p's {tuple(log_p.shape)} first; got {tuple(z.shape)}."
            )
        if objective.gradient == SCORE_FUNCTION and z.requires_grad:
            raise IwaxError(
                f"Expected detached samples for {type(objective).__name__} with gradient='score-function'; got z with "
                "a gradient. Compute log_p and log_q at z.detach()."
            )
    if log_q_frozen is not None and log_q_frozen.shape != log_p.shape:
        raise IwaxError(
            f"Expected log_q_frozen to be of log_p's shape {tuple(log_p.shape)}; got {tuple(log_q_frozen.shape)}."
        )


def _leaf_beside(density: Tensor, layers: Sequence[Tensor]) -> Tensor | None:
    """A parameter that `density` has a gradient in, other than through `layers`; None if there is none."""
    places = {edge(z) for z in layers if z.requires_grad}
    leaves = (getattr(node, "variable", None) for node, _ in edges_behind([density], places) - places)
    return next((leaf for leaf in leaves if leaf is not None), None)


def check_frozen(
    objective: AbstractObjective, log_q: Tensor, log_q_frozen: Tensor | None, layers: Sequence[Tensor]
) -> Tensor:
    """The frozen density: with a gradient in z wherever log_q has one in anything, and in nothing else."""
    if log_q_frozen is None:
        raise missing_argument(objective, "log_q_frozen, the density of q at z by detached parameters")
    if log_q.requires_grad and not log_q_frozen.requires_grad:
        raise IwaxError(
            f"Expected log_q_frozen to be differentiable in z for gradient={objective.gradient!r}; got one without a "
            "gradient. Detach the parameters of q, and not the samples."
        )
    found = _leaf_beside(log_q_frozen, layers) if layers else None
    if found is not None:
        raise IwaxError(
            f"Expected log_q_frozen to be computed at z by detached parameters; its gradient reaches a tensor of shape "
            f"{tuple(found.shape)} that is not behind z. Detach the parameters (of networks by "
            "torch.func.functional_call), and give in z the samples of every layer: those very tensors, not clones, "
            "nor other outputs of a compiled or wrapped module that computes log_q_frozen as well."
        )
    return log_q_frozen


def check_samples(layers: Sequence[Tensor], log_q: Tensor, densities: Mapping[str, Tensor]) -> None:
    """The densities are functions of these very samples, and of no others that these were made from."""
    if not layers and log_q.requires_grad:
        raise IwaxError(
            "Expected z with a gradient, since log_q has one; got z without. Give the samples as they were drawn, not "
            "z.detach()."
        )
    for i, below in enumerate(layers):
        if edge(below) in edges_behind(other for j, other in enumerate(layers) if j != i):
            raise IwaxError(
                f"Expected z to hold samples that do not depend on one another; layer {i + 1} leads to another. "
                "Compute log_p and log_q_frozen at z.clone() of each layer, and give those clones."
            )
    for name, density in densities.items():
        _check_computed_at(name, density, layers)


def _check_computed_at(name: str, density: Tensor, layers: Sequence[Tensor]) -> None:
    places = {edge(z): z for z in layers}
    reached = edges_behind([density], places)
    for place, z in places.items():
        behind = {found for found in edges_behind([z]) - {place} if shape_of(found) == tuple(z.shape)}
        others = {found for found in behind & reached - places.keys() if not hasattr(found[0], "variable")}
        if place in reached and not others:
            continue
        raise IwaxError(
            f"Expected {name} to be computed at the z that is given; got one whose graph "
            f"{'reaches what z was made from beside it' if others else 'does not lead to z'} (of shape "
            f"{tuple(z.shape)}). Equal values do not do: give the tensor that the densities were computed from, not a "
            "clone of it, one computed afresh, or another output of the same compiled or wrapped module."
        )


def check_no_transform(objective: AbstractObjective, *densities: Tensor) -> None:
    if any(torch._C._functorch.is_functorch_wrapped_tensor(density) for density in densities):
        raise IwaxError(
            f"Expected an objective whose gradient is the bound's own derivative inside torch.func (grad, vmap): "
            f"gradient='reparameterized', backward='all', not PIWAE; got {_name(objective)}. Use loss.backward() or "
            "torch.autograd.grad."
        )


def once_only(objective: AbstractObjective) -> str:
    """The refusal of second derivatives, which constant coefficients would give wrongly."""
    return (
        f"Expected one derivative of {_name(objective)}, whose coefficients are constants; got a second "
        "(create_graph=True). Use gradient='reparameterized', backward='all', not PIWAE, for those of the bound itself."
    )


def _name(objective: AbstractObjective) -> str:
    resampled = ", backward='resampled'" if objective.backward != "all" else ""
    return f"{type(objective).__name__} with gradient={objective.gradient!r}{resampled}"


def missing_argument(objective: AbstractObjective, what: str) -> IwaxError:
    return IwaxError(f"Expected {what}, for {_name(objective)}; got None.")
