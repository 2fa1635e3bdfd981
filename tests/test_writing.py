"""Every file is written whole or not at all; what cannot be written is named, and leaves nothing of itself."""

import ast
import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest

from faults import Killed, full_from, killed_before, watched
from iwax.errors import NotWritableError
from iwax.figures import image_rows, image_sheet, plot
from iwax.files import append_line, write_whole
from iwax.impute.files import Sheet
from iwax.judging.partial import partial_evaluation

SOURCE = Path(__file__).parents[1] / "src" / "iwax"
ELSEWHERE = {  # what may open a file to write, and why
    "files.py": "it is the writer",
    "runs/lock.py": "a lock",
    "judging/partial.py": "appended to while it is locked",
    "runs/hub.py": "a temporary folder that is sent away",
    "sweeps/process.py": "the log of a process, which that writes",
    "sweeps/hardware.py": "a lock",
    "sweeps/lease.py": "a lock",
}
IMAGES = np.linspace(0, 1, 8 * 16).reshape(8, 4, 4)


def draw_plot(path):
    with plot(path) as axis:
        axis.plot([0, 1])


def write_sheet(path):
    sheet = Sheet(["a"], [np.array([1.0, np.nan])])
    sheet.write(path, [np.array([1.0, 2.0])])


def begin_evaluation(path):
    with partial_evaluation(path, {}) as finished:
        finished.append({"elbo": np.zeros(3)})


WRITERS = {
    "text.json": lambda path: write_whole(path, "{}"),
    "sheet.png": lambda path: image_sheet(IMAGES, path),
    "rows.png": lambda path: image_rows({"test": IMAGES}, path),
    "plot.svg": draw_plot,
    "table.csv": write_sheet,
    "table.parquet": write_sheet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_for_which_there_is_no_room_is_named_and_the_one_of_before_stays(tmp_path, name):
    path = tmp_path / name
    with watched(tmp_path) as seen:
        WRITERS[name](path)
    before = path.read_bytes()
    assert before
    for number in range(1, 1 + seen.operations.index(f"rename {name}")):
        for there in (before, None):
            with full_from(number, tmp_path), pytest.raises(NotWritableError) as error:
                WRITERS[name](path)
            assert str(error.value).startswith(f"Expected to be able to write {path}; got No space left on device. Fr")
            assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if there is None else [there])
            path.unlink(missing_ok=True)
        path.write_bytes(before)


def test_a_line_of_which_a_part_fitted_is_taken_back(tmp_path, monkeypatch):
    """The disk takes six bytes more, of a line of nine."""
    path, left = tmp_path / "rows.jsonl", [6]
    append_line(path, '{"a": 1}')

    def limited(content, real):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = real(content[: left[0]])
        left[0] -= taken
        return taken

    class Limited(io.FileIO):
        def write(self, content):
            return limited(content, super().write)

    monkeypatch.setattr("iwax.files.open", lambda path, mode, buffering: Limited(path, mode), raising=False)
    with pytest.raises(NotWritableError, match=r"write .*rows\.jsonl; got No space left on device"):
        append_line(path, '{"a": 2}')
    assert path.read_text() == '{"a": 1}\n'
    left[0] = 100
    append_line(path, '{"a": 3}')
    assert path.read_text() == '{"a": 1}\n{"a": 3}\n'


def test_a_partial_evaluation_that_cannot_be_begun_is_named(tmp_path):
    with full_from(1, tmp_path), pytest.raises(NotWritableError, match=r"to be able to write .*evaluation\.partial"):
        begin_evaluation(tmp_path / "evaluation.partial")


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_as_the_umask_leaves_them(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "written", "text")
        append_line(tmp_path / "appended", "text")
        image_sheet(IMAGES, tmp_path / "drawn.png")
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {mode}


@pytest.mark.skipif(os.name == "nt", reason="folders are not synced there")
def test_the_name_in_the_folder_is_on_the_disk_before_the_writer_is_done(tmp_path):
    with watched(tmp_path) as seen:
        write_whole(tmp_path / "file", "text")
    steps = [operation.split()[0] for operation in seen.operations]
    assert steps == ["open", "fsync", "rename", "fsync"]
    assert seen.operations[-1] == "fsync ."


def test_killed_anywhere_there_is_the_old_file_or_the_new_one(tmp_path):
    path, found = tmp_path / "file", set()
    for number in range(1, 6):
        path.write_text("old")
        try:
            with killed_before(number, tmp_path):
                write_whole(path, "new")
        except Killed:
            pass
        found.add(path.read_text())
    assert found == {"old", "new"}


def opens_to_write(tree):
    """The calls in a module that write a file by another way than iwax.files."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [arg.value for arg in (*node.args, *(k.value for k in node.keywords)) if isinstance(arg, ast.Constant)]
        modes = [
            text for text in texts if isinstance(text, str) and set(text) <= set("rwaxbt+") and set(text) & set("wax+")
        ]
        if name in ("write_text", "write_bytes", "savefig") or (name in ("open", "fdopen") and modes):
            yield ast.unparse(node)


def test_nothing_else_in_the_source_opens_a_file_to_write():
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        calls = [call for call in opens_to_write(ast.parse(path.read_text())) if "savefig(buffer" not in call]
        if calls and name not in ELSEWHERE:
            found[name] = calls
    assert not found
    assert list(opens_to_write(ast.parse("open(p, 'w'); p.open('rb'); p.write_text(t); open(p, mode='a+b')"))) == [
        "open(p, 'w')",
        "p.write_text(t)",
        "open(p, mode='a+b')",
    ]
