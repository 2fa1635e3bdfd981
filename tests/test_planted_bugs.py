"""Every bug that scripts/plant_bugs.py plants has its place in the code as it is."""

from example_modules import ROOT, load_script


def test_each_bug_has_one_place():
    bugs = load_script("plant_bugs").BUGS
    places = {bug.what: (ROOT / "src" / "iwax" / bug.file).read_text().count(bug.right) for bug in bugs}
    assert len(places) == len(bugs) > 50
    assert {what: count for what, count in places.items() if count != 1} == {}
