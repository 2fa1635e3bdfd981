"""The loss inside NumPyro's SVI, and its estimators on programs without closed forms, by z-scores with fixed seeds."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.handlers import mask, scale
from numpyro.infer import SVI, RenyiELBO, autoguide

import iwax
from iwax.contrib.numpyro import ImportanceWeightedELBO
from iwax.objectives import RWS, VIMCO
from iwax.weights import log_mean_exp

pytestmark = pytest.mark.usefixtures("x64")

X = jnp.array([0.3, -1.0, 2.0, 0.7])


def gradients(loss, program, params, num_keys, *args):
    """The estimator's gradient for each of `num_keys` keys, {name: (num_keys, *shape)}."""
    keys = jax.random.split(jax.random.key(0), num_keys)
    gradient = jax.grad(lambda params, key: loss.loss(key, params, *program, *args))
    return jax.jit(jax.vmap(gradient, (None, 0)))(params, keys)


def z_score(samples, expected=0.0):
    """The largest |mean - expected| in standard errors, over all elements."""
    error = jnp.std(samples, axis=0) / np.sqrt(len(samples))
    return float(jnp.max(jnp.abs(jnp.mean(samples, axis=0) - expected) / error))


# Two layers, linear and Gaussian: z2 ~ N(0, 1), z1 ~ N(0.7 z2 + 0.2, 0.8^2), x ~ N(z1, 0.6^2).
GAIN = 0.8**2 + 0.7**2  # of z1 alone
SHRINK = GAIN / (GAIN + 0.6**2)
POSTERIOR = {
    "slope": SHRINK,
    "offset": 0.2 * (1 - SHRINK),
    "scale1": np.sqrt(SHRINK) * 0.6,
    "a": 0.7 / GAIN,
    "c": -0.7 * 0.2 / GAIN,
    "scale2": 0.8 / np.sqrt(GAIN),
}


def two_layers(x):
    with numpyro.plate("data", len(x)):
        z2 = numpyro.sample("z2", dist.Normal(0, 1))
        z1 = numpyro.sample("z1", dist.Normal(0.7 * z2 + 0.2, 0.8))
        numpyro.sample("x", dist.Normal(z1, 0.6), obs=x)


def two_layer_guide(x, see=lambda z1: z1):
    at = {name: numpyro.param(name, value) for name, value in POSTERIOR.items()}
    with numpyro.plate("data", len(x)):
        z1 = numpyro.sample("z1", dist.Normal(at["slope"] * x + at["offset"], at["scale1"]))
        numpyro.sample("z2", dist.Normal(at["a"] * see(z1) + at["c"], at["scale2"]))


def detached_guide(x):
    two_layer_guide(x, jax.lax.stop_gradient)


@pytest.mark.slow
@pytest.mark.parametrize("joint", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "gradient", [pytest.param("sticking-the-landing", marks=pytest.mark.slow), "doubly-reparameterized"]
)
def test_no_noise_at_the_posterior(gradient, joint):
    loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=3, gradient=gradient), joint=joint)
    params = {name: jnp.asarray(value, float) for name, value in POSTERIOR.items()}
    for value in gradients(loss, (two_layers, two_layer_guide), params, 5, X).values():
        assert jnp.max(jnp.abs(value)) < 1e-12
    wrong = gradients(loss, (two_layers, detached_guide), params, 5, X)  # the negative control
    assert jnp.min(jnp.max(jnp.abs(jnp.stack([wrong["slope"], wrong["scale1"]])), axis=0)) > 1e-2


def delta_model(x):
    mean = numpyro.sample("mean", dist.Normal(0, numpyro.param("size", 1.0)))
    with numpyro.plate("data", 4):
        numpyro.sample("x", dist.Normal(mean, 1), obs=x)


def delta_guide(x):
    numpyro.sample("mean", dist.Delta(numpyro.param("mean_auto_loc", 0.0), log_density=numpyro.param("density", 0.0)))


@pytest.mark.parametrize("gradient", iwax.IWAE.gradients)
@pytest.mark.parametrize("guide", [delta_guide, pytest.param(autoguide.AutoDelta(delta_model), marks=pytest.mark.slow)])
def test_a_delta_guide_climbs_the_joint_density(guide, gradient):
    numpyro.handlers.seed(guide, 0)(X)  # sets an automatic guide up
    loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=3, gradient=gradient))
    params = {"size": jnp.array(1.3), "mean_auto_loc": jnp.array(0.4), "density": jnp.array(0.1)}
    got = jax.jit(jax.grad(lambda params: loss.loss(jax.random.key(0), params, delta_model, guide, X)))(params)
    assert got["mean_auto_loc"] == pytest.approx(float(0.4 / 1.3**2 - jnp.sum(X - 0.4)))
    assert got["size"] == pytest.approx(1 / 1.3 - 0.4**2 / 1.3**3)
    assert got["density"] == (1 if guide is delta_guide else 0)


def positive_model(x, subsample_size=None):
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index:
        z = numpyro.sample("z", dist.Normal(0, 1))
        numpyro.sample("x", dist.Normal(z, numpyro.param("noise", 1.0, constraint=constraints.positive)), obs=x[index])


def positive_guide(x, subsample_size=None):
    slope = numpyro.param("slope", 0.0)
    size = numpyro.param("size", 0.5, constraint=constraints.positive)
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index:
        numpyro.sample("z", dist.Normal(slope * x[index], size))


def positive_svi():
    loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=4, gradient="doubly-reparameterized"))
    return SVI(positive_model, positive_guide, numpyro.optim.Adam(0.02), loss=loss)


@pytest.mark.slow
def test_svi_updates_and_evaluates():
    svi = positive_svi()
    state = svi.init(jax.random.key(0), X)
    updated, value = jax.jit(svi.update)(state, X)
    assert jax.jit(svi.evaluate)(state, X) == pytest.approx(float(value), rel=1e-12)
    assert svi.get_params(updated)["size"] != svi.get_params(state)["size"]
    # The bound of the same draws, written out.
    _, key = jax.random.split(jax.random.split(state.rng_key)[1])
    z = jnp.stack([_draw(key, 4) for key in jax.random.split(key, 4)])
    log_w = dist.Normal(0, 1).log_prob(z) + dist.Normal(z, 1).log_prob(X) - dist.Normal(0, 0.5).log_prob(z)
    assert value == pytest.approx(-float(jnp.sum(log_mean_exp(log_w))), rel=1e-12)


@pytest.mark.slow
def test_svi_runs():
    result = positive_svi().run(jax.random.key(1), 600, X, progress_bar=False)
    assert result.params["noise"] == pytest.approx(float(jnp.sqrt(jnp.mean(X**2) - 1)), abs=0.15)  # most likely
    assert jnp.mean(result.losses[-50:]) < jnp.mean(result.losses[:50])


def _draw(key, size):
    """What NumPyro draws at the guide's first site."""
    _, guide_key = jax.random.split(key)
    return 0.5 * jax.random.normal(jax.random.split(guide_key)[1], (size,))


def scaled_model(x, index):
    """The negative control: subsampling by a scale that stays inside of the weight."""
    with numpyro.plate("data", 2), scale(scale=2.0):
        z = numpyro.sample("z", dist.Normal(0, 1))
        numpyro.sample("x", dist.Normal(z, 1), obs=x[index])


def scaled_guide(x, index):
    with numpyro.plate("data", 2), scale(scale=2.0):
        numpyro.sample("z", dist.Normal(numpyro.param("slope", 0.0) * x[index], numpyro.param("size", 1.0)))


@pytest.mark.slow
def test_subsampled_gradients_have_the_mean_of_full_ones():
    params = {"slope": jnp.array(0.2), "size": jnp.array(0.6), "noise": jnp.array(1.0)}
    loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=2, gradient="doubly-reparameterized"))
    program, count = (positive_model, positive_guide), 8000
    full = gradients(loss, program, params, count, X)
    part = gradients(loss, program, params, count, X, 2)
    assert max(z_score(part[name] - full[name]) for name in params) < 4
    plain = ImportanceWeightedELBO(iwax.IWAE(num_samples=2))
    halves = [gradients(plain, (scaled_model, scaled_guide), params, count, X, jnp.array(i)) for i in ([0, 2], [1, 3])]
    wrong = (halves[0]["slope"] + halves[1]["slope"]) / 2
    assert z_score(wrong - full["slope"]) > 8


def curved_model(x, subsample_size, kept):
    mu = numpyro.param("mu", 0.0)
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index, mask(mask=kept[index]):
        z = numpyro.sample("z", dist.Normal(mu, 1))
        rate = numpyro.sample("rate", dist.LogNormal(0.5 * z, 1))
        numpyro.sample("x", dist.Normal(z, 0.5 + rate), obs=x[index])


def curved_guide(x, subsample_size, kept):
    """Two layers, a constrained latent, and a parameter of the model."""
    mu, slope, size = numpyro.param("mu", 0.0), numpyro.param("slope", 0.0), numpyro.param("size", 1.0)
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index, mask(mask=kept[index]):
        z = numpyro.sample("z", dist.Normal(mu + slope * x[index], size))
        numpyro.sample("rate", dist.LogNormal(slope * z, size))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("joint", "subsample_size", "kept"),
    [(False, None, True), (False, 2, True), (False, None, False), (True, None, True), (True, None, False)],
)
def test_doubly_reparameterized_gradients_have_the_mean_of_plain_ones(joint, subsample_size, kept):
    params = {"mu": jnp.array(0.1), "slope": jnp.array(0.4), "size": jnp.array(0.8)}
    kept = jnp.array([True, kept, True, True])
    samples = {}
    for gradient in iwax.IWAE.gradients:
        loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=2, gradient=gradient), joint=joint)
        samples[gradient] = gradients(loss, (curved_model, curved_guide), params, 40000, X, subsample_size, kept)
    plain, sticking, doubly = (samples[name] for name in iwax.IWAE.gradients)
    assert max(z_score(doubly[name] - plain[name]) for name in params) < 4
    assert max(z_score(sticking[name] - plain[name]) for name in params) > 8  # the negative control


def switch_model(x):
    on = numpyro.sample("on", dist.Bernoulli(probs=numpyro.param("prior", 0.5)))
    numpyro.sample("x", dist.Normal(numpyro.param("step", 1.0) * on, 1), obs=x)


def switch_guide(x):
    numpyro.sample("on", dist.Bernoulli(logits=numpyro.param("logit", 0.0)))


@pytest.mark.slow
def test_discrete_latents_by_score_functions():
    """Against the gradient of the bound, enumerated over the four pairs of draws."""
    params = {"prior": jnp.array(0.3), "step": jnp.array(1.5), "logit": jnp.array(0.4)}
    on = jnp.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])

    def exact_loss(params):
        log_q = dist.Bernoulli(logits=params["logit"]).log_prob(on)
        log_p = dist.Bernoulli(probs=params["prior"]).log_prob(on) + dist.Normal(params["step"] * on, 1).log_prob(0.8)
        return -jnp.sum(jnp.exp(jnp.sum(log_q, axis=0)) * log_mean_exp(log_p - log_q))

    expected = jax.grad(exact_loss)(params)
    program = (switch_model, switch_guide)
    vimco = gradients(ImportanceWeightedELBO(VIMCO(num_samples=2)), program, params, 8000, jnp.array(0.8))
    for name, value in expected.items():
        assert z_score(vimco[name], value) < 4, name
    rws = gradients(ImportanceWeightedELBO(RWS(num_samples=2)), program, params, 8000, jnp.array(0.8))
    assert z_score(rws["logit"], expected["logit"]) > 6  # the negative control: another objective's gradient
    assert z_score(rws["step"], expected["step"]) < 4
    # A warning of SVI that discrete latents are not supported would be an error here.
    svi = SVI(*program, numpyro.optim.Adam(0.1), loss=ImportanceWeightedELBO(VIMCO(num_samples=2)))
    svi.init(jax.random.key(0), jnp.array(0.8))


def test_a_weight_of_zero():
    """NumPyro's RenyiELBO has no number here."""

    def model():
        z = numpyro.sample("z", dist.Normal(0, 1))
        numpyro.factor("positive", jnp.where(z > 0, -0.5 * z, -jnp.inf))

    def guide():
        numpyro.sample("z", dist.Normal(numpyro.param("loc", 0.0), 1))

    params = {"loc": jnp.array(0.0)}
    objectives = [iwax.IWAE(num_samples=16, gradient=gradient) for gradient in iwax.IWAE.gradients]
    losses = [RenyiELBO(num_particles=16), *map(ImportanceWeightedELBO, objectives)]

    def value_and_gradient(loss):
        return jax.value_and_grad(lambda params: loss.loss(jax.random.key(0), params, model, guide))(params)

    (theirs, _), *ours = jax.jit(lambda: [value_and_gradient(loss) for loss in losses])()
    assert jnp.isnan(theirs)
    assert all(jnp.isfinite(value) and jnp.isfinite(gradient["loc"]) for value, gradient in ours)


def test_parameters_that_come_as_arguments():
    """They are frozen as those of param sites are, so that their scores do not count twice."""
    loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=3, gradient="doubly-reparameterized"))

    def argument_guide(x, slope, size):
        with numpyro.plate("data", 4):
            numpyro.sample("z", dist.Normal(slope * x, size))

    def argument_model(x, slope, size):
        positive_model(x)

    key, at = jax.random.key(0), jnp.array([0.3, 0.6])
    noise = {"noise": jnp.array(1.0)}
    by_argument = jax.jit(jax.grad(lambda at: loss.loss(key, noise, argument_model, argument_guide, X, *at)))(at)

    def by_param_site(at):
        return loss.loss(key, {**noise, "slope": at[0], "size": at[1]}, positive_model, positive_guide, X)

    assert by_argument.tolist() == pytest.approx(jax.jit(jax.grad(by_param_site))(at).tolist(), rel=1e-10)


WITHOUT_NUMPYRO = """
import sys
import iwax
iwax.IWAE, iwax.VAE
assert "numpyro" not in sys.modules
sys.modules["numpyro"] = None  # as if it were not installed
import iwax.contrib.numpyro
"""


def test_iwax_does_without_numpyro_and_its_part_says_what_to_install():
    result = subprocess.run([sys.executable, "-c", WITHOUT_NUMPYRO], capture_output=True, text=True, check=False)
    assert result.stderr.strip().splitlines()[-1] == (
        "iwax.errors.MissingExtraError: Expected numpyro to be installed for iwax.contrib.numpyro; "
        'pip install "iwax[numpyro]" brings it.'
    )
