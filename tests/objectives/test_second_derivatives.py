"""Second derivatives of the loss: those of the bound, by differences of its values, or a refusal by name."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.objectives import JVI, VIMCO, VRIWAE, AnalyticELBO

pytestmark = pytest.mark.usefixtures("x64")

X = jnp.array([[0.5, -1.0], [2.0, 0.3]])
KEY = jax.random.key(4)
PLAIN = {
    "elbo": iwax.ELBO(num_samples=4),
    "elbo-analytic": AnalyticELBO(num_samples=4),
    "iwae": iwax.IWAE(num_samples=5),
    "iwae-antithetic": iwax.IWAE(num_samples=4, sampling="antithetic"),
    "miwae": iwax.MIWAE(num_groups=2, num_samples=3),
    "ciwae": iwax.CIWAE(num_samples=5, beta=0.3),
    "vr-iwae": VRIWAE(num_samples=5, alpha=0.4),
    "jvi": JVI(num_samples=5),
    "jvi-2": JVI(num_samples=4, order=2),
}
FEW = {"backward": "resampled"}
REFUSED = [
    iwax.IWAE(num_samples=3, **FEW),
    iwax.PIWAE(num_groups=2, num_samples=2),
    iwax.CIWAE(num_samples=3, beta=0.3, beta_rule="ascend"),
    iwax.CIWAE(num_samples=3, beta=0.3, beta_rule="descend"),
    iwax.CIWAE(num_samples=3, beta=0.3, beta_rule="unconstrained"),
]
HAVE_NONE = [*REFUSED]
for _kind in iwax.OBJECTIVES.values():
    HAVE_NONE += [_kind(gradient=gradient) for gradient in _kind.gradients if gradient != "reparameterized"]


def flat_loss(objective, model=None):
    """The loss as a function of one vector, and where the model stands, moved off its symmetries."""
    model = iwax.LinearGaussian.isotropic(2) if model is None else model
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(lambda leaf: leaf.astype(float), parameters))
    start = flat + 0.3 * jnp.sin(jnp.arange(1.0, len(flat) + 1))
    return (lambda v: iwax.loss(eqx.combine(unravel(v), static), objective, X, KEY)), start


def by_differences(function, at, direction, h=1e-3):
    """d^2/dt^2 of f(at + t direction), by the values of f alone (five points: the error is of order h^4)."""
    f = jax.jit(jax.vmap(lambda t: function(at + t * direction)))(h * jnp.arange(-2.0, 3.0))
    return float((-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * h**2))


def directions(at):
    return jax.random.normal(jax.random.key(9), (3, len(at))) / len(at) ** 0.5


SLOW = ("elbo", "iwae-antithetic", "jvi", "jvi-2", "miwae", "vr-iwae")


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in PLAIN])
def test_the_hessian_is_that_of_the_bound_on_the_same_noise(name):
    function, at = flat_loss(PLAIN[name])
    hessian = jax.jit(jax.hessian(function))(at)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-10)
    for direction in directions(at):
        assert float(direction @ hessian @ direction) == pytest.approx(
            by_differences(function, at, direction), rel=1e-5
        )


@pytest.mark.slow
def test_constant_weights_would_give_another_hessian():
    """Control: the surrogate's own second derivative, sum sg(w~) times that of log w, is far off."""
    objective = PLAIN["iwae"]
    function, at = flat_loss(objective)
    model = iwax.LinearGaussian.isotropic(2)
    unravel = jax.flatten_util.ravel_pytree(jax.tree.map(lambda leaf: leaf.astype(float), model))[1]

    def surrogate(v):
        model = unravel(v)
        z = model.posterior(X).sample(KEY, (5,))
        log_w = model.log_joint(X, z) - model.posterior(X).log_prob(z)
        return -jnp.mean(jnp.sum(jax.lax.stop_gradient(jax.nn.softmax(log_w, axis=0)) * log_w, axis=0))

    np.testing.assert_allclose(jax.jit(jax.grad(surrogate))(at), jax.jit(jax.grad(function))(at), atol=1e-12)
    wrong = jax.jit(jax.hessian(surrogate))(at)
    off = [abs(d @ wrong @ d - by_differences(function, at, d)) / abs(d @ wrong @ d) for d in directions(at)]
    assert max(off) > 0.1


def test_third_derivatives_follow():
    function, at = flat_loss(PLAIN["iwae"])
    direction = directions(at)[0]
    third = jax.jit(jax.grad(jax.grad(jax.grad(lambda t: function(at + t * direction)))))(0.0)
    h = 1e-2
    f = jax.jit(jax.vmap(lambda t: function(at + t * direction)))(h * jnp.arange(-3.0, 4.0))
    assert float(third) == pytest.approx(float(f @ jnp.array([1, -8, 13, 0, -13, 8, -1.0])) / (8 * h**3), rel=1e-4)


@pytest.mark.slow
def test_two_layers_have_them():
    model = iwax.VAE(2, [2, 1], [[3], [2]], key=jax.random.key(1))
    function, at = flat_loss(PLAIN["iwae"], model)
    direction = directions(at)[0]
    curvature = jax.jit(jax.grad(jax.grad(lambda t: function(at + t * direction))))(0.0)
    assert float(curvature) == pytest.approx(by_differences(function, at, direction), rel=1e-5)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (jax.jacfwd, jax.jacfwd),
        pytest.param(jax.jacrev, jax.jacrev, marks=pytest.mark.slow),
        pytest.param(jax.jacrev, jax.jacfwd, marks=pytest.mark.slow),
    ],
)
def test_every_order_of_the_two_modes_agrees(outer, inner):
    """With the directions of the bound's curvature; forward over forward differentiates the rule as it is written."""
    function, at = flat_loss(PLAIN["iwae"])
    basis = directions(at)

    def of_three(t):
        return function(at + t @ basis)

    curvature = jax.jit(outer(inner(of_three)))(jnp.zeros(3))
    for found, direction in zip(jnp.diag(curvature), basis, strict=True):
        assert float(found) == pytest.approx(by_differences(function, at, direction), rel=1e-5)


@pytest.mark.parametrize("name", iwax.OBJECTIVES)
def test_one_of_each_kind_says_whether_it_has_second_derivatives(name):
    kind = iwax.OBJECTIVES[name]
    expected = {gradient: gradient == "reparameterized" and name != "piwae" for gradient in kind.gradients}
    assert {gradient: kind(gradient=gradient).has_second_derivatives for gradient in kind.gradients} == expected


@pytest.mark.parametrize(
    "objective",
    [pytest.param(one, marks=[] if i % 3 == 0 else [pytest.mark.slow]) for i, one in enumerate(HAVE_NONE)],
    ids=lambda o: f"{type(o).__name__}-{o.gradient}",
)
def test_other_estimators_refuse_by_name(objective):
    """Of every order of modes that JAX has for them, and where the first derivative is compiled already."""
    function, at = flat_loss(objective)
    message = f"Expected first derivatives only of {type(objective).__name__} with gradient='{objective.gradient}'"
    gradient = jax.jit(jax.grad(function))
    for outer in (jax.jacfwd, jax.jacrev):
        with pytest.raises(TypeError, match=message):
            jax.eval_shape(outer(gradient), at)
    assert jax.eval_shape(gradient, at).shape == at.shape


def test_two_forward_modes_refuse_too():
    function, at = flat_loss(VIMCO(num_samples=3))
    with pytest.raises(TypeError, match="Expected first derivatives only of VIMCO"):
        jax.eval_shape(jax.jacfwd(jax.jacfwd(function)), at)


def test_a_second_derivative_in_anything_else_is_refused_too():
    """In the data, and in beta where it is learned: their part of the weights is constant to the gradient as well."""
    model, x = iwax.LinearGaussian.isotropic(2), X
    dreg = iwax.IWAE(num_samples=3, gradient="doubly-reparameterized")

    def of_data(x):
        return eqx.filter_grad(iwax.loss)(model, dreg, x, KEY)

    with pytest.raises(TypeError, match="first derivatives only of IWAE"):
        jax.eval_shape(jax.jacfwd(of_data), x)
    learned = iwax.CIWAE(num_samples=3, beta=0.3, beta_rule="ascend")

    def of_beta(beta):
        objective = eqx.tree_at(lambda o: o.beta_parameter, learned, beta)
        return eqx.filter_grad(iwax.loss)(model, objective, x, KEY)

    with pytest.raises(TypeError, match="backward='all' and beta_parameter learned"):
        jax.eval_shape(jax.jacfwd(of_beta), learned.beta_parameter)


class OwnBound(iwax.objectives.Objective):
    """A user's: the largest log-weight."""

    def formula(self, log_w):
        return jnp.max(log_w, axis=0)


class OwnCoefficients(OwnBound):
    """And one whose coefficients are no derivative, which cannot be told but by who wrote them."""

    def all_coefficients(self, log_w):
        a = jnp.full_like(log_w, 1 / len(log_w))
        return iwax.objectives.Coefficients(a, a, a)


def test_a_users_own_bound_has_them_and_a_users_own_coefficients_have_not():
    function, at = flat_loss(OwnBound(num_samples=3))
    direction = directions(at)[0]
    curvature = direction @ jax.jit(jax.hessian(function))(at) @ direction
    assert float(curvature) == pytest.approx(by_differences(function, at, direction), rel=1e-5)
    function, at = flat_loss(OwnCoefficients(num_samples=3))
    with pytest.raises(TypeError, match="first derivatives only of OwnCoefficients"):
        jax.eval_shape(jax.hessian(function), at)


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective",
    [PLAIN["iwae"], *(pytest.param(o, marks=pytest.mark.slow) for o in (VIMCO(num_samples=3), REFUSED[1]))],
    ids=lambda o: type(o).__name__,
)
def test_first_derivatives_pass_through_every_transformation(objective):
    """Compiled, in a loop, in a batch, recomputed, and on a mesh: the same gradient, and refused by none."""
    function, at = flat_loss(objective)
    expected = jax.jit(jax.grad(function))(at)
    many = jnp.stack([at, at + 0.1])
    looped = jax.lax.scan(lambda total, v: (total + jax.grad(function)(v), None), jnp.zeros_like(at), many)[0]
    batched = jax.jit(jax.vmap(jax.grad(function)))(many)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("runs",))
    spec = jax.sharding.PartitionSpec("runs")
    shared = jax.shard_map(jax.vmap(jax.grad(function)), mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(jax.grad(function))(at), expected, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.grad(jax.checkpoint(function)))(at), expected, atol=1e-12)
    np.testing.assert_allclose(looped, batched.sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(batched[0], expected, atol=1e-12)
    np.testing.assert_allclose(jax.jit(shared)(many), batched, atol=1e-12)
    in_a_loop = jax.grad(lambda v: jax.lax.scan(lambda total, t: (total + function(v + t), None), 0.0, jnp.zeros(2))[0])
    np.testing.assert_allclose(jax.jit(in_a_loop)(at), 2 * expected, atol=1e-12)
