import gzip
import hashlib
from pathlib import Path

import pytest

from iwax.data import ChecksumError
from iwax.data.cache import write_cache
from iwax.data.payload import Payload, SourceError
from iwax.data.sources import explicit_folder, first_available, no_source, probe_source, read_folder

CONTENT = b"pixels" * 100
PAYLOAD = Payload("set", "images", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    return tmp_path


def test_the_argument_comes_before_the_environment(tmp_path, monkeypatch):
    assert explicit_folder(None) is None
    monkeypatch.setenv("IWAX_DATA", str(tmp_path))
    assert explicit_folder(None) == (tmp_path, "IWAX_DATA")
    (tmp_path / "other").mkdir()
    assert explicit_folder(str(tmp_path / "other")) == (tmp_path / "other", "data_dir")


def test_a_folder_that_does_not_exist_is_refused_by_the_name_of_who_gave_it(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"Expected data_dir to be a folder; got .*nowhere\. "):
        explicit_folder(tmp_path / "nowhere")
    monkeypatch.setenv("IWAX_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="Expected IWAX_DATA to be a folder; got"):
        explicit_folder(None)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_plain_and_gzipped_files_are_read(folder, suffix):
    (folder / "set" / f"images{suffix}").write_bytes(gzip.compress(CONTENT) if suffix else CONTENT)
    assert read_folder([PAYLOAD], folder, "data_dir") == {"images": CONTENT}


def test_what_is_missing_is_named(folder):
    with pytest.raises(ValueError, match=r"Expected data_dir to hold set/images; got .* without"):
        read_folder([PAYLOAD], folder, "data_dir")


@pytest.mark.parametrize("damage", [lambda c: c[:-20], lambda c: c[:30] + b"xxxx" + c[34:], lambda c: b"no gzip"])
def test_a_damaged_file_is_refused_in_one_line(folder, damage):
    (folder / "set" / "images.gz").write_bytes(damage(gzip.compress(CONTENT, mtime=0)))
    with pytest.raises(ChecksumError, match=rf"Expected images from .*images\.gz .*{PAYLOAD.sha256}.*got") as caught:
        read_folder([PAYLOAD], folder, "data_dir")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    (folder / "set" / "images").write_bytes(CONTENT)

    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(ValueError, match=r"Expected .*images to be readable; got Permission denied\. Check"):
        read_folder([PAYLOAD], folder, "data_dir")


def test_sources_are_tried_in_order_until_one_answers():
    def refuse(why):
        def attempt():
            raise SourceError(why)

        return attempt

    attempts = [("one", refuse("one: empty")), ("two", lambda: 2), ("three", lambda: 3)]
    assert first_available(attempts) == (2, "two", ("one: empty",))
    with pytest.raises(SourceError, match="one: empty; two: broken"):
        first_available([("one", refuse("one: empty")), ("two", refuse("two: broken"))])


def test_an_altered_file_ends_the_search():
    def altered():
        raise ChecksumError("altered")

    with pytest.raises(ChecksumError):
        first_available([("one", altered), ("two", lambda: 2)])


def test_where_it_would_come_from(folder, monkeypatch):
    assert probe_source([PAYLOAD], [PAYLOAD], None) is None
    write_cache([PAYLOAD], {"images": CONTENT})
    assert probe_source([PAYLOAD], [PAYLOAD], None).startswith("cache ")
    assert probe_source([PAYLOAD], [PAYLOAD], folder) == f"data_dir {folder}, which lacks set/images"
    (folder / "set" / "images").write_bytes(CONTENT)
    monkeypatch.setenv("IWAX_DATA", str(folder))
    assert probe_source([PAYLOAD], [PAYLOAD], None) == f"IWAX_DATA {folder}"
    assert "to be a folder" in probe_source([PAYLOAD], [PAYLOAD], folder / "nowhere")


def test_the_last_error_says_what_to_do():
    error = no_source("omniglot", ["a.zip", "b.zip"], SourceError("cache: empty; web mirrors: none"))
    assert str(error) == (
        "Expected a source of omniglot to answer; got cache: empty; web mirrors: none. "
        "Put a.zip and b.zip into FOLDER/omniglot and set IWAX_DATA=FOLDER."
    )
