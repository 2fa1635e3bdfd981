"""The built-in models: sizes, shapes, densities, starting values."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import iwax
from iwax.models.distributions import Bernoulli, DiagonalNormal, softplus

KEY = jax.random.key(0)
BINARY = (jax.random.uniform(jax.random.key(1), (4, 12)) < 0.4).astype(float)


def vae(**options):
    return iwax.VAE(12, [4, 3], [[6], [5]], key=KEY, **options)


@pytest.mark.parametrize(("name", "count"), [("one-layer", 425_284), ("two-layer", 521_084), ("larger", 973_624)])
def test_the_published_numbers_of_parameters(name, count):
    assert iwax.ARCHITECTURES[name](key=KEY).num_parameters == count


def test_the_two_groups_hold_all_parameters():
    model = vae()
    groups = [sum(leaf.size for leaf in jax.tree.leaves(group)) for group in (model.generative, model.inference)]
    assert sum(groups) == model.num_parameters


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_shapes_for_any_depth_and_batch(depth, likelihood, batch):

    def computed(x):
        model = iwax.VAE(12, [4, 3, 2][:depth], [[6], [5], [4]][:depth], key=KEY, likelihood=likelihood)
        z, log_q = model.posterior(x).sample_and_log_prob(KEY, (5,))
        return z, log_q, model.log_joint(x, z), model.likelihood(model.prior.sample(KEY, (7,))).mean

    z, log_q, log_p, mean = jax.eval_shape(computed, jnp.zeros((*batch, 12)))
    assert [leaf.shape for leaf in jax.tree.leaves(z)] == [(5, *batch, size) for size in (4, 3, 2)[:depth]]
    assert log_q.shape == log_p.shape == (5, *batch)
    assert mean.shape == (7, 12)


def test_images_and_vectors_are_the_same():
    model = iwax.VAE(12, [4], [[6]], key=KEY)
    z = model.posterior(BINARY).sample(KEY, (3,))
    images = BINARY.reshape(4, 3, 4)
    np.testing.assert_array_equal(model.log_joint(images, z), model.log_joint(BINARY, z))
    np.testing.assert_array_equal(model.log_joint(BINARY.astype(bool), z), model.log_joint(BINARY, z))


def test_the_encoder_runs_once_however_many_samples():
    """The encoder's first product has as many rows as there are images, whatever K is."""
    model = iwax.VAE(12, [4], [[6]], key=KEY)
    jaxpr = str(jax.make_jaxpr(lambda x: iwax.per_example_loss(model, iwax.IWAE(num_samples=50), x, KEY))(BINARY))
    assert "f32[4,6] = dot_general" in jaxpr
    assert "f32[50,4,6] = dot_general" in jaxpr  # the decoder's, from 4 latents to 6 hidden units
    assert "f32[50,4,12] = dot_general" in jaxpr
    assert jaxpr.count("f32[4,6] = dot_general") == 1


def test_the_joint_density_is_that_of_numpyro():
    """log p(x, z) and log q(z | x) of two layers, put together by hand from another library's distributions."""
    model = vae()
    x = BINARY

    def normal(block, below):
        q = block(below)
        return dist.Normal(q.loc, jnp.exp(q.log_scale)).to_event(1)

    @jax.jit
    def computed():
        z1, z2 = z = model.posterior(x).sample(KEY, (5,))
        log_p = dist.Normal(0, 1).expand([3]).to_event(1).log_prob(z2) + normal(model.generative[0], z2).log_prob(z1)
        log_p += dist.Bernoulli(logits=model.generative[1](z1).logits).to_event(1).log_prob(x)
        log_q = normal(model.inference[0], x).log_prob(z1) + normal(model.inference[1], z1).log_prob(z2)
        return (model.log_joint(x, z), log_p), (model.posterior(x).log_prob(z), log_q)

    for ours, by_hand in computed():
        np.testing.assert_allclose(ours, by_hand, rtol=1e-5)


def test_a_draw_knows_its_density():
    model = vae()

    @jax.jit
    def both():
        posterior = model.posterior(BINARY)
        z, log_q = posterior.sample_and_log_prob(KEY, (5,))
        return log_q, posterior.log_prob(z)

    np.testing.assert_allclose(*both(), rtol=1e-5)


def test_the_output_starts_at_the_clipped_mean_of_the_data():
    mean = jnp.array([0.0, 0.0005, 0.3, 1.0] * 3)
    model = vae(data_mean=mean)
    bias = model.generative[-1].logits.bias
    np.testing.assert_allclose(jax.nn.sigmoid(bias), jnp.clip(mean, 0.001, 0.999), rtol=1e-5)
    np.testing.assert_array_equal(vae().generative[-1].logits.bias, 0)
    gaussian = vae(likelihood="gaussian", data_mean=mean)
    np.testing.assert_array_equal(gaussian.generative[-1].loc.bias, mean)


@pytest.mark.parametrize(("init", "half_width"), [("glorot", np.sqrt(6 / 300)), ("uniform", 1 / np.sqrt(200))])
def test_initial_weights_fill_their_range(init, half_width):
    weight = iwax.VAE(200, [4], [[100]], key=KEY, init=init).inference[0].trunk.layers[0].weight
    assert weight.shape == (200, 100)
    assert 0.99 * half_width < jnp.abs(weight).max() <= half_width
    assert abs(weight.std() - half_width / np.sqrt(3)) < 0.02 * half_width


def test_softplus_and_its_derivative(x64):
    x = jnp.array([-800.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0])
    np.testing.assert_allclose(softplus(x), jax.nn.softplus(x), rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(jax.grad(softplus))(x), jax.nn.sigmoid(x), rtol=1e-12)


def test_distributions_agree_with_numpyro():
    loc, log_scale, value = jax.random.normal(KEY, (3, 5))
    ours = DiagonalNormal(loc, log_scale).log_prob(value)
    np.testing.assert_allclose(ours, dist.Normal(loc, jnp.exp(log_scale)).log_prob(value).sum(), rtol=1e-5)
    binary = (value > 0).astype(float)
    ours = Bernoulli(loc).log_prob(binary)
    np.testing.assert_allclose(ours, dist.Bernoulli(logits=loc).log_prob(binary).sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vae(likelihood="poisson"), "Expected likelihood to be one of bernoulli, gaussian; got 'poisson'"),
        (lambda: vae(init="he"), "Expected init to be one of glorot.*; got 'he'"),
        (lambda: vae(activation="elu"), "Expected activation to be one of tanh, relu, silu; got 'elu'"),
        (lambda: vae(scale_map="square"), "Expected scale_map to be one of exp, softplus; got 'square'"),
        (lambda: iwax.VAE(12, [4, 3], [[6]], key=KEY), "one list of widths per stochastic layer; got 1 for 2 layers"),
        (
            lambda: vae().posterior(jnp.ones((4, 11))),
            r"Expected x to have 12 values per.*; got 11, of shape \(11,\)",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_frozen_posterior_has_no_gradient_in_any_parameter(depth):
    """Networks inside the posterior included; yet it stays differentiable in z."""
    model = iwax.VAE(12, [4, 3][:depth], [[6], [5]][:depth], key=KEY)

    @eqx.filter_jit
    def computed(model):
        z = model.posterior(BINARY).sample(KEY, (5,))
        of_frozen = eqx.filter_grad(lambda model: iwax.freeze(model.posterior(BINARY)).log_prob(z).sum())(model)
        of_z = jax.grad(lambda z: iwax.freeze(model.posterior(BINARY)).log_prob(z).sum())(z)
        return of_frozen, of_z, eqx.filter_grad(lambda model: model.posterior(BINARY).log_prob(z).sum())(model)

    of_frozen, of_z, live = jax.tree.map(np.asarray, computed(model))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(of_frozen))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(of_z))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(live.inference))  # negative control
