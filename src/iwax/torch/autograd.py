"""What `iwax.torch` adds to PyTorch's differentiation: losses whose derivatives come from JAX, and walks of a graph.

Nothing here outlives a backward pass: each function's gradient depends on the cotangent that it is given, and on
constants. So any number of passes over the same samples, in any order, give what each of them gives alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from iwax.errors import IwaxError

__all__ = ["BoundLoss", "EstimatorLoss", "edge", "edges_behind", "shape_of"]

Edge = tuple[Any, int]  # a node of the graph, and which of its outputs


class BoundLoss(torch.autograd.Function):
    """-bound(log_w), (S, *batch) -> (*batch), whose derivatives of every order are those of the bound.

    `compute(order, *arrays)` gives, as a tuple, the bound (order 0, together with its weights), the weights times a
    cotangent (order 1), and for each further order the vector-Jacobian product of the order below.
    """

    @staticmethod
    def forward(compute: Callable[..., tuple[Tensor, ...]], log_w: Tensor) -> tuple[Tensor, Tensor]:
        bound, weights = compute(0, log_w)
        return -bound, -weights

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.compute = inputs[0]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[1], output[1])

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        log_w, weights = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: the weights have derivatives too
            return None, _Derivative.apply(ctx.compute, 1, log_w, -cotangents[0])[0]
        return None, cotangents[0] * weights

    @staticmethod
    def vmap(info: Any, in_dims: Any, compute: Any, log_w: Tensor) -> Any:
        return BoundLoss.apply(compute, log_w.movedim(in_dims[1], 1)), (0, 1)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise _forward_mode()


class _Derivative(torch.autograd.Function):
    """The derivative of some order, which `compute` gives, and whose own derivative is that of the next order."""

    @staticmethod
    def forward(compute: Callable[..., tuple[Tensor, ...]], order: int, *inputs: Tensor) -> tuple[Tensor, ...]:
        return compute(order, *inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.compute, ctx.order, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        return None, None, *_Derivative.apply(ctx.compute, ctx.order + 1, *ctx.saved_tensors, *cotangents)

    @staticmethod
    def vmap(info: Any, in_dims: Any, compute: Any, order: int, *inputs: Tensor) -> Any:
        axes = in_dims[2:]
        each = [
            _Derivative.apply(
                compute, order, *(v if d is None else v.select(d, i) for v, d in zip(inputs, axes, strict=True))
            )
            for i in range(info.batch_size)
        ]
        outputs = tuple(torch.stack(parts) for parts in zip(*each, strict=True))
        return outputs, (0,) * len(outputs)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise _forward_mode()


class EstimatorLoss(torch.autograd.Function):
    """-bound, (*batch), with the gradient of -surrogate; to the samples it adds what the surrogate misses.

    `missing[i]` has the shape (S, *batch, *event) of `layers[i]`. The sum of z times it, for each example, would have
    the same gradient; here its value is not needed, and samples of half precision get gradients of half precision.
    """

    @staticmethod
    def forward(refusal: str, bound: Tensor, missing: Sequence[Tensor], surrogate: Tensor, *layers: Tensor) -> Tensor:
        return -bound

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.refusal, _, ctx.missing, surrogate, *_ = inputs
        ctx.save_for_backward(surrogate)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        to_surrogate = example = -cotangents[0]
        if torch.is_grad_enabled():  # create_graph
            to_surrogate = _OnceOnly.apply(ctx.refusal, to_surrogate, *ctx.saved_tensors)
        to_layers = (
            (example.reshape(1, *example.shape, *(1,) * (part.ndim - 1 - example.ndim)) * part).to(part.dtype)
            for part in ctx.missing
        )
        return None, None, None, to_surrogate, *to_layers


class _OnceOnly(torch.autograd.Function):
    """The cotangent as it is. It hangs on the surrogate, so that no second derivative gets past its refusal."""

    @staticmethod
    def forward(refusal: str, cotangent: Tensor, surrogate: Tensor) -> Tensor:
        return cotangent.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.refusal = inputs[0]

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        raise IwaxError(ctx.refusal)


def _forward_mode() -> IwaxError:
    return IwaxError(
        "Expected reverse-mode differentiation of iwax.torch.loss (backward, torch.func.grad, torch.func.jacrev); got "
        "forward mode (jvp, jacfwd). A Hessian is jacrev(jacrev(f))."
    )


def edge(tensor: Tensor) -> Edge:
    """Where in the graph `tensor` is."""
    node, output = torch.autograd.graph.get_gradient_edge(tensor)[:2]
    return node, output


def edges_behind(tensors: Iterable[Tensor], stop: Iterable[Edge] = ()) -> set[Edge]:
    """All that `tensors` were computed from, themselves included; what is in `stop` is reached and not passed."""
    stop, found = set(stop), set[Edge]()
    waiting = [edge(tensor) for tensor in tensors if tensor.requires_grad]
    while waiting:
        current = waiting.pop()
        if current[0] is None or current in found:
            continue
        found.add(current)
        if current not in stop:
            waiting.extend(current[0].next_functions)
    return found


def shape_of(place: Edge) -> tuple[int, ...] | None:
    """The shape of the tensor at this place of the graph; None where PyTorch does not keep it."""
    node, output = place
    metadata = getattr(node, "_input_metadata", ())
    return tuple(metadata[output].shape) if output < len(metadata) else None
