"""The PyTorch bridge: second derivatives, torch.func, torch.compile and several processes."""

import functools
import time

import numpy as np
import pytest

import iwax
from iwax.objectives import OBJECTIVES

torch = pytest.importorskip("torch", reason="needs PyTorch, the extra iwax[torch]")
import iwax.torch  # noqa: E402
from iwax.objectives.objective import Objective  # noqa: E402

GENERATOR = np.random.default_rng(5)
X = torch.as_tensor(GENERATOR.normal(size=(3, 2)))
START = torch.as_tensor(GENERATOR.normal(size=6) / 2)


def noise(objective):
    return torch.as_tensor(np.random.default_rng(objective.total_samples).normal(size=(objective.total_samples, 3, 2)))


def densities(numbers, objective, x=X, e=None):
    """log p, log q, z and log q frozen of a model with six parameters, those of p in the last two."""

    def log_q(z, n):
        return (-(((z - x * n[:2]) / n[2:4].exp()) ** 2) / 2 - n[2:4]).sum(-1)

    z = x * numbers[:2] + numbers[2:4].exp() * (noise(objective) if e is None else e)
    z = z.detach() if objective.gradient == "score-function" else z
    log_p = -(z**2).sum(-1) / 2 - ((x - torch.tanh(z) * numbers[4] - numbers[5]) ** 2).sum(-1)
    return log_p, log_q(z, numbers), z, log_q(z, numbers.detach())


def value(numbers, objective):
    log_p, log_q, *_ = densities(numbers, objective)
    return iwax.torch.loss(objective, log_p, log_q)


def hessian_by_differences(objective, step=2e-3):
    """Fourth order in the step, from values alone: no derivative of ours has a part in it."""
    with torch.no_grad():
        units = torch.eye(6, dtype=torch.float64)
        at = {}

        def f(offset):
            if tuple(offset.tolist()) not in at:
                at[tuple(offset.tolist())] = value(START + step * offset, objective).item()
            return at[tuple(offset.tolist())]

        def second(a, b, width):
            a, b = width * a, width * b
            return (f(a + b) - f(a - b) - f(b - a) + f(-a - b)) / (4 * (width * step) ** 2)

        return np.array([[(4 * second(a, b, 1) - second(a, b, 2)) / 3 for a in units] for b in units])


def plain():
    for name, kind in OBJECTIVES.items():
        if "reparameterized" in kind.gradients and name not in ("elbo-analytic", "gdreg", "piwae"):
            groups = {"num_groups": 2} if "num_groups" in kind.__dataclass_fields__ else {}
            quick = name in ("iwae", "elbo", "miwae")
            yield pytest.param(kind(num_samples=3, **groups), id=name, marks=() if quick else pytest.mark.slow)


def hessian(objective, at=START):
    at = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(at, objective), at, create_graph=True)
    rows = [torch.autograd.grad(one, at, retain_graph=True)[0] for one in gradient]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("objective", list(plain()))
def test_second_derivatives_of_the_plain_loss_are_those_of_its_values(objective):
    np.testing.assert_allclose(hessian(objective), hessian_by_differences(objective), atol=2e-6)


def test_second_derivatives_at_constant_weights_would_be_wrong(monkeypatch):
    """Negative control: what the surrogate of constant coefficients gives, which is what was given before."""
    objective = iwax.IWAE(num_samples=3)
    monkeypatch.setattr(Objective, "has_second_derivatives", False)
    monkeypatch.setattr(iwax.torch, "once_only", lambda objective: "")
    monkeypatch.setattr(iwax.torch.autograd._OnceOnly, "apply", lambda refusal, cotangent, surrogate: cotangent)
    assert abs(hessian(objective) - hessian_by_differences(objective)).max() > 0.1


def test_third_derivatives_are_the_differences_of_second_ones():
    objective = iwax.IWAE(num_samples=3)
    at = START.clone().requires_grad_()
    (first,) = torch.autograd.grad(value(at, objective), at, create_graph=True)
    (second,) = torch.autograd.grad(first[0], at, create_graph=True)
    (third,) = torch.autograd.grad(second[2], at)
    differences = [
        hessian(objective, START + sign * 1e-5 * torch.eye(6)[i])[0, 2] for i in range(6) for sign in (1, -1)
    ]
    np.testing.assert_allclose(third, (np.array(differences[::2]) - differences[1::2]) / 2e-5, atol=1e-7)


REFUSED = {
    "iwae-doubly": iwax.IWAE(num_samples=4, gradient="doubly-reparameterized"),
    "iwae-sticking": iwax.IWAE(num_samples=4, gradient="sticking-the-landing"),
    "iwae-resampled": iwax.IWAE(num_samples=4, backward="resampled"),
    "piwae": iwax.PIWAE(num_groups=2, num_samples=2),
    "vimco": OBJECTIVES["vimco"](num_samples=4),
}


@pytest.mark.parametrize("objective", REFUSED.values(), ids=REFUSED)
def test_second_derivatives_at_constant_coefficients_are_refused_by_name(objective):
    at = START.clone().requires_grad_()
    torch.manual_seed(0)
    loss = iwax.torch.loss(objective, *densities(at, objective))
    (expected,) = torch.autograd.grad(loss, at, retain_graph=True)
    (gradient,) = torch.autograd.grad(loss, at, create_graph=True)
    torch.testing.assert_close(gradient, expected)  # one derivative is fine, whatever graph it leaves
    message = (
        f"Expected one derivative of {type(objective).__name__} with gradient={objective.gradient!r}.*got a second"
    )
    with pytest.raises(ValueError, match=message):
        torch.autograd.grad(gradient.square().sum(), at, retain_graph=True)
    with pytest.raises(ValueError, match=message):
        gradient.sum().backward()


def test_torch_func_takes_the_plain_loss():
    """grad, vmap for one gradient of each example, and jacrev of jacrev for a Hessian."""
    objective = iwax.IWAE(num_samples=3)
    at = START.clone().requires_grad_()
    value(at, objective).backward()
    f = functools.partial(value, objective=objective)
    torch.testing.assert_close(torch.func.grad(f)(START), at.grad)

    def one(numbers, x, e):
        return iwax.torch.loss(objective, *densities(numbers, objective, x, e)[:2])

    each = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0, 1))(START, X, noise(objective))
    assert each.shape == (3, 6)
    torch.testing.assert_close(each.mean(0), at.grad)
    np.testing.assert_allclose(torch.func.jacrev(torch.func.jacrev(f))(START), hessian(objective), rtol=1e-10)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # PyTorch's own, at its first jvp
def test_torch_func_of_other_estimators_is_refused_by_name():
    def f(numbers, objective):
        return iwax.torch.loss(objective, *densities(numbers, objective))

    for objective in (REFUSED["iwae-doubly"], REFUSED["iwae-sticking"], REFUSED["piwae"]):
        with pytest.raises(ValueError, match=r"inside torch.func .*; got P?IWAE with gradient=.* Use loss.backward"):
            torch.func.grad(f)(START, objective)
    with pytest.raises(ValueError, match="Expected reverse-mode differentiation of iwax"):
        torch.func.jacfwd(functools.partial(value, objective=iwax.IWAE(num_samples=3)))(START)


class Model(torch.nn.Module):
    """Two small networks; the loss is computed inside `forward`, or outside from the densities that it returns."""

    def __init__(self, objective, inside):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.encoder, self.decoder = torch.nn.Linear(2, 4).double(), torch.nn.Linear(2, 2).double()
        self.objective, self.inside = objective, inside

    def forward(self, x, e):
        loc, log_scale = self.encoder(x).chunk(2, -1)
        z = loc + log_scale.exp() * e
        log_p = -(z**2).sum(-1) / 2 - (x - self.decoder(z).tanh()).square().sum(-1)

        def log_q(loc, log_scale):
            return (-(((z - loc) / log_scale.exp()) ** 2) / 2 - log_scale).sum(-1)

        given = log_p, log_q(loc, log_scale), z, log_q(loc.detach(), log_scale.detach())
        return iwax.torch.loss(self.objective, *given) if self.inside else given


def gradients(model, x=X, e=None, run=None):
    model.zero_grad()
    output = (model if run is None else run)(x, noise(model.objective) if e is None else e)
    (output if model.inside else iwax.torch.loss(model.objective, *output)).backward()
    return [p.grad.clone() for p in model.parameters()]


COMPILERS = ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
@pytest.mark.parametrize("backend", COMPILERS)
def test_compiled_networks_give_the_plain_gradients(backend):
    for objective in (iwax.IWAE(num_samples=3), REFUSED["iwae-doubly"]):
        expected = gradients(Model(objective, inside=False))
        model = Model(objective, inside=False)
        model.encoder.compile(backend=backend)
        model.decoder.compile(backend=backend)
        for ours, plain in zip(gradients(model), expected, strict=True):
            torch.testing.assert_close(ours, plain)


@pytest.mark.filterwarnings("ignore")  # the compiler's, also of the type checks that tests put around `loss`
@pytest.mark.slow
@pytest.mark.parametrize("backend", COMPILERS)
def test_a_compiled_step_is_right_or_refused(backend):
    """What a compiled module returns has no graph from z to the densities: estimators that need z are refused."""
    for inside in (True, False):
        model = Model(iwax.IWAE(num_samples=3), inside)
        expected = gradients(model)
        for ours, plain in zip(gradients(model, run=torch.compile(model, backend=backend)), expected, strict=True):
            torch.testing.assert_close(ours, plain)
        model = Model(REFUSED["iwae-doubly"], inside)
        with pytest.raises(ValueError, match="nor other outputs of a compiled or wrapped module"):
            gradients(model, run=torch.compile(model, backend=backend))
        model = Model(REFUSED["piwae"], inside)
        with pytest.raises(ValueError, match="Expected log_p to be computed at the z that is given"):
            gradients(model, run=torch.compile(model, backend=backend))


def one_process(rank, folder):
    """Half of a batch each; what is left in every process is the gradient of the whole batch."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    saved = {}
    for name, objective in DISTRIBUTED.items():
        half = slice(2 * rank, 2 * rank + 2)
        for inside in (True, False):
            model = Model(objective, inside)
            run = torch.nn.parallel.DistributedDataParallel(model)
            e = distributed_noise(objective)[:, half]
            saved[f"{name}-{inside}"] = gradients(model, BATCH[half], e, run)
    torch.save(saved, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


BATCH = torch.as_tensor(np.random.default_rng(1).normal(size=(4, 2)))
DISTRIBUTED = {name: REFUSED[name] for name in ("iwae-doubly", "iwae-sticking", "piwae")} | {
    "iwae": iwax.IWAE(num_samples=4)
}


def distributed_noise(objective):
    return torch.as_tensor(np.random.default_rng(2).normal(size=(objective.total_samples, 4, 2)))


@pytest.mark.slow
def test_two_processes_give_the_gradient_of_the_whole_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    processes = torch.multiprocessing.spawn(one_process, (tmp_path,), nprocs=2, join=False)
    deadline = time.monotonic() + 120
    try:
        while not processes.join(timeout=5):
            assert time.monotonic() < deadline, "Expected two processes to meet within 120 s."
    finally:
        for process in processes.processes:
            process.kill()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name, objective in DISTRIBUTED.items():
            expected = gradients(Model(objective, inside=True), BATCH, distributed_noise(objective))
            for inside in (True, False):
                for ours, plain in zip(found[f"{name}-{inside}"], expected, strict=True):
                    torch.testing.assert_close(ours, plain)
