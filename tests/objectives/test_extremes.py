"""Extremes of the log-weights, of K and of precision; bounds that a user writes; the second report's beta."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import iwax
from iwax.objectives import JVI, OVIS, RWS, TVO, VIMCO, VRIWAE
from iwax.objectives.objective import Objective
from iwax.weights import leave_one_out_log_sum_exp, leave_one_out_sum, renyi_bound

pytestmark = pytest.mark.slow  # every estimator's core is proven in the other files

KEY = jax.random.key(0)
MANY = {  # the samples of a bound, by name
    "elbo": iwax.ELBO(num_samples=10_000),
    "iwae": iwax.IWAE(num_samples=10_000, gradient="doubly-reparameterized"),
    "miwae": iwax.MIWAE(num_groups=100, num_samples=100, gradient="doubly-reparameterized"),
    "ciwae": iwax.CIWAE(num_samples=10_000, gradient="doubly-reparameterized"),
    "vr-iwae": VRIWAE(num_samples=10_000, gradient="doubly-reparameterized"),
    "jvi": JVI(num_samples=10_000, gradient="doubly-reparameterized"),
    "rws": RWS(num_samples=10_000),
    "vimco": VIMCO(num_samples=10_000),
    "ovis": OVIS(num_samples=10_000),
    "tvo": TVO(num_samples=10_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_ten_thousand_samples(name, x64):
    """float32 agrees with float64, and coefficients stay finite, with weights over 60 nats."""
    log_w = 10 * jax.random.normal(KEY, (10_000,))
    objective = MANY[name]
    exact, rounded = objective.bound(log_w), objective.bound(log_w.astype(jnp.float32))
    assert rounded.dtype == jnp.float32
    tolerance = 0.05 if name == "jvi" else 1e-3  # the jackknife multiplies rounding by K
    assert float(rounded) == pytest.approx(float(exact), abs=tolerance)
    for coefficient in objective.coefficients(log_w.astype(jnp.float32), KEY):
        assert jnp.isfinite(coefficient).all()
        assert coefficient.dtype == jnp.float32


@pytest.mark.parametrize("name", [name for name in MANY if name != "jvi"])
def test_all_weights_of_zero_give_minus_infinity_and_no_nan(name):
    value = MANY[name].bound(jnp.full(10_000, -jnp.inf))
    assert float(value) == -jnp.inf  # the jackknife is a difference of infinities, so has no value


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("objective", [JVI(num_samples=4), VIMCO(num_samples=4), OVIS(num_samples=4)])
def test_one_weight_that_dominates(objective, dtype, x64):
    """What others of weight e^-800 say is still known, which log1p(-w~) would lose."""
    log_w = jnp.array([0.0, -800.0, -801.0, -802.0], dtype)
    value, coefficients = objective.bound(log_w), objective.coefficients(log_w)
    assert value.dtype == dtype
    assert jnp.isfinite(value)
    if isinstance(objective, JVI):
        expected = 4 * -np.log(4) - 0.75 * (-799.5923930 - 4 * np.log(3))
        assert float(value) == pytest.approx(expected, rel=1e-5)
    else:
        signal = coefficients.generative - coefficients.score
        assert float(signal[0]) == pytest.approx(799.6, rel=2e-3)


def test_leave_one_out():
    log_w = jnp.array([0.0, -800.0, -801.0, -802.0])
    assert leave_one_out_log_sum_exp(log_w).tolist() == pytest.approx([-799.5924, 0, 0, 0], abs=1e-3)
    assert leave_one_out_log_sum_exp(jnp.array([-jnp.inf, 0.0, -jnp.inf])).tolist() == [0.0, -jnp.inf, 0.0]
    assert leave_one_out_sum(jnp.array([1.0, 1e8, -1e8])).tolist()[1:] == [-1e8, 1e8]
    naive = jax.nn.logsumexp(log_w) + jnp.log1p(-jax.nn.softmax(log_w))
    assert float(naive[0]) == -jnp.inf  # negative control


@pytest.mark.parametrize("alpha", [1 - 1e-3, 1 - 1e-5, 1 - 1e-6, 1.0, 1 + 1e-6, 0.0, 0.5, -1.0, 2.0])
def test_the_renyi_bound_near_one(alpha, x64):
    """In float32 the error stays that of rounding the log-weights, however close alpha is to 1."""
    log_w = jnp.array([-3.0, 1.5, 0.25, 900.0, 870.5, 880.0])
    for shift, rows in [(0.0, slice(0, 3)), (100.0, slice(0, 3)), (0.0, slice(3, 6))]:
        values = log_w[rows] + shift
        reference = np.float64(renyi_bound(values, alpha))
        rounded = renyi_bound(values.astype(jnp.float32), jnp.float32(alpha))
        assert float(rounded) == pytest.approx(reference, rel=2e-5, abs=2e-5)
    order = [float(renyi_bound(log_w[:3], a)) for a in (alpha - 0.1, alpha, alpha + 0.1)]
    assert order == sorted(order, reverse=True)


def test_the_renyi_bound_by_hand(x64):
    log_w = jnp.array([0.0, -2.0, 1.0])
    by_hand = 2 * np.log(np.mean(np.exp(0.5 * np.array([0.0, -2.0, 1.0]))))
    assert float(renyi_bound(log_w, 0.5)) == pytest.approx(by_hand, abs=1e-12)
    assert float(renyi_bound(log_w + 1000, 0.5)) == pytest.approx(by_hand + 1000, abs=1e-9)


class PowerMean(Objective):
    """A bound as a user writes it, with nothing but its formula: VR-IWAE at alpha = 1/2."""

    num_samples: int = eqx.field(static=True, kw_only=True, default=6)

    def formula(self, log_w: Array) -> Array:
        return 2 * (jax.nn.logsumexp(log_w / 2, axis=0) - jnp.log(self.num_samples))


@pytest.mark.parametrize("gradient", ["reparameterized", "doubly-reparameterized"])
def test_a_users_own_bound_has_every_gradient(gradient, x64):
    log_w = 3 * jax.random.normal(KEY, (6, 4))
    own, shipped = PowerMean(gradient=gradient), VRIWAE(num_samples=6, alpha=0.5, gradient=gradient)
    np.testing.assert_allclose(own.bound(log_w), shipped.bound(log_w), atol=1e-12)
    np.testing.assert_allclose(own.coefficients(log_w), shipped.coefficients(log_w), atol=1e-12)
    model, x = iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2))
    grads = [eqx.filter_grad(iwax.loss)(model, objective, x, KEY) for objective in (own, shipped)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), *grads)


def test_a_users_own_bound_needs_no_square_of_memory():
    objective = PowerMean(num_samples=1000, gradient="doubly-reparameterized")
    compiled = jax.jit(lambda log_w: objective.coefficients(log_w)).lower(jnp.zeros((1000, 2))).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 1000 * 1000 * 4 / 10


def learned_betas(num_samples, num_steps, num_runs, beta_rule="unconstrained", rate=0.05):
    """beta after SGD on it alone, (num_runs,); the model stays."""
    model, x = iwax.LinearGaussian.isotropic(2), jnp.ones((1, 2))
    start = iwax.CIWAE(num_samples=num_samples, beta=0.5, beta_rule=beta_rule)

    def step(parameter: Array, key: Array) -> tuple[Array, None]:
        def value(parameter: Array) -> Array:
            objective = eqx.tree_at(lambda o: o.beta_parameter, start, parameter)
            return -iwax.loss(model, objective, x, key)

        return parameter + rate * jax.grad(value)(parameter), None

    def run(key: Array) -> Array:
        return jax.lax.scan(step, start.beta_parameter, jax.random.split(key, num_steps))[0]

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(KEY, num_runs)), float)


def test_unconstrained_beta_passes_zero_with_many_samples_and_wanders_with_one():
    fallen = learned_betas(8, 1000, 50)
    assert fallen.mean() < 0
    wandering = learned_betas(1, 200, 400) - 0.5
    assert abs(wandering.mean()) < 4.5 * wandering.std() / np.sqrt(len(wandering))
    assert wandering.std() > 0.1
    assert np.all(learned_betas(1, 20, 5, beta_rule="ascend") == 0)  # on shared samples it does not move: logit 0
    assert np.all(np.diff([learned_betas(8, n, 1, beta_rule="ascend")[0] for n in (0, 10, 20, 40)]) < 0)


def test_an_unconstrained_beta_draws_the_elbos_sample_first():
    objective = iwax.CIWAE(num_samples=2, beta=0.25, beta_rule="unconstrained")
    assert objective.total_samples == 3
    log_w = jnp.array([4.0, 0.0, -jnp.inf])
    assert float(objective.bound(log_w)) == pytest.approx(0.25 * 4 + 0.75 * np.log(0.5))


def test_the_former_name_of_a_beta_rule_is_read():
    former, now = (iwax.CIWAE(num_samples=2, beta=0.25, beta_rule=rule) for rule in ("seed002", "unconstrained"))
    assert former.beta_rule == now.beta_rule == "unconstrained"
    assert former.total_samples == 3
