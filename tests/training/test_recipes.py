"""Every recipe against numbers worked out by hand: its schedule, and its first three updates of a small problem."""

import dataclasses
import re
from math import sqrt

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

import iwax
from iwax.data import Dataset
from iwax.models.distributions import DiagonalNormal
from iwax.training.optimisers import adam
from iwax.training.recipe import Recipe
from iwax.training.recipes import RECIPES, get_recipe

X = np.array([[1.0], [3.0]], np.float32)  # two images of one pixel; their mean is 2


class Shift(eqx.Module):
    """log p(x, z) / q(z | x) = -(x - a)^2 / 2 whatever z: minus the bound has the gradient mean(a - x) in a."""

    a: Array

    def posterior(self, x: Array) -> DiagonalNormal:
        return DiagonalNormal(jnp.zeros_like(x), jnp.zeros_like(x))

    def log_joint(self, x: Array, z: Array) -> Array:
        return self.posterior(x).log_prob(z) - 0.5 * jnp.sum((x - self.a) ** 2, axis=-1)


def three_updates(recipe: str) -> list[float]:
    """a after one, two and three steps from a = 0 with both images in every batch, so that a step is an epoch."""
    values = []
    for epochs in (1, 2, 3):
        model = Shift(jnp.asarray(0.0, float))
        fitted = iwax.fit(
            model,
            iwax.ELBO(),
            X,
            recipe=recipe,
            key=jax.random.key(0),
            epochs=epochs,
            batch_size=2,
            binarize="none",
        )
        values.append(float(fitted.model.a))
    return values


def test_adam_is_that_of_optax_and_keeps_its_state():
    theirs = optax.adam(optax.constant_schedule(1e-3), 0.9, 0.999, 1e-4)
    ours = adam(optax.constant_schedule(1e-3), beta1=0.9, beta2=0.999, epsilon=1e-4)
    parameters = {"a": jnp.zeros(5), "b": jnp.zeros((2, 3))}
    states = [theirs.init(parameters), ours.init(parameters)]
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])  # so that older checkpoints go on
    for step in range(40):
        gradient = jax.tree.map(
            lambda leaf, step=step: jnp.cos(step + jnp.arange(leaf.size)).reshape(leaf.shape), parameters
        )
        updates, states[0] = theirs.update(gradient, states[0])
        own, states[1] = ours.update(gradient, states[1])
        for a, b in zip(jax.tree.leaves((updates, states[0])), jax.tree.leaves((own, states[1])), strict=True):
            assert a.dtype == b.dtype
            assert np.allclose(a, b, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("recipe", ["burda-paper", "dd2434"])
def test_three_updates_of_the_paper(x64, recipe):
    # Rates: 1e-3 for one epoch, then 1e-3 / 10^(1/7) = 7.1968567e-4 for three. Mean gradient g = a - 2.
    # Step 1: g = -2, m = 0.1 g = -0.2, v = 0.001 g^2 = 0.004; corrected by 0.1 and 0.001 they are -2 and 4.
    a1 = 1e-3 * 2 / (2 + 1e-4)
    # Step 2: m = 0.9 (-0.2) + 0.1 g, corrected by 1 - 0.81; v = 0.999 (0.004) + 0.001 g^2, by 1 - 0.998001.
    g = a1 - 2
    m, v = -0.18 + 0.1 * g, 0.003996 + 0.001 * g**2
    a2 = a1 - 7.196856730011521e-4 * (m / 0.19) / (sqrt(v / 0.001999) + 1e-4)
    # Step 3: corrections 1 - 0.729 and 1 - 0.997002999.
    g = a2 - 2
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    a3 = a2 - 7.196856730011521e-4 * (m / 0.271) / (sqrt(v / 0.002997001) + 1e-4)
    assert a1 == pytest.approx(9.999500025e-4, rel=1e-9)
    assert three_updates(recipe) == pytest.approx([a1, a2, a3], rel=1e-9)


def test_three_updates_of_the_papers_code(x64):
    # Rates 1e-3, then 7.2e-4. Summed gradient g = 2 (a - 2). m starts at 0, v at 1; a moves by the moments from before
    # the step's own gradient, and 1e-4 is added to the uncorrected root of v.
    # Step 1: m = 0, so a stays 0. Then g = -4: m = 0.01 (-4) = -0.04, v = 0.999 + 0.001 (16) = 1.015.
    # Step 2: corrections sqrt(1 - 0.998001) and 1 - 0.9801.
    a2 = 7.2e-4 * sqrt(0.001999) / 0.0199 * 0.04 / (sqrt(1.015) + 1e-4)
    # Again g = -4, since a was still 0: m = 0.99 (-0.04) - 0.04 = -0.0796, v = 0.999 (1.015) + 0.016 = 1.029985.
    # Step 3: corrections sqrt(1 - 0.997002999) and 1 - 0.970299.
    a3 = a2 + 7.2e-4 * sqrt(0.002997001) / 0.029701 * 0.0796 / (sqrt(1.029985) + 1e-4)
    assert a2 == pytest.approx(6.4218e-5, rel=1e-4)
    assert three_updates("burda-code") == pytest.approx([0, a2, a3], rel=1e-9)


def test_three_updates_of_tightiwae(x64):
    # Adam's defaults: as the paper's, with epsilon 1e-8. With g = -2 at first, a1 = 1e-3 2 / (2 + 1e-8).
    a1 = 1e-3 * 2 / (2 + 1e-8)
    g = a1 - 2
    m, v = -0.18 + 0.1 * g, 0.003996 + 0.001 * g**2
    a2 = a1 - 7.196856730011521e-4 * (m / 0.19) / (sqrt(v / 0.001999) + 1e-8)
    g = a2 - 2
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    a3 = a2 - 7.196856730011521e-4 * (m / 0.271) / (sqrt(v / 0.002997001) + 1e-8)
    assert three_updates("tightiwae") == pytest.approx([a1, a2, a3], rel=1e-9)


def test_epsilon_hat_and_second_moment_alone(x64):
    # One step of each from g = -2, rate 1e-3, epsilon 0.5: outside the correction, and inside it with v from 9.
    base = Recipe(name="own", source="", batch_size=2, stages=((1e-3, 1),), epsilon=0.5)
    hat = dataclasses.replace(base, epsilon_hat=True)
    high = dataclasses.replace(base, second_moment=9.0)

    def first_update(recipe):
        model = Shift(jnp.asarray(0.0, float))
        fitted = iwax.fit(model, iwax.ELBO(), X, recipe=recipe, key=jax.random.key(0), binarize="none")
        return float(fitted.model.a)

    assert first_update(hat) == pytest.approx(1e-3 * sqrt(0.001) / 0.1 * 0.2 / (sqrt(0.004) + 0.5), rel=1e-9)
    assert first_update(high) == pytest.approx(1e-3 * 2 / (sqrt((8.991 + 0.004) / 0.001) + 0.5), rel=1e-9)


ROUNDED = [1e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1e-4]
EXACT = [1e-3, 7.196857e-4, 5.179475e-4, 3.727594e-4, 2.682696e-4, 1.930698e-4, 1.389495e-4, 1e-4]
FIRST_EPOCHS = [0, 1, 4, 13, 40, 121, 364, 1093]  # of each stage: sums of powers of 3


@pytest.mark.parametrize(
    ("name", "rates"), [("burda-paper", EXACT), ("burda-code", ROUNDED), ("dd2434", EXACT), ("tightiwae", EXACT)]
)
def test_schedule(name, rates):
    recipe = get_recipe(name)
    rate = recipe.learning_rate(10)
    assert recipe.epochs == 3280
    for epoch, expected in zip(FIRST_EPOCHS, rates, strict=True):
        assert float(rate(10 * epoch)) == pytest.approx(expected, rel=1e-6)
    for epoch, before in zip(FIRST_EPOCHS[1:], rates, strict=False):
        assert float(rate(10 * epoch - 1)) == pytest.approx(before, rel=1e-6)
    assert float(rate(10 * 5000)) == pytest.approx(1e-4, rel=1e-6)


def test_tightiwae_stops_at_1000_epochs_of_omniglot():
    recipe = get_recipe("tightiwae").for_run("omniglot")
    assert recipe.epochs == 1000
    assert recipe.stages[-1] == (pytest.approx(1.389495e-4, rel=1e-6), 636)
    assert get_recipe("tightiwae").for_run("mnist").epochs == 3280


def test_scaled():
    recipe = get_recipe("burda-code").scaled(0.1)
    assert [epochs for _, epochs in recipe.stages] == [1, 1, 1, 3, 8, 24, 73, 219]
    assert [rate for rate, _ in recipe.stages] == pytest.approx(ROUNDED, rel=1e-9)
    with pytest.raises(ValueError, match=r"Expected factor to be positive; got 0.0"):
        recipe.scaled(0.0)


# Batch size, images trained on, and steps in an epoch, of the whole data sets.
SIZES = {
    ("burda-paper", "mnist"): (20, 60_000, 3000),
    ("burda-paper", "omniglot"): (20, 24_345, 1217),
    ("burda-code", "mnist"): (20, 59_600, 2980),
    ("burda-code", "omniglot"): (20, 23_000, 1150),
    ("dd2434", "mnist"): (48, 60_000, 1250),
    ("dd2434", "omniglot"): (45, 24_345, 541),
    ("tightiwae", "mnist"): (20, 60_000, 3000),
    ("tightiwae", "omniglot"): (20, 24_345, 1217),
}


@pytest.mark.parametrize(("name", "dataset"), SIZES)
def test_sizes(name, dataset):
    recipe = get_recipe(name).for_run(dataset)
    images = np.arange({"mnist": 60_000, "omniglot": 24_345}[dataset])[:, None]
    batch_size, num_images, steps = SIZES[name, dataset]
    trained_on = recipe.training_images(images)
    assert (recipe.batch_size, len(trained_on), len(trained_on) // recipe.batch_size) == (
        batch_size,
        num_images,
        steps,
    )
    assert len(np.unique(trained_on)) == num_images


def test_the_papers_code_keeps_mnist_in_order_and_permutes_omniglot_once():
    images = np.arange(24_345)[:, None]
    recipe = get_recipe("burda-code")
    assert np.array_equal(recipe.for_run("mnist").training_images(images), images[:-400])
    permuted = recipe.for_run("omniglot").training_images(images)
    assert np.array_equal(permuted[:, 0], np.random.RandomState(123).permutation(24_345)[:23_000])


def test_never_shuffled_batches_come_in_file_order():
    # Each batch is one image; with the rate so high that a after a step is nearly that image, the last one wins.
    recipe = Recipe(name="own", source="", batch_size=1, stages=((0.5, 1),), shuffle="never", beta1=0.0, beta2=0.0)
    x = np.linspace(1, 2, 8, dtype=np.float32)[:, None]
    fits = [
        iwax.fit(Shift(jnp.zeros([])), iwax.ELBO(), x, recipe=recipe, key=jax.random.key(seed), binarize="none")
        for seed in (0, 1)
    ]
    a = 0.0
    for value in x[:, 0]:
        a += 0.5 * np.sign(value - a)
    assert float(fits[0].model.a) == float(fits[1].model.a) == pytest.approx(a, abs=1e-5)


def test_fit_applies_what_is_different_for_the_data_set():
    x = np.ones((480, 1), np.float32)
    data = Dataset(train=x, test=x, name="mnist", split="standard", checksums={}, source="here")
    fitted = iwax.fit(
        Shift(jnp.zeros([])), iwax.ELBO(), data, recipe="burda-code", key=jax.random.key(0), epochs=1, binarize="none"
    )
    assert fitted.records[-1]["step"] == (480 - 400) // 20


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", 0, "Expected batch_size to be an integer of at least 1; got 0."),
        ("held_out", -1, "Expected held_out to be an integer of at least 0; got -1."),
        ("beta1", 1.0, "Expected beta1 to be at least 0 and below 1; got 1.0."),
        ("beta2", -0.1, "Expected beta2 to be at least 0 and below 1; got -0.1."),
        ("epsilon", 0.0, "Expected epsilon to be positive; got 0.0."),
        ("epsilon", float("nan"), "Expected epsilon to be positive; got nan."),
        ("second_moment", -1.0, "Expected second_moment to be finite and not negative; got -1.0."),
        ("gradient_scale", "means", "Expected gradient_scale to be one of mean, sum; got 'means'. Did you mean 'mean'"),
        ("shuffle", "epochs", "Expected shuffle to be one of epoch, never, once; got 'epochs'. Did you mean 'epoch'"),
        ("output_bias", "mean", "Expected output_bias to be one of data-mean, zero, init; got 'mean'."),
        ("stages", (), "Expected stages to hold pairs"),
        ("stages", ((float("nan"), 1),), "Expected stages to hold pairs"),
    ],
)
def test_values_out_of_range(field, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(get_recipe("burda-paper"), **{field: value})


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ValueError, match=r"Expected recipe to be one of .*; got 'burda'\. Did you mean 'burda-"):
        get_recipe("burda")


def test_all_images_held_out():
    recipe = get_recipe("burda-code").for_run("mnist")
    with pytest.raises(ValueError, match="Expected held_out to leave some of the 400 training images; got 400"):
        recipe.training_images(np.zeros((400, 1)))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_is_a_hashable_value_with_a_source(recipe):
    assert hash(recipe) == hash(dataclasses.replace(recipe))
    assert len(recipe.source) > 50


def cosine(**changes) -> Recipe:
    """Rates by hand: up to 0.01 in 2 of 8 epochs, then half a cosine down, which is at a half in the middle."""
    recipe = {"stages": ((0.01, 5), (0.02, 3)), "decay": "cosine", "warm_up": 0.25}
    return Recipe(name="x", source="x", batch_size=2, **recipe | changes)


def test_a_cosine_rises_falls_to_zero_and_is_as_long_as_the_run():
    rate = cosine().learning_rate(1)
    np.testing.assert_allclose([rate(t) for t in (0, 1, 2, 5, 8, 9)], [0, 0.005, 0.01, 0.005, 0, 0], atol=1e-9)
    halved = cosine().lasting(4).learning_rate(1)
    np.testing.assert_allclose([halved(t) for t in (0, 1, 4)], [0, 0.01, 0], atol=1e-9)
    assert get_recipe("burda-paper").lasting(4) == get_recipe("burda-paper")
    without = cosine(warm_up=0.0).learning_rate(1)
    np.testing.assert_allclose([without(t) for t in (0, 4, 8)], [0.01, 0.005, 0], atol=1e-9)


@pytest.mark.parametrize("algorithm", ["soap", "muon"])
def test_others_are_a_recipes_algorithm(algorithm):
    """Two images, one weight without a matrix: steps of SOAP and Muon are Adam's there, with their own numbers."""
    recipe = cosine(algorithm=algorithm, decay="stages", warm_up=0.0, beta1=0.95, beta2=0.95)
    assert three_updates(recipe) == pytest.approx(
        three_updates(dataclasses.replace(recipe, algorithm="adam")), rel=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warm_up": 1.0}, r"Expected warm_up to be at least 0 and below 1, and 0 unless decay is cosine; got 1\.0"),
        ({"decay": "stages"}, r"and 0 unless decay is cosine; got 0\.25"),
        ({"algorithm": "soap", "epsilon_hat": True}, "Expected no epsilon_hat with soap; got True"),
        ({"algorithm": "muon", "second_moment": 1.0}, "Expected no second_moment with muon; got 1.0"),
        ({"decay": "linear"}, "Expected decay to be one of stages, cosine; got 'linear'"),
        ({"clip": 0.5}, r"Expected clip to be 0, or finite and at least 1; got 0\.5"),
        ({"algorithm": "sgd"}, "Expected algorithm to be one of adam, soap, muon; got 'sgd'"),
    ],
)
def test_what_a_recipe_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        cosine(**changes)
