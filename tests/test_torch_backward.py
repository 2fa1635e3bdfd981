"""The PyTorch bridge under everything that PyTorch does with a graph: passes again, transforms, compilers, processes.

One model throughout, whose gradients are written out by hand, from NumPy alone: z_s = m + e_s, log p = -(z - t)^2 / 3,
log q = -(z - m)^2 / 2, with weights w_s = softmax of log p - log q over the samples, for each of two examples.
"""

import functools

import numpy as np
import pytest

import iwax
from iwax.objectives import OBJECTIVES

torch = pytest.importorskip("torch", reason="needs PyTorch, the extra iwax[torch]")
from torch.utils.checkpoint import checkpoint  # noqa: E402

import iwax.torch  # noqa: E402

NOISE = np.array([[0.3, -0.8], [1.4, 0.5], [-0.6, 0.2], [0.1, -1.7]])
M, T = np.array([0.4, -0.2]), np.array([1.1, 0.6])
OBJECTIVE = {
    "plain": iwax.IWAE(num_samples=4),
    "sticking": iwax.IWAE(num_samples=4, gradient="sticking-the-landing"),
    "doubly": iwax.IWAE(num_samples=4, gradient="doubly-reparameterized"),
    "groups": iwax.PIWAE(num_groups=2, num_samples=2),
    "score": OBJECTIVES["vimco"](num_samples=4),
}


def softmax(log_w):
    w = np.exp(log_w - log_w.max(0))
    return w / w.sum(0)


def by_hand(name):
    """Derivative of minus the bound of each example in m and in t: ((2,), (2,))."""
    if name == "other":  # the sum of all z, which is no loss of iwax
        return np.full(2, 4.0), np.zeros(2)
    z = M + NOISE
    path_p, path_q = -2 * (z - T) / 3, -(z - M)
    log_w = -((z - T) ** 2) / 3 + (z - M) ** 2 / 2
    w = softmax(log_w)
    in_m = {
        "plain": w * path_p,  # log q is the same whatever m is
        "sticking": w * (path_p - path_q),
        "doubly": w**2 * (path_p - path_q),
        "groups": np.concatenate([softmax(log_w[:2]), softmax(log_w[2:])]) / 2 * path_p,
    }
    return -in_m[name].sum(0), (w * path_p).sum(0)


def parameters(dtype=torch.float64):
    return tuple(torch.tensor(value, dtype=dtype, requires_grad=True) for value in (M, T))


def densities(m, t, z=None, at=lambda z: z):
    z = m + torch.as_tensor(NOISE).to(m.dtype) if z is None else z
    y = at(z)
    return -((y - t) ** 2) / 3, -((y - m) ** 2) / 2, z, -((y - m.detach()) ** 2) / 2


def losses(m, t, names=("plain", "sticking", "doubly", "groups")):
    """Of each example, on the same samples."""
    given = densities(m, t)
    return {name: iwax.torch.per_example_loss(OBJECTIVE[name], *given) for name in names} | {"other": given[2].sum(0)}


PASSES = {
    "two losses, one after the other": [{"doubly": 1}, {"other": 1}],
    "another loss first": [{"other": 1}, {"doubly": 1}, {"other": 2}],
    "two losses of iwax": [{"doubly": 1}, {"groups": 1}],
    "in the other order": [{"groups": 1}, {"doubly": 1}],
    "every loss after every other": [{n: 1} for n in ("doubly", "plain", "groups", "sticking", "doubly", "other")],
    "the same loss again": [{"doubly": 1}, {"doubly": 1}, {"doubly": 3}],
    "a sum": [{"doubly": 1, "groups": 2, "other": 3, "plain": -1}],
    "a sum after a part of it": [{"groups": 1}, {"doubly": 1, "groups": 2}],
    "weights of the examples": [{"doubly": np.array([2.0, -0.5])}, {"doubly": np.array([0.0, 3.0]), "groups": 1}],
}


@pytest.mark.parametrize("passes", PASSES.values(), ids=PASSES)
def test_each_pass_adds_its_own_gradient_and_no_other(passes):
    m, t = parameters()
    loss = losses(m, t)
    so_far = [np.zeros(2), np.zeros(2)]
    for together in passes:
        terms = [(torch.as_tensor(weight) * loss[name]).sum() for name, weight in together.items()]
        sum(terms).backward(retain_graph=True)
        for name, weight in together.items():
            so_far = [total + weight * one for total, one in zip(so_far, by_hand(name), strict=True)]
        np.testing.assert_allclose(m.grad, so_far[0], rtol=1e-12)
        np.testing.assert_allclose([0, 0] if t.grad is None else t.grad, so_far[1], rtol=1e-12)


class Remembering(torch.autograd.Function):
    """The fault of 2026-11: the cotangent of one pass was kept for hooks on the samples, which every pass goes by."""

    @staticmethod
    def forward(ctx, refusal, bound, missing, surrogate, *layers):
        ctx.arrived = arrived = []
        for z, part in zip(layers, missing, strict=True):
            z.register_hook(lambda gradient, part=part: gradient - arrived[0] * part if arrived else gradient)
        return -bound

    @staticmethod
    def backward(ctx, cotangent):
        ctx.arrived[:] = [cotangent]
        return None, None, None, -cotangent, *(None for _ in ctx.needs_input_grad[4:])


def test_a_correction_that_outlives_its_pass_would_be_wrong(monkeypatch):
    """Negative control: right for the first pass and for a sum, wrong for what comes after."""
    monkeypatch.setattr(iwax.torch, "EstimatorLoss", Remembering)
    m, t = parameters()
    loss = losses(m, t, ["doubly"])
    loss["doubly"].sum().backward(retain_graph=True)
    np.testing.assert_allclose(m.grad, by_hand("doubly")[0], rtol=1e-12)
    m.grad = None
    loss["other"].sum().backward()
    assert abs(m.grad.numpy() / by_hand("other")[0] - 1).max() > 0.1


def test_accumulation_over_minibatches_adds():
    m, t = parameters()
    for _ in range(3):
        (losses(m, t, ["doubly"])["doubly"].sum() / 3).backward()
    np.testing.assert_allclose(m.grad, by_hand("doubly")[0], rtol=1e-12)


def test_samples_of_half_precision_get_gradients_of_half_precision():
    m, t = parameters(torch.float32)
    z = (m + torch.as_tensor(NOISE).float()).bfloat16()
    z.retain_grad()
    given = densities(m, t, z, at=torch.Tensor.float)
    loss = iwax.torch.per_example_loss(OBJECTIVE["doubly"], *given).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert z.grad.dtype == torch.bfloat16
    np.testing.assert_allclose(m.grad, 2 * by_hand("doubly")[0], rtol=0.03)


# --- densities at other samples than those given


def again(m):
    return m + torch.as_tensor(NOISE)


def refused(name, **replaced):
    m, t = parameters()
    log_p, log_q, z, log_q_frozen = densities(m, t)
    values = {"log_p": log_p, "log_q": log_q, "z": z, "log_q_frozen": log_q_frozen}
    values.update({key: make(m, t, z) for key, make in replaced.items()})
    iwax.torch.per_example_loss(OBJECTIVE[name], **values).sum().backward()
    return m.grad.numpy(), t.grad.numpy()


def half(m, t, z):
    """A prior at z and a likelihood at what z was made from."""
    return -((z - t) ** 2) / 6 - ((again(m) - t) ** 2) / 6


@pytest.mark.parametrize(
    ("name", "replaced", "message"),
    [
        ("doubly", {"log_p": lambda m, t, z: densities(m, t, again(m))[0]}, "Expected log_p to be computed at the z"),
        ("doubly", {"log_p": lambda m, t, z: densities(m, t, z.detach())[0]}, "log_p .* does not lead to z .*4, 2"),
        (
            "doubly",
            {"z": lambda m, t, z: z.clone()},
            "its gradient reaches a tensor of shape .2,. that is not behind z",
        ),
        (
            "doubly",
            {"log_q_frozen": lambda m, t, z: densities(m, t, z.detach())[3]},
            "Expected log_q_frozen to be diff",
        ),
        ("sticking", {"log_q_frozen": lambda m, t, z: densities(m, t, z.detach())[3]}, "Expected log_q_frozen to be"),
        ("doubly", {"log_q_frozen": lambda m, t, z: densities(m, t, again(m))[3]}, "that is not behind z"),
        ("groups", {"z": lambda m, t, z: z.clone(), "log_q_frozen": lambda *_: None}, "Expected log_p to be computed"),
        ("groups", {"log_q": lambda m, t, z: densities(m, t, again(m))[1]}, "Expected log_q to be computed at the z"),
        ("groups", {"z": lambda m, t, z: z.detach(), "log_q_frozen": lambda *_: None}, "Expected z with a gradient"),
    ],
)
def test_a_density_at_another_z_of_equal_values_is_refused(name, replaced, message):
    with pytest.raises(ValueError, match=message):
        refused(name, **replaced)


def test_a_density_at_z_and_at_what_it_was_made_from_is_refused():
    """As where a prior sees z and a decoder sees the tensor of which z is a clone."""
    m, t = parameters()
    source = again(m)
    log_p, log_q, z, log_q_frozen = densities(m, t, source.clone())
    with pytest.raises(ValueError, match="reaches what z was made from beside it"):
        iwax.torch.loss(OBJECTIVE["doubly"], log_p - (source - t) ** 2, log_q, z, log_q_frozen)
    features = m * 1  # negative control: a decoder may see what the encoder computed, and share its parameters
    log_p, log_q, z, log_q_frozen = densities(m, t, again(features))
    iwax.torch.loss(OBJECTIVE["doubly"], log_p - (features - m) ** 2, log_q, z, log_q_frozen).backward()


def test_a_density_at_another_z_would_be_wrong(monkeypatch):
    """Negative control, and that the estimators without z are right at samples computed afresh."""
    other = {"log_p": lambda m, t, z: densities(m, t, again(m))[0]}
    np.testing.assert_allclose(refused("plain", **other)[0], by_hand("plain")[0], rtol=1e-12)
    np.testing.assert_allclose(refused("sticking", **other)[0], by_hand("sticking")[0], rtol=1e-12)
    monkeypatch.setattr(iwax.torch, "check_samples", lambda *arguments: None)
    strict = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", functools.partial(strict, allow_unused=True, materialize_grads=True))
    np.testing.assert_allclose(refused("doubly")[0], by_hand("doubly")[0], rtol=1e-12)
    assert abs(refused("doubly", **other)[0] - by_hand("doubly")[0]).max() > 0.1


def checkpointed(reentrant, whole):
    """(m, t, densities), where the densities alone are checkpointed, or the draw with them."""
    m, t = parameters()
    run = functools.partial(checkpoint, use_reentrant=reentrant)
    if whole:
        return m, t, run(densities, m, t)
    z = again(m)
    log_p, log_q, log_q_frozen = (run(lambda m, t, z, i=i: densities(m, t, z)[i], m, t, z) for i in (0, 1, 3))
    return m, t, (log_p, log_q, z, log_q_frozen)


@pytest.mark.parametrize("whole", [False, True], ids=["densities", "draw"])
@pytest.mark.parametrize("name", ["plain", "doubly", "sticking", "groups"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_densities_are_right_or_refused(name, reentrant, whole):
    m, t, (log_p, log_q, z, log_q_frozen) = checkpointed(reentrant, whole)
    extra = {"plain": (), "sticking": (None, log_q_frozen)}.get(name, (z, log_q_frozen))
    if name == "groups":
        extra = (z,)
    compute = functools.partial(iwax.torch.per_example_loss, OBJECTIVE[name], log_p, log_q, *extra)
    if reentrant and name in ("doubly", "groups"):
        with pytest.raises(ValueError, match=r"use_reentrant=False|computed at (the )?z"):
            compute()
        return
    loss = compute().sum()
    loss.backward()
    np.testing.assert_allclose(m.grad, by_hand(name)[0], rtol=1e-12)
    np.testing.assert_allclose(t.grad, by_hand(name)[1], rtol=1e-12)
