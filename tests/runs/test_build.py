"""From a configuration to objects: defaults, overrides, initial models, and what is refused."""

import dataclasses
import math
import re

import jax
import numpy as np
import pytest

import iwax
from iwax.experiments.identity import non_default_fields
from iwax.runs.config import RunConfig
from iwax.runs.initial import build_model, prepare, training_images
from iwax.runs.resolution import resolve
from iwax.training.recipes import RECIPES
from tiny import tiny_config, tiny_data

DATA = tiny_data()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("dataset", ["mnist", "omniglot", "mnist-sample"])
def test_resolving_writes_out_the_whole_recipe(recipe, dataset):
    run = resolve(RunConfig(protocol=recipe, dataset=dataset))
    published = RECIPES[recipe].for_run(dataset, "one-layer")
    assert run.recipe == published
    assert run.overridden() == {}
    assert run.epochs == run.config.epochs == published.epochs
    read = resolve(RunConfig.from_json(run.config.to_json()))
    assert (read.config, read.recipe) == (run.config, published)
    assert resolve(run) is run


def test_each_field_of_a_recipe_can_be_overridden():
    given = {
        "algorithm": "adam",  # SOAP has none of its variants
        "clip": 3.0,
        "batch_size": 8,
        "early_samples": 3,
        "early_part": 0.5,
        "parts": 4,
        "stages": "0.01:2,0.001:3",
        "decay": "cosine",
        "warm_up": 0.5,
        "gradient_scale": "sum",
        "beta1": 0.5,
        "beta2": 0.75,
        "epsilon": 0.25,
        "epsilon_hat": True,
        "second_moment": 2.0,
        "previous_moments": True,
        "init": "torch",
        "output_bias": "zero",
        "scale_map": "softplus",
        "shuffle": "never",
        "held_out": 3,
    }
    run = resolve(RunConfig(**given))
    recipe = run.recipe
    assert {name: getattr(recipe, name) for name in given} == given | {"stages": ((0.01, 2), (0.001, 3))}
    assert set(run.overridden()) == set(given) - {"decay"}  # a cosine already
    assert run.overridden()["beta1"] == {"protocol": 0.95, "run": 0.5}
    assert run.epochs == 5
    assert set(given) == {f.name for f in dataclasses.fields(recipe)} - {
        "name",
        "source",
        "by_dataset",
        "by_model",
        "gradient",
    }


def test_schedules_stretched_and_cut_off():
    stretched = resolve(RunConfig(protocol="burda-code", schedule_scale=0.1))
    assert stretched.epochs == 330
    assert stretched.recipe == RECIPES["burda-code"].for_run("mnist").scaled(0.1)
    again = resolve(stretched.config)
    assert (again.config, again.recipe) == (stretched.config, stretched.recipe)
    cut = resolve(RunConfig(protocol="burda-code", epochs=40))
    assert (cut.epochs, cut.recipe.epochs) == (40, 3280)
    cosine = resolve(RunConfig(decay="cosine", stages="0.01:80", schedule_scale=0.5))
    assert (cosine.epochs, cosine.recipe.epochs, resolve(cosine.config).config) == (40, 40, cosine.config)
    assert resolve(RunConfig(decay="cosine", stages="0.01:80", epochs=3)).recipe.epochs == 3


def test_parts_of_a_minibatch_are_asked_for_by_number_and_by_nothing_as_before():
    """Left out they are in no record and no name, so that those of before keep theirs."""
    run = resolve(tiny_config(parts=2))
    assert run.config.parts == run.recipe.parts == prepare(run, DATA)[0].recipe.parts == 2
    assert resolve(RunConfig()).config.parts is resolve(RunConfig()).recipe.parts is None
    assert non_default_fields(RunConfig(parts=5)) == {"parts": 5}
    assert non_default_fields(resolve(RunConfig()).config) == {}
    with pytest.raises(ValueError, match=r"Expected parts to divide batch_size=250; got 3\."):
        resolve(RunConfig(parts=3))


def test_numbers_are_trained_with_as_they_are_written():
    """Whatever their digits, the bound is that of the record; an objective's own are written in few."""
    run = resolve(RunConfig(objective="ciwae", beta=1 / 3))
    assert run.config.beta == 1 / 3
    assert float(run.objective.beta) == float(np.float32(1 / 3))
    assert resolve(RunConfig(objective="tvo")).config.first_point == 0.1


def test_alternating_piwae_is_the_second_reports():
    update = resolve(
        RunConfig(objective="piwae", num_groups=10, num_samples=10, update="alternating", protocol="tightiwae")
    ).update
    assert update == iwax.Alternating(
        inference=iwax.MIWAE(num_groups=10, num_samples=10), generative=iwax.IWAE(num_samples=10)
    )
    assert resolve(RunConfig(objective="piwae")).update == "joint"


def test_the_first_training_images_that_the_recipe_leaves():
    config = tiny_config(held_out=4, train_images=30)
    assert np.array_equal(training_images(resolve(config), DATA), DATA.train[:30])
    with pytest.raises(
        ValueError, match="Expected train_images to be at most 36, all that burda-paper trains on of tiny"
    ):
        training_images(resolve(dataclasses.replace(config, train_images=37)), DATA)


def initial(**fields):
    run = resolve(tiny_config(**fields))
    return build_model(run, training_images(run, DATA))


def test_glorot_weights():
    layer = initial().inference[0].trunk.layers[0]
    half_width = math.sqrt(6 / (16 + 200))
    assert 0.99 * half_width < np.abs(layer.weight).max() <= half_width
    assert not np.any(layer.bias)


def test_uniform_weights():
    layer = initial(init="uniform").inference[0].trunk.layers[0]
    assert 0.99 / 4 < np.abs(layer.weight).max() <= 1 / 4  # 16 inputs
    assert not np.any(layer.bias)


def test_torchs_weights_and_biases():
    model = initial(protocol="tightiwae", batch_size=10)
    layer, output = model.inference[0].trunk.layers[0], model.generative[-1].logits
    assert 0.99 / 4 < np.abs(layer.weight).max() <= 1 / 4
    assert 0.95 / 4 < np.abs(layer.bias).max() <= 1 / 4
    assert 0.5 / math.sqrt(200) < np.abs(output.bias).max() <= 1 / math.sqrt(200)


def test_the_weights_of_the_papers_code():
    # The first numbers of NumPy's old generator from seed 123 are 0.6964692, 0.2861393, ...; U(-h, h) is h (2 u - 1).
    models = [initial(protocol="burda-code", batch_size=10, seed=seed) for seed in (0, 1)]
    weight = models[0].inference[0].trunk.layers[0].weight
    half_width = math.sqrt(6 / 216)
    assert weight[0, 0] == pytest.approx(half_width * (2 * 0.6964691855978616 - 1), rel=1e-6)
    assert weight[0, 1] == pytest.approx(half_width * (2 * 0.2861393349503795 - 1), rel=1e-6)
    assert np.array_equal(models[0].inference[0].loc.weight, models[0].inference[0].scale.weight)
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, models), strict=True))


def test_where_the_output_bias_starts():
    mean = DATA.train.reshape(40, -1).mean(0) / 255
    assert initial().generative[-1].logits.bias == pytest.approx(np.log(mean / (1 - mean)), rel=1e-4)
    assert not np.any(initial(output_bias="zero", init="torch").generative[-1].logits.bias)
    gaussian = {"likelihood": "gaussian", "binarize": "intensities"}
    assert initial(**gaussian).generative[-1].loc.bias == pytest.approx(mean, rel=1e-5)
    assert not np.any(initial(**gaussian, output_bias="zero", init="torch").generative[-1].loc.bias)
    assert initial(scale_map="softplus").inference[0].scale_map == "softplus"


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"objective": "ciwae", "beta": 4e-7}, "beta", 4e-7),
        ({"objective": "ciwae", "beta": 0.123456789}, "beta", 0.123456789),
        ({"objective": "ciwae"}, "beta", 0.5),
        ({"objective": "ciwae", "beta": 0.1, "beta_rule": "ascend"}, "beta", 0.1),
        ({"objective": "vr-iwae", "alpha": 0.9999999}, "alpha", 0.9999999),
        ({"objective": "tvo", "first_point": 1e-7}, "first_point", 1e-7),
    ],
)
def test_an_option_is_the_number_that_was_asked_for(fields, name, value):
    """Rounded to six decimals, 4e-7 was no beta at all: another objective."""
    assert getattr(resolve(RunConfig(**fields)).config, name) == value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": "iwea"}, "got 'iwea'. Did you mean 'iwae'?"),
        ({"objective": "elbo", "num_groups": 2}, "Expected no num_groups for objective 'elbo'; got 2. It belongs to"),
        ({"objective": "iwae", "num_samples": 0}, "Expected num_samples to be an integer of at least 1; got 0."),
        ({"objective": "miwae", "num_groups": 0}, "Expected num_groups to be an integer of at least 1; got 0."),
        ({"objective": "ciwae", "beta": 1.5}, "Expected beta to be between 0 (IWAE) and 1 (ELBO); got 1.5."),
        ({"objective": "ciwae", "beta_rule": "rise"}, "Expected beta_rule to be one of fixed, ascend, descend"),
        ({"gradient": "plain"}, "Expected gradient to be one of reparameterized"),
        ({"protocol": "burda-papers"}, "got 'burda-papers'. Did you mean 'burda-paper'?"),
        (
            {"model": "one-layers"},
            "Expected model to be one of one-layer, two-layer, larger; got 'one-layers'. Did you",
        ),
        ({"likelihood": "gauss"}, "Expected likelihood to be one of bernoulli, gaussian; got 'gauss'."),
        ({"binarize": "dynamo"}, "Did you mean 'dynamic'?"),
        ({"init": "glorott"}, "Did you mean 'glorot'?"),
        ({"output_bias": "nought"}, "Expected output_bias to be one of data-mean, zero, init; got 'nought'."),
        ({"scale_map": "expo"}, "Expected scale_map to be one of exp, softplus; got 'expo'. Did you mean 'exp'?"),
        ({"epochs": 0}, "Expected epochs to be an integer of at least 1; got 0."),
        ({"batch_size": 0}, "Expected batch_size to be an integer of at least 1; got 0."),
        ({"train_images": -1}, "Expected train_images to be an integer of at least 1; got -1."),
        ({"stages": "1e-3:1,fast"}, "Expected stages to be RATE:EPOCHS,RATE:EPOCHS,...; got '1e-3:1,fast'."),
        ({"stages": "1e-3:0"}, "Expected stages to hold pairs of a finite rate"),
        ({"schedule_scale": -2.0}, "Expected factor to be positive; got -2.0."),
        ({"beta1": 1.0}, "Expected beta1 to be at least 0 and below 1; got 1.0."),
        (
            {"update": "alternate"},
            "Expected update to be one of joint, alternating; got 'alternate'. Did you mean 'alt",
        ),
        ({"update": "alternating"}, "Expected objective to be piwae for an alternating update; got 'iwae'."),
        ({"eval_every": 0}, "Expected eval_every to be an integer of at least 1; got 0."),
        ({"eval_images": 5}, "Expected eval_images together with eval_every only; got 5 without it."),
        ({"eval_every": 1, "eval_samples": 63}, "Expected eval_samples to be an integer of at least 64; got 63."),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        resolve(RunConfig(**fields))


@pytest.mark.parametrize(
    ("fields", "gradient"),
    [
        ({}, "doubly-reparameterized"),
        ({"objective": "piwae"}, "doubly-reparameterized"),
        ({"gradient": "sticking-the-landing"}, "sticking-the-landing"),
        ({"sampling": "antithetic", "num_samples": 4}, "reparameterized"),  # where it would be biased
        ({"objective": "rws"}, "score-function"),  # which may be for latent variables that have no other
        ({"objective": "elbo-analytic"}, "reparameterized"),  # which has no other
        ({"protocol": "burda-paper"}, "reparameterized"),
    ],
)
def test_a_recipe_decides_the_estimator_where_nobody_else_does(fields, gradient):
    assert resolve(RunConfig(**fields)).objective.gradient == gradient
