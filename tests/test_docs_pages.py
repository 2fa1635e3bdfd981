"""The code on the pages of the docs runs as it stands, block after block."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
NEEDS = {"pytorch.md": "torch", "numpyro.md": "numpyro", "trackers.md": "tensorboardX"}
ELSEWHERE = {"add-an-objective.md"}  # tests/objectives/test_docs.py follows it with a test of its own
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages():
    return sorted(
        path.name for path in DOCS.glob("*.md") if path.name not in ELSEWHERE and BLOCK.search(path.read_text())
    )


@pytest.mark.parametrize("name", pages())
def test_every_block_runs(name, tmp_path, monkeypatch):
    if find_spec(NEEDS.get(name, "iwax")) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "docs"}
    for block in BLOCK.findall((DOCS / name).read_text()):
        exec(compile(block, name, "exec"), scope)


def test_the_site_builds_without_warnings(tmp_path):
    """And every link leads somewhere: mkdocs is strict."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=DOCS.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "iwax.log_likelihood" in (tmp_path / "api" / "index.html").read_text()


def test_every_page_is_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text()
    assert [path.name for path in DOCS.glob("*.md") if f": {path.name}\n" not in navigation] == []


def test_records_named_on_a_page_are_there():
    named = re.findall(r"--verify ([0-9a-f]{12})\b", "\n".join(path.read_text() for path in DOCS.glob("*.md")))
    assert named
    assert [record for record in named if not (DOCS.parent / "results" / f"{record}.json").exists()] == []
