"""docs/add-an-objective.md, followed to the letter in a copy of the source tree, and the generated pages."""

import dataclasses
import json
import os
import pathlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import iwax
from iwax.objectives import VRIWAE, describe

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add-an-objective.md").read_text()
NEEDED = ("src", "tests", "scripts", "docs", "results", "benchmarks", "examples")
FILES = ("pyproject.toml", "Makefile", "README.md", "conftest.py")
PYTHON, BASH = (re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("python", "bash"))
STEPS = {block.split("\n")[0].removeprefix("# "): block for block in PYTHON if block.startswith("# ")}
FILE, ROW, TEST_ROW = STEPS
PROBE = """
import json
import iwax.objectives
from iwax.objectives import OBJECTIVES, describe, every_option
from iwax.report.format import objective_name
(row,) = [row for row in describe() if row.name == "power-mean"]
config = {"objective": "power-mean", "num_samples": 8, "power": 0.25}
print(json.dumps([list(OBJECTIVES)[-1], row.bound, row.options["power"], every_option(OBJECTIVES)["power"].help,
                  objective_name(config)]))
"""
READ = """
from iwax.experiments import run_name
from iwax.report.gather import gather
from iwax.runs import RunFolder
(run,) = gather("none", "runs")
print(run.title.split(", one-layer")[0], run_name(RunFolder(run.folder).config()))
"""


@dataclasses.dataclass(frozen=True)
class Tree:
    """A copy of the source tree."""

    root: pathlib.Path

    def run(self, *command: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(self.root / "src")}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def python(self, *arguments: str) -> str:
        return self.run(sys.executable, *arguments)

    def follow(self) -> None:
        """The three steps of the page: the file as it is; an import in its place and a row at the end of each table."""
        (self.root / FILE).write_text(STEPS[FILE].split("\n", 1)[1])
        for name in (ROW, TEST_ROW):
            head, row = re.match(r"# .*?\n(.*?)\w+ = \{\n(.*)\}\n", STEPS[name], re.DOTALL).groups()
            path = self.root / name
            lines = path.read_text().splitlines(keepends=True)
            if head.strip():
                place = next(i for i, line in enumerate(lines) if line.startswith("from ") and line > head)
                lines.insert(place, head.strip() + "\n")
            table = re.search(r"(\w+) = \{\n.*\}\n", STEPS[name], re.DOTALL)[1]
            start = next(i for i, line in enumerate(lines) if re.match(rf"{table}\b.*= {{$", line))
            lines.insert(next(i for i in range(start, len(lines)) if lines[i] == "}\n"), row)
            path.write_text("".join(lines))


def copied(folder, *names):
    for name in names:
        ignored = shutil.ignore_patterns("__pycache__", "sheets")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored, symlinks=True)
    return Tree(folder)


@pytest.mark.slow
def test_an_objective_in_a_program_of_ones_own():
    """The page's program; its bound is VR-IWAE's, by another name of the order."""
    names = {}
    (program,) = (block for block in PYTHON if not block.startswith("# "))
    exec(compile(program, "docs/add-an-objective.md", "exec"), names)
    log_w = 3 * jax.random.normal(jax.random.key(0), (8, 5))
    expected = VRIWAE(num_samples=8, alpha=0.75).bound(log_w)
    np.testing.assert_allclose(names["objective"].bound(log_w), expected, rtol=1e-5)
    assert len(names["result"].records) == 1
    assert (names["objective"].gradient, names["objective"].is_unbiased) == ("doubly-reparameterized", True)


def test_a_file_and_a_row_make_an_objective_of_a_copy_of_the_package(tmp_path):
    """Imported by a fresh process, from the package and from its module: no circle. And its code passes ruff."""
    tree = copied(tmp_path, "src", "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    tree.follow()
    name, bound, default, help, label = json.loads(tree.python("-c", PROBE))
    assert (name, default, help) == ("power-mean", "0.5", "Order of the mean, above 0 (power-mean).")
    assert bound == "The log of the mean of order p of K weights: (1/p) log (1/K) sum_k w_k^p."
    assert label == "POWER-MEAN(8), power 0.25"
    for check in (["check"], ["format", "--check"]):
        tree.python("-m", "ruff", *check, FILE, ROW, TEST_ROW)


@pytest.mark.slow
def test_the_page_to_its_end(tmp_path):
    """Pages by one command, training with the option, what reports call it, the tests of its row, and mypy."""
    tree = copied(tmp_path, *NEEDED)
    for name in FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    tree.follow()
    pages, commands = BASH
    assert pages == "make pages\n"
    tree.run("make", "-o", ".venv/installed", f"BIN={pathlib.Path(sys.executable).parent}", "pages")
    assert "\n## power-mean: `PowerMean`\n" in (tmp_path / "docs" / "gradients.md").read_text()
    assert "\n| `power-mean` | The log of the mean of order p" in (tmp_path / "docs" / "objectives.md").read_text()
    shown, trained = (
        tree.python("-c", "from iwax.cli import main; main()", *shlex.split(line)[1:]) for line in commands.splitlines()
    )
    assert re.search(r"--power +Order of the mean, above 0. +\[default: 0.5\]", shown)
    assert "finished after 1 of 1 epoch" in trained
    assert json.loads((tmp_path / "runs" / "power" / "config.json").read_text())["power"] == 0.25
    title, folder = tree.python("-c", READ).rsplit(" ", 1)
    assert title == "POWER-MEAN(8), power 0.25, DReG"
    assert folder.startswith("power-mean-8-power0.25-one-layer-mnist-sample-seed0-")
    tests = ["tests/objectives/test_contract.py", "tests/objectives/test_options.py", "tests/test_house.py"]
    tree.python("-m", "pytest", "-q", "-m", "not slow", "-k", "not contract or power or covers", *tests)
    tree.python("-m", "mypy", FILE)


def test_every_row_of_the_table_says_what_it_is():
    for row in describe():
        assert re.search(r": .+\.$", row.bound), row.name
        assert "arXiv:" in row.reference or "OpenReview" in row.reference
        assert set(row.targets) == set(iwax.OBJECTIVES[row.name].gradients)
        assert row.options["num_samples"].isdigit()


def test_the_page_of_gradients_is_the_generated_one():
    script = runpy.run_path(str(ROOT / "scripts" / "gradients_page.py"))
    assert (ROOT / "docs" / "gradients.md").read_text() == script["page"](), "Run: make pages"
