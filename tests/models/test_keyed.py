"""Networks with dropout get a key in training and none in judging; networks with state are refused by name."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.models import DiagonalNormal
from iwax.models.keyed import takes_key, with_key

KEY = jax.random.key(0)
X = jnp.asarray(3 * np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)


class Dropping(eqx.Module):
    """q(z | x) whose mean rests on three inputs, each of which is dropped half of the time."""

    generative: jax.Array
    inference: jax.Array

    @property
    def prior(self):
        return DiagonalNormal(self.generative, jnp.zeros(3))

    def posterior(self, x, key=None):
        kept = x if key is None else x * jax.random.bernoulli(key, 0.5, x.shape)
        return DiagonalNormal(kept * self.inference, jnp.zeros_like(x))

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + DiagonalNormal(z, jnp.zeros_like(z)).log_prob(x)


class DroppingOne(Dropping):
    """The same written for one example; its decoder drops, too."""

    def log_joint(self, x, z, key=None):
        kept = z if key is None else 2 * z * jax.random.bernoulli(key, 0.5, z.shape)
        return self.prior.log_prob(z) + DiagonalNormal(kept, jnp.zeros_like(z)).log_prob(x)


def model(cls=Dropping):
    return cls(jnp.zeros(3), jnp.full(3, 0.5))


def test_training_gives_a_key_and_judging_none():
    value = eqx.filter_jit(iwax.loss)
    objective = iwax.ELBO(num_samples=4000)
    ours = float(value(model(), objective, X, KEY))
    assert ours == float(value(model(), objective, X, KEY))  # one key, one mask
    others = [float(value(model(), objective, X, jax.random.key(seed))) for seed in range(1, 4)]
    assert np.std([ours, *others]) > 0.1  # masks differ between steps
    judged = [iwax.log_likelihood(model(), X, key, num_samples=4096) for key in jax.random.split(KEY)]
    exact = -0.5 * np.sum(X**2 / 2 + np.log(4 * np.pi), axis=-1)  # x ~ N(0, 2)
    np.testing.assert_allclose(judged, [exact, exact], atol=0.2)


def test_a_model_asked_twice_in_a_step_drops_the_same_units():
    keyed = with_key(model(DroppingOne), KEY)
    assert eqx.tree_equal(keyed.posterior(X).loc, keyed.posterior(X).loc)
    assert not eqx.tree_equal(keyed.posterior(X).loc, with_key(model(DroppingOne), jax.random.key(1)).posterior(X).loc)
    assert keyed.prior.loc.shape == (3,)
    assert keyed.generative is keyed.model.generative
    with pytest.raises(AttributeError):
        _ = keyed.likelihood


def test_each_example_of_a_batched_model_has_a_key_of_its_own():
    lifted = iwax.batched(model(DroppingOne))
    assert takes_key(lifted) == ("posterior", "log_joint")
    assert takes_key(iwax.batched(iwax.LinearGaussian.isotropic(3))) == ()
    same = jnp.ones((64, 3))
    dropped = np.asarray(with_key(lifted, KEY).posterior(same).per_example.loc)
    assert 0.4 < (dropped == 0).mean() < 0.6
    assert len(np.unique(dropped, axis=0)) > 4
    assert float(eqx.filter_jit(iwax.loss)(lifted, iwax.IWAE(num_samples=3), X, KEY)) > 0


@pytest.mark.slow
def test_such_a_model_is_trained_and_meets_the_contract():
    report = iwax.check_model(model(), X, KEY)
    assert report.ok, report
    assert "posterior get a key in training, none in judging" in report.facts
    result = iwax.fit(
        model(), iwax.IWAE(num_samples=2), np.asarray(X), recipe="burda-paper", key=KEY, epochs=2, batch_size=5,
        binarize="none",
    )  # fmt: skip
    assert np.isfinite(result.records[-1]["bound"])


def test_a_backward_pass_of_few_samples_is_refused_as_its_masks_would_be_others():
    with pytest.raises(ValueError, match=r"Expected backward='all' for a model whose posterior takes a key"):
        iwax.loss(model(), iwax.IWAE(num_samples=4, backward="resampled"), X, KEY)


def test_a_model_without_a_key_is_left_as_it_is():
    plain = iwax.LinearGaussian.isotropic(3)
    assert with_key(plain, KEY) is plain


class Stateful(Dropping):
    norm: eqx.nn.StatefulLayer

    def __init__(self):
        self.generative, self.inference = jnp.zeros(3), jnp.full(3, 0.5)
        self.norm = eqx.nn.BatchNorm(3, axis_name="batch", mode="batch")


def test_batch_statistics_are_refused_by_name():
    (problem,) = iwax.check_model(Stateful(), X, KEY).problems
    assert problem.startswith("Expected a model without state; got BatchNorm at .norm")
    assert "eqx.nn.LayerNorm or eqx.nn.GroupNorm" in problem


class ReturnsState(Dropping):
    def posterior(self, x):
        return super().posterior(x), {"mean": x.mean()}


def test_a_posterior_with_a_state_beside_it_is_refused_by_name():
    (problem,) = iwax.check_model(ReturnsState(jnp.zeros(3), jnp.ones(3)), X, KEY).problems
    assert problem.startswith("Expected model.posterior(x) to return a density; got a tuple of 2")


class OneZ(eqx.Module):
    """Written for one z, too: its network takes a vector."""

    generative: eqx.nn.Linear
    inference: jax.Array

    def posterior(self, x):
        return DiagonalNormal(x * self.inference, jnp.zeros_like(x))

    def log_joint(self, x, z):
        prior = DiagonalNormal(jnp.zeros(3), jnp.zeros(3)).log_prob(z)
        return prior + DiagonalNormal(self.generative(z), jnp.zeros_like(z)).log_prob(x)


class MapsOverZ(OneZ):
    def log_joint(self, x, z):
        prior = DiagonalNormal(jnp.zeros(3), jnp.zeros(3)).log_prob(z)
        return prior + DiagonalNormal(jax.vmap(self.generative)(z), jnp.zeros_like(z)).log_prob(x)


@pytest.mark.slow
def test_the_shape_of_z_within_batched_is_named_where_it_was_mistaken():
    parts = eqx.nn.Linear(3, 3, key=KEY), jnp.full(3, 0.5)
    (problem,) = iwax.check_model(iwax.batched(OneZ(*parts)), X, KEY).problems
    assert "Within iwax.batched, x is one example, but z has its samples first, (7, *event)" in problem
    assert "jax.vmap(network)(z)" in problem
    (problem,) = iwax.check_model(MapsOverZ(*parts), X, KEY).problems  # and where it was not lifted at all
    assert "becomes one for batches by iwax.batched(model)" in problem
    assert iwax.check_model(iwax.batched(MapsOverZ(*parts)), X, KEY).ok
