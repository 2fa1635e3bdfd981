"""Estimators through NumPyro programs against exact expectations: estimators.md 9.2, 9.3, and a shared parameter."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest

import iwax
from contrib.numpyro_nodes import NodeNormal, expectation
from iwax.objectives import AISLE, OVIS, RWS, VIMCO, VRIWAE
from iwax.weights import log_mean_exp
from objectives.quadrature import grid, log_normal

pytestmark = pytest.mark.usefixtures("x64")

SLOW, DOUBLY = pytest.mark.slow, "doubly-reparameterized"

L2, MU = -1.8293524521, -0.104832826
ONE_LAYER = {"b": 1.009665651, "rho": 0.202118663}
ONE_LAYER_STL = {"b": 1.497526360, "rho": 0.133712645}
ONE_LAYER_RWS = {"b": 0.487860709, "rho": -0.068406018}
TWO_LAYERS = {"b1": 0.472095, "l": -0.288801, "a": 0.089040, "c": 0.158529, "r": -0.262985}
TWO_LAYERS_STL = {"b1": 0.805165, "l": -0.557036, "a": 0.140723, "c": 0.267903, "r": -0.442686}
TWO_LAYERS_RWS = {"b1": 0.333069, "l": -0.268234, "a": 0.051683, "c": 0.109374, "r": -0.179701}


def one_layer(noise):
    z = numpyro.sample("z", dist.Normal(numpyro.param("mu", 0.0), 1))
    numpyro.sample("x", dist.Normal(z, 1), obs=jnp.array(1.1))


def one_layer_guide(noise):
    numpyro.sample("z", NodeNormal(numpyro.param("b", 0.0), jnp.exp(numpyro.param("rho", 0.0)), noise[:, 0]))


ONE_LAYER_AT = {"mu": 0.3, "b": -0.2, "rho": jnp.log(0.9)}


def check_one_layer(objective, expected, num_nodes=60):
    value, gradient = expectation(one_layer, one_layer_guide, ONE_LAYER_AT, objective, num_nodes)
    assert value == pytest.approx(L2, abs=1e-6)
    assert gradient == pytest.approx({**expected, "mu": MU}, rel=1e-5)


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        ("reparameterized", ONE_LAYER),
        ("doubly-reparameterized", ONE_LAYER),
        ("sticking-the-landing", ONE_LAYER_STL),  # biased, by exactly this much
    ],
)
def test_iwae_of_one_layer(gradient, expected):
    check_one_layer(iwax.IWAE(num_samples=2, gradient=gradient), expected)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        pytest.param(RWS(num_samples=2), ONE_LAYER_RWS, marks=SLOW),
        (RWS(num_samples=2, gradient=DOUBLY), ONE_LAYER_RWS),
        pytest.param(AISLE(num_samples=2), ONE_LAYER_STL, marks=SLOW),
        (VIMCO(num_samples=2), ONE_LAYER),
        pytest.param(OVIS(num_samples=2), ONE_LAYER, marks=SLOW),
        pytest.param(OVIS(num_samples=2, gamma=1.0), ONE_LAYER_STL, marks=SLOW),
        pytest.param(VRIWAE(num_samples=2, alpha=0.0, gradient=DOUBLY), ONE_LAYER, marks=SLOW),
        (iwax.CIWAE(num_samples=2, beta=0.0, gradient=DOUBLY), ONE_LAYER),
    ],
)
def test_other_estimators_of_one_layer(objective, expected):
    check_one_layer(objective, expected)


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["reparameterized", "doubly-reparameterized"])
def test_piwae_gives_each_program_its_own_bound(gradient):
    at = (one_layer, one_layer_guide, ONE_LAYER_AT)
    value, piwae = expectation(*at, iwax.PIWAE(num_groups=2, num_samples=2, gradient=gradient), 24)
    iwae_value, iwae = expectation(*at, iwax.IWAE(num_samples=4), 24)
    assert value == pytest.approx(iwae_value, abs=1e-12)
    assert piwae["mu"] == pytest.approx(iwae["mu"], abs=1e-12)
    assert {"b": piwae["b"], "rho": piwae["rho"]} == pytest.approx(ONE_LAYER, abs=1e-4)
    assert piwae["mu"] != pytest.approx(MU, abs=1e-2)


def sharing(noise):
    """Model and guide share a parameter."""
    z = numpyro.sample("z", dist.Normal(0.5 * numpyro.param("m", 0.0), 1.2))
    numpyro.sample("x", dist.Normal(z, jnp.exp(0.3 * numpyro.param("m", 0.0))), obs=jnp.array(1.1))


def sharing_guide(noise):
    m = numpyro.param("m", 0.0)
    numpyro.sample("z", NodeNormal(0.7 * m - 0.3, jnp.exp(-0.4 * m), noise[:, 0]))


def sharing_exactly(m, num_nodes=60):
    """E[log (w_1 + w_2) / 2] of these programs, written out."""
    nodes, weights = grid(num_nodes, 2)
    z = 0.7 * m - 0.3 + jnp.exp(-0.4 * m) * nodes.T
    log_p = log_normal(z, 0.5 * m, jnp.log(1.2)) + log_normal(1.1, z, 0.3 * m)
    return jnp.sum(weights * log_mean_exp(log_p - log_normal(z, 0.7 * m - 0.3, -0.4 * m)))


@pytest.mark.parametrize("gradient", iwax.IWAE.gradients)
def test_a_shared_parameter(gradient):
    exact, derivative = jax.value_and_grad(sharing_exactly)(0.4)
    objective = iwax.IWAE(num_samples=2, gradient=gradient)
    value, shared = expectation(sharing, sharing_guide, {"m": 0.4}, objective, 60)
    assert value == pytest.approx(float(exact), rel=1e-9)
    is_right = shared["m"] == pytest.approx(float(derivative), rel=1e-6)
    assert is_right == (gradient != "sticking-the-landing")  # the negative control: it must fail
    assert is_right or abs(shared["m"] - derivative) > 0.01


def two_layers(noise):
    z2 = numpyro.sample("z2", dist.Normal(0, 1))
    z1 = numpyro.sample("z1", dist.Normal(0.7 * z2 + 0.2, 0.8))
    numpyro.sample("x", dist.Normal(z1, 0.6), obs=jnp.array(0.9))


def two_layer_guide(noise):
    b1, log_scale, a, c, r = (numpyro.param(name, 0.0) for name in ("b1", "l", "a", "c", "r"))
    z1 = numpyro.sample("z1", NodeNormal(b1, jnp.exp(log_scale), noise[:, 0]))
    numpyro.sample("z2", NodeNormal(a * z1 + c, jnp.exp(-0.2 + r * z1), noise[:, 1]))


TWO_LAYERS_AT = {"b1": 0.4, "l": -0.3, "a": 0.6, "c": -0.3, "r": 0.25}


def check_two_layers(objective, expected, num_nodes, tolerance):
    at = (two_layers, two_layer_guide, TWO_LAYERS_AT)
    _, gradient = expectation(*at, objective, num_nodes, num_noises=2)
    assert gradient == pytest.approx(expected, abs=tolerance)


def test_doubly_reparameterized_gradient_of_two_layers():
    """Tight enough to tell the detached mean and scale apart, which give b1 0.4901 and l -0.3047."""
    check_two_layers(iwax.IWAE(num_samples=2, gradient=DOUBLY), TWO_LAYERS, 18, 2e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (iwax.IWAE(num_samples=2), TWO_LAYERS),
        (iwax.IWAE(num_samples=2, gradient=DOUBLY), TWO_LAYERS),
        (iwax.IWAE(num_samples=2, gradient="sticking-the-landing"), TWO_LAYERS_STL),
        (RWS(num_samples=2), TWO_LAYERS_RWS),
        (RWS(num_samples=2, gradient=DOUBLY), TWO_LAYERS_RWS),
    ],
)
def test_estimators_of_two_layers(objective, expected):
    check_two_layers(objective, expected, 32, 5e-6)
