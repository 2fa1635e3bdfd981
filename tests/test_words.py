"""One name for each thing: the words of the field, and none of those that stood for them here before."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FORMER = {  # what is no longer said -> what is
    r"surroundings": "environment",
    r"sittings?\b|\bstretch(es)?\b|STRETCH": "session, chunk of steps",
    r"\bunfinished\b|UNFINISHED": "partial",
    r"\banew\b": "afresh, again; --recompute",
    r"is at it\b|that will not do|lost alone": "is already running, invalid settings, cannot be reached",
    r"\bLengthState\b|gradient longer than": "norm",
    r"\bcount_holding\b|HOLDING": "active by KL",
    r"\bwhence\b|would_ask|\bknock\b": "source, probe",
    r"\bsay: Callable|^say: ": "log",
    r"\b_turn\b|_turn_back": "rotate",
    r"\bOF_VAE\b|\bSAID\b|\bFITTING\b|\bWORTHWHILE\b|\bOF_ADAM\b": "names that say what a constant lists",
    r"Does it hold\?|What matters how much|[Pp]rices worth paying|what that is worth": "Claims, Effect sizes, ...",
    r"referential model|your own rgb|\b1 epochs\b": "reference model, 1 epoch",
    r"seed002": "unconstrained, pytorch_ssim",
    r"[Rr]eparameteris|[Rr]eparametri[sz]": "reparameterized",
    r"\b[Tt]raining protocols?\b|\bPROTOCOLS\b|get_protocol|build_protocol": "recipe",
}
ALLOWED = (  # aliases, which users' commands and records hold
    '"--recompute", "--anew"',
    '" /--anew"',
    "FORMER_RULES",
    "FORMER_NAMES",
    "IDENTIFIED_AS",
    '"seed002" in older configurations',
    "(`--anew` before)",
    "(`seed002` in configurations of before)",
    "| seed002 |",  # a demonstration's recorded rows
)
FILES = [
    *(path for folder in ("src", "docs", "scripts", "examples", "benchmarks") for path in (ROOT / folder).rglob("*")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "mkdocs.yml")),
]
GENERATED = {"planted-bugs.md"}  # from a record of runs


def former_words(text: str) -> list[str]:
    """The lines of a text that hold a former word."""
    lines = [line for line in text.splitlines() if not any(alias in line for alias in ALLOWED)]
    return [line.strip() for line in lines if any(re.search(word, line) for word in FORMER)]


def test_no_former_word_is_said_anywhere():
    texts = [p for p in FILES if p.suffix in (".py", ".pyi", ".md", ".html", ".js", "") and p.is_file()]
    found = {path.name: former_words(path.read_text()) for path in texts if path.name not in GENERATED}
    assert len(texts) > 150
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize("line", ["its surroundings", "after 1 epochs", 'CIWAE(beta_rule="seed002")', "Does it hold?"])
def test_a_former_word_is_found(line):
    assert former_words(line)
    assert not former_words('FORMER_RULES = {"seed002": "unconstrained"}')
