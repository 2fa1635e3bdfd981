"""The code on the pages of the docs runs as it stands, block after block."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
NEEDS = {"pytorch.md": "torch", "numpyro.md": "numpyro"}
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
