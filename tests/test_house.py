"""The house: imports point down one tower, and rooms are entered through their public names."""

import ast
import importlib
import pathlib

import pytest

SOURCE = pathlib.Path(__file__).parent.parent / "src" / "iwax"

GROUND = {
    "checks",
    "console",
    "errors",
    "extras",
    "figures",
    "files",
    "interrupts",
    "keys",
    "numpy_files",
    "progress",
    "reading",
    "threefry",
    "weights",
}  # which know no room
BELOW = {  # room -> the rooms that it may import from
    "data": set(),
    "models": set(),
    "objectives": {"models"},
    "evaluation": {"data", "models", "objectives"},
    "training": {"data", "models", "objectives", "evaluation"},
    "diagnostics": {"models", "objectives", "training", "evaluation"},
    "impute": {"data", "models", "objectives", "training", "evaluation"},
    "runs": {"data", "models", "objectives", "training", "evaluation"},
    "judging": {"data", "models", "objectives", "training", "evaluation", "diagnostics", "runs", "zoo"},
    "zoo": {"data", "models", "evaluation", "runs"},
    "torch": {"data", "objectives", "evaluation"},
    "contrib": {"data", "models", "objectives", "evaluation", "torch"},
}
BELOW["sweeps"] = BELOW["judging"] | {"judging"}
BELOW["experiments"] = BELOW["sweeps"] | {"sweeps", "impute"}
BELOW["report"] = BELOW["experiments"] | {"experiments", "zoo"}
BELOW["cli"] = BELOW["report"] | {"report"}
BELOW["__main__"] = {"cli"}
PICTURES = {"judging", "experiments", "report", "cli"}  # the only ones to draw
CONSOLE = {"experiments", "cli"}  # the only ones to print
LOOSE = GROUND | {"__init__", "__main__", "zoo"}


def room(module: str) -> str:
    """Of "iwax.data.cache": "data"."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(source: str, own: str) -> set[tuple[str, str]]:
    """(module, name) of each import from the package in the source of a module, name "" where it is a whole one."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{own} imports relatively"
            module = node.module or ""
            if module == "iwax":
                found |= {(f"iwax.{alias.name}", "") for alias in node.names}
            elif module.startswith("iwax."):
                found |= {(module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names if alias.name.split(".")[0] == "iwax"}
    return found


def violations(source: str, own: str) -> list[str]:
    """What the imports of one module do against the plan of the house."""
    here, wrong = room(own), []
    for module, name in sorted(imports(source, own)):
        there = room(module)
        if not there or there == here or module == "iwax.__version__":
            continue
        if there in GROUND:
            if (there == "figures" and here not in PICTURES) or (there == "console" and here not in CONSOLE):
                wrong.append(f"{own} knows {module}")
            continue
        if here in GROUND or there not in BELOW.get(here, set()):
            wrong.append(f"{own} looks up to {module}")
        elif there in BELOW and module.count(".") > 1 and module != "iwax.experiments.published":
            wrong.append(f"{own} goes past the door of {there}: {module}")
        elif name and name not in importlib.import_module(module).__all__:
            wrong.append(f"{own} takes {name}, which {module} does not list")
    return wrong


def modules() -> dict[str, pathlib.Path]:
    """Name -> file of every module."""
    names = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        names[".".join(("iwax", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return names


def test_imports_point_down_the_tower_and_through_doors():
    found = [
        wrong for name, path in modules().items() if name != "iwax" for wrong in violations(path.read_text(), name)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "own"),
    [
        ("from iwax.runs import RunConfig", "iwax.training.fit"),
        ("def f():\n    from iwax.judging import evaluate_run", "iwax.runs.session"),
        ("from iwax.objectives.objective import Objective", "iwax.training.fit"),
        ("from iwax.objectives import resample", "iwax.training.fit"),
        ("import iwax.report", "iwax.experiments.demo"),
        ("from iwax.experiments import STUDIES", "iwax.sweeps.driver"),
        ("from iwax import figures", "iwax.evaluation.units"),
        ("from iwax.models import draw", "iwax.weights"),
    ],
)
def test_what_breaks_the_plan_is_found(source, own):
    assert violations(source, own)


def test_nothing_else_is_loose():
    assert {path.stem for path in SOURCE.glob("*.py")} == LOOSE
    assert {path.parent.name for path in SOURCE.glob("*/__init__.py")} == set(BELOW) - {"zoo", "__main__"}


@pytest.mark.parametrize("name", [name for name in BELOW if name not in ("zoo", "torch", "contrib", "cli", "__main__")])
def test_every_public_name_of_a_room_is_there_and_is_no_module_by_accident(name):
    """A function has the name of its module in places; what is listed must be the function."""
    package = importlib.import_module(f"iwax.{name}")
    for public in package.__all__:
        value = getattr(package, public)
        assert not hasattr(value, "__path__")
        if hasattr(value, "__spec__"):
            assert name == "experiments", f"{public} is a module"
