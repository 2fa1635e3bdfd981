"""Every estimator against exact expectations: the constants of estimators.md 9.2 (one layer) and 9.3 (two)."""

import pytest

import iwax
from objectives.quadrature import ScalarModel, TwoLayerModel, expectation, flat

pytestmark = pytest.mark.usefixtures("x64")

L1, L2, LOG_Z = -2.3042990489, -1.8293524521, -1.4255121235
ONE_LAYER = {"b": 1.009665651, "rho": 0.202118663}
ONE_LAYER_STL = {"b": 1.497526360, "rho": 0.133712645}
TWO_LAYERS = {"b1": 0.472095, "l": -0.288801, "a": 0.089040, "c": 0.158529, "r": -0.262985}
TWO_LAYERS_STL = {"b1": 0.805165, "l": -0.557036, "a": 0.140723, "c": 0.267903, "r": -0.442686}
TWO_LAYERS_CIWAE = {"b1": 0.651023, "l": -0.537179, "a": 0.106950, "c": 0.208377, "r": -0.377328}


@pytest.mark.parametrize("gradient", iwax.ELBO.gradients)
@pytest.mark.parametrize("objective", [iwax.ELBO, iwax.IWAE])
def test_value_is_the_bound_whatever_the_gradient(objective, gradient):
    value, _ = expectation(ScalarModel(), objective(num_samples=2, gradient=gradient), 120)
    assert value == pytest.approx(L1 if objective is iwax.ELBO else L2, abs=1e-9)
    assert value < LOG_Z


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        ("reparameterized", ONE_LAYER),
        ("doubly-reparameterized", ONE_LAYER),
        ("sticking-the-landing", ONE_LAYER_STL),  # the biased one, by its exact bias
    ],
)
def test_iwae_gradients_of_one_layer(gradient, expected):
    _, grad = expectation(ScalarModel(), iwax.IWAE(num_samples=2, gradient=gradient), 120)
    assert flat(grad) == pytest.approx(expected, rel=1e-6)
    assert grad.generative["mu"] == pytest.approx(-0.104832826, rel=1e-6)


@pytest.mark.parametrize("gradient", iwax.ELBO.gradients)
def test_elbo_gradients_of_one_layer(gradient):
    _, grad = expectation(ScalarModel(), iwax.ELBO(num_samples=1, gradient=gradient), 120)
    assert flat(grad)["b"] == pytest.approx(0.3 + 1.1 + 2 * 0.2, rel=1e-9)  # mu + x - 2 b
    assert flat(grad)["rho"] == pytest.approx(1 - 2 * 0.81, rel=1e-9)  # 1 - s^2 / v


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        ("reparameterized", TWO_LAYERS),
        ("doubly-reparameterized", TWO_LAYERS),
        ("sticking-the-landing", TWO_LAYERS_STL),
    ],
)
def test_iwae_gradients_of_two_layers(gradient, expected):
    _, grad = expectation(TwoLayerModel(), iwax.IWAE(num_samples=2, gradient=gradient), 32, num_noises=2)
    assert flat(grad) == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize("gradient", ["reparameterized", "doubly-reparameterized"])
def test_ciwae_gradients_of_two_layers(gradient):
    objective = iwax.CIWAE(num_samples=2, beta=0.3, gradient=gradient)
    _, grad = expectation(TwoLayerModel(), objective, 32, num_noises=2)
    assert flat(grad) == pytest.approx(TWO_LAYERS_CIWAE, abs=5e-6)


@pytest.mark.parametrize("gradient", iwax.ELBO.gradients)
def test_elbo_gradients_of_two_layers(gradient):
    _, grad = expectation(TwoLayerModel(), iwax.ELBO(num_samples=1, gradient=gradient), 60, num_noises=2)
    assert flat(grad)["b1"] == pytest.approx(1.068521, abs=2e-6)
    assert flat(grad)["l"] == pytest.approx(-1.116728, abs=2e-6)


def test_a_detached_mean_and_scale_would_be_caught():
    """Negative control: the usual coding of DReG is wrong for the first of two layers, by exactly this much."""
    objective = iwax.IWAE(num_samples=2, gradient="doubly-reparameterized")
    _, grad = expectation(TwoLayerModel(detached=True), objective, 32, num_noises=2)
    wrong = {**TWO_LAYERS, "b1": 0.490055, "l": -0.304740}
    assert flat(grad) == pytest.approx(wrong, abs=5e-6)
    assert flat(grad) != pytest.approx(TWO_LAYERS, abs=1e-2)


@pytest.mark.parametrize("gradient", ["reparameterized", "doubly-reparameterized"])
def test_miwae_has_the_expectation_of_iwae(gradient):
    value, grad = expectation(ScalarModel(), iwax.MIWAE(num_groups=2, num_samples=2, gradient=gradient), 24)
    assert value == pytest.approx(L2, abs=1e-5)
    assert flat(grad) == pytest.approx(ONE_LAYER, abs=1e-4)


@pytest.mark.parametrize("gradient", ["reparameterized", "doubly-reparameterized"])
def test_piwae_expects_iwae_for_theta_and_miwae_for_phi(gradient):
    value, grad = expectation(ScalarModel(), iwax.PIWAE(num_groups=2, num_samples=2, gradient=gradient), 24)
    iwae_value, iwae_grad = expectation(ScalarModel(), iwax.IWAE(num_samples=4), 24)
    assert value == pytest.approx(iwae_value, abs=1e-12)
    assert grad.generative["mu"] == pytest.approx(iwae_grad.generative["mu"], abs=1e-12)
    assert flat(grad) == pytest.approx(ONE_LAYER, abs=1e-4)
    assert grad.generative["mu"] != pytest.approx(-0.104832826, abs=1e-2)  # the theta of MIWAE(2, 2)
