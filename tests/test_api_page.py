"""docs/api.md has every public name, of iwax and of the modules that are public by name, and no other that is gone."""

import importlib
import inspect
import pkgutil
import re
import runpy
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


def lacks_example(names):
    """The names whose docstring shows nothing that runs; a protocol is shown by what has it, a result by its maker."""
    shown_elsewhere = {"GroupedModel", "FactorizedModel", "FitResult", "PosteriorSample", "export", "AbstractObjective"}
    return [
        name
        for name in names
        if name.rsplit(".", 1)[-1] not in shown_elsewhere
        and not (name.startswith(("iwax.torch", "iwax.contrib")) and find_spec(MODULES[name.rsplit(".", 1)[0]]) is None)
        and ">>> " not in (pkgutil.resolve_name(name).__doc__ or "")
    ]


def test_every_name_of_the_page_has_an_example():
    assert lacks_example(LISTED) == []
    assert lacks_example(["iwax.models.ARCHITECTURES"]) == ["iwax.models.ARCHITECTURES"]


def test_every_public_function_says_what_its_arguments_are():
    """Each that takes more than three, in its docstring, by name."""
    unsaid = {}
    for name in LISTED:
        if name.startswith(("iwax.torch", "iwax.contrib", "iwax.impute")):
            continue
        value = pkgutil.resolve_name(name)
        if inspect.isfunction(value) and len(parameters := inspect.signature(value).parameters) > 3:
            said = inspect.getdoc(value)
            unsaid[name] = [one for one in parameters if not re.search(rf"\b{one}\b", said)]
    assert len(unsaid) > 8
    assert {name: missing for name, missing in unsaid.items() if missing} == {}


def test_the_page_of_objectives_has_the_arguments_of_every_constructor():
    page = (Path(__file__).parents[1] / "docs" / "objectives.md").read_text()
    script = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "readme.py"))
    assert script["with_arguments"](page) == page, "Run: python scripts/readme.py"
    rows = re.findall(r"^\| `(\w+)=(.+?)` \| (.+?) \|", page, re.MULTILINE)
    for kind in OBJECTIVES.values():
        said = {name: default for name, default, of in rows if of == "all" or f"`{kind.__name__}`" in of}
        signature = inspect.signature(kind).parameters
        assert said == {name: repr(parameter.default) for name, parameter in signature.items()}, kind
