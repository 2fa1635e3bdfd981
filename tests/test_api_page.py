"""docs/api.md has every public name, of iwax and of the modules that are public by name, and no other that is gone."""

import importlib
import pkgutil
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import iwax
from iwax.objectives import OBJECTIVES

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
LISTED = re.findall(r"^::: (\S+)", PAGE, re.MULTILINE)
MODULES = {
    "iwax.weights": "jax",
    "iwax.zoo": "jax",
    "iwax.torch": "torch",
    "iwax.contrib.numpyro": "numpyro",
    "iwax.contrib.pyro": "pyro",
}  # module -> what it needs
IN_TEXT = {"ARCHITECTURES", "OBJECTIVES", "data", "objectives"}  # mappings and modules, said in a sentence


def missing(page_names, text):
    """Names of `iwax.__all__` that the page does not have."""
    shown = {name.rsplit(".", 1)[-1] for name in page_names if name.startswith("iwax.")}
    spoken = {name for name in IN_TEXT if re.search(rf"\biwax\.{name}\b", text)}
    return sorted(set(iwax.__all__) - shown - spoken)


def test_the_page_has_every_public_name_of_iwax():
    assert missing(LISTED, PAGE) == []
    assert missing([name for name in LISTED if name != "iwax.freeze"], PAGE) == ["freeze"]


@pytest.mark.parametrize("module", MODULES)
def test_the_page_has_every_public_name_of_a_public_module(module):
    if find_spec(MODULES[module]) is None:
        pytest.skip(f"{MODULES[module]} is not installed")
    assert {f"{module}.{name}" for name in importlib.import_module(module).__all__} <= set(LISTED)


def test_the_page_has_every_objective():
    shown = {name.rsplit(".", 1)[-1] for name in LISTED}
    assert {kind.__name__ for kind in OBJECTIVES.values()} <= shown


def test_every_name_of_the_page_is_there():
    for name in LISTED:
        if not name.startswith(("iwax.torch", "iwax.contrib", "iwax.impute")):
            assert pkgutil.resolve_name(name).__doc__, name
