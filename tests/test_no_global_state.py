"""A user's matplotlib stays as it was: neither importing nor drawing chooses a backend or changes a setting."""

import pathlib
import re
import subprocess
import sys

import pytest

import iwax

SOURCE = pathlib.Path(iwax.__file__).parent

DRAW = """
import sys
import matplotlib
matplotlib.use("pdf")
matplotlib.rcParams["lines.linewidth"] = 7.5
before = dict(matplotlib.rcParams)
import iwax.judging
iwax.judging.evaluate_run
import numpy as np
from iwax.figures import image_sheet, plot
from iwax.judging.plots import trust_plot, unit_plot
trust_plot(np.linspace(0, 1, 9), np.arange(1.0, 10), 64, sys.argv[1] + "/trust.svg")
unit_plot([np.linspace(1e-4, 1, 5)], sys.argv[1] + "/units.pdf")
image_sheet(np.zeros((4, 3, 3)), sys.argv[1] + "/sheet.png")
changed = {name for name, value in matplotlib.rcParams.items() if before[name] != value}
assert not changed, changed
assert matplotlib.get_backend().lower() == "pdf", matplotlib.get_backend()
assert "matplotlib.pyplot" not in sys.modules
"""


@pytest.mark.slow
def test_a_users_backend_and_settings_are_left_alone(tmp_path):
    done = subprocess.run([sys.executable, "-c", DRAW, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"trust.svg", "units.pdf", "sheet.png"}


def test_the_source_knows_no_pyplot():
    found = {p.name for p in SOURCE.rglob("*.py") if re.search(r"matplotlib\.use|pyplot", p.read_text())}
    assert not found
