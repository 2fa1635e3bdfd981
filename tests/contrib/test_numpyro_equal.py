"""By the same key, the plain gradient equals NumPyro's own losses for every program that those get right."""

import functools

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import mask, scale
from numpyro.infer import SVI, RenyiELBO, Trace_ELBO, autoguide

import iwax
from iwax.contrib.numpyro import ImportanceWeightedELBO
from iwax.objectives import VRIWAE

pytestmark = pytest.mark.usefixtures("x64")

X = jnp.array([0.3, -1.0, 2.0, 0.7])
KEPT = jnp.array([True, False, True, True])
PARAMS = {"mu": 0.2, "slope": 0.4, "size": 0.8}


def local_model(x, subsample_size=None, kept=True):
    """Everything in one plate, two latents, two observed sites, a factor."""
    mu, size = numpyro.param("mu", 0.0), numpyro.param("size", 1.0)
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index, mask(mask=kept):
        z = numpyro.sample("z", dist.Normal(mu, size))
        rate = numpyro.sample("rate", dist.LogNormal(z, 1))
        numpyro.sample("x", dist.Normal(z, 1), obs=x[index])
        numpyro.sample("wait", dist.Exponential(rate), obs=jnp.ones(len(index)))
        numpyro.factor("small", -0.1 * z**2)


def local_guide(x, subsample_size=None, kept=True):
    """A second latent that depends on the first and on noise drawn in between; shares a parameter with the model."""
    slope, size = numpyro.param("slope", 0.0), numpyro.param("size", 1.0)
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index, mask(mask=kept):
        z = numpyro.sample("z", dist.Normal(slope * x[index], size))
        shift = jax.random.normal(numpyro.prng_key())
        numpyro.sample("rate", dist.LogNormal(slope * z + shift, 0.7))


def global_model(x, subsample_size=None):
    mean = numpyro.sample("mean", dist.Normal(numpyro.param("mu", 0.0), 1).expand([2]).to_event(1))
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index:
        numpyro.sample("x", dist.Normal(mean[0], jnp.exp(mean[1])), obs=x[index])


def global_guide(x, subsample_size=None):
    slope, size = numpyro.param("slope", 0.0), numpyro.param("size", 1.0)
    numpyro.sample("mean", dist.Normal(slope * jnp.ones(2), 0.3 * size).to_event(1))


def nested_model(x, subsample_size=None):
    """Two common plates, and one inside the weights."""
    with numpyro.plate("rows", 2, dim=-2), numpyro.plate("data", 4, subsample_size=subsample_size, dim=-1) as index:
        z = numpyro.sample("z", dist.Normal(numpyro.param("mu", 0.0), 1))
        with numpyro.plate("repeats", 3, dim=-3):
            numpyro.sample("x", dist.Normal(z, numpyro.param("size", 1.0)), obs=x[index] * jnp.ones((3, 2, 1)))


def nested_guide(x, subsample_size=None):
    with numpyro.plate("rows", 2, dim=-2), numpyro.plate("data", 4, subsample_size=subsample_size, dim=-1) as index:
        numpyro.sample("z", dist.Normal(numpyro.param("slope", 0.0) * x[index], 0.5))


SLOW = pytest.mark.slow
PROGRAMS = {
    "local": (local_model, local_guide, {}),
    "local, subsampled": (local_model, local_guide, {"subsample_size": 2}),
    "local, masked": (local_model, local_guide, {"kept": KEPT}),
    "global": (global_model, global_guide, {}),
    "nested": (nested_model, nested_guide, {}),
    "nested, subsampled": (nested_model, nested_guide, {"subsample_size": 2}),
}


def compiled(loss, program):
    """(key, x) -> the loss and its gradient, as numbers."""
    model, guide, options = PROGRAMS[program] if isinstance(program, str) else program
    model, guide = functools.partial(model, **options), functools.partial(guide, **options)
    params = {
        name: jnp.asarray(value, float) for name, value in PARAMS.items()
    }  # of no weak type, which X would narrow
    function = jax.jit(lambda key, x: jax.value_and_grad(lambda p: loss.loss(key, p, model, guide, x))(params))
    return lambda key, x=X: jax.tree.map(float, function(key, x))


def assert_equal(ours, theirs):
    assert ours[0] == pytest.approx(theirs[0], rel=1e-12)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("local", marks=SLOW),
        pytest.param("local, subsampled", marks=SLOW),
        pytest.param("local, masked", marks=SLOW),
        "global",
        "nested",
        pytest.param("nested, subsampled", marks=SLOW),
    ],
)
def test_iwae_is_renyi_at_zero(program):
    key = jax.random.key(1)
    ours = compiled(ImportanceWeightedELBO(iwax.IWAE(num_samples=3)), program)(key)
    assert_equal(ours, compiled(RenyiELBO(alpha=0, num_particles=3), program)(key))


@pytest.mark.slow
def test_vr_iwae_is_renyi():
    key = jax.random.key(2)
    ours = compiled(ImportanceWeightedELBO(VRIWAE(num_samples=3, alpha=0.4)), "local")(key)
    assert_equal(ours, compiled(RenyiELBO(alpha=0.4, num_particles=3), "local")(key))


def mixed_model(x):
    """A global and a local latent, and a part of the model at half its weight."""
    mean = numpyro.sample("mean", dist.Normal(numpyro.param("mu", 0.0), 1))
    with numpyro.plate("data", 4), scale(scale=0.5):
        z = numpyro.sample("z", dist.Normal(mean, 1))
        numpyro.sample("x", dist.Normal(z, 1), obs=x)


def mixed_guide(x):
    slope, size = numpyro.param("slope", 0.0), numpyro.param("size", 1.0)
    mean = numpyro.sample("mean", dist.Normal(slope, size))
    with numpyro.plate("data", 4), scale(scale=0.5):
        numpyro.sample("z", dist.Normal(slope * x + mean, 0.5))


@pytest.mark.parametrize(
    "program",
    [pytest.param("local, masked", marks=SLOW), pytest.param("nested", marks=SLOW), (mixed_model, mixed_guide, {})],
)
def test_the_elbo_is_trace_elbo(program):
    key = jax.random.key(3)
    ours = compiled(ImportanceWeightedELBO(iwax.ELBO(num_samples=3)), program)(key)
    draw_key = jax.random.split(key)[1]  # the other half is for subsamples, as in RenyiELBO
    assert_equal(ours, compiled(Trace_ELBO(num_particles=3), program)(draw_key))


@SLOW
@pytest.mark.parametrize("program", ["local, subsampled", "global"])
def test_running_again_gives_the_same_value(program):
    """Had substitution taken other keys, or other subsamples, the re-run would weigh other draws."""
    key = jax.random.key(4)
    plain = compiled(ImportanceWeightedELBO(iwax.IWAE(num_samples=3)), program)(key)
    objective = iwax.IWAE(num_samples=3, gradient="doubly-reparameterized")
    other = compiled(ImportanceWeightedELBO(objective), program)(key)
    assert other[0] == pytest.approx(plain[0], rel=1e-12)
    assert other[1]["mu"] == pytest.approx(plain[1]["mu"], rel=1e-10)  # of the model alone: always the plain gradient
    assert other[1]["slope"] != pytest.approx(plain[1]["slope"], rel=1e-3)


def test_a_subsample_that_only_the_model_draws():
    """Allowed for the ELBO, and the same for all particles and runs."""
    program = (global_model, lambda x, subsample_size: global_guide(x), {"subsample_size": 2})
    key = jax.random.key(5)
    plain = compiled(ImportanceWeightedELBO(iwax.ELBO(num_samples=2)), program)(key)
    sticking = compiled(ImportanceWeightedELBO(iwax.ELBO(num_samples=2, gradient="sticking-the-landing")), program)(key)
    assert sticking[0] == pytest.approx(plain[0], rel=1e-12)
    assert sticking[1]["mu"] == pytest.approx(plain[1]["mu"], rel=1e-10)


@pytest.mark.slow
def test_one_by_one_is_all_at_once():
    key = jax.random.key(6)
    objective = iwax.IWAE(num_samples=3, gradient="doubly-reparameterized")
    together = compiled(ImportanceWeightedELBO(objective), "local")(key)
    assert_equal(compiled(ImportanceWeightedELBO(objective, vectorize_particles=False), "local")(key), together)


@pytest.mark.parametrize("gradient", [pytest.param("reparameterized", marks=SLOW), "doubly-reparameterized"])
def test_a_masked_datum_counts_for_nothing(gradient):
    function = compiled(ImportanceWeightedELBO(iwax.IWAE(num_samples=3, gradient=gradient)), "local, masked")
    key = jax.random.key(7)
    assert_equal(function(key, X.at[1].set(100.0)), function(key))
    assert function(key, X.at[0].set(100.0))[0] > function(key)[0] + 100


def three_model(x):
    """Three global latents, two of them constrained."""
    size = numpyro.sample("size", dist.HalfNormal(1))
    share = numpyro.sample("share", dist.Beta(2, 2))
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("data", 4):
        numpyro.sample("x", dist.Normal(share * mean, size), obs=x)


@pytest.mark.slow
@pytest.mark.parametrize(
    "guide",
    [
        autoguide.AutoNormal,
        autoguide.AutoDiagonalNormal,
        autoguide.AutoMultivariateNormal,
        autoguide.AutoLowRankMultivariateNormal,
        autoguide.AutoIAFNormal,
    ],
)
def test_automatic_guides(guide):
    guide = guide(three_model)
    svi = SVI(three_model, guide, numpyro.optim.Adam(0.1), loss=ImportanceWeightedELBO(iwax.IWAE(num_samples=3)))
    params = svi.get_params(svi.init(jax.random.key(0), X))  # once: another init may start elsewhere

    def value_and_gradient(loss):
        return jax.value_and_grad(lambda params: loss.loss(jax.random.key(1), params, three_model, guide, X))(params)

    objectives = [iwax.IWAE(num_samples=3, gradient=gradient) for gradient in iwax.IWAE.gradients]
    losses = [RenyiELBO(alpha=0, num_particles=3), *map(ImportanceWeightedELBO, objectives)]
    theirs, plain, *others = jax.jit(lambda: [value_and_gradient(loss) for loss in losses])()
    assert float(plain[0]) == pytest.approx(float(theirs[0]), rel=1e-12)
    for ours, expected in zip(jax.tree.leaves(plain[1]), jax.tree.leaves(theirs[1]), strict=True):
        assert jnp.allclose(ours, expected, rtol=1e-8, atol=1e-10)
    for value, _ in others:
        assert float(value) == pytest.approx(float(theirs[0]), rel=1e-8)
