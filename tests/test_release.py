"""What a release must agree on: the version in four places, and a citation that tools read."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import iwax

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
KINDS = {"article", "book", "conference-paper", "report", "software"}


def test_the_version_is_one_in_all_places():
    """The newest heading of the changelog may be of the version that comes next, while it is unreleased."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert iwax.__version__ == project["version"] == CITATION["version"]
    newest, note = re.findall(r"^## (\S+)(.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest == iwax.__version__ or "unreleased" in note


def faults(citation):
    """What the schema 1.2.0 of the Citation File Format asks for and is not there, of what this file uses."""
    found = [key for key in ("cff-version", "message", "title", "authors") if not citation.get(key)]
    found += [] if citation.get("cff-version") == "1.2.0" else ["cff-version"]
    for one in (citation, *citation.get("references", ())):
        for author in one.get("authors", ()):
            found += [] if set(author) <= {"name", "family-names", "given-names"} and author else [str(author)]
    for reference in citation.get("references", ()):
        found += [] if reference.get("type") in KINDS and reference.get("title") else [str(reference.get("title"))]
        found += [] if isinstance(reference.get("year"), int) else [f"year of {reference['title']}"]
        for identifier in reference.get("identifiers", ()):
            found += (
                [] if identifier.get("type") in {"doi", "url", "swh", "other"} and identifier.get("value") else ["id"]
            )
    return found


def test_the_citation_has_what_its_schema_asks_for():
    assert faults(CITATION) == []
    assert len(CITATION["references"]) >= 4
    assert all(one["identifiers"][0]["value"].startswith("arXiv:") for one in CITATION["references"])


@pytest.mark.parametrize("key", ["cff-version", "authors", "title"])
def test_a_citation_without_a_required_key_is_faulty(key):
    assert faults({name: value for name, value in CITATION.items() if name != key})


def test_every_issue_template_says_what_it_is():
    templates = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"))
    assert len(templates) == 3
    for path in templates:
        _, head, body = path.read_text().split("---\n", 2)
        assert {"name", "about"} <= set(yaml.safe_load(head))
        assert body.strip()
