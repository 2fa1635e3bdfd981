"""The scripts of examples/ and scripts/, as modules."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def load_example(name):
    return _load(EXAMPLES, name)


def load_script(name):
    return _load(ROOT / "scripts", name)


def _load(folder, name):
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
