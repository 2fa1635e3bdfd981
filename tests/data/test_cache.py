import errno
import hashlib
import os
from pathlib import Path

import platformdirs
import pytest

from iwax.data import ChecksumError
from iwax.data.cache import cache_folder, cached_path, is_cached, keep, keep_or_raise, read_cache, write_cache
from iwax.data.payload import Payload, SourceError

CONTENTS = {"a": b"first", "b": b"second"}
PAYLOADS = [Payload("set", name, len(c), hashlib.sha256(c).hexdigest()) for name, c in CONTENTS.items()]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_written_is_read_back(cache):
    assert not is_cached(PAYLOADS)
    write_cache(PAYLOADS, CONTENTS)
    assert is_cached(PAYLOADS)
    assert read_cache(PAYLOADS) == CONTENTS
    assert sorted(path.name for path in files(cache)) == ["a", "b"]


def test_the_platform_folder_is_the_default(monkeypatch):
    monkeypatch.delenv("IWAX_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("iwax"))


def test_an_absent_file_leaves_the_turn_to_the_next_source():
    with pytest.raises(SourceError, match=r"cache: no readable .*a \(No such file"):
        read_cache(PAYLOADS)


@pytest.mark.parametrize("content", [b"fi", b"First", b""])
def test_a_truncated_or_altered_file_is_refused(content):
    write_cache(PAYLOADS, CONTENTS)
    cached_path(PAYLOADS[0]).write_bytes(content)
    with pytest.raises(ChecksumError, match=rf"Expected a from .*{PAYLOADS[0].sha256}.*; got [0-9a-f]{{64}}"):
        read_cache(PAYLOADS)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("calls_before", [0, 1])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_of_a_write_leaves_no_part(cache, monkeypatch, step, calls_before, failure):
    done, real = [], getattr(os, step)

    def fail(*arguments):
        if len(done) == calls_before:
            raise failure
        done.append(real(*arguments))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(failure)):
        write_cache(PAYLOADS, CONTENTS)
    whole = calls_before if isinstance(failure, KeyboardInterrupt) else 0  # what is whole and verified may stay
    assert [path.name for path in files(cache)] == ["a", "b"][:whole]


def test_a_failed_write_leaves_the_earlier_file_as_it_was(monkeypatch):
    write_cache(PAYLOADS[:1], CONTENTS)
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(OSError, match="I/O error"):
        write_cache(PAYLOADS[:1], {"a": b"other"})
    assert read_cache(PAYLOADS[:1]) == {"a": b"first"}


def test_a_cache_that_cannot_be_written_is_a_notice_or_an_error_with_a_remedy(cache):
    cache.write_text("a file where the folder should be")
    assert "set was not cached in" in keep(PAYLOADS, CONTENTS)
    with pytest.raises(ValueError, match=r"Expected the cache .* to be writable; got .*IWAX_CACHE"):
        keep_or_raise(PAYLOADS, CONTENTS)


def test_keeping_nothing_says_nothing(cache):
    assert keep([], {}) is None
    assert not cache.exists()
