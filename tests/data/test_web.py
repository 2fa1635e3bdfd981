import functools
import http.server
import signal
import socket
import threading
import time

import pytest

from iwax.data import ChecksumError, web
from iwax.data.payload import SourceError
from iwax.data.web import download, from_mirrors, reachable


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setattr(web.urllib.request, "getproxies", dict)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def mirror(tmp_path):
    """The URL of a web server of this machine that serves one file, `images`."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "images").write_bytes(b"pixels")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def closed():
    """The URL of a port of this machine where nothing listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}/"


def test_only_hosts_that_answer_are_reachable(mirror, closed):
    assert reachable([closed, mirror]) == [mirror]


def test_hosts_that_hang_cost_the_limit_once(monkeypatch):
    release = threading.Event()

    def hang(address, timeout):
        release.wait(20)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    start = time.monotonic()
    assert reachable(["http://a/", "http://b/", "http://c/"], seconds=0.2) == []
    assert time.monotonic() - start < 2
    release.set()


def test_a_proxy_is_asked_instead_of_the_host(mirror, monkeypatch):
    monkeypatch.setattr(web.urllib.request, "getproxies", lambda: {"https": mirror})
    monkeypatch.setattr(web.urllib.request, "proxy_bypass", lambda host: False)
    assert reachable(["https://data.invalid/"]) == ["https://data.invalid/"]


def test_download(mirror):
    assert download(mirror + "images") == b"pixels"


def test_a_failed_download_is_a_source_that_has_nothing(mirror, closed):
    with pytest.raises(SourceError, match="absent: HTTPError"):
        download(mirror + "absent")
    with pytest.raises(SourceError, match="ConnectionError"):
        download(closed + "images")


def test_the_next_mirror_is_asked_after_wrong_content(mirror):
    also = mirror.replace("127.0.0.1", "localhost")

    def fetch_all(url):
        if url == mirror:
            raise ChecksumError("Expected images ...; got other")
        return download(url + "images")

    assert from_mirrors([mirror, also], fetch_all) == b"pixels"
    with pytest.raises(SourceError, match=r"web mirrors: Expected images \.\.\.; got other"):
        from_mirrors([mirror], fetch_all)


def test_no_mirror_within_three_seconds(closed):
    with pytest.raises(SourceError, match="web mirrors: no connection within 3 s"):
        from_mirrors([closed], download)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
def test_a_signal_that_a_probe_took_is_answered_while_mirrors_are_waited_for(monkeypatch):
    free = threading.Event()

    def hang(*_, **__):
        time.sleep(0.2)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        assert free.wait(10)  # which ends the wait of no other thread
        raise OSError

    monkeypatch.setattr(web.socket, "create_connection", hang)
    before, begin = signal.signal(signal.SIGUSR1, lambda signum, frame: free.set()), time.monotonic()
    try:
        assert reachable(["http://example.test/"], 5.0) == []
        assert time.monotonic() - begin < 4
    finally:
        free.set()
        signal.signal(signal.SIGUSR1, before)
