"""The notebooks in text: their pages are what the generator writes, and each runs from its first cell to its last."""

import re
from importlib.util import find_spec

import pytest

from example_modules import ROOT, load_script

SCRIPT = load_script("notebook_pages")
FOLDER = ROOT / "docs" / "notebooks"
NEEDS = {"flow_posterior": "flowjax", "imputation": "sklearn", "numpyro_mixed_effects": "numpyro"}
TOY = {
    "vae_to_piwae": {
        "EPOCHS": 1,
        "TRAIN_IMAGES": 200,
        "TEST_IMAGES": 10,
        "EVALUATION_SAMPLES": 64,
        "REPLICATES": 4,
    },
    "flow_posterior": {"EPOCHS": 1, "ROWS": 200, "EVALUATION_SAMPLES": 64},
    "numpyro_mixed_effects": {"STEPS": 20, "EVALUATION_SAMPLES": 128, "DRAWS": 50},
    "imputation": {"EPOCHS": 1, "SAMPLES": 100, "TABLES": 3},
}  # the parameters of each, all of them


def source(name):
    return (FOLDER / f"{name}.py").read_text()


def test_there_are_the_four_notebooks_and_the_site_shows_them():
    assert SCRIPT.notebooks() == sorted(TOY)
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert all(f": notebooks/{name}.md\n" in navigation for name in TOY)


@pytest.mark.parametrize("name", TOY)
def test_a_page_is_its_notebook_with_the_outputs_of_a_run(name):
    page = (FOLDER / f"{name}.md").read_text()
    outputs, made = SCRIPT.kept(page)
    assert SCRIPT.page(name, outputs, made) == page, "Run: python scripts/notebook_pages.py"
    code = [cell.text for cell in SCRIPT.cells(source(name)) if cell.kind != "markdown"]
    assert [text for text in outputs if text in code] == code
    assert made.startswith("What it shows was made on 20"), "Run: python scripts/notebook_pages.py --run NAME"
    assert sum("```text" in output for output in outputs.values()) >= 2, "Run: scripts/notebook_pages.py --run NAME"
    for picture in re.findall(r"^!\[.+\]\((.+)\)$", page, re.MULTILINE):
        assert (FOLDER / picture).exists()


@pytest.mark.parametrize("name", TOY)
def test_a_notebook_is_in_the_percent_format_and_begins_with_its_title(name):
    """As jupytext reads it: every line is in a cell, a cell of text is comments, and one cell holds all the sizes."""
    text = source(name)
    assert text.startswith("# %% [markdown]\n# # ")
    kinds = [cell.kind for cell in SCRIPT.cells(text)]
    assert kinds.count("parameters") == 1
    for mark, body in re.findall(r"^# %%(.*)\n(.*?)(?=^# %%|\Z)", text, re.MULTILINE | re.DOTALL):
        if "[markdown]" in mark:
            assert all(line.startswith("#") or not line for line in body.splitlines())
    (sizes,) = (cell.text for cell in SCRIPT.cells(text) if cell.kind == "parameters")
    assert set(re.findall(r"^([A-Z_]+) = ", sizes, re.MULTILINE)) == set(TOY[name])


def test_a_page_of_other_code_has_none_of_the_outputs():
    """The control: an output belongs to the code above it, word for word."""
    outputs, made = SCRIPT.kept((FOLDER / "imputation.md").read_text())
    other = {code.replace("held_out=0.1", "held_out=0.2"): shown for code, shown in outputs.items()}
    shown, lost = (SCRIPT.page("imputation", kept, made).count("```text") for kept in (outputs, other))
    assert shown == lost + 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Pareto", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", TOY)
def test_a_notebook_runs_from_its_first_cell_to_its_last(name):
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    outputs = SCRIPT.run(name, TOY[name])
    assert sum(bool(output) for output in outputs.values()) >= 3
    assert any("![" in output for output in outputs.values())
    assert "nan" not in "".join(outputs.values()).lower().replace("dominant", "")


@pytest.mark.parametrize("name", TOY)
def test_links_of_a_notebook_lead_to_pages(name):
    links = re.findall(r"\]\((\.\./[^)#]+)", source(name))
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []
