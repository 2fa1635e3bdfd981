"""The light install: what the extras bring is not needed at import, missed in one line, and never by the numbers."""

import ast
import importlib
import json
import re
import sys
import tomllib
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from example_modules import ROOT
from iwax.cli import main
from iwax.data import load
from iwax.errors import MissingExtraError
from iwax.evaluation import judge_log_weights
from iwax.extras import EXTRAS, MissingPictureWarning, beside_numbers, check_installed
from iwax.judging.compare import compare
from iwax.judging.posterior import posterior_picture
from iwax.models import LinearGaussian
from iwax.runs import RunFolder

SOURCE = ROOT / "src" / "iwax"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDING = ("report", "torch", "contrib", "impute/imputer.py")  # the rooms and files that need an extra as a whole
BROUGHT_ALONG = {"cycler", "markupsafe", "mpl_toolkits", "imageio", "tifffile", "networkx"}  # by packages of the extras


def imported_at_import(source: str) -> set[str]:
    """The roots of modules that a module imports when it is itself imported: not those inside functions."""
    found, waiting = set(), list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def needs(source: str) -> set[str]:
    return imported_at_import(source) & (EXTRAS.keys() | BROUGHT_ALONG)


def test_no_room_but_those_of_an_extra_imports_it_at_import():
    found = {
        str(path.relative_to(SOURCE)): needs(path.read_text())
        for path in SOURCE.rglob("*.py")
        if not path.relative_to(SOURCE).as_posix().startswith(NEEDING)
    }
    assert len(found) > 100
    assert {name: modules for name, modules in found.items() if modules} == {}


@pytest.mark.parametrize(
    "source", ["import matplotlib.ticker", "class A:\n    from PIL import Image", "if 1:\n    import torch"]
)
def test_an_import_of_an_extra_is_found(source):
    assert needs(source)
    assert not needs(f"def f():\n{re.sub('^', '    ', source, flags=re.MULTILINE)}")


def requirements(lines: list[str]) -> set[str]:
    """Names of packages, without versions."""
    return {re.split(r"[<>=\[]", line)[0] for line in lines}


def test_the_table_of_extras_is_that_of_the_project():
    extras = {name: requirements(lines) for name, lines in PROJECT["optional-dependencies"].items()}
    for package, extra in EXTRAS.values():
        assert package in extras[extra]
        assert package not in requirements(PROJECT["dependencies"])
    assert {package for package, extra in EXTRAS.values() if extra == "report"} == extras["report"]
    (everything,) = (line for line in PROJECT["optional-dependencies"]["dev"] if line.startswith("iwax["))
    assert "report" in everything


def test_the_page_of_installation_lists_the_extras_and_what_each_brings():
    page = (ROOT / "docs" / "installation.md").read_text()
    rows = re.findall(r"^\| `pip install \"?iwax(?:\[(\w+)\])?\"?` \| (.*?) \|", page, re.MULTILINE)
    found = {extra: set(re.findall(r"`([\w-]+)`", brings)) for extra, brings in rows}
    for_users = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name not in ("dev", "docs")}
    assert found == {
        "": requirements(PROJECT["dependencies"]),
        **{name: requirements(lines) for name, lines in for_users.items()},
    }


@pytest.fixture
def light(monkeypatch):
    """As if the extra `report` were not installed."""
    for module, (_, extra) in EXTRAS.items():
        if extra == "report":
            monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "iwax.report", raising=False)


def status(arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sample"], "Expected pillow to be installed for pictures"),
        (["reconstruct"], "Expected matplotlib to be installed for pictures"),
        (["ssim"], "Expected scikit-image to be installed for SSIM"),
        (["reproduce", "speedrun", "--runs"], "Expected pillow to be installed for the record of a run"),
        (["report", "--runs"], "Expected jinja2 to be installed for reports"),
    ],
)
def test_a_command_that_only_draws_says_what_it_lacks_in_one_line(tmp_path, light, capsys, command, message):
    assert status([*command, tmp_path]) == 2
    assert capsys.readouterr().err == f'iwax: {message}; pip install "iwax[report]" brings it.\n'


def test_a_folder_of_images_cannot_be_read(tmp_path, light):
    (tmp_path / "a.png").write_bytes(b"never opened")
    with pytest.raises(MissingExtraError, match="Expected pillow to be installed for images in files"):
        load(tmp_path)


def test_the_extra_of_a_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'Expected torch .* for x; pip install "iwax\[torch\]" brings it'):
        check_installed("torch", "x")


def test_numbers_are_had_without_the_pictures_beside_them(tmp_path, light, capsys, monkeypatch):
    arrays = {"khat": np.full(2, 0.1), "ess": np.full(2, 9.0), "unit_variances_1": np.full(3, 0.5)}
    np.savez(tmp_path / "evaluation.npz", **arrays)
    (tmp_path / "evaluation.json").write_text(
        json.dumps(
            {"state": "finished", "num_examples": 2, "num_samples": 128, "test_hash": None, "seconds": 1.0}
            | {"binarize": "fixed"}
        )
    )
    summary = {"state": "finished", "log_p": -1.5}
    monkeypatch.setattr("iwax.judging.evaluate_run", lambda *arguments, **options: summary)
    loaded = SimpleNamespace(folder=RunFolder(tmp_path), words=None)
    monkeypatch.setattr("iwax.zoo.open_run", lambda *arguments, **options: loaded)
    assert status(["evaluate", tmp_path, "--figures", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == summary
    assert said.err.endswith(
        "\niwax: Left out figures/trust and figures/active-units. Expected matplotlib to be installed for pictures; "
        'pip install "iwax[report]" brings it.\n'
    )


def test_the_numbers_of_a_posterior_come_with_a_warning(light, monkeypatch, tmp_path):
    monkeypatch.setattr("iwax.judging.posterior.POOL", 4096)
    model, x = LinearGaussian.isotropic(3), np.full((1, 3), 0.5, np.float32)
    with pytest.warns(MissingPictureWarning, match="Left out the picture of the posterior"):
        (found,) = posterior_picture(model, x, jax.random.key(0), tmp_path / "a.svg", num_samples=(2,))
    assert found["bounds"][1] <= found["bounds"][2] <= found["log_p"] + 1e-3
    assert not (tmp_path / "a.svg").exists()


def test_models_are_compared_without_their_picture(light, tmp_path):
    log_w = np.random.default_rng(0).normal(size=(64, 3))
    found = compare([judge_log_weights(log_w), judge_log_weights(log_w + 1)], out=tmp_path)
    assert found.comparisons[0].difference == pytest.approx(1)
    assert found.pictures == ()
    assert found.notes == ('Expected matplotlib to be installed for pictures; pip install "iwax[report]" brings it.',)


def test_another_error_is_not_taken_for_a_missing_picture():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), beside_numbers("a picture"):
        importlib.import_module("no_such_module")
