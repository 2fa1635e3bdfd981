"""The PyTorch bridge: on equal draws, the gradients of `iwax.loss`, for every objective and estimator."""

import subprocess
import sys
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.models.model import draw
from iwax.objectives import OBJECTIVES

torch = pytest.importorskip("torch", reason="needs PyTorch, the extra iwax[torch]")
import iwax.torch  # noqa: E402
from iwax.keys import stream  # noqa: E402

KEY = jax.random.key(4)


def case(objective, name):
    quick = name.startswith(("iwae", "piwae-doubly", "piwae-rep", "vimco"))
    return pytest.param(objective, id=name, marks=() if quick else pytest.mark.slow)


def cases():
    for name, kind in OBJECTIVES.items():
        if name not in ("elbo-analytic", "gdreg"):
            groups = {"num_groups": 2} if "num_groups" in kind.__dataclass_fields__ else {}
            for gradient in kind.gradients:
                yield case(kind(num_samples=3, gradient=gradient, **groups), f"{name}-{gradient}")
    for gradient in iwax.IWAE.gradients:
        for number in (None, 2):
            objective = iwax.IWAE(num_samples=3, gradient=gradient, backward="resampled", num_resampled=number)
            yield case(objective, f"resampled-{number or 1}-{gradient}")


class Chain:
    """Two stochastic layers of the simplest kind, once in JAX and once in PyTorch, on equal numbers.

    q: z1 ~ N(b1, e^2l), z2 | z1 ~ N(a z1 + c, 1);  p: z2 ~ N(0, 1), z1 | z2 ~ N(m z2 + n, 1), x | z1 ~ N(z1, 1).
    """

    parameters: ClassVar = {"b1": 0.4, "l": -0.3, "a": 0.6, "c": -0.3, "m": 0.7, "n": 0.2}
    x = np.array([0.9, -0.4, 1.3])

    def __init__(self, noise):
        self.noise = noise  # (2, S, batch)

    def terms(self, p, exp, log_density, frozen, clone):
        """z, log p, log q, log q frozen, by the functions of either library."""
        z1 = p["b1"] + exp(p["l"]) * self.noise[0]
        z2 = p["a"] * z1 + p["c"] + self.noise[1]
        z1, z2 = clone(z1), clone(z2)

        def log_q(p):
            return log_density(z1, p["b1"], p["l"]) + log_density(z2, p["a"] * z1 + p["c"], 0.0)

        log_p = log_density(z2, 0.0, 0.0) + log_density(z1, p["m"] * z2 + p["n"], 0.0) + log_density(self.x, z1, 0.0)
        return (z1, z2), log_p, log_q(p), log_q({name: frozen(value) for name, value in p.items()})


def torch_gradient(chain, objective, give=("z", "log_q_frozen"), clone=lambda z: z.clone()):
    p = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in chain.parameters.items()}
    chain.x, chain.noise = torch.as_tensor(Chain.x), torch.as_tensor(np.asarray(chain.noise))

    def log_density(z, mean, log_scale):
        exp = torch.exp(torch.as_tensor(log_scale, dtype=torch.float64))
        return -0.5 * ((z - mean) / exp) ** 2 - log_scale - 0.9189385332046727

    if objective.gradient == "score-function":  # as the docstring asks
        clone = torch.Tensor.detach
    z, log_p, log_q, log_q_frozen = chain.terms(p, torch.exp, log_density, lambda v: v.detach(), clone)
    extra = {name: value for name, value in {"z": z, "log_q_frozen": log_q_frozen}.items() if name in give}
    value = iwax.torch.loss(objective, log_p, log_q, **extra)
    value.backward()
    zero = torch.zeros(())
    return value.item(), np.array([float(v.grad if v.grad is not None else zero) for v in p.values()])


class JaxChain(eqx.Module):
    generative: dict
    inference: dict

    class Posterior(eqx.Module):
        p: dict
        batch: int = eqx.field(static=True)

        def from_noise(self, noise):
            z1 = self.p["b1"] + jnp.exp(self.p["l"]) * noise[..., 0]
            z = z1, self.p["a"] * z1 + self.p["c"] + noise[..., 1]
            return z, self.log_prob(z)

        def sample_and_log_prob(self, key, shape):
            return self.from_noise(jax.random.normal(key, (*shape, self.batch, 2)))

        def sample(self, key, shape):
            return self.sample_and_log_prob(key, shape)[0]

        def log_prob(self, z):
            return normal(z[0], self.p["b1"], self.p["l"]) + normal(z[1], self.p["a"] * z[0] + self.p["c"], 0.0)

    def posterior(self, x):
        return self.Posterior(self.inference, len(x))

    def log_joint(self, x, z):
        z1, z2 = z
        p = self.generative
        return normal(z2, 0.0, 0.0) + normal(z1, p["m"] * z2 + p["n"], 0.0) + normal(x, z1, 0.0)


def normal(z, mean, log_scale):
    return -0.5 * ((z - mean) / jnp.exp(log_scale)) ** 2 - log_scale - 0.9189385332046727


def both(objective, **options):
    """(value, gradient) by JAX and by PyTorch on the draws that `iwax.loss` makes."""
    numbers = {name: jnp.asarray(value) for name, value in Chain.parameters.items()}
    model = JaxChain({k: numbers[k] for k in ("m", "n")}, {k: numbers[k] for k in ("b1", "l", "a", "c")})
    x = jnp.asarray(Chain.x)

    @eqx.filter_jit
    def by_jax(model):
        z, _ = draw(model.posterior(x), KEY, objective.total_samples)
        return eqx.filter_value_and_grad(iwax.loss)(model, objective, x, KEY), z

    (value, gradient), z = by_jax(model)
    expected = np.array([{**gradient.generative, **gradient.inference}[name] for name in Chain.parameters])
    z1, z2 = (np.asarray(layer) for layer in z)
    p = Chain.parameters
    noise = np.stack([(z1 - p["b1"]) / np.exp(p["l"]), z2 - p["a"] * z1 - p["c"]])
    return (float(value), expected), torch_gradient(Chain(noise), objective, **options)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("objective", list(cases()))
def test_gradients_equal_those_of_jax(objective, monkeypatch):
    if getattr(objective, "backward", "") == "resampled":  # the same sample chosen
        seed = stream(KEY, "resampling")
        monkeypatch.setattr(iwax.torch.jax.random, "key", lambda seed_of_torch: seed)
    (value, expected), (torch_value, gradient) = both(objective)
    assert torch_value == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_a_chain_through_the_layers_is_refused_and_would_be_wrong(monkeypatch):
    """Negative control: without clones the path through z1 into z2 is counted wrongly."""
    objective = iwax.IWAE(num_samples=3, gradient="doubly-reparameterized")
    with pytest.raises(ValueError, match=r"Expected z to hold samples that do not depend on one another; layer 1"):
        both(objective, clone=lambda z: z)
    monkeypatch.setattr(iwax.torch, "check_samples", lambda *arguments: None)
    (_, expected), (_, gradient) = both(objective, clone=lambda z: z)
    assert abs(gradient - expected).max() > 1e-2


def one_example(objective, **options):
    mean = torch.zeros(2, requires_grad=True)
    z = mean + torch.ones(objective.total_samples, 2)
    return iwax.torch.loss(objective, -(z**2), -((z - mean) ** 2), **options), mean


def test_no_graph_is_needed_where_no_gradient_is():
    with torch.no_grad():
        value, _ = one_example(iwax.IWAE(num_samples=3, gradient="doubly-reparameterized"))
    assert not value.requires_grad


def doubly_reparameterized(combine):
    """Gradient in q's mean of `combine(loss, z)`."""
    mean = torch.zeros(2, requires_grad=True)
    z = mean + torch.arange(6.0).reshape(3, 2)
    frozen = -((z - mean.detach()) ** 2)
    objective = iwax.IWAE(num_samples=3, gradient="doubly-reparameterized")
    value = iwax.torch.loss(objective, -((z - 1) ** 2) / 3, -((z - mean) ** 2), z, frozen)
    return torch.autograd.grad(combine(value, z), mean)[0]


def test_the_loss_scales_and_adds():
    """As gradient accumulation, mixed precision and further terms of a loss need it."""
    alone = doubly_reparameterized(lambda value, z: value)
    assert alone.abs().min() > 0
    torch.testing.assert_close(doubly_reparameterized(lambda value, z: 8 * value), 8 * alone)
    penalty = torch.full((2,), 3.0)
    torch.testing.assert_close(doubly_reparameterized(lambda value, z: z.sum()), penalty)
    torch.testing.assert_close(doubly_reparameterized(lambda value, z: value + z.sum()), alone + penalty)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (iwax.IWAE(num_samples=4, gradient="doubly-reparameterized"), r"Expected log_q_frozen, .*; got None"),
        (iwax.PIWAE(num_groups=2, num_samples=2), r"Expected z, the samples at which .* for PIWAE .*; got None"),
        (OBJECTIVES["gdreg"](num_samples=4), r"Expected an objective that is a function of log-weights; got GDReG"),
        (iwax.IWAE(num_samples=4, sampling="antithetic"), r"Expected sampling='independent'.* the samples are yours"),
        (iwax.CIWAE(num_samples=4, beta_rule="ascend"), r"Expected beta_rule='fixed'.* nothing here trains"),
    ],
)
def test_what_is_missing_is_named(objective, message):
    with pytest.raises(ValueError, match=message):
        one_example(objective)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"Expected log_p and log_q to be \(S, \*batch\) with S = 4, .*\(3, 2\)"):
        iwax.torch.loss(iwax.IWAE(num_samples=4), torch.zeros(3, 2), torch.zeros(3, 2))


@pytest.fixture
def densities():
    """A function of what goes wrong -> log_p, log_q, z, log_q_frozen for 4 samples of 3 examples."""
    network = torch.nn.Linear(2, 2)
    x, noise = torch.ones(3, 2), torch.randn(4, 3, 2, generator=torch.manual_seed(0))

    def make(frozen=True, at=lambda z: z):
        mean = network(x)
        z = mean + noise.to(mean.dtype)
        log_q, log_q_frozen = (-0.5 * ((at(z) - m) ** 2).sum(-1) for m in (mean, mean.detach() if frozen else mean))
        return -0.5 * (at(z) ** 2).sum(-1), log_q, z, log_q_frozen

    make.network = network
    return make


DREG = iwax.IWAE(num_samples=4, gradient="doubly-reparameterized")


def test_what_would_be_wrong_in_silence_is_refused(densities):
    log_p, log_q, z, log_q_frozen = densities()
    with pytest.raises(ValueError, match=r"Expected log_q_frozen .* detached parameters; .* of shape \(2"):
        iwax.torch.loss(DREG, log_p, log_q, z, log_q)
    with pytest.raises(ValueError, match="that is not behind z"):  # samples of another step
        iwax.torch.loss(DREG, log_p, log_q, densities()[2], log_q_frozen)
    with pytest.raises(ValueError, match="that is not behind z"):
        iwax.torch.loss(DREG, log_p, log_q, z.detach(), log_q_frozen)
    with pytest.raises(ValueError, match=r"Expected z to be \(S, \*batch, \*event\), with log_p's \(4, 3\) first; got"):
        iwax.torch.loss(DREG, log_p, log_q, z.swapaxes(0, 1), log_q_frozen)
    with pytest.raises(ValueError, match=r"Expected log_q_frozen to be of log_p's shape \(4, 3\); got \(3,\)"):
        iwax.torch.loss(DREG, log_p, log_q, z, log_q_frozen[0])
    with pytest.raises(ValueError, match="Expected detached samples for VIMCO with gradient='score-function'"):
        iwax.torch.loss(OBJECTIVES["vimco"](num_samples=4), log_p, log_q, z)
    with pytest.raises(TypeError, match=r"Expected objective to be an objective of iwax, such as .*; got 'iwae'"):
        iwax.torch.check_inputs("iwae", log_p, log_q)  # the public one is typed, and in tests that is checked before
    with pytest.raises(TypeError, match="Expected log_p to be a torch tensor; got ndarray"):
        iwax.torch.check_inputs(DREG, log_p.detach().numpy(), log_q)
    for at in (lambda z: z, torch.clone):
        iwax.torch.loss(DREG, *densities(at=at)).backward()  # negative control


def test_a_q_that_is_held_constant_needs_no_path(densities):
    """requires_grad=False on the inference network: theta's gradient alone."""
    densities.network.requires_grad_(False)
    scale = torch.ones((), requires_grad=True)
    log_p, *others = densities()
    iwax.torch.loss(DREG, scale * log_p, *others).backward()
    weights = torch.softmax(log_p - others[0], 0)
    torch.testing.assert_close(scale.grad, -(weights * log_p).sum(0).mean())


def test_mixed_precision(densities):
    """Samples in bfloat16, as an autocast network makes them: the gradient of single precision, but for its digits."""
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        densities.network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            log_p, log_q, z, log_q_frozen = densities(at=torch.Tensor.float)
        log_p = log_p + 0.5 * (z.float() - 1).sum(-1)
        assert z.dtype == dtype
        iwax.torch.loss(DREG, log_p, log_q, z, log_q_frozen).backward()
        gradients.append(densities.network.bias.grad.clone())
    torch.testing.assert_close(*gradients, rtol=0.05, atol=0.05)


def test_iwax_never_imports_torch_nor_what_takes_seconds_before_it_is_used():
    code = "import sys, iwax; iwax.IWAE(num_samples=2); iwax.loss; iwax.fit; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"jax", "scipy", "iwax.training.fit"} <= set(imported)  # the control
    assert not {"torch", "scipy.stats", "matplotlib", "pandas", "sklearn"} & set(imported)
