"""docs/add-an-objective.md, followed to the letter, and the generated pages against the code."""

import pathlib
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.objectives import describe

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def page(monkeypatch):
    """What the page's code defines, run in order; its row leaves the table afterwards."""
    monkeypatch.setattr(iwax.objectives, "OBJECTIVES", dict(iwax.objectives.OBJECTIVES))
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "add-an-objective.md").read_text(), re.DOTALL):
        exec(compile(block, "docs/add-an-objective.md", "exec"), names)
    return names


def test_adding_an_objective(page):
    row = page["row"]
    assert row.class_name == "Cautious"
    assert row.bound.startswith("The log of the mean of K weights, the largest counted as zero")
    assert row.reference == "this page."
    assert row.targets["doubly-reparameterized"] == "unbiased for the bound"
    assert row.targets["sticking-the-landing"].startswith("biased; ")
    assert len(page["result"].records) == 1
    bound = page["cautious"]().bound(jnp.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    assert float(bound) == pytest.approx(np.log(np.exp(np.arange(5)).sum() / 6))


def test_every_row_of_the_table_says_what_it_is():
    for row in describe():
        assert re.search(r": .+\.$", row.bound), row.name
        assert "arXiv:" in row.reference or "OpenReview" in row.reference
        assert set(row.targets) == set(iwax.OBJECTIVES[row.name].gradients)
        assert row.options["num_samples"].isdigit()


def test_the_page_of_gradients_is_the_generated_one():
    command = [sys.executable, ROOT / "scripts" / "gradients_page.py", "--print"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert (ROOT / "docs" / "gradients.md").read_text() == made.stdout
