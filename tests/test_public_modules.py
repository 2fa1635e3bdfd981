"""After `import iwax` alone, in a process that has imported nothing else, every module is an attribute of it."""

import subprocess
import sys

PROGRAM = """
import sys
import iwax
assert "jax" not in sys.modules, "importing iwax waits for JAX"
public = list(iwax.__all__)
assert iwax.zoo.records()
assert iwax.evaluation.ACTIVE == 0.01
assert iwax.evaluation.schedule(1).tolist() == [0, 1]
assert callable(iwax.evaluation.evaluate) and callable(iwax.load), "a function gave way to the module of its name"
assert iwax.__all__ == public and len(public) <= 25 and not {"zoo", "evaluation", "judging"} & set(public)
assert not hasattr(iwax, "zoos") and not hasattr(iwax, "_zoo")
"""


def test_a_fresh_process_runs_on_its_own_attributes():
    """README and docs write iwax.zoo and iwax.evaluation so; they failed unless something else had imported those."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
