"""Steps whose minibatch goes through the networks in parts: their gradient is the mean of those of the parts."""

import dataclasses
import re
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.profile import compiled

import iwax
from iwax.training.fit import Trainer
from iwax.training.recipes import get_recipe
from iwax.training.steps import _gradient, _once_there, num_parts
from iwax.training.updates import phases, trainable

MODEL = iwax.LinearGaussian.isotropic(3)


def gradient_of(objective, x, key, parts=None):
    """Losses and gradient of a step, joint update."""
    recipe = dataclasses.replace(get_recipe("burda-paper"), batch_size=len(x), parts=parts)
    (phase,) = phases(MODEL, objective, "joint")
    parameters, fixed = eqx.partition((MODEL, objective), trainable(MODEL, objective))
    computed = jax.jit(lambda parameters, x, key: _gradient(phase, recipe, parameters, fixed, x, key)[:2])
    return computed(parameters, x, key)


@pytest.mark.parametrize(
    "objective",
    [
        iwax.IWAE(num_samples=400),
        iwax.PIWAE(num_groups=20, num_samples=20),
        pytest.param(iwax.CIWAE(num_samples=400, beta=0.5), marks=pytest.mark.slow),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_the_gradient_of_a_step_in_parts_is_the_mean_of_theirs(objective):
    x, key = MODEL.sample(jax.random.key(0), 6), jax.random.key(1)
    assert num_parts(6, 400) == 2
    whole = gradient_of(objective, x, key)
    keys = jax.random.split(key, 2)
    parts = [gradient_of(objective, x[3 * i : 3 * i + 3], keys[i]) for i in range(2)]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / 2, *parts)
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(mean), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert jnp.isfinite(jnp.stack(whole[0])).all()


def test_how_many_parts():
    assert [num_parts(batch, 50) for batch in (20, 48, 100, 250)] == [1, 2, 4, 10]
    assert num_parts(250, 1) == num_parts(250, 5) == 1
    assert num_parts(251, 50) == 1  # a prime: parts of one image would be too small


def test_parts_and_so_the_draws_are_the_recipe_s_and_not_the_device_s(monkeypatch):
    """A part has a key of its own: with one for each kind of device, a seed would train another model on a GPU."""
    objective, x, key = iwax.IWAE(num_samples=400), MODEL.sample(jax.random.key(0), 6), jax.random.key(1)
    here, in_one = gradient_of(objective, x, key), gradient_of(objective, x, key, parts=1)
    assert here[0] != in_one[0]  # the control: other draws
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda *_: [SimpleNamespace(platform="gpu")])
    assert gradient_of(objective, x, key)[0] == here[0]


def test_parts_that_do_not_divide_a_minibatch_are_refused():
    with pytest.raises(ValueError, match="Expected parts to divide batch_size=20; got 3"):
        dataclasses.replace(get_recipe("burda-paper"), parts=3)


def test_a_step_copies_no_weight_before_it_updates_it(monkeypatch):
    model = iwax.VAE(12, [3], [[7, 5]], key=jax.random.key(0))
    images = np.zeros((8, 12), np.uint8)

    def copies():
        jax.clear_caches()
        trainer = Trainer(images=images, recipe=get_recipe("burda-paper"), key=jax.random.key(1), batch_size=4)
        state = trainer.start(model, iwax.IWAE(num_samples=2))
        text = compiled(SimpleNamespace(trainer=trainer, state=state, images=trainer.on_device()))
        return len(re.findall(r"f32\[(?:7,5|5,7|5,3|3,5|7,12)\]\S* copy\(%get-tuple-element", text))

    assert copies() == 0
    monkeypatch.setattr("iwax.training.steps._once_there", lambda gradient, changes: changes)
    assert copies() > 0  # the control


def test_a_change_waits_for_the_gradient_and_takes_nothing_from_it():
    gradient = {"a": jnp.full(3, jnp.nan), "b": jnp.full(2, -jnp.inf), "c": jnp.ones((2, 2))}
    changes = {"a": jnp.ones(3), "b": jnp.zeros(2), "c": jnp.asarray([[-0.5, 1e-30], [2.0, jnp.inf]])}
    found = jax.jit(_once_there)(gradient, changes)
    assert all(np.array_equal(found[name], changes[name]) for name in changes)


def test_a_phase_without_parameters_has_nothing_to_wait_for():
    assert jax.jit(_once_there)((), ()) == ()
    assert jax.jit(_once_there)({"fixed": None}, {"fixed": None}) == {"fixed": None}
