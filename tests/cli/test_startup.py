"""Compiled programs are kept between processes, where the user wants them, and change no bit."""

import os
import subprocess
import sys

import pytest

from iwax.cli.startup import FOLDER, keep_compiled_programs


@pytest.fixture
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, "")  # so that it is put back
    monkeypatch.delenv(FOLDER)
    monkeypatch.setenv("IWAX_CACHE", str(tmp_path / "cache"))
    return os.environ


def test_in_the_cache_folder(environment, tmp_path):
    keep_compiled_programs()
    assert environment[FOLDER] == str(tmp_path / "cache" / "compiled")
    assert (tmp_path / "cache" / "compiled").is_dir()


def test_the_users_folder_has_the_last_word(environment, tmp_path):
    environment[FOLDER] = "elsewhere"
    keep_compiled_programs()
    assert environment[FOLDER] == "elsewhere"
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_none(environment, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    keep_compiled_programs()
    assert FOLDER not in environment


@pytest.mark.slow
def test_a_program_from_the_cache_computes_the_same_bits_and_says_nothing(tmp_path):
    command = [sys.executable, "-c", "from iwax.cli import main; main()", "train", "--dataset", "mnist-sample"]
    command += ["--train-images", "100", "--epochs", "2", "--num-samples", "5"]

    def train(name, keep):
        more = {"IWAX_CACHE": str(tmp_path / "cache"), "JAX_ENABLE_COMPILATION_CACHE": keep}
        run = [*command, "--out", str(tmp_path / name)]
        done = subprocess.run(run, env=os.environ | more, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return (tmp_path / name / "checkpoint.safetensors").read_bytes(), done.stderr.lower()

    kept = tmp_path / "cache" / "compiled"
    without, _ = train("without", "false")
    assert not list(kept.iterdir())
    cold, _ = train("cold", "true")
    programs = sorted(path.name for path in kept.glob("*-cache"))
    assert programs
    cached, said = train("cached", "true")
    assert sorted(path.name for path in kept.glob("*-cache")) == programs
    assert without == cold == cached
    assert "mnist" in said  # the notice about the data
    for sign in ("xla", "jax", "compil", "cache", "machine", "feature"):
        assert sign not in said, sign


@pytest.mark.skipif(os.name == "nt", reason="descriptors of POSIX")
def test_no_file_becomes_the_standard_error_of_a_process_that_has_none(tmp_path):
    program = """if True:
        import os, sys
        from iwax.cli import _open_what_is_closed
        for number in (0, 1, 2):
            os.close(number)
        if sys.argv[1] == "iwax":
            _open_what_is_closed()
        with open(sys.argv[2], "w") as file:
            file.write(str(file.fileno()))
    """
    for which, number in (("iwax", "3"), ("nothing", "0")):  # the latter is the control
        subprocess.run([sys.executable, "-c", program, which, tmp_path / which], check=True, close_fds=True)
        assert (tmp_path / which).read_text() == number


def test_the_command_line_is_there_without_anything_imported():
    """Until its first line runs Ctrl-C is Python's, so that there is nothing to wait for before it."""
    look = "import sys; print(*{'typing', 'enum', 'ast', 'lazy_loader', 'click'} & set(sys.modules))"
    before, loaded = (
        subprocess.check_output([sys.executable, "-c", code], text=True).split()
        for code in (look, f"import iwax.cli; {look}")
    )
    assert set(loaded) <= set(before)
