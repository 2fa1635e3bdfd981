"""JAX's own checks: training and judging run clean where NaN are errors, and where a key that is used twice is one."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import dataclasses, warnings
import jax, numpy as np, optax
import iwax
from iwax.training import RECIPES

warnings.simplefilter("error", iwax.errors.NoticeWarning)
keys = jax.random.split(jax.random.key(0), 4)
x = np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8)
one = iwax.VAE(16, [2], [[8]], key=keys[0])
two = iwax.VAE(16, [3, 2], [[8], [6]], key=keys[1])
common = {"key": keys[2], "epochs": 2, "batch_size": 10, "validation": 0.25}
runs = [
    (one, iwax.IWAE(num_samples=4), {"keep": "best", "kl_weight": optax.linear_schedule(0, 1, 4)}),
    (two, iwax.IWAE(num_samples=4, gradient="doubly-reparameterized", backward="resampled"), {"recipe": "burda-code"}),
    (two, iwax.CIWAE(num_samples=4, beta_rule="ascend"), {"optimizer": optax.adam(1e-3)}),
    (one, iwax.PIWAE(num_groups=2, num_samples=2), {"binarize": "fixed"}),
    (one, iwax.objectives.VIMCO(num_samples=4), {"binarize": "threshold"}),
]
for model, objective, options in runs:
    result = iwax.fit(model, objective, x, **common | options)
    result = iwax.fit(result, objective, x, **common | options)
    assert len(result.records) == 4
evaluation = iwax.evaluate(result.model, x, keys[3], num_samples=128)
assert np.isfinite(evaluation.log_likelihood).all()
print("clean")
"""
TWICE = """
import jax
key = jax.random.key(0)
jax.jit(lambda key: jax.random.normal(key) + jax.random.uniform(key))(key)
print("clean")
"""
NAN = "import jax.numpy as jnp; jnp.log(-jnp.ones(())); print('clean')"


def last_line(program, **variables):
    """What a process prints last, or the name of the error that ends it: never the traceback, which holds keys."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    errors = [line for line in said if line.split(":")[0].endswith("Error")]
    return (errors or said or [""])[-1][:120]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "control"), [("JAX_DEBUG_NANS", NAN), ("JAX_DEBUG_KEY_REUSE", TWICE)], ids=["NaN", "keys"]
)
def test_training_and_judging_run_clean_under_a_check_of_jax(variable, control):
    assert "Error" in last_line(control, **{variable: "1"})
    assert last_line(control, **{variable: "0"}) == "clean"
    assert last_line(PROGRAM, **{variable: "1"}) == "clean"
