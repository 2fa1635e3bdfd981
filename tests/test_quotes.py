"""What a page quotes is what the records hold: each sentence with a number of ours is written again from them.

A number of nats on the pages that a newcomer reads, README, home, tutorial, which objective, belongs to one of
the sentences below, to a generated part, or to what a command printed.
"""

import functools
import json
import re
import runpy
from pathlib import Path

import pytest

from iwax import zoo
from iwax.experiments.records import read_records

ROOT = Path(__file__).parents[1]
WHICH = runpy.run_path(str(ROOT / "scripts" / "which_page.py"))
WATCHED = ("README.md", "docs/index.md", "docs/which-objective.md")


@functools.cache
def records():
    return tuple(read_records(ROOT / "results"))


def text_of(page):
    return (ROOT / page).read_text()


def nats(value):
    return f"{value:.2f}".replace("-", "−")


def log_p(row, setting, seed=0):
    (record,) = (one for one in WHICH["chosen"](records(), row, setting) if one.config["seed"] == seed)
    return record.evaluation["values"]["log_p"]


def spread(dataset):
    """Largest less smallest log p over seeds of the VAE of one layer."""
    (setting,) = (
        name for name, (model, data, _) in WHICH["SETTINGS"].items() if (model, data) == ("one-layer", dataset)
    )
    values = [log_p("VAE, one sample", setting, seed) for seed in range(3)]
    return max(values) - min(values)


def of_zoo(name):
    measured = zoo.records()[name]["half_precision"]
    return f"log p {nats(measured['log_p'])} ± {nats(measured['log_p_test_error'])} nats"


def planted():
    """How many bugs there are, to the ten below, if all of them are caught."""
    final = json.loads(text_of("docs/planted-bugs.json"))["final"]
    assert all(final.values())
    return len(final) // 10 * 10


def judging():
    """Fastest and slowest whole judgement of a test set at k = 5000, in minutes."""
    judged = [one.evaluation for one in records() if one.scale == "short"]
    whole = [one["seconds"] for one in judged if one["num_samples"] > 4000 and one["num_images"] > 8000]
    return min(whole) / 60, max(whole) / 60


def best(setting):
    return next(iter(WHICH["means"](records(), "log_p")[setting]))


def published(column):
    """Rainforth et al. (2018), as the study has it."""
    from iwax.experiments import STUDIES

    (number,) = (
        number.value
        for cell in STUDIES["rainforth2018"].cells
        for number in cell.published
        if (cell.column, cell.metric, cell.config.dataset) == (column, "log_p", "mnist") and "Table 1" in number.source
    )
    return nats(number)


MNIST, OMNIGLOT, LARGER = WHICH["SETTINGS"]
QUOTES = {  # page -> its sentences, as the records have them
    "README.md": lambda: [
        f"`two-layer-iwae-50`, a model that comes with iwax: {of_zoo('two-layer-iwae-50')} on the test images of MNIST",
        f"Over {planted()} bugs were planted one by one, many of them [seen in published code](docs/planted-bugs.md), "
        "and the tests catch every one.",
    ],
    "docs/index.md": lambda: [f"`two-layer-iwae-50`: {of_zoo('two-layer-iwae-50')}"],
    "docs/which-objective.md": lambda: [
        f"is PIWAE(8, 8) {published('PIWAE(8, 8)')}, IWAE(64) {published('IWAE')}, "
        f"MIWAE(8, 8) {published('MIWAE(8, 8)')}, CIWAE 0.5 behind them",
        f"Here, after {WHICH['SETTINGS'][MNIST][2]}, {best(MNIST).split('(')[0]} is best as well, "
        "and IWAE(64) is behind MIWAE",
        f"lie within {spread('mnist'):.2f} nat of each other on MNIST and {spread('omniglot'):.2f} on Omniglot",
    ],
    "docs/reproduce.md": lambda: ["Judging with k = 5000 took {:.0f} to {:.0f} minutes a run".format(*judging())],
}


@pytest.mark.parametrize("page", QUOTES)
def test_what_a_page_quotes_is_what_the_records_hold(page):
    text = " ".join(text_of(page).split())
    for sentence in QUOTES[page]():
        assert sentence in text, f"{page} should say: {sentence}"


@pytest.mark.slow
def test_a_record_that_moves_makes_its_page_stale(monkeypatch):
    """The control: of other numbers, other sentences."""
    monkeypatch.setitem(globals(), "records", lambda: tuple(moved(one) for one in read_records(ROOT / "results")))
    with pytest.raises(AssertionError, match="should say"):
        test_what_a_page_quotes_is_what_the_records_hold("docs/which-objective.md")
    assert "−84.53" in WHICH["section"](list(read_records(ROOT / "results")))
    assert "−84.53" not in WHICH["section"]([moved(one) for one in read_records(ROOT / "results")])


def moved(record):
    import dataclasses

    values = {
        name: value and value - record.config["seed"] - 1.0 for name, value in record.evaluation["values"].items()
    }
    return dataclasses.replace(record, evaluation={**record.evaluation, "values": values})


def test_the_order_of_objectives_is_the_records():
    page = text_of("docs/which-objective.md")
    assert WHICH["with_section"](page) == page, "Run: python scripts/which_page.py"


def test_the_advice_agrees_with_the_records():
    """Where the page says take PIWAE: best, or as good as the best within 0.1 nat; and MIWAE within 0.6 of it."""
    for setting, values in WHICH["means"](records(), "log_p").items():
        assert values["PIWAE(8, 8)"] > max(values.values()) - 0.1, setting
        assert values["PIWAE(8, 8)"] - values["MIWAE(8, 8)"] < 0.6, setting
    gaps = WHICH["means"](records(), "minus_kl")
    for setting in (MNIST, OMNIGLOT):
        assert gaps[setting]["VAE, one sample"] > gaps[setting]["IWAE(64)"] + 0.5, setting


@pytest.mark.parametrize("page", WATCHED)
def test_every_number_of_nats_that_a_page_says_is_accounted_for(page):
    text = re.sub(r"<!-- measured: .*?<!-- end of measured -->", "", text_of(page), flags=re.DOTALL)
    text = " ".join(re.sub(r"```.*?```|<!-- peers: .*?<!-- end of peers -->", "", text, flags=re.DOTALL).split())
    for sentence in QUOTES[page]():
        text = text.replace(sentence, "")
    linked = {  # measured on another page, or printed by the block above and compared with it by test_readme.py
        "README.md": {"−80.50"},
        "docs/which-objective.md": {"−103.9", "−105.3", "−104.8"},
    }
    assert set(re.findall(r"−\d+\.\d+", text)) == linked.get(page, set())


def test_what_was_measured_once_is_on_the_page_that_is_named():
    learned = text_of("docs/learned-beta.md")
    for shown, kept in {"−103.9": "-103.87", "−105.3": "-105.25", "−104.8": "-104.82"}.items():
        assert kept in learned
        assert abs(float(shown.replace("−", "-")) - float(kept)) < 0.06
