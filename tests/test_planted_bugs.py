"""Every bug that scripts/plant_bugs.py plants has its place in the code as it is."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_bug_has_one_place(monkeypatch):
    spec = importlib.util.spec_from_file_location("plant_bugs", ROOT / "scripts" / "plant_bugs.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "plant_bugs", script)  # where dataclasses look for it
    spec.loader.exec_module(script)
    places = {bug.what: (ROOT / "src" / "iwax" / bug.file).read_text().count(bug.right) for bug in script.BUGS}
    assert len(places) == len(script.BUGS) > 50
    assert {what: count for what, count in places.items() if count != 1} == {}
