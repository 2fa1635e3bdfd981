"""The tutorial as a reader follows it, from an empty folder: Python and commands in their order, at tiny sizes."""

import re
import shlex
from pathlib import Path

import pytest

from iwax.cli import iwax as command_line
from parsed import parse

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text()
STEPS = re.findall(r"```(python|bash)\n(.*?)```", PAGE.replace("\\\n", ""), re.DOTALL)
TINY = {
    "--epochs 60": "--epochs 1",
    "--num-samples 1280": "--num-samples 64 --num-images 10",
}  # nothing else is changed


def commands(text):
    for line in text.splitlines():
        for long, short in TINY.items():
            line = line.replace(long, short)
        yield shlex.split(line)[1:]


def test_the_commands_of_the_tutorial_are_commands():
    """Parsed with all their options; those of the text, too."""
    lines = [line for kind, text in STEPS if kind == "bash" for line in text.splitlines()]
    lines += re.findall(r"`(iwax [^`]+)`", PAGE)
    assert {line.split()[1] for line in lines} >= {"data", "train", "evaluate", "compare", "sample", "export"}
    for line in lines:
        assert parse(line).params is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Pareto")
def test_the_tutorial_from_its_first_step_to_its_last(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "tutorial"}
    for kind, text in STEPS:
        if kind == "python":
            exec(compile(text, "tutorial.md", "exec"), names)
            continue
        for arguments in commands(text):
            command_line.main(arguments, standalone_mode=False)
    printed = capsys.readouterr().out
    assert "2,000 training and 500 test" in printed
    assert names["images"].shape == (16, 784)
    for file in (
        "runs/iwae/samples.png",
        "runs/iwae/reconstructions.png",
        "digits.safetensors",
        "runs/vae/evaluation.json",
    ):
        assert (tmp_path / file).exists(), file
    assert str(tmp_path).encode() not in (tmp_path / "digits.safetensors").read_bytes()
