"""The contract of models: foreign posteriors, single-example models lifted to batches, and what check_model says."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import iwax
from iwax.evaluation.decoding import reconstruct, sample_images
from iwax.models.distributions import DiagonalNormal, MarkovChain

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (5, 3))


class NumpyroModel(eqx.Module):
    """The linear-Gaussian toy written with numpyro's distributions."""

    generative: jax.Array
    inference: eqx.nn.Linear

    def __init__(self):
        self.generative, self.inference = jnp.zeros(3), eqx.nn.Linear(3, 3, key=KEY)

    def posterior(self, x):
        return dist.Normal(x @ self.inference.weight.T + self.inference.bias, 0.8).to_event(1)

    def log_joint(self, x, z):
        prior = dist.Normal(self.generative, 1.0).to_event(1).log_prob(z)
        return prior + dist.Normal(z, 1.0).to_event(1).log_prob(x)


class SinglePosterior(eqx.Module):
    """q(z1 | x) q(z2 | z1), with a network inside."""

    loc: jax.Array
    network: eqx.nn.MLP

    def sample(self, key, sample_shape):
        key1, key2 = jax.random.split(key)
        z1 = self.loc + jax.random.normal(key1, (*sample_shape, 2))
        return z1, jax.vmap(self.network)(z1) + jax.random.normal(key2, (*sample_shape, 2))

    def log_prob(self, z):
        mean = jax.vmap(self.network)(z[0])
        return dist.Normal(self.loc, 1).log_prob(z[0]).sum(-1) + dist.Normal(mean, 1).log_prob(z[1]).sum(-1)


class SingleModel(eqx.Module):
    """Written for one example with equinox's own layers, which know nothing of batches."""

    generative: eqx.nn.MLP
    inference: tuple

    def __init__(self):
        keys = jax.random.split(KEY, 3)
        self.generative = eqx.nn.MLP(2, 3, 4, 1, key=keys[0])
        self.inference = (eqx.nn.MLP(3, 2, 4, 1, key=keys[1]), eqx.nn.MLP(2, 2, 4, 1, key=keys[2]))

    def posterior(self, x):
        return SinglePosterior(self.inference[0](x), self.inference[1])

    def log_joint(self, x, z):
        z1, z2 = z
        prior = dist.Normal(0, 1).log_prob(z2).sum(-1) + dist.Normal(z2, 1).log_prob(z1).sum(-1)
        return prior + dist.Normal(jax.vmap(self.generative)(z1), 1).log_prob(x).sum(-1)


MODELS = {
    "linear-gaussian": lambda: iwax.LinearGaussian.isotropic(3),
    "vae": lambda: iwax.VAE(3, [2], [[4]], key=KEY, likelihood="gaussian"),
    "two-layer vae": lambda: iwax.VAE(3, [3, 2], [[4], [4]], key=KEY, likelihood="gaussian"),
    "numpyro": NumpyroModel,
    "batched equinox": lambda: iwax.batched(SingleModel()),
}
quick_models = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in ("vae", "batched equinox") else []) for name in MODELS],
)  # what the one of two layers has in it, and what is tried below


@quick_models
def test_models_that_meet_the_contract(name):
    report = iwax.check_model(MODELS[name](), X, KEY)
    assert report.ok, report
    assert "meets the contract" in str(report)


@quick_models
@pytest.mark.parametrize(
    "gradient",
    [
        pytest.param(one, marks=[pytest.mark.slow] if one == "sticking-the-landing" else [])
        for one in iwax.IWAE.gradients
    ],
)
def test_they_train_under_every_gradient(name, gradient):
    objective = iwax.IWAE(num_samples=4, gradient=gradient)
    found = eqx.filter_jit(eqx.filter_value_and_grad(iwax.loss))(MODELS[name](), objective, X, KEY)
    value, grads = jax.tree.map(np.asarray, found)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(grads.inference))


def test_a_lifted_model_is_the_single_one_for_each_example():
    single = SingleModel()
    lifted = iwax.batched(single)
    z = jax.jit(lambda: lifted.posterior(X).sample(KEY, (6,)))()
    assert [leaf.shape for leaf in z] == [(6, 5, 2), (6, 5, 2)]
    log_q, log_p = jax.jit(lambda: (lifted.posterior(X).log_prob(z), lifted.log_joint(X, z)))()
    alone = jax.jit(lambda x, z: (single.posterior(x).log_prob(z), single.log_joint(x, z)))
    for i, x in enumerate(X):
        log_q_i, log_p_i = alone(x, jax.tree.map(lambda leaf, i=i: leaf[:, i], z))
        np.testing.assert_allclose(log_q[:, i], log_q_i, rtol=1e-5)
        np.testing.assert_allclose(log_p[:, i], log_p_i, rtol=1e-5)


class Decoding(SingleModel):
    """The model above with its likelihood, which takes exactly one leading axis, and a prior."""

    @property
    def prior(self):
        return MarkovChain(DiagonalNormal(jnp.zeros(2), jnp.zeros(2)), (_around,), top_down=True)

    def likelihood(self, z):
        return dist.Normal(jax.vmap(self.generative)(z[0]), 1).to_event(1)


def _around(z2):
    return DiagonalNormal(z2, jnp.zeros_like(z2))


def test_a_lifted_model_has_the_prior_and_the_likelihood_of_the_single_one():
    single = Decoding()
    lifted = iwax.batched(single)

    @jax.jit
    def computed():
        z = lifted.posterior(X).sample(KEY, (6,))
        likelihood = lifted.likelihood(z)
        third = single.likelihood((z[0][:, 2], z[1][:, 2])).mean
        parts = lifted.prior.log_prob(z) + likelihood.log_prob(X)
        return lifted.log_joint(X, z), parts, likelihood.mean, third, likelihood.sample(KEY)

    log_p, parts, mean, third, sample = computed()
    np.testing.assert_allclose(parts, log_p, rtol=1e-5)
    np.testing.assert_allclose(mean[:, 2], third, rtol=1e-5)
    assert sample.shape == mean.shape == (6, 5, 3)
    assert sample_images(lifted, 7, KEY).shape == (7, 3)
    assert reconstruct(lifted, np.asarray(X), KEY).shape == (5, 3)


@pytest.mark.slow
def test_a_lifted_model_with_a_prior_is_checked_and_judged_by_its_divergence():
    lifted = iwax.batched(Decoding())
    assert iwax.check_model(lifted, X, KEY).ok
    assert iwax.evaluate(lifted, np.asarray(X), KEY, num_samples=64, binarize="none").kl is not None


def test_a_lifted_model_without_them_has_none():
    lifted = iwax.batched(SingleModel())
    assert not hasattr(lifted, "prior")
    assert not hasattr(lifted, "likelihood")


def test_a_lifted_posterior_keeps_one_copy_of_its_networks():
    posterior = iwax.batched(SingleModel()).posterior(X)
    shapes = {leaf.shape for leaf in jax.tree.leaves(eqx.filter(posterior, eqx.is_array))}
    assert shapes == {(5, 2), (4, 2), (4,), (2, 4), (2,)}  # means of five examples, and one network


class Broken(SingleModel):
    """The model above with one thing wrong at a time."""

    wrong: str = eqx.field(static=True)

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def posterior(self, x):
        if self.wrong == "raises":
            raise RuntimeError("no such layer")
        if self.wrong == "still":
            return SinglePosterior(jnp.zeros(2) * x[0], self.inference[1])
        return super().posterior(x)

    def log_joint(self, x, z):
        log_p = super().log_joint(x, z)
        return log_p * jnp.nan if self.wrong == "nan" else log_p


class ClosurePosterior:
    """An opaque object: what it holds cannot be seen, nor frozen."""

    def __init__(self, posterior):
        self.inside = posterior

    def sample(self, key, sample_shape):
        return self.inside.sample(key, sample_shape)

    def log_prob(self, z):
        return self.inside.log_prob(z)


class ClosureModel(NumpyroModel):
    def posterior(self, x):
        return ClosurePosterior(super().posterior(x))


class Ungrouped(NumpyroModel):
    extra: jax.Array

    def __init__(self):
        super().__init__()
        self.extra = jnp.ones(2)


class SummedJoint(NumpyroModel):
    def log_joint(self, x, z):
        return super().log_joint(x, z).sum(axis=1)


class SummedDensity(NumpyroModel):
    def posterior(self, x):
        return dist.Normal(x @ self.inference.weight.T + self.inference.bias, 0.8)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: object(), "Expected the model to have posterior, log_joint, generative, inference; it has no"),
        (
            lambda: iwax.batched(Broken("raises")),
            r"Expected model.posterior\(x\) to work; got RuntimeError: no such layer",
        ),
        (SummedJoint, r"Expected model.log_joint\(x, z\) to have the shape of"),
        pytest.param(
            lambda: iwax.batched(Broken("nan")),
            r"Expected model.log_joint\(x, z\) to be finite",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda: iwax.batched(Broken("still")),
            "to depend on all of model.inference; no gradient in",
            marks=pytest.mark.slow,
        ),
        (ClosureModel, "Expected the posterior to be a pytree, to be frozen; got an opaque ClosurePosterior"),
        (
            ClosureModel,
            "Expected a frozen posterior to have no gradient in parameters; it has one in .inference.weight",
        ),
        (Ungrouped, r"in neither: \.extra"),
        (SummedDensity, r"got \(7, 5\). Both must sum over the event"),
    ],
)
def test_what_check_model_finds(make, problem):
    report = iwax.check_model(make(), X, KEY)
    assert not report.ok
    assert any(re.search(problem, found) for found in report.problems), report


class Discrete(NumpyroModel):
    def posterior(self, x):
        return dist.Bernoulli(logits=x @ self.inference.weight.T + self.inference.bias).to_event(1)


@pytest.mark.parametrize("gradient", iwax.IWAE.gradients)
def test_a_posterior_that_cannot_be_reparameterized_is_refused(gradient):
    with pytest.raises(ValueError, match=r"posterior with reparameterized samples .* got Independent|has_rsample"):
        iwax.loss(Discrete(), iwax.IWAE(num_samples=2, gradient=gradient), X, KEY)


def test_a_log_joint_that_would_only_broadcast_is_refused():
    model = SummedJoint()
    with pytest.raises(ValueError, match=r"Expected model.log_joint\(x, z\) to have shape"):
        iwax.loss(model, iwax.IWAE(num_samples=2), X, KEY)
