"""The record of where a run was trained."""

import pathlib

import iwax
from iwax.runs import environment


def test_the_checksum_of_the_code_is_of_every_room(monkeypatch, tmp_path):
    assert pathlib.Path(iwax.__file__).parent == environment.PACKAGE
    for name in ("first.py", "room/second.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x = 1\n")
    monkeypatch.setattr(environment, "PACKAGE", tmp_path)
    before = environment._code()
    (tmp_path / "room" / "notes.md").write_text("no code")
    assert environment._code() == before
    (tmp_path / "room" / "second.py").write_text("x = 2\n")
    assert environment._code() != before


def test_the_version_of_iwax_is_that_of_the_code_that_runs(monkeypatch):
    """Metadata of an editable installation are those of the day when it was installed."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"installed {name}")
    versions, _ = environment.versions_and_commit()
    assert versions["iwax"] == iwax.__version__
    assert versions["jax"] == "installed jax"
    assert list(versions) == [*environment.LIBRARIES, "python"]
