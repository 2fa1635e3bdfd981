"""The code of the README and on the pages of the docs runs as it stands: each block alone, unless it says otherwise."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import iwax

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NEEDS = {
    "imputation.md": "sklearn",
    "judge.md": "pyro",
    "numpyro.md": "numpyro",
    "pytorch.md": "torch",
    "recipes.md": "flowjax",
    "trackers.md": "tensorboardX",
}
LONG = {  # half the time of all; their names are checked in a second
    "index.md",
    "cohorts.md",
    "evaluation.md",
    "imputation.md",
    "judge.md",
    "own-model.md",
    "posterior.md",
    "recipes.md",
}
ON_OWN_DATA = {"own-data.md", "recipes.md"}
ELSEWHERE = {
    "add-an-objective.md",
    "tutorial.md",
}  # tests/objectives/test_docs.py and tests/test_tutorial.py follow them
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GOES_ON = "# continues the blocks above\n"  # the first line of a block that does not run alone


def files_of_a_user(folder):
    """What the pages on own data find beside them: two folders of images in colour, and a table."""
    random = np.random.default_rng(0)
    for name in ("faces", "textures"):
        (folder / name).mkdir()
        for index, image in enumerate(random.integers(0, 256, (50, 8, 8, 3), np.uint8)):
            Image.fromarray(image).save(folder / name / f"{index:02}.png")
    rows = ["name,length,mass", *(f"a{i},{x},{x + y}" for i, (x, y) in enumerate(random.normal(size=(100, 2))))]
    (folder / "table.csv").write_text("\n".join(rows))


def runs_of_a_user(folder):
    """Trained runs, as the recipes have them: one of the images, and several seeds."""
    from iwax.runs import RunConfig, new_run

    what = {"dataset": str(folder / "faces"), "objective": "iwae", "num_samples": 5}
    how = {"protocol": "burda-paper", "epochs": 1, "batch_size": 20}
    for seed, name in enumerate(("faces", "seeds/seed0", "seeds/seed1")):
        new_run(RunConfig(**what, **how, seed=seed), folder / "runs" / name, command=[])


def programs(path):
    """The programs of a page: each block that stands alone with those that go on from it."""
    blocks = BLOCK.findall(path.read_text())
    starts = [i for i, block in enumerate(blocks) if not block.startswith(GOES_ON)]
    return ["\n".join(blocks[i:j]) for i, j in zip(starts, [*starts[1:], len(blocks)], strict=True)]


def without_modules(monkeypatch):
    """`iwax` as in a fresh process: no attribute of it is there because some other test has imported a module."""
    for name, value in list(vars(iwax).items()):
        if isinstance(value, ModuleType) and value.__name__.startswith("iwax."):
            monkeypatch.delattr(iwax, name)


def pages():
    return sorted(
        path.name for path in DOCS.glob("*.md") if path.name not in ELSEWHERE and BLOCK.search(path.read_text())
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in pages()]
)
def test_every_block_runs(name, tmp_path, monkeypatch):
    if find_spec(NEEDS.get(name, "iwax")) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    monkeypatch.chdir(tmp_path)
    if name in ON_OWN_DATA:
        files_of_a_user(tmp_path)
    if name == "recipes.md":
        runs_of_a_user(tmp_path)
        monkeypatch.syspath_prepend(ROOT / "examples")
    for program in programs(DOCS / name):
        without_modules(monkeypatch)
        exec(compile(program, name, "exec"), {"__name__": "docs"})


def test_a_block_that_leans_on_what_ran_before_it_would_fail_here(monkeypatch):
    """Without what makes modules attributes, and without the names of the block above: the control."""
    without_modules(monkeypatch)
    monkeypatch.delattr(iwax, "__getattr__")
    with pytest.raises(AttributeError, match="units"):
        exec("import iwax\niwax.units.unit_variances", {})
    last = BLOCK.findall((DOCS / "evaluation.md").read_text())[-1]
    with pytest.raises(NameError, match="iwax"):
        exec(last.replace("import iwax, jax\n", ""), {})


@pytest.mark.slow
def test_every_name_of_iwax_on_the_pages_is_there_after_import_iwax_alone():
    """In a process that has imported nothing else; and no module has become a public name by it."""
    pages = [path for path in DOCS.glob("*.md") if path.name not in ELSEWHERE]
    texts = [path.read_text() for path in (ROOT / "README.md", *pages)]
    code = [span for text in texts for span in [*BLOCK.findall(text), *re.findall(r"`([^`\n]+)`", text)]]
    found = {name for span in code for name in re.findall(r"(?<![\w/.-])iwax((?:\.[A-Za-z]\w*)+)", span)}
    dotted = sorted({name for name in found if name.split(".")[1] not in ("egg", "readthedocs", "py")})
    absent = [name for name in ("torch", "numpyro", "pyro") if find_spec(name) is None]
    dotted = [name for name in dotted if not any(part in absent for part in name.split("."))]
    assert {".zoo.records", ".evaluation.unit_divergences", ".load"} <= set(dotted)
    program = """
import pkgutil, sys, iwax
public, missing = list(iwax.__all__), []
for dotted in sys.argv[1:]:
    try:
        getattr(iwax, dotted.split(".")[1])
        pkgutil.resolve_name("iwax" + dotted)  # modules of contrib and experiments are to be imported by name
    except AttributeError as error:
        missing.append(f"{dotted}: {error}")
print("\\n".join(missing))
assert iwax.__all__ == public and not {"zoo", "units"} & set(public)
"""
    done = subprocess.run([sys.executable, "-c", program, *dotted], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


def test_what_is_not_there_is_an_attribute_error():
    for name in ("zoos", "_zoo", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module 'iwax' has no attribute '{name}'"):
            getattr(iwax, name)


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    """And every link leads somewhere: mkdocs is strict."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=DOCS.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "iwax.log_likelihood" in (tmp_path / "api" / "index.html").read_text()


def test_every_page_is_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text()
    assert [path.name for path in DOCS.glob("*.md") if f": {path.name}\n" not in navigation] == []


def test_records_named_on_a_page_are_there():
    named = re.findall(r"--verify ([0-9a-f]{12})\b", "\n".join(path.read_text() for path in DOCS.glob("*.md")))
    assert named
    assert [record for record in named if not (DOCS.parent / "results" / f"{record}.json").exists()] == []
