"""Values and gradients of over a hundred objective x gradient x model cases, against formulas and densities of its own.

The models are no built-in ones: Gaussians, a chain of layers with pytrees for data and latents, a heavy-tailed density
of a single example, and binary latents. Their draws are fixed numbers, so that there is one right answer to each case.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from audit import rederived as r
from iwax.objectives import AISLE, JVI, OVIS, RWS, TVO, VIMCO, VRIWAE

pytestmark = pytest.mark.usefixtures("x64")
S = 6


def normal(value, loc, log_scale):
    """log N(value; loc, exp(log_scale)^2), elementwise."""
    return -0.5 * ((value - loc) / jnp.exp(log_scale)) ** 2 - log_scale - 0.5 * np.log(2 * np.pi)


def bernoulli(value, logits):
    return value * logits - jnp.logaddexp(0.0, logits)


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Densities of vectors of parameters, the noise of the draws, and one batch of data."""

    log_p: Callable
    log_q: Callable
    draw: Callable
    sizes: tuple[int, int]
    noise: Any
    x: Any
    has_rsample: bool = True


def gaussian():
    """Three examples; z has two coordinates, x three; q's mean is linear in x."""

    def log_p(theta, x, z):
        mean = jnp.tanh(z @ theta[:6].reshape(2, 3)) + theta[6:9]
        return normal(z, theta[9:11], 0.2 * theta[11:13]).sum(-1) + normal(x, mean, theta[13]).sum(-1)

    def statistics(phi, x):
        return x @ phi[:6].reshape(3, 2) + phi[6:8], 0.3 * phi[8:10]

    def log_q(phi, x, z):
        return normal(z, *statistics(phi, x)).sum(-1)

    def draw(phi, x, noise):
        loc, log_scale = statistics(phi, x)
        return loc + jnp.exp(log_scale) * noise

    return Scenario(log_p, log_q, draw, (14, 10), numbers(1, S, 3, 2), numbers(2, 3, 3))


def chain():
    """q(a | x) q(b | a), p(b) p(a | b) p(u, v | a): layers in a dict, data of two kinds in a dict."""

    def log_p(theta, x, z):
        a, b = z["a"], z["b"]
        top = normal(b, theta[0], 0.1).sum(-1)
        middle = normal(a, b * theta[1:3] + theta[3:5], 0.2 * theta[5]).sum(-1)
        u = normal(x["u"], jnp.sin(a @ theta[6:8]) + theta[8], theta[9])
        return top + middle + u + bernoulli(x["v"], a @ theta[10:14].reshape(2, 2)).sum(-1)

    def first(phi, x):
        return x["u"][..., None] * phi[:2] + x["v"] @ phi[2:6].reshape(2, 2), 0.2 * phi[6:8]

    def second(phi, a):
        return jnp.tanh(a @ phi[8:10])[..., None] + phi[10], 0.3 * phi[11]

    def log_q(phi, x, z):
        return normal(z["a"], *first(phi, x)).sum(-1) + normal(z["b"], *second(phi, z["a"])).sum(-1)

    def draw(phi, x, noise):
        loc, log_scale = first(phi, x)
        a = loc + jnp.exp(log_scale) * noise["a"]
        loc, log_scale = second(phi, a)
        return {"a": a, "b": loc + jnp.exp(log_scale) * noise["b"]}

    x = {"u": numbers(3, 2), "v": np.array([[1.0, 0.0], [1.0, 1.0]])}
    return Scenario(log_p, log_q, draw, (14, 12), {"a": numbers(4, S, 2, 2), "b": numbers(5, S, 2, 1)}, x)


def heavy_tailed():
    """One example without a batch axis, a scalar z: a Cauchy prior and a logistic posterior."""

    def log_p(theta, x, z):
        return -jnp.log1p((z - theta[0]) ** 2) - np.log(np.pi) + normal(x, theta[1] * z + theta[2] * z**2, theta[3])

    def log_q(phi, x, z):
        t = (z - phi[0] - phi[1] * x) / jnp.exp(phi[2])
        return -t - 2 * jnp.logaddexp(0.0, -t) - phi[2]

    def draw(phi, x, noise):
        return phi[0] + phi[1] * x + jnp.exp(phi[2]) * noise

    return Scenario(log_p, log_q, draw, (4, 3), numbers(6, S), np.array(0.7))


def binary():
    """Two examples with three binary latents, which no derivative passes."""

    def log_p(theta, x, z):
        return bernoulli(z, theta[:3]).sum(-1) + bernoulli(x, z @ theta[3:9].reshape(3, 2) + theta[9:]).sum(-1)

    def log_q(phi, x, z):
        return bernoulli(z, x @ phi[:6].reshape(2, 3) + phi[6:]).sum(-1)

    def draw(phi, x, noise):
        return noise

    noise = (numbers(7, S, 2, 3) > 0).astype(float)
    return Scenario(log_p, log_q, draw, (11, 9), noise, np.array([[1.0, 0.0], [0.0, 1.0]]), has_rsample=False)


SCENARIOS = {"gaussian": gaussian(), "chain": chain(), "heavy-tailed": heavy_tailed(), "binary": binary()}


class Posterior(eqx.Module):
    phi: jax.Array
    x: Any
    noise: Any
    scenario: str = eqx.field(static=True)

    @property
    def has_rsample(self):
        return SCENARIOS[self.scenario].has_rsample

    def sample(self, key, sample_shape):
        return SCENARIOS[self.scenario].draw(self.phi, self.x, self.noise)

    def log_prob(self, z):
        return SCENARIOS[self.scenario].log_q(self.phi, self.x, z)


class Fixed(eqx.Module):
    """The model that iwax sees."""

    generative: jax.Array
    inference: jax.Array
    scenario: str = eqx.field(static=True)

    def posterior(self, x):
        noise = jax.tree.map(jnp.asarray, SCENARIOS[self.scenario].noise)
        return Posterior(self.inference, x, noise, self.scenario)

    def log_joint(self, x, z):
        return SCENARIOS[self.scenario].log_p(self.generative, x, z)


def parameters(scenario):
    return (0.6 * jnp.asarray(numbers(8 + i, n)) for i, n in enumerate(scenario.sizes))


PIECES: dict[str, tuple] = {}


def pieces(name):
    """log w (S, examples) and, of every sample, D, P and S, (S, examples, parameters)."""
    if name not in PIECES:
        s = SCENARIOS[name]
        theta, phi = parameters(s)
        z = s.draw(phi, s.x, s.noise)

        def along(moving):
            z = s.draw(moving, s.x, s.noise)
            return s.log_p(theta, s.x, z) - s.log_q(phi, s.x, z)

        def parts(theta, phi):
            by_theta = jax.jacfwd(lambda t: s.log_p(t, s.x, z))(theta)
            return along(phi), by_theta, jax.jacfwd(along)(phi), jax.jacfwd(lambda f: s.log_q(f, s.x, z))(phi)

        log_w, *derivatives = jax.jit(parts)(theta, phi)
        PIECES[name] = tuple(np.asarray(part).reshape(S, log_w.size // S, -1) for part in (log_w, *derivatives))
    return PIECES[name]


def expected(name, value, coefficients):
    """The loss and its gradients in theta and phi: minus the means over examples."""
    every, by_theta, along_path, score = pieces(name)
    losses, thetas, phis = [], [], []
    for n in range(every.shape[1]):
        log_w = every[:, n, 0]
        a, b, c = coefficients(log_w)
        losses.append(-value(log_w))
        thetas.append(-a @ by_theta[:, n])
        phis.append(-(b @ along_path[:, n] - c @ score[:, n]))
    return np.mean(losses), np.mean(thetas, axis=0), np.mean(phis, axis=0)


value_and_gradient = eqx.filter_jit(eqx.filter_value_and_grad(iwax.loss))


def by_iwax(name, objective):
    scenario = SCENARIOS[name]
    theta, phi = parameters(scenario)
    x = jax.tree.map(jnp.asarray, scenario.x)
    value, gradient = value_and_gradient(Fixed(theta, phi, name), objective, x, jax.random.key(0))
    return value, gradient.generative, gradient.inference


BETA, ALPHA = 0.3, 0.4
# name -> constructor, the value, and the coefficients of each gradient.
TABLE = {
    "elbo": (
        lambda **o: iwax.ELBO(num_samples=S, **o),
        np.mean,
        r.three(lambda log_w: 0 * log_w + 1 / S, lambda log_w: 0 * log_w + 1 / S),
    ),
    "iwae": (
        lambda **o: iwax.IWAE(num_samples=S, **o),
        r.log_mean,
        r.three(r.share, lambda log_w: r.share(log_w) ** 2),
    ),
    "miwae": (
        lambda **o: iwax.MIWAE(num_groups=2, num_samples=3, **o),
        lambda log_w: np.mean([r.log_mean(g) for g in r.groups(log_w, 2)]),
        r.three(r.mean_of_groups(2, 1), r.mean_of_groups(2, 2)),
    ),
    "piwae": (lambda **o: iwax.PIWAE(num_groups=2, num_samples=3, **o), r.log_mean, r.piwae(2)),
    "ciwae": (
        lambda **o: iwax.CIWAE(num_samples=S, beta=BETA, **o),
        lambda log_w: BETA * log_w.mean() + (1 - BETA) * r.log_mean(log_w),
        r.three(
            lambda log_w: BETA / S + (1 - BETA) * r.share(log_w),
            lambda log_w: BETA / S + (1 - BETA) * r.share(log_w) ** 2,
        ),
    ),
    "vr-iwae": (
        lambda **o: VRIWAE(num_samples=S, alpha=ALPHA, **o),
        lambda log_w: r.log_mean((1 - ALPHA) * log_w) / (1 - ALPHA),
        r.three(
            lambda log_w: r.tempered(log_w, ALPHA),
            lambda log_w: ALPHA * r.tempered(log_w, ALPHA) + (1 - ALPHA) * r.tempered(log_w, ALPHA) ** 2,
        ),
    ),
    "jvi-1": (
        lambda **o: JVI(num_samples=S, order=1, **o),
        lambda log_w: r.jackknife(log_w, 1, r.subset_bound),
        r.three(
            lambda log_w: r.jackknife(log_w, 1, r.subset_share(1)),
            lambda log_w: r.jackknife(log_w, 1, r.subset_share(2)),
        ),
    ),
    "jvi-2": (
        lambda **o: JVI(num_samples=S, order=2, **o),
        lambda log_w: r.jackknife(log_w, 2, r.subset_bound),
        r.three(
            lambda log_w: r.jackknife(log_w, 2, r.subset_share(1)),
            lambda log_w: r.jackknife(log_w, 2, r.subset_share(2)),
        ),
    ),
    "rws": (
        lambda **o: RWS(num_samples=S, **o),
        r.log_mean,
        {
            "score-function": lambda log_w: (r.share(log_w), 0 * log_w, -r.share(log_w)),
            "doubly-reparameterized": lambda log_w: (r.share(log_w), r.share(log_w) - r.share(log_w) ** 2, 0 * log_w),
        },
    ),
    "aisle-kl": (
        lambda **o: AISLE(num_samples=S, divergence="kl", **o),
        r.log_mean,
        {
            "score-function": lambda log_w: (r.share(log_w), 0 * log_w, -r.share(log_w)),
            "doubly-reparameterized": lambda log_w: (r.share(log_w), r.share(log_w), 0 * log_w),
        },
    ),
    "aisle-chi-square": (
        lambda **o: AISLE(num_samples=S, divergence="chi-square", **o),
        r.log_mean,
        {
            "score-function": lambda log_w: (r.share(log_w), 0 * log_w, -S * r.share(log_w) ** 2),
            "doubly-reparameterized": lambda log_w: (r.share(log_w), 2 * S * r.share(log_w) ** 2, 0 * log_w),
        },
    ),
    "vimco": (lambda **o: VIMCO(num_samples=S, **o), r.log_mean, r.score_family(r.geometric)),
    "vimco-arithmetic": (
        lambda **o: VIMCO(num_samples=S, baseline="arithmetic", **o),
        r.log_mean,
        r.score_family(r.arithmetic),
    ),
    **{
        f"ovis-{gamma}": (
            lambda gamma=gamma, **o: OVIS(num_samples=S, gamma=gamma, **o),
            r.log_mean,
            r.score_family(r.asymptotic(gamma)),
        )
        for gamma in (0.0, 0.5, 1.0)
    },
    "ovis-auxiliary": (
        lambda **o: OVIS(num_samples=4, num_auxiliary=2, **o),
        lambda log_w: r.log_mean(log_w[:4]),
        r.ovis_auxiliary(2),
    ),
    "tvo": (
        lambda **o: TVO(num_samples=S, num_intervals=4, first_point=0.1, **o),
        r.tvo_value(4, 0.1),
        r.tvo(4, 0.1),
    ),
}
CASES = [
    (name, objective, gradient)
    for name, scenario in SCENARIOS.items()
    for objective, (_, _, table) in TABLE.items()
    for gradient in table
    if scenario.has_rsample or gradient == "score-function"
]
QUICK = [
    ("chain", "iwae", "doubly-reparameterized"),
    ("chain", "piwae", "reparameterized"),
    ("heavy-tailed", "jvi-1", "sticking-the-landing"),
    ("binary", "ovis-0.5", "score-function"),
]


def agree(found, right):
    return all(np.allclose(f, e, rtol=1e-9, atol=1e-9) for f, e in zip(found, right, strict=True))


def test_there_are_a_hundred_cases_and_every_gradient_is_among_them():
    assert len(set(CASES)) >= 100
    assert set(QUICK) <= set(CASES)
    for _, (make, _, table) in TABLE.items():
        assert set(table) == set(make().gradients)
    covered = {type(make()) for make, _, _ in TABLE.values()}
    rest = {"GDReG", "AnalyticELBO"}  # which need more of a model than its densities
    assert {kind.__name__ for kind in set(iwax.OBJECTIVES.values()) - covered} == rest


@pytest.mark.parametrize(
    ("name", "objective", "gradient"),
    [pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow]) for case in CASES],
)
def test_value_and_gradient_are_those_derived_afresh(name, objective, gradient):
    make, value, table = TABLE[objective]
    assert agree(by_iwax(name, make(gradient=gradient)), expected(name, value, table[gradient]))


WRONG = {
    "weights not squared": (
        "iwae",
        "doubly-reparameterized",
        lambda log_w: (r.share(log_w), r.share(log_w), 0 * log_w),
    ),
    "the score kept": ("iwae", "sticking-the-landing", lambda log_w: (r.share(log_w), r.share(log_w), r.share(log_w))),
    "groups the other way": ("piwae", "reparameterized", r.piwae(3)["reparameterized"]),
    "phi of theta": ("piwae", "reparameterized", lambda log_w: (r.share(log_w),) * 3),
    "beta the other way": ("ciwae", "reparameterized", lambda log_w: ((1 - BETA) / S + BETA * r.share(log_w),) * 3),
    "wake-phi downhill": ("rws", "score-function", lambda log_w: (r.share(log_w), 0 * log_w, r.share(log_w))),
    "no baseline": ("vimco", "score-function", r.score_family(lambda log_w, k: 0.0)["score-function"]),
    "gamma forgotten": ("ovis-0.5", "score-function", r.score_family(r.asymptotic(0.0))["score-function"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_table_is_noticed(mistake):
    """Controls, on the chain: the value is right, the gradient is not that of the wrong coefficients."""
    objective, gradient, wrong = WRONG[mistake]
    make, value, _ = TABLE[objective]
    found, other = by_iwax("chain", make(gradient=gradient)), expected("chain", value, wrong)
    assert agree(found[:1], other[:1])
    assert not agree(found[1:], other[1:])
