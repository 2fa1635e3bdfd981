"""Several runs as one program: each is the run alone, up to how batched sums round."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.training.cohort import Cohort, CohortState
from iwax.training.fit import NonFiniteLossError, Trainer
from iwax.training.optimisers import Decay
from iwax.training.recipe import Recipe
from tiny import tiny_data

MODEL = iwax.LinearGaussian.isotropic(2, variance=0.3)
X = np.asarray(iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 50))
FLAT = Recipe(name="flat", source="this test", batch_size=8, stages=((1e-2, 100),), epsilon=1e-4)
RECIPES = (  # every number that may differ; 6 steps an epoch
    FLAT,
    dataclasses.replace(FLAT, stages=((3e-2, 1), (1e-3, 1)), beta1=0.5, epsilon=1e-6),
    dataclasses.replace(FLAT, stages=((5e-3, 2),), beta2=0.9),
)
BETAS = (0.0, 0.3, 1.0)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}


def trainer(recipe=FLAT, seed=1, **options):
    return Trainer(
        **{"images": X, "recipe": recipe, "key": jax.random.key(seed), "batch_size": 8, "binarize": "none"} | options
    )


def alone(trainer, state, num_steps):
    images = trainer.on_device()
    while int(state.step) < num_steps:
        state = trainer.advance(state, images, num_steps - int(state.step))
    return state


def together(trainers, states, num_steps):
    cohort, state = Cohort(tuple(trainers)), CohortState.stack(states)
    images = cohort.on_device()
    while int(state.step) < num_steps:
        state = cohort.advance(state, images, num_steps - int(state.step))
    return cohort, state


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def same(a, b):
    return all(np.allclose(x, y, equal_nan=True, **TOLERANCE) for x, y in zip(leaves(a), leaves(b), strict=True))


@pytest.fixture(scope="module")
def mixed():
    """Three runs of 15 steps that differ in every number, as one program; and each alone, of the class it equals."""
    trainers = [trainer(recipe, seed) for seed, recipe in enumerate(RECIPES)]
    states = [t.start(MODEL, iwax.CIWAE(num_samples=3, beta=b)) for t, b in zip(trainers, BETAS, strict=True)]
    cohort, state = together(trainers, states, 15)
    classes = (iwax.IWAE(num_samples=3), states[1].objective, iwax.ELBO(num_samples=3))
    singles = [alone(t, t.start(MODEL, objective), 15) for t, objective in zip(trainers, classes, strict=True)]
    return cohort, state, singles


def test_each_run_is_the_run_alone_and_iwae_and_elbo_are_ciwae_at_beta_0_and_1(mixed):
    _, state, singles = mixed
    for i, single in enumerate(singles):
        member = state.member(i)
        assert int(member.step) == int(single.step) == 15
        assert same((member.model, member.opt_state, member.bounds), (single.model, single.opt_state, single.bounds))
        assert not any(same(state.member(j).model, single.model) for j in range(3) if j != i)


def test_its_record_is_that_of_the_run_alone(mixed):
    cohort, state, singles = mixed
    own, record = (cohort.trainers[1].record(run) for run in (state.member(1), singles[1]))
    assert own == pytest.approx(record, rel=1e-5)
    assert own["learning_rate"] == record["learning_rate"] == pytest.approx(1e-3)


class Probe(eqx.Module):
    """A model whose bound is a weighted count of white pixels: it tells images and their binarisation, exactly."""

    generative: jax.Array

    def posterior(self, x):
        return iwax.LinearGaussian.isotropic(1).posterior(jnp.zeros((*x.shape[:-2], 1)))

    def log_joint(self, x, z):
        weights = jnp.arange(1.0, 17).reshape(4, 4)
        return self.posterior(x).log_prob(z) + jnp.sum(weights * x, axis=(-2, -1)) + 0 * self.generative


@pytest.mark.parametrize("rule", ["dynamic", pytest.param("fixed", marks=pytest.mark.slow)])
def test_minibatches_and_their_binarisation_are_the_same_to_the_bit(rule):
    options = {"images": tiny_data().train, "batch_size": 10, "binarize": rule}
    trainers = [trainer(seed=seed, **options) for seed in (0, 1)]
    states = [t.start(Probe(jnp.zeros([])), iwax.ELBO()) for t in trainers]
    _, state = together(trainers, states, 4)
    bounds = [alone(t, s, 4).bounds for t, s in zip(trainers, states, strict=True)]
    assert np.array_equal(state.member(0).bounds, bounds[0])
    assert np.array_equal(state.member(1).bounds, bounds[1])
    assert not np.array_equal(bounds[0], bounds[1])


def test_a_run_that_fails_says_what_it_would_say_alone_and_leaves_the_others(mixed):
    cohort, _, singles = mixed
    # The rate of the second stage, from step 7 on, carries run 1 away.
    failing = dataclasses.replace(RECIPES[1], stages=((1e-2, 1), (1e30, 1)))
    trainers = [cohort.trainers[0], trainer(failing, 1), cohort.trainers[2]]
    states = [t.start(MODEL, iwax.CIWAE(num_samples=3, beta=b)) for t, b in zip(trainers, BETAS, strict=True)]
    cohort, before = together(trainers, states, 6)
    after = cohort.advance(before, cohort.on_device(), 6)
    assert [cohort.failure(before, i, 0) for i in range(3)] == [None, None, None]
    assert cohort.failure(after, 0, 6) is None is cohort.failure(after, 2, 6)
    with pytest.raises(NonFiniteLossError) as error:
        alone(trainers[1], before.member(1), 12)
    assert str(cohort.failure(after, 1, 6)) == str(error.value)
    assert "Expected a finite loss" in str(error.value)
    last = cohort.advance(after, cohort.on_device(), 3)
    assert same(last.member(0).model, singles[0].model)
    assert same(last.member(2).model, singles[2].model)


def test_one_minus_beta_is_rounded_once():
    decay = Decay.of([0.999, 0.9])
    assert np.array_equal(1 - decay, np.float32([1 - 0.999, 1 - 0.9]))
    assert not np.array_equal(1 - decay, 1 - np.float32([0.999, 0.9]))  # what the wrapper is for


def test_the_runs_are_shared_out_in_equal_parts():
    devices = jax.devices() * 4  # only their number counts here
    assert [Cohort((trainer(),) * runs, devices=tuple(devices)).mesh.size for runs in (1, 2, 3, 4, 6, 8)] == [
        *(1, 2, 3, 4, 3, 4)
    ]


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import jax
import test_cohort as t
assert len(jax.devices()) == 2
trainers = [t.trainer(seed=seed) for seed in range(4)]
states = [x.start(t.MODEL, t.iwax.IWAE(num_samples=3)) for x in trainers]
cohort, state = t.together(trainers, states, 15)
assert cohort.mesh.size == 2
assert len(state.finite.sharding.device_set) == 2
for i in range(4):
    assert t.same(state.member(i), t.alone(trainers[i], states[i], 15)), i
    assert not t.same(state.member(i), state.member((i + 2) % 4))
"""


@pytest.mark.slow
def test_on_two_devices():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)  # where its own imports are found, theirs are
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
