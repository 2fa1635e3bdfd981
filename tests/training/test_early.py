"""Few samples for most of a run and many at its end: which bound each epoch climbs, and that nothing else changes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.training.cohort import Cohort, CohortState
from iwax.training.early import EarlyPart, with_fewer
from iwax.training.fit import Trainer
from iwax.training.recipe import Recipe

MODEL = iwax.LinearGaussian.isotropic(2, variance=0.3)
X = np.asarray(iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 50))
COSINE = Recipe(name="cosine", source="this test", batch_size=8, stages=((1e-2, 4),), decay="cosine")
EARLY = dataclasses.replace(COSINE, early_samples=2, early_part=0.5)
MANY = iwax.IWAE(num_samples=8, backward="resampled", num_resampled=3)


def fit(model, objective, recipe, **options):
    return iwax.fit(model, objective, X, recipe=recipe, key=jax.random.key(1), binarize="none", **options)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.fixture(scope="module")
def scheduled():
    return fit(MODEL, MANY, EARLY)


def test_a_run_of_few_samples_then_many_is_one_run_stopped_and_gone_on_with_another_objective(scheduled):
    """To the bit: one cosine, one optimiser and the random numbers of one run; no code of the schedule is used here."""
    few = fit(MODEL, iwax.IWAE(num_samples=2), COSINE, epochs=4, on_epoch=lambda record: record["epoch"] < 2)
    assert few.epochs == 2
    rest = fit(few, MANY, COSINE, epochs=2)
    assert same((scheduled.model, scheduled.opt_state), (rest.model, rest.opt_state))
    assert scheduled.objective == MANY
    assert [record["bound"] for record in scheduled.records] == [record["bound"] for record in rest.records]
    later = fit(few, iwax.IWAE(num_samples=2), COSINE, epochs=2)  # the control
    assert not same(scheduled.model, later.model)


def test_each_record_says_how_many_samples_its_bound_has(scheduled):
    assert [record["samples"] for record in scheduled.records] == [2, 2, 8, 8]
    plain = fit(MODEL, iwax.IWAE(num_samples=2), EARLY, epochs=1)  # no more samples than the early part has
    assert "samples" not in plain.records[0]


def test_how_long_the_early_part_is():
    tenths = dataclasses.replace(EARLY, early_part=0.9)
    lengths = {epochs: tenths.early(epochs, [MANY]) for epochs in (1, 2, 10, 30)}
    assert lengths == {1: None, 2: EarlyPart(1, 2), 10: EarlyPart(9, 2), 30: EarlyPart(27, 2)}
    assert [EarlyPart(2, 5).has(step, 6) for step in (0, 11, 12, 13)] == [True, True, False, False]
    assert COSINE.early(30, [MANY]) is dataclasses.replace(EARLY, early_samples=0).early(30, [MANY]) is None
    assert EARLY.early(30, [MANY, iwax.IWAE(num_samples=2)]) is None


def test_groups_are_kept_where_the_samples_can_be_shared_out_among_them():
    drawn = np.random.default_rng(1).normal(0.0, 3.0, (8, 4))
    iwae, groups = np.log(np.exp(drawn).mean(axis=0)), np.log(np.exp(drawn.reshape(4, 2, 4)).mean(axis=1)).mean(axis=0)
    piwae = with_fewer(iwax.PIWAE(num_groups=4, num_samples=16, backward="resampled", num_resampled=8), 8)
    np.testing.assert_allclose(piwae.bound(jnp.asarray(drawn, jnp.float32)), iwae, rtol=1e-5)
    for bound in (piwae.inference_bound, with_fewer(iwax.MIWAE(num_groups=4, num_samples=16), 8).bound):
        np.testing.assert_allclose(bound(jnp.asarray(drawn, jnp.float32)), groups, rtol=1e-5)
    assert not np.allclose(groups, iwae, rtol=1e-2)  # the control


def test_with_one_group_of_few_samples_grouped_objectives_are_the_iwae_of_so_many():
    drawn = np.random.default_rng(0).normal(0.0, 3.0, (5, 4))
    iwae, elbo, log_w = np.log(np.exp(drawn).mean(axis=0)), drawn.mean(axis=0), jnp.asarray(drawn, jnp.float32)
    piwae = with_fewer(iwax.PIWAE(num_groups=8, num_samples=8, backward="resampled", num_resampled=8), 5)
    assert (piwae.backward, piwae.num_resampled, piwae.total_samples) == ("all", None, 5)
    for bound in (piwae.bound, piwae.inference_bound, with_fewer(iwax.MIWAE(num_groups=8, num_samples=8), 5).bound):
        np.testing.assert_allclose(bound(log_w), iwae, rtol=1e-5)
    ciwae = with_fewer(iwax.CIWAE(num_samples=64, beta=0.25, gradient="doubly-reparameterized"), 5)
    np.testing.assert_allclose(ciwae.bound(log_w), 0.25 * elbo + 0.75 * iwae, rtol=1e-5)
    assert ciwae.gradient == "doubly-reparameterized"


@pytest.mark.slow
def test_both_networks_of_an_alternating_update_have_few_samples_at_first():
    objective = iwax.PIWAE(num_groups=3, num_samples=4)
    update = iwax.Alternating(inference=iwax.MIWAE(num_groups=3, num_samples=4), generative=iwax.IWAE(num_samples=4))
    few = iwax.Alternating(inference=iwax.IWAE(num_samples=2), generative=iwax.IWAE(num_samples=2))
    model = iwax.VAE(key=jax.random.key(0), data_size=2, latent_sizes=(2,), hidden_sizes=((4,),), likelihood="gaussian")
    ours = fit(model, objective, EARLY, update=update, epochs=2)
    assert [record["samples"] for record in ours.records] == [2, 4]
    theirs = fit(model, objective, COSINE, update=few, epochs=2, on_epoch=lambda record: False)
    np.testing.assert_allclose(ours.records[0]["bound"], theirs.records[0]["bound"], rtol=1e-5)


@pytest.mark.slow
def test_what_an_objective_learns_it_learns_in_both_parts():
    objective = iwax.CIWAE(num_samples=8, beta_rule="ascend")
    betas = [record["beta"] for record in fit(MODEL, objective, EARLY).records]
    assert 0.5 > betas[0] > betas[1] > betas[2]
    assert fit(MODEL, objective, EARLY).objective.num_samples == 8


@pytest.mark.slow
def test_runs_that_share_a_program_change_over_together_and_are_what_each_is_alone():
    early = EarlyPart(2, 2)
    common = {"images": X, "recipe": COSINE, "batch_size": 8, "binarize": "none", "early": early}
    trainers = [Trainer(key=jax.random.key(seed), **common) for seed in (1, 2)]
    start = CohortState.stack([one.start(MODEL, MANY) for one in trainers])
    *_, together = Cohort(tuple(trainers)).chunks(start, 18)
    alone = fit(MODEL, MANY, EARLY, on_epoch=lambda record: record["epoch"] < 3)  # of the first seed
    for ours, theirs in zip(jax.tree.leaves(together.member(0).model), jax.tree.leaves(alone.model), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert together.runs.objective == MANY
    assert trainers[0].num_samples(together.runs) == 8


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"early_samples": -1}, "Expected early_samples to be an integer of at least 0; got -1."),
        ({"early_samples": 5, "early_part": 1.0}, "Expected early_part to be above 0 and below 1; got 1.0."),
    ],
)
def test_a_recipe_with_an_early_part_that_is_none_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(COSINE, **fields)


def test_fewer_samples_than_an_objective_can_have_are_refused():
    with pytest.raises(ValueError, match=r"Expected early_samples to be fewer than the 8 samples of IWAE; got 8\."):
        with_fewer(MANY, 8)
    with pytest.raises(ValueError, match=r"even number of samples for antithetic sampling; got 5 for IWAE"):
        with_fewer(iwax.IWAE(num_samples=8, sampling="antithetic"), 5)
