"""Every estimator against exact expectations: the constants of estimators.md 9.2 (one layer) and 9.3 (two)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import iwax
from iwax.objectives import AISLE, JVI, OVIS, RWS, TVO, VIMCO, VRIWAE, Coefficients, GDReG
from iwax.weights import normalised_weights
from objectives.quadrature import ScalarModel, TwoLayerModel, expectation, flat, grid

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
        pytest.param("reparameterized", TWO_LAYERS, marks=pytest.mark.slow),
        ("doubly-reparameterized", TWO_LAYERS),
        pytest.param("sticking-the-landing", TWO_LAYERS_STL, marks=pytest.mark.slow),
    ],
)
def test_iwae_gradients_of_two_layers(gradient, expected):
    _, grad = expectation(TwoLayerModel(), iwax.IWAE(num_samples=2, gradient=gradient), 32, num_noises=2)
    assert flat(grad) == pytest.approx(expected, abs=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "gradient", [pytest.param("reparameterized", marks=pytest.mark.slow), "doubly-reparameterized"]
)
def test_ciwae_gradients_of_two_layers(gradient):
    objective = iwax.CIWAE(num_samples=2, beta=0.3, gradient=gradient)
    _, grad = expectation(TwoLayerModel(), objective, 32, num_noises=2)
    assert flat(grad) == pytest.approx(TWO_LAYERS_CIWAE, abs=5e-6)


@pytest.mark.parametrize("gradient", iwax.ELBO.gradients)
def test_elbo_gradients_of_two_layers(gradient):
    _, grad = expectation(TwoLayerModel(), iwax.ELBO(num_samples=1, gradient=gradient), 60, num_noises=2)
    assert flat(grad)["b1"] == pytest.approx(1.068521, abs=2e-6)
    assert flat(grad)["l"] == pytest.approx(-1.116728, abs=2e-6)


@pytest.mark.slow
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


ONE_LAYER_RWS = {"b": 0.487860709, "rho": -0.068406018}
TWO_LAYERS_RWS = {"b1": 0.333069, "l": -0.268234, "a": 0.051683, "c": 0.109374, "r": -0.179701}
MU = -0.104832826


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (RWS(num_samples=2), ONE_LAYER_RWS),
        (RWS(num_samples=2, gradient="doubly-reparameterized"), ONE_LAYER_RWS),
        (AISLE(num_samples=2, gradient="score-function"), ONE_LAYER_RWS),
        (AISLE(num_samples=2), ONE_LAYER_STL),
        (AISLE(num_samples=2, divergence="chi-square"), {name: 4 * value for name, value in ONE_LAYER.items()}),
        (VIMCO(num_samples=2), ONE_LAYER),
        (VIMCO(num_samples=2, baseline="arithmetic"), ONE_LAYER),
        (OVIS(num_samples=2), ONE_LAYER),
        (OVIS(num_samples=2, gamma=1.0), ONE_LAYER_STL),  # biased, and by how much
        (GDReG(num_samples=2), ONE_LAYER),
    ],
)
def test_other_estimators_of_one_layer(objective, expected):
    value, grad = expectation(ScalarModel(), objective, 120)
    assert value == pytest.approx(L2, abs=1e-9)
    assert flat(grad) == pytest.approx(expected, rel=1e-6)
    assert grad.generative["mu"] == pytest.approx(MU, rel=1e-6)


@pytest.mark.slow
def test_ovis_with_an_auxiliary_sample():
    value, grad = expectation(ScalarModel(), OVIS(num_samples=2, num_auxiliary=1), 40)
    assert value == pytest.approx(L2, abs=1e-6)
    assert flat(grad) == pytest.approx(ONE_LAYER, rel=1e-4)


class ChiSquarePath(AISLE):
    """The score K w~^2 after the second reparameterization: its path coefficient is K d(w~^2)/dlog w."""

    def all_coefficients(self, log_w):
        w = normalised_weights(log_w)
        return Coefficients(w, 2 * self.num_samples * (w**2 - w**3), jnp.zeros_like(w))

    def path_fraction(self, log_w):
        return None


@pytest.mark.slow
def test_the_chi_square_of_aisle_by_score_functions():
    _, grad = expectation(ScalarModel(), AISLE(num_samples=2, divergence="chi-square", gradient="score-function"), 120)
    _, expected = expectation(ScalarModel(), ChiSquarePath(num_samples=2), 120)
    assert flat(grad) == pytest.approx(flat(expected), rel=1e-6)


@pytest.mark.parametrize("gradient", ["reparameterized", "doubly-reparameterized"])
def test_vr_iwae_gradients(gradient):
    _, grad = expectation(ScalarModel(), VRIWAE(num_samples=2, alpha=0.5, gradient=gradient), 120)
    assert flat(grad)["b"] == pytest.approx(1.237258976, rel=1e-6)


@pytest.mark.parametrize("gradient", ["reparameterized", "doubly-reparameterized"])
def test_jackknife_gradients(gradient):
    _, grad = expectation(ScalarModel(), JVI(num_samples=3, gradient=gradient), 40)
    assert flat(grad)["b"] == pytest.approx(0.0478028, abs=1e-4)


def test_one_interval_of_thermodynamic_integration_is_the_elbo():
    value, grad = expectation(ScalarModel(), TVO(num_samples=2, num_intervals=1), 120)
    assert value == pytest.approx(L1, abs=1e-9)
    assert flat(grad) == pytest.approx({"b": 1.8, "rho": 1 - 2 * 0.81}, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["score-function", pytest.param("doubly-reparameterized", marks=pytest.mark.slow)])
def test_wake_phi_of_two_layers(gradient):
    _, grad = expectation(TwoLayerModel(), RWS(num_samples=2, gradient=gradient), 32, num_noises=2)
    assert flat(grad) == pytest.approx(TWO_LAYERS_RWS, abs=5e-6)


@pytest.mark.slow
def test_generalised_double_reparameterization_of_a_conditional_prior():
    _, grad = expectation(TwoLayerModel(), GDReG(num_samples=2), 32, num_noises=2)
    _, plain = expectation(TwoLayerModel(), iwax.IWAE(num_samples=2), 32, num_noises=2)
    assert flat(grad) == pytest.approx(TWO_LAYERS, abs=5e-6)
    for name in ("weight", "offset"):
        assert grad.generative[name] == pytest.approx(plain.generative[name], abs=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: iwax.IWAE(num_samples=2),
        pytest.param(lambda: iwax.CIWAE(num_samples=2, beta=0.3), marks=pytest.mark.slow),
        pytest.param(lambda: iwax.CIWAE(num_samples=1, beta=0.3, beta_rule="unconstrained"), marks=pytest.mark.slow),
        lambda: VRIWAE(num_samples=2, alpha=0.5),
        pytest.param(lambda: JVI(num_samples=2), marks=pytest.mark.slow),
    ],
)
def test_the_gradient_is_that_of_the_expected_bound(make):
    """Finite differences of the expected value, which knows nothing of surrogates."""
    model, step = ScalarModel(), 1e-4
    _, grad = expectation(model, make(), 60)
    for where, derivative in [
        (lambda model: model.inference["b"], grad.inference["b"]),
        (lambda model: model.inference["rho"], grad.inference["rho"]),
        (lambda model: model.generative["mu"], grad.generative["mu"]),
    ]:
        up, down = (
            expectation(eqx.tree_at(where, model, where(model) + sign * step), make(), 60)[0] for sign in (1, -1)
        )
        assert derivative == pytest.approx((up - down) / (2 * step), abs=1e-6)


class NoticesNothing(iwax.IWAE):
    """Negative control: IWAE that takes dependent samples for every gradient."""

    needs_independence = False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (iwax.IWAE(num_samples=2, sampling="antithetic"), {"b": 0.537618, "rho": 0.516144}),
        (
            NoticesNothing(num_samples=2, sampling="antithetic", gradient="doubly-reparameterized"),
            {"b": 0.927242, "rho": 0.545332},
        ),
    ],
)
def test_antithetic_pairs(objective, expected):
    """Right by plain derivatives; the doubly-reparameterized ones would be 70% off, which is why they are refused."""
    nodes, weights = grid(120, 1)
    noise = jnp.asarray(jnp.broadcast_to(nodes[:, :, None], (120, 2, 1)))

    @eqx.filter_grad
    def gradient(model):
        return -jnp.sum(weights * iwax.per_example_loss(model, objective, noise, jax.random.key(0)))

    assert flat(gradient(ScalarModel())) == pytest.approx(expected, abs=1e-6)
