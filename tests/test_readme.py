"""What the README shows is true: each block of Python runs alone, its commands parse, its tables are what was found."""

import json
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import iwax
from parsed import parse

ROOT = Path(__file__).parents[1]
README, DEMO, OBJECTIVES = ((ROOT / name).read_text() for name in ("README.md", "docs/demo.md", "docs/objectives.md"))
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "readme.py"))


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def printed_by(program, folder):
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_block_of_the_readme_prints_what_the_readme_says(tmp_path):
    """In a fresh process; to a few hundredths, as processors round differently."""
    printed = printed_by(blocks("python")[0], tmp_path)
    said = re.search(r"log p = −([\d.]+) nats, ± ([\d.]+) Monte Carlo, ± ([\d.]+) over the hundred images", README)
    found = re.search(r"log p +-([\d.]+) +± ([\d.]+) Monte Carlo, ± ([\d.]+) over examples", printed)
    for one, other in zip(said.groups(), found.groups(), strict=True):
        assert float(one) == pytest.approx(float(other), abs=0.03)
    assert "k-hat is above 0.7" in printed


@pytest.mark.slow
@pytest.mark.parametrize("index", range(1, len(blocks("python"))))
def test_every_other_block_of_the_readme_runs_alone_in_a_fresh_process(index, tmp_path):
    program = blocks("python")[index]
    for package in ("numpyro", "torch"):
        if package in program and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    printed = printed_by(program, tmp_path)
    if "−1.516" in program:
        assert float(printed) == pytest.approx(-1.516, abs=0.03)


def test_the_readme_is_short_and_in_order():
    assert len(README.splitlines()) <= 120
    order = ["## Install", "![", "iwax.load(", "<!-- peers", "## NumPyro", "## PyTorch", "iwax train --", "iwax sweep"]
    places = [README.index(text) for text in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "line",
    [line for block in blocks("bash") for line in block.replace("\\\n", "").splitlines() if line.startswith("iwax")],
)
def test_the_commands_of_the_readme_are_commands(line):
    """Parsed with all their options, not run."""
    assert parse(line).params is not None


def test_the_table_of_objectives_is_the_codes():
    assert SCRIPT["with_objectives"](OBJECTIVES) == OBJECTIVES, "Run: python scripts/readme.py"
    assert re.findall(r"^\| `([\w-]+)` \|", OBJECTIVES, flags=re.MULTILINE) == list(iwax.OBJECTIVES)
    assert OBJECTIVES.split("\n\n")[1].startswith("Fourteen bounds")
    assert len(iwax.OBJECTIVES) == 14


def test_the_table_of_peers_is_what_the_script_printed():
    assert SCRIPT["with_peers"](README) == README, "Run: python scripts/readme.py"
    answers = json.loads((ROOT / "docs" / "peers.json").read_text())
    assert list(answers) == ["iwax", "NumPyro", "Pyro", "TFP", "pythae"]
    assert all(f"{name} {found['version']}" in README for name, found in answers.items())
    forged = README.replace("| 19 kinds of model |", "| 18 kinds of model |")
    assert forged != README
    assert SCRIPT["with_peers"](forged) == README


@pytest.mark.slow
def test_the_column_of_iwax_is_still_so():
    """The column of the package as it is now; those of the others are of the versions that the table names."""
    script = runpy.run_path(str(ROOT / "scripts" / "compare_peers.py"))
    assert script["of_iwax"]() == json.loads((ROOT / "docs" / "peers.json").read_text())["iwax"]["says"]


def test_a_loss_that_is_no_bound_is_found_to_be_none():
    """The verdict on sum w~ log w, which pythae returns, and on the bound, from draws of their own."""
    import numpy as np

    script = runpy.run_path(str(ROOT / "scripts" / "compare_peers.py"))
    z = -0.5 + 0.6 * np.random.default_rng(1).standard_normal((16, 4000))
    log_w = -((1 - z) ** 2) / 2 - z**2 / 2 + ((z + 0.5) / 0.6) ** 2 / 2 + np.log(0.6)
    weights = np.exp(log_w) / np.exp(log_w).sum(axis=0)
    assert script["verdict"](np.log(np.exp(log_w).mean(axis=0))) == "yes"
    assert script["verdict"]((weights * log_w).sum(axis=0)).endswith("nat above log p(x)")


def test_the_public_names():
    """At most 25, and every one can be imported."""
    assert len(iwax.__all__) <= 25
    for name in iwax.__all__:
        assert getattr(iwax, name) is not None


def test_the_demos_output_is_shown():
    shown = re.search(r"<!-- demo: .*?-->\n```text\n(.*?)```", DEMO, flags=re.DOTALL)[1]
    for label in ("VAE, ELBO(64)", "IWAE(64)", "MIWAE(8, 8)", "PIWAE(8, 8)", "CIWAE(64), fixed", "CIWAE(64), learned"):
        assert label in shown
    assert SCRIPT["with_demo"](DEMO, shown) == DEMO
    assert SCRIPT["with_demo"](DEMO, "another") != DEMO


def test_links_of_the_readme_lead_to_files():
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
    assert len(links) > 15
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []
