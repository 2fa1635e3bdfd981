"""What every objective owes, over one table of constructors: a new objective adds a row and gets all of this.

What is asked of all gradients of an objective is computed by one compiled program: compiling is what these tests cost.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.keys import stream
from iwax.objectives import AISLE, JVI, OVIS, RWS, TVO, VIMCO, VRIWAE, AnalyticELBO, GDReG
from iwax.objectives.autodiff import own_derivatives

# Constructors by name, all with S = 6 samples: those that take the three gradients of a bound,
BOUNDS = {
    "elbo": lambda **o: iwax.ELBO(num_samples=6, **o),
    "iwae": lambda **o: iwax.IWAE(num_samples=6, **o),
    "miwae": lambda **o: iwax.MIWAE(num_groups=2, num_samples=3, **o),
    "piwae": lambda **o: iwax.PIWAE(num_groups=3, num_samples=2, **o),
    "ciwae": lambda **o: iwax.CIWAE(num_samples=6, beta=0.3, **o),
    "ciwae-0": lambda **o: iwax.CIWAE(num_samples=6, beta=0.0, **o),
    "ciwae-1": lambda **o: iwax.CIWAE(num_samples=6, beta=1.0, **o),
    "ciwae-ascend": lambda **o: iwax.CIWAE(num_samples=6, beta=0.3, beta_rule="ascend", **o),
    "ciwae-descend": lambda **o: iwax.CIWAE(num_samples=6, beta=0.3, beta_rule="descend", **o),
    "vr-iwae": lambda **o: VRIWAE(num_samples=6, alpha=0.4, **o),
    "vr-iwae-0": lambda **o: VRIWAE(num_samples=6, alpha=0.0, **o),
    "vr-iwae-1": lambda **o: VRIWAE(num_samples=6, alpha=1.0, **o),
    "jvi": lambda **o: JVI(num_samples=6, **o),
    "jvi-2": lambda **o: JVI(num_samples=6, order=2, **o),
}
# and those with coefficients or an estimate of their own.
FEW = {"backward": "resampled", "num_resampled": 2}
OWN = {
    "iwae-resampled": lambda **o: iwax.IWAE(num_samples=6, **FEW, **o),
    "ciwae-resampled": lambda **o: iwax.CIWAE(num_samples=6, beta=0.3, **FEW, **o),
    "piwae-resampled": lambda **o: iwax.PIWAE(num_groups=2, num_samples=3, **FEW, **o),
    "jvi-resampled": lambda **o: JVI(num_samples=6, **FEW, **o),
    "vimco-resampled": lambda **o: VIMCO(num_samples=6, **FEW, **o),
    "ciwae-unconstrained": lambda **o: iwax.CIWAE(num_samples=5, beta=0.3, beta_rule="unconstrained", **o),
    "rws": lambda **o: RWS(num_samples=6, **o),
    "aisle": lambda **o: AISLE(num_samples=6, **o),
    "aisle-chi-square": lambda **o: AISLE(num_samples=6, divergence="chi-square", **o),
    "vimco": lambda **o: VIMCO(num_samples=6, **o),
    "vimco-arithmetic": lambda **o: VIMCO(num_samples=6, baseline="arithmetic", **o),
    "ovis": lambda **o: OVIS(num_samples=6, **o),
    "ovis-1": lambda **o: OVIS(num_samples=6, gamma=1.0, **o),
    "ovis-auxiliary": lambda **o: OVIS(num_samples=4, num_auxiliary=2, **o),
    "tvo": lambda **o: TVO(num_samples=6, **o),
    "gdreg": lambda **o: GDReG(num_samples=6, **o),
    "elbo-analytic": lambda **o: AnalyticELBO(num_samples=6, **o),
}
OBJECTIVES = BOUNDS | OWN
PATH_GRADIENTS = ("sticking-the-landing", "doubly-reparameterized")
GRADIENTS = ("reparameterized", "sticking-the-landing", "doubly-reparameterized")
CASES = [(name, gradient) for name, make in OBJECTIVES.items() for gradient in make().gradients]
# Constructors that share all their code with another, but for a constant: the slow run has them too.
VARIANTS = ("ciwae-0", "ciwae-1", "ciwae-descend", "vr-iwae-0", "vr-iwae-1", "jvi-2", "aisle-chi-square", "ovis-1")
VARIANTS += ("ciwae-resampled", "vimco-resampled")
# One of each kind of surrogate: the tests that compile a whole network run on these, and on all in the slow run.
KINDS = [("iwae", gradient) for gradient in ("reparameterized", "doubly-reparameterized")]
KINDS += [("piwae", "reparameterized"), ("rws", "score-function"), ("iwae-resampled", "doubly-reparameterized")]


def over(cases, fast=lambda case: case[0] not in VARIANTS):
    """The test, for each (name, gradient)."""
    rows = [pytest.param(*case, marks=[] if fast(case) else [pytest.mark.slow]) for case in cases]
    return pytest.mark.parametrize(("name", "gradient"), rows)


cases = over(CASES)
cases_by_coefficients = over(
    [case for case in CASES if case[0] not in ("gdreg", "elbo-analytic")], fast=lambda case: case in KINDS
)
HOLD_THE_ELBO = (
    "elbo",
    "ciwae",
    "ciwae-resampled",
    "ciwae-1",
    "ciwae-ascend",
    "ciwae-descend",
    "ciwae-unconstrained",
    "vr-iwae-1",
    "elbo-analytic",
)  # -inf with one weight 0
SCORES_OF_MINUS_INFINITY = ("tvo",)  # whose gradient would be infinite as well
DRAWN_BY_OTHERS = ("piwae-resampled", "jvi-resampled", "vimco-resampled")  # coefficients than the generative ones, too
names = pytest.mark.parametrize("name", OBJECTIVES)
ONE_OF_EACH = ("iwae", "ciwae", "piwae", "jvi", "rws", "gdreg", "iwae-resampled", "tvo")
one_of_each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ONE_OF_EACH else [pytest.mark.slow]) for name in OBJECTIVES]
)
quick_names = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else []) for name in OBJECTIVES]
)
bounds = pytest.mark.parametrize("name", BOUNDS)
quick_by_one_gradient = pytest.mark.parametrize(
    "gradient",
    [*(pytest.param(gradient, marks=pytest.mark.slow) for gradient in GRADIENTS[:2]), "doubly-reparameterized"],
)
KEY = jax.random.key(11)


def log_weights(seed, *shape, scale=3.0):
    return scale * jax.random.normal(jax.random.key(seed), shape)


def constructed(name):
    """One of the table, by gradient; of the precision of the moment."""
    return {gradient: OBJECTIVES[name](gradient=gradient) for gradient in OBJECTIVES[name]().gradients}


@functools.cache
def program(name):
    """(log_w, key) -> the bound and, by gradient, the coefficients of an objective of the table."""

    @jax.jit
    def bound_and_coefficients(log_w, key):
        of = constructed(name)
        return OBJECTIVES[name]().bound(log_w), {gradient: of[gradient].coefficients(log_w, key) for gradient in of}

    return bound_and_coefficients


@eqx.filter_jit
def gradients(model, objectives, x, key):
    """Of the loss, by name."""
    return {name: eqx.filter_grad(iwax.loss)(model, objective, x, key) for name, objective in objectives.items()}


def two_layer_model():
    return iwax.VAE(8, [3, 2], [[5], [4]], key=jax.random.key(1), data_mean=jnp.full(8, 0.4))


BINARY = (jax.random.uniform(jax.random.key(2), (4, 8)) < 0.4).astype(float)


def test_the_table_of_tests_covers_the_table_of_objectives():
    assert {type(make()) for make in OBJECTIVES.values()} >= set(iwax.OBJECTIVES.values())


@names
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_shapes(name, batch):
    objective, log_w = OBJECTIVES[name](), jax.ShapeDtypeStruct((6, *batch), jnp.float32)
    assert jax.eval_shape(objective.bound, log_w).shape == batch
    for coefficient in jax.eval_shape(objective.coefficients, log_w, KEY):
        assert coefficient.shape == log_w.shape
        assert coefficient.dtype == log_w.dtype


@names
def test_a_wrong_number_of_samples_raises(name):
    with pytest.raises(ValueError, match=r"leading axis of 6 samples .* got shape \(5, 2\)"):
        OBJECTIVES[name]().bound(log_weights(0, 5, 2))


@cases_by_coefficients
def test_the_loss_is_minus_the_bound(name, gradient):
    """The value is the bound of the drawn log-weights: never sum w~ log w, never the surrogate."""
    objective = OBJECTIVES[name](gradient=gradient)

    @eqx.filter_jit
    def computed(model, key):
        posterior = model.posterior(BINARY)
        z = posterior.sample(key, (6,))
        bound = objective.bound(model.log_joint(BINARY, z) - posterior.log_prob(z))
        loss, losses = (function(model, objective, BINARY, key) for function in (iwax.loss, iwax.per_example_loss))
        return bound, loss, losses

    bound, loss, losses = map(np.asarray, computed(two_layer_model(), jax.random.key(3)))
    np.testing.assert_allclose(losses, -bound, rtol=1e-5)
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-6)


@names
def test_shifting_the_log_weights_shifts_the_bound_and_nothing_else(name, x64):
    log_w = log_weights(4, 6, 20)
    bound, coefficients = program(name)(log_w, KEY)
    shifted_bound, shifted = program(name)(log_w + 7, KEY)
    np.testing.assert_allclose(shifted_bound, bound + 7, atol=1e-12)
    for gradient in coefficients:
        np.testing.assert_allclose(shifted[gradient], coefficients[gradient], atol=1e-12, err_msg=gradient)


@over([case for case in CASES if case[0] not in DRAWN_BY_OTHERS])
def test_generative_coefficients_sum_to_one(name, gradient, x64):
    a, b, c = map(np.asarray, program(name)(log_weights(5, 6, 20), KEY)[1][gradient])
    np.testing.assert_allclose(a.sum(axis=0), 1, atol=1e-12)
    if gradient in ("sticking-the-landing", "doubly-reparameterized"):
        np.testing.assert_array_equal(c, 0)
    if gradient == "score-function":
        np.testing.assert_array_equal(b, 0)


@bounds
def test_the_closed_form_of_the_path_coefficient_is_the_automatic_one(name, x64):
    objective, log_w = OBJECTIVES[name](gradient="doubly-reparameterized"), log_weights(6, 6, 20)
    bound = objective.inference_objective if name == "piwae" else objective
    automatic = jax.jit(lambda log_w: bound.weight(log_w) - own_derivatives(bound.weight, log_w))(log_w)
    found = program(name)(log_w, KEY)[1]["doubly-reparameterized"].path
    np.testing.assert_allclose(found, automatic, atol=1e-12)


@bounds
def test_coefficients_by_gradient(name, x64):
    _, by_gradient = program(name)(log_weights(7, 6, 20), KEY)
    plain, landing = by_gradient["reparameterized"], by_gradient["sticking-the-landing"]
    np.testing.assert_array_equal(plain.path, plain.score)
    np.testing.assert_array_equal(landing.path, plain.path)
    np.testing.assert_array_equal(landing.score, 0)
    np.testing.assert_array_equal(landing.generative, plain.generative)


@quick_names
def test_extreme_log_weights(name):
    """+-1000 and ties: finite bounds and coefficients."""
    log_w = np.array([[1e3, -1e3, 0, 0, 1e3, -1e3], [-1e3] * 6, [1e3] * 6], np.float32).T
    bound, coefficients = program(name)(log_w, KEY)
    assert np.isfinite(bound).all()
    for gradient, found in coefficients.items():
        assert np.isfinite(found).all(), gradient


class OneImpossibleSample(eqx.Module):
    """The model of a linear-Gaussian, but for one draw of z, which has probability zero."""

    base: iwax.LinearGaussian
    prior = property(lambda self: self.base.prior)
    generative = property(lambda self: self.base.generative)
    inference = property(lambda self: self.base.inference)

    def posterior(self, x):
        return self.base.posterior(x)

    def log_joint(self, x, z):
        return self.base.log_joint(x, z).at[0].set(-jnp.inf)


@over([case for case in CASES if case[0] not in SCORES_OF_MINUS_INFINITY], fast=lambda case: case in KINDS)
def test_one_weight_of_zero_makes_no_nan(name, gradient):
    """Where the mathematics has a value there is no NaN; the ELBO's own value is -inf."""
    model, x = OneImpossibleSample(iwax.LinearGaussian.isotropic(2)), jnp.ones((3, 2))
    objective = OBJECTIVES[name](gradient=gradient)

    @eqx.filter_jit
    def computed(model, key):
        value_and_gradient = eqx.filter_value_and_grad(iwax.loss)(model, objective, x, key)
        return *value_and_gradient, objective.estimate(model, x, key)[1]

    loss, gradient, surrogate = jax.tree.map(np.asarray, computed(model, jax.random.key(0)))
    assert np.isfinite(loss) == (name not in HOLD_THE_ELBO)
    assert not np.isnan(loss)
    if name not in ("gdreg", "elbo-analytic") and not name.endswith("-resampled"):  # which number samples afresh
        assert np.isfinite(surrogate).all() or name in HOLD_THE_ELBO
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()


@cases_by_coefficients
def test_one_pass_is_two_passes(name, gradient, x64):
    """The cheap surrogates equal the definition: sum a log p(x, sg z) + sum b log w(frozen) - sum c log q(sg z)."""
    model, key = jax.tree.map(lambda a: a.astype(float), two_layer_model()), jax.random.key(8)
    objective = OBJECTIVES[name](gradient=gradient)

    def definition(model):
        frozen = iwax.freeze(model)
        posterior = model.posterior(BINARY)
        z = posterior.sample(key, (6,))
        log_w = frozen.log_joint(BINARY, z) - iwax.freeze(posterior).log_prob(z)
        coefficient_key = stream(key, "resampling")  # its independence has tests of its own, in test_keys.py
        a, b, c = jax.lax.stop_gradient(objective.coefficients(jax.lax.stop_gradient(log_w), coefficient_key))
        constant = jax.lax.stop_gradient(z)
        terms = a * model.log_joint(BINARY, constant) + b * log_w - c * posterior.log_prob(constant)
        return -jnp.mean(terms.sum(axis=0))

    def both(model):
        return eqx.filter_grad(iwax.loss)(model, objective, BINARY, key), eqx.filter_grad(definition)(model)

    actual, expected = eqx.filter_jit(both)(model)
    for leaf, expected_leaf in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, expected_leaf, atol=1e-12)


@quick_by_one_gradient
def test_with_one_sample_all_are_the_elbo(gradient, x64):
    model, x, key = iwax.LinearGaussian.isotropic(3), jnp.ones((4, 3)), jax.random.key(0)
    one = [
        iwax.ELBO(num_samples=1, gradient=gradient),
        iwax.IWAE(num_samples=1, gradient=gradient),
        iwax.MIWAE(num_groups=1, num_samples=1, gradient=gradient),
        iwax.PIWAE(num_groups=1, num_samples=1, gradient=gradient),
        iwax.CIWAE(num_samples=1, beta=0.3, gradient=gradient),
        VRIWAE(num_samples=1, alpha=0.3, gradient=gradient),
        JVI(num_samples=1, order=0, gradient=gradient),
    ]

    def every(model):
        return [eqx.filter_value_and_grad(iwax.loss)(model, objective, x, key) for objective in one]

    reference, *results = eqx.filter_jit(every)(model)
    for objective, result in zip(one[1:], results, strict=True):
        jax.tree.map(
            lambda a, b, name=str(objective): np.testing.assert_allclose(a, b, atol=1e-12, err_msg=name),
            result,
            reference,
        )


ORDERED = [
    ("elbo", "ciwae"),
    ("ciwae", "iwae"),
    ("elbo", "miwae"),
    ("miwae", "iwae"),
    ("elbo", "vr-iwae"),
    ("vr-iwae", "iwae"),
    ("iwae", "jvi"),
]


@jax.jit
def every_bound(log_w):
    """And the one that PIWAE gives phi."""
    phi = OBJECTIVES["piwae"]().inference_bound(log_w)
    return {"piwae's phi": phi, **{name: make().bound(log_w) for name, make in BOUNDS.items()}}


@pytest.mark.parametrize("scale", [0.1, 3.0, 1000.0])
def test_orderings_hold_draw_by_draw(scale, x64):
    """ELBO <= CIWAE <= IWAE and ELBO <= MIWAE <= IWAE(M K) on the same samples; PIWAE reports IWAE(M K)."""
    bound = {name: np.asarray(value) for name, value in every_bound(log_weights(9, 6, 500, scale=scale)).items()}
    slack = 1e-9 * scale
    for below, above in ORDERED:
        assert (bound[below] <= bound[above] + slack).all()
        assert (bound[below] < bound[above] - 1e-6).mean() > 0.9  # and strictly, almost always
    np.testing.assert_array_equal(bound["piwae"], bound["iwae"])
    assert (bound["piwae's phi"] <= bound["piwae"] + slack).all()
    np.testing.assert_array_equal(bound["ciwae-0"], bound["iwae"])
    np.testing.assert_array_equal(bound["ciwae-1"], bound["elbo"])
    np.testing.assert_allclose(bound["vr-iwae-0"], bound["iwae"], rtol=1e-12)
    np.testing.assert_allclose(bound["vr-iwae-1"], bound["elbo"], rtol=1e-12)


def test_groups_are_consecutive_samples():
    """Sample s is number k of group m, s = m K + k: M = 3 groups of K = 2, and not the other way round."""
    log_w = jnp.array([0.0, 0.0, -jnp.inf, 1.0, 2.0, 2.0])
    expected = (0.0 + (1.0 - np.log(2)) + 2.0) / 3
    assert float(iwax.MIWAE(num_groups=3, num_samples=2).bound(log_w)) == pytest.approx(expected)
    a = iwax.MIWAE(num_groups=3, num_samples=2).coefficients(log_w).generative
    np.testing.assert_allclose(a, [1 / 6, 1 / 6, 0, 1 / 3, 1 / 6, 1 / 6], rtol=1e-6)


@quick_by_one_gradient
def test_piwae_is_iwae_for_theta_and_miwae_for_phi(gradient, x64):
    """On the same samples, M != K; the opposite assignment of M and K must not pass."""
    model, key = jax.tree.map(lambda a: a.astype(float), two_layer_model()), jax.random.key(10)
    objectives = {
        "piwae": iwax.PIWAE(num_groups=2, num_samples=3, gradient=gradient),
        "iwae": iwax.IWAE(num_samples=6, gradient=gradient),
        "miwae": iwax.MIWAE(num_groups=2, num_samples=3, gradient=gradient),
        "swapped": iwax.MIWAE(num_groups=3, num_samples=2, gradient=gradient),
    }
    of = gradients(model, objectives, BINARY, key)
    assert_trees(of["piwae"].generative, of["iwae"].generative)
    assert_trees(of["piwae"].inference, of["miwae"].inference)
    for other in ("swapped", "iwae"):
        with pytest.raises(AssertionError):
            assert_trees(of["piwae"].inference, of[other].inference)


def assert_trees(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), a, b)


@one_of_each
def test_no_noise_at_the_exact_posterior(name, x64):
    """Where q is the posterior the path gradients are zero draw by draw, and the plain one is not."""
    path = {gradient: objective for gradient, objective in constructed(name).items() if gradient in PATH_GRADIENTS}
    if not path:
        pytest.skip("no path gradient")
    model = iwax.LinearGaussian.isotropic(3, variance=0.5)
    x, key = jnp.ones((4, 3)), jax.random.key(0)
    found = {
        **gradients(model, path, x, key),
        **gradients(model, {"plain": iwax.IWAE(num_samples=6)}, x, key),
    }
    largest = {of: max(np.abs(leaf).max() for leaf in jax.tree.leaves(grad.inference)) for of, grad in found.items()}
    assert largest.pop("plain") > 1e-3
    assert max(largest.values()) < 1e-12, largest


@quick_names
def test_frozen_hyper_parameters_have_no_gradient(name):
    model, x, key = iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2)), jax.random.key(0)

    @jax.jit
    def in_the_objective():
        loss = eqx.filter_grad(lambda objective: iwax.loss(model, objective, x, key))
        return {gradient: jax.tree.leaves(loss(objective)) for gradient, objective in constructed(name).items()}

    for gradient, leaves in in_the_objective().items():
        if constructed(name)[gradient].learned:
            assert len(leaves) == 1, gradient
            assert leaves[0] != 0, gradient
        else:
            assert all(leaf == 0 for leaf in leaves), gradient


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_gradient_of_a_learned_beta(gradient, x64):
    """dL/d logit = beta (1 - beta) (ELBO - IWAE), for every estimator; `descend` has the opposite sign."""
    model, x, key = iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2)), jax.random.key(0)

    def gradient_of_beta(rule):
        objective = iwax.CIWAE(num_samples=6, beta=0.3, beta_rule=rule, gradient=gradient)
        grads = eqx.filter_grad(lambda objective: iwax.loss(model, objective, x, key))(objective)
        return -grads.beta_parameter

    def bound(kind):
        return -iwax.loss(model, kind(num_samples=6), x, key)

    @jax.jit
    def computed():
        return gradient_of_beta("ascend"), gradient_of_beta("descend"), bound(iwax.ELBO), bound(iwax.IWAE)

    ascend, descend, elbo, iwae = map(float, computed())
    assert ascend == pytest.approx(0.3 * 0.7 * (elbo - iwae), rel=1e-12)
    assert descend == pytest.approx(0.3 * 0.7 * (iwae - elbo), rel=1e-12)


def test_beta_does_not_move_with_one_sample():
    model, x, key = iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2)), jax.random.key(0)
    objective = iwax.CIWAE(num_samples=1, beta_rule="ascend")
    grads = eqx.filter_jit(eqx.filter_grad(lambda objective: iwax.loss(model, objective, x, key)))(objective)
    assert float(grads.beta_parameter) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: iwax.IWAE(num_samples=0), "Expected num_samples to be an integer of at least 1; got 0"),
        (lambda: iwax.IWAE(num_samples=True), "Expected num_samples to be an integer of at least 1; got True"),
        (lambda: iwax.MIWAE(num_groups=0), "Expected num_groups to be an integer of at least 1; got 0"),
        (lambda: iwax.PIWAE(num_groups=-1), "Expected num_groups to be an integer of at least 1; got -1"),
        (lambda: iwax.CIWAE(beta=1.5), r"Expected beta to be between 0 \(IWAE\) and 1 \(ELBO\); got 1.5"),
        (
            lambda: iwax.CIWAE(beta=0.0, beta_rule="ascend"),
            "Expected beta strictly between 0 and 1 where it is learned",
        ),
        (
            lambda: iwax.CIWAE(beta_rule="up"),
            "Expected beta_rule to be one of fixed, .*, unconstrained; got 'up'",
        ),
        (lambda: VRIWAE(alpha=-0.5), r"Expected alpha to be between 0 \(IWAE\) and 1 \(ELBO\); got -0.5"),
        (lambda: JVI(num_samples=2, order=2), "Expected num_samples to be more than order=2 of the jackknife; got 2"),
        (lambda: JVI(order=-1), "Expected order to be an integer of at least 0; got -1"),
        (lambda: JVI(num_samples=1000, order=2), "Expected at most 100000 ways to leave 2 samples out; got 499500"),
        (lambda: AISLE(divergence="tv"), "Expected divergence to be one of kl, chi-square; got 'tv'"),
        (lambda: VIMCO(num_samples=1), "Expected num_samples to be an integer of at least 2; got 1"),
        (lambda: VIMCO(baseline="none"), "Expected baseline to be one of geometric, arithmetic; got 'none'"),
        (lambda: VIMCO(gradient="reparameterized"), "Expected gradient to be one of score-function for VIMCO; got 're"),
        (lambda: OVIS(gamma=2.0), r"Expected gamma to be between 0 \(unbiased\) and 1; got 2.0"),
        (lambda: OVIS(gamma=1.0, num_auxiliary=3), "Expected gamma to be 0 where num_auxiliary is not; got 1.0"),
        (lambda: OVIS(num_auxiliary=-1), "Expected num_auxiliary to be an integer of at least 0; got -1"),
        (lambda: TVO(num_intervals=0), "Expected num_intervals to be an integer of at least 1; got 0"),
        (lambda: TVO(first_point=1.0), "Expected first_point to be strictly between 0 and 1; got 1.0"),
        (lambda: iwax.IWAE(backward="one"), "Expected backward to be one of all, resampled for IWAE; got 'o"),
        (lambda: GDReG(backward="resampled"), "Expected backward to be one of all for GDReG; got 'resampled'"),
        (
            lambda: iwax.IWAE(num_resampled=2),
            "Expected num_resampled with backward='resampled' only; got it with",
        ),
        (
            lambda: iwax.IWAE(backward="resampled", num_resampled=0),
            "Expected num_resampled to be an integer of at leas",
        ),
        (lambda: iwax.IWAE(backward="resampled").coefficients(jnp.zeros(50)), "Expected a key for the coefficients of"),
        (lambda: iwax.ELBO(gradient="plain"), "Expected gradient to be one of reparameterized, .*; got 'plain'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_which_choices_are_unbiased():
    for name, make in BOUNDS.items():
        assert make().is_unbiased
        assert make(gradient="doubly-reparameterized").is_unbiased
        assert make(gradient="sticking-the-landing").is_unbiased == (name == "elbo")
    assert iwax.MIWAE(num_groups=4, num_samples=1, gradient="sticking-the-landing").is_unbiased
    assert iwax.PIWAE(num_groups=4, num_samples=1, gradient="sticking-the-landing").is_unbiased
    biased = {"rws", "aisle", "aisle-chi-square", "ovis-1", "tvo"}
    assert {name for name, make in OWN.items() if not make().is_unbiased} == biased
    assert TVO(num_samples=2, num_intervals=1).is_unbiased


def test_what_a_choice_estimates_is_part_of_it():
    """Which quantity's gradient: the bound only where it is unbiased, and by name where it is another."""
    for make in OBJECTIVES.values():
        for gradient in make().gradients:
            objective = make(gradient=gradient)
            if type(objective) is not iwax.PIWAE:
                assert objective.is_unbiased == (objective.target == "the bound")
    assert iwax.PIWAE(num_groups=2, num_samples=3).target == "theta: IWAE(6); phi: MIWAE(2, 3)"
    assert "phi: -KL(p(z|x) || q(z|x))" in RWS().target
    assert "not the bound" in iwax.IWAE(gradient="sticking-the-landing").target


def test_the_resampled_backward_pass_costs_as_many_samples_as_are_drawn():
    """A forward pass is a third of forward and backward; with one of K = 50 little more than that is left."""
    model, x = iwax.VAE(64, [4], [[32]], key=jax.random.key(0)), jnp.ones((4, 64))

    def operations(backward, num_resampled=None):
        objective = iwax.IWAE(num_samples=50, backward=backward, num_resampled=num_resampled)
        parameters, static = eqx.partition(model, eqx.is_inexact_array)
        loss = jax.grad(lambda p: iwax.loss(eqx.combine(p, static), objective, x, KEY))
        return jax.jit(loss).lower(parameters).compile().cost_analysis()["flops"]

    every, one, eight = operations("all"), operations("resampled"), operations("resampled", 8)
    assert one < 0.5 * every
    assert (eight - one) / 7 == pytest.approx(every / 50, rel=0.3)  # forward and backward of one sample


def test_more_resampled_samples_mean_less_noise():
    """The variance that resampling adds is shared among the samples drawn."""
    model, x = iwax.LinearGaussian.isotropic(2), jnp.ones((1, 2))

    def added(number):
        objective = iwax.IWAE(num_samples=8, backward="resampled", num_resampled=number)
        z, log_q = objective.draw(model.posterior(x), KEY)
        log_w = model.log_joint(x, z) - log_q
        keys = jax.random.split(KEY, 4000)
        return jnp.var(jax.vmap(lambda key: objective.coefficients(log_w, key).generative)(keys), axis=0).sum()

    assert float(jax.jit(lambda: added(4) / added(1))()) < 1 / 4


def test_groups_of_equal_weight_are_resampled_alike():
    """MIWAE's M groups have a weight of 1/M each, whatever is in them: of M samples drawn each gets one."""
    objective = iwax.MIWAE(num_groups=4, num_samples=3, backward="resampled", num_resampled=4)
    a = jax.jit(objective.coefficients)(log_weights(10, 12, 50), KEY).generative
    np.testing.assert_allclose(a.reshape(4, 3, 50).sum(axis=1), 1 / 4, rtol=1e-5)


@one_of_each
def test_resampled_coefficients_are_those_of_all_in_expectation(name, x64):
    if name in ("gdreg", "elbo-analytic") or name.endswith("-resampled"):
        pytest.skip("not resampled, or already")

    def drawn_and_expected(gradient):
        objective, log_w = OBJECTIVES[name](gradient=gradient, **FEW), log_weights(9, 6)
        draws = jax.vmap(lambda key: objective.coefficients(log_w, key))(jax.random.split(KEY, 4000))
        return draws, objective.all_coefficients(log_w)

    computed = jax.jit(lambda: {gradient: drawn_and_expected(gradient) for gradient in constructed(name)})()
    for gradient, (draws, right) in jax.tree.map(np.asarray, computed).items():
        for drawn, expected in zip(draws, right, strict=True):
            error = drawn.std(axis=0) / np.sqrt(len(drawn)) + np.abs(drawn).max() / len(drawn)  # some are never drawn
            np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - expected), 5 * error + 1e-12, gradient)
            assert (np.count_nonzero(drawn, axis=1) <= 2).all(), gradient
