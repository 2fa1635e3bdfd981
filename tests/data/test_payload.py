import gzip
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iwax.data import ChecksumError
from iwax.data.payload import Payload, gunzip, verify

CONTENT = b"some pixels" * 1000
PAYLOAD = Payload("mnist", "pixels", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def test_right_content_is_returned():
    assert verify(PAYLOAD, CONTENT, "a folder") == CONTENT


def test_wrong_content_is_refused_with_name_expected_and_found_checksum():
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(
        ChecksumError, match=rf"^Expected pixels from a folder .* {PAYLOAD.sha256} \(11000 bytes\); got {found} \(5 b"
    ) as caught:
        verify(PAYLOAD, b"other", "a folder")
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(content=st.binary(max_size=3000), cut=st.integers(0, 4000))
def test_truncated_gzip_decodes_to_a_prefix(content, cut):
    assert content.startswith(gunzip(gzip.compress(content)[:cut], len(content)))


@settings(deadline=None)
@given(content=st.binary(min_size=1, max_size=3000), place=st.integers(0, 10_000), value=st.integers(1, 255))
def test_altered_gzip_is_either_the_same_content_or_refused(content, place, value):
    compressed = bytearray(gzip.compress(content))
    compressed[place % len(compressed)] ^= value
    payload = Payload("", "x", len(content), hashlib.sha256(content).hexdigest())
    decoded = gunzip(bytes(compressed), payload.size)
    if decoded != content:
        with pytest.raises(ChecksumError):
            verify(payload, decoded, "here")


def test_a_bomb_stops_at_the_limit():
    assert len(gunzip(gzip.compress(bytes(10_000_000)), 1000)) == 1001


def test_what_is_no_gzip_decodes_to_nothing():
    assert gunzip(b"<html>not found</html>", 1000) == b""
