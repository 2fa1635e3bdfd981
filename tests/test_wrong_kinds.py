"""What a caller gives in place of an objective, a key, a name or data of a model's size is named in one line.

Asked in a process of its own, as a user has it: here every call is checked by its annotations before it begins.
"""

import json
import subprocess
import sys

import pytest

import iwax
from iwax.training import RECIPES

OBJECTIVES = {"name": ("'iwae'", "iwax.IWAE(num_samples=5)"), "class": (repr(iwax.MIWAE), "MIWAE()")}
TABLES = {
    "architecture": (iwax.ARCHITECTURES, "onelayer", "one-layer"),
    "objective": (iwax.OBJECTIVES, "iwea", "iwae"),
    "recipe": (RECIPES, "fats", "fast"),
}
PROGRAM = """
import json, jax, iwax, numpy as np
from iwax.training import RECIPES

model, x = iwax.LinearGaussian.isotropic(2), np.zeros((20, 2), np.float32)
images, of_65 = np.zeros((4, 8, 8), np.uint8), iwax.ARCHITECTURES["one-layer"](key=jax.random.key(0), data_size=65)
calls = {
    "fit": lambda o, key: iwax.fit(model, o, x, key=key, epochs=1, batch_size=10, binarize="none"),
    "loss": lambda o, key: iwax.loss(model, o, x, key),
    "per_example_loss": lambda o, key: iwax.per_example_loss(model, o, x, key),
    "gradient_snr": lambda o, key: iwax.gradient_snr(model, o, x, key, num_replicates=4),
    "Alternating": lambda o, key: iwax.Alternating(inference=iwax.ELBO(), generative=o),
    "evaluate": lambda o, key: iwax.evaluate(model, x, key, num_samples=64, binarize="none"),
    "log_likelihood": lambda o, key: iwax.log_likelihood(model, x, key, num_samples=64),
    "ARCHITECTURES": lambda o, key: iwax.ARCHITECTURES["one-layer"](key=key, data_size=2),
    "size": lambda o, key: iwax.evaluate(of_65, images, key, num_samples=64),
    "several": lambda o, key: iwax.evaluate(model, x, jax.random.split(key), num_samples=64, binarize="none"),
    "shape": lambda o, key: iwax.ARCHITECTURES["one-layer"](key=key, data_size=(12, 12)),
    "architecture": lambda o, key: iwax.ARCHITECTURES["onelayer"],
    "objective": lambda o, key: iwax.OBJECTIVES["iwea"],
    "recipe": lambda o, key: RECIPES["fats"],
}
key, raw, elbo = jax.random.key(0), jax.random.PRNGKey(0), iwax.ELBO()
given = {"as it should be": (elbo, key), "raw key": (elbo, raw), "seed": (elbo, 7)}
given |= {"name": ("iwae", key), "class": (iwax.MIWAE, key)}
answers = {}
for call, function in calls.items():
    for what, arguments in given.items():
        try:
            function(*arguments)
        except Exception as error:
            answers[f"{call}, {what}"] = [str(error), *(kind.__name__ for kind in type(error).__mro__)]
print(json.dumps(answers))
"""
TAKE_AN_OBJECTIVE = ("fit", "loss", "per_example_loss", "gradient_snr", "Alternating")
TAKE_A_KEY = ("fit", "loss", "per_example_loss", "gradient_snr", "evaluate", "log_likelihood", "ARCHITECTURES")


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    asked = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(asked.stdout)


@pytest.mark.parametrize("call", TAKE_AN_OBJECTIVE)
@pytest.mark.parametrize("given", OBJECTIVES)
def test_a_name_or_a_class_is_no_objective(answers, call, given):
    shown, such = OBJECTIVES[given]
    name = "generative" if call == "Alternating" else "objective"
    message, *kinds = answers[f"{call}, {given}"]
    assert message == f"Expected {name} to be an objective of iwax, such as {such}; got {shown}."
    assert "TypeError" in kinds


@pytest.mark.parametrize("call", TAKE_A_KEY)
def test_a_seed_is_no_key_and_a_raw_key_is_one(answers, call):
    message, *kinds = answers[f"{call}, seed"]
    assert message == "Expected key to be a key of JAX, such as jax.random.key(7); got 7."
    assert "TypeError" in kinds
    assert f"{call}, raw key" not in answers
    assert f"{call}, as it should be" not in answers


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_the_nearest_of_a_name_that_it_does_not_have(answers, name):
    table, given, near = TABLES[name]
    message, *kinds = answers[f"{name}, as it should be"]
    assert message == f"Expected one of {', '.join(table)}; got {given!r}. Did you mean {near!r}?"
    assert {"ValueError", "KeyError"} < set(kinds)
    assert given not in table
    assert table.get(given) is None


def test_data_of_another_size_than_the_model_s(answers):
    message, *kinds = answers["size, as it should be"]
    assert message == (
        "Expected x to have 65 values per example, as many as the model was made for; got 64, of shape (8, 8). "
        "Make the model with data_size= as many as the data have."
    )
    assert "ValueError" in kinds


def test_several_keys_and_a_shape_for_a_size(answers):
    said = {call: answers[f"{call}, as it should be"][0] for call in ("several", "shape")}
    assert said["several"] == "Expected key to be one key of JAX; got 2 of them. Pass one, such as the first."
    assert said["shape"] == "Expected data_size to be an integer of at least 1; got (12, 12)."
