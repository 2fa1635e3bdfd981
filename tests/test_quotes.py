"""What a page quotes is what the records hold: each sentence with a number of ours is written again from them.

A number of nats on the pages that a newcomer reads, README, home, tutorial, which objective, belongs to one of
the sentences below, to a generated part, or to what a command printed.
"""

import functools
import json
import re
import runpy
import statistics
from pathlib import Path

import pytest

from iwax import zoo
from iwax.experiments.records import read_records

ROOT = Path(__file__).parents[1]
WHICH = runpy.run_path(str(ROOT / "scripts" / "which_page.py"))
WATCHED = ("README.md", "docs/index.md", "docs/which-objective.md", "docs/audit.md")


@functools.cache
def records():
    return tuple(read_records(ROOT / "results"))


def text_of(page):
    return (ROOT / page).read_text()


def nats(value):
    return f"{value:.2f}".replace("-", "−")


def of_zoo(name):
    measured = zoo.records()[name]["half_precision"]
    return f"log p {nats(measured['log_p'])} ± {nats(measured['log_p_test_error'])} nats"


def planted():
    """How many bugs there are, to the ten below, if all of them are caught."""
    final = json.loads(text_of("docs/planted-bugs.json"))["final"]
    assert all(final.values())
    return (len(final) - 1) // 10 * 10


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


def printed(study, source, **wanted):
    """Published numbers of a study, by the beginning of their source and fields of their cells, in their order."""
    from iwax.experiments import STUDIES

    return [
        number.value
        for cell in STUDIES[study].cells
        for number in cell.published
        if number.source.startswith(source) and all(getattr(cell, name) == value for name, value in wanted.items())
    ]


def shown(name):
    """The rows and the finding of a demonstration of the audit."""
    found = json.loads(text_of(f"results/demonstrations/audit-{name}-short.json"))
    return found["rows"], found["finding"]


def ablated():
    """Factor of the audit -> by how many nats its worse value is worse after 101 epochs, over all else, ± the error."""
    fields = ("output_bias", "beta1", "init", "epsilon")
    settings = {}
    for one in records():
        if (one.config["protocol"], one.training["epochs"], one.scale) == ("burda-paper", 101, "short"):
            setting = tuple(one.config[name] for name in fields)
            settings.setdefault(setting, []).append(one.evaluation["values"]["log_p"])
    assert len(settings) == 16
    found = {}
    for place, factor in enumerate(fields):
        pairs = {}
        for setting, values in sorted(settings.items(), key=str):
            pairs.setdefault(setting[:place] + setting[place + 1 :], []).append(statistics.fmean(values))
        ahead = [first - second for first, second in pairs.values()]
        found[factor] = f"{abs(statistics.fmean(ahead)):.2f} ± {statistics.stdev(ahead) / len(ahead) ** 0.5:.2f}"
    return found


def seeds_of_a_plateau():
    """How far apart the seeds of one setting of the audit end that starts on a plateau, in nats of log p."""
    start = {"output_bias": "zero", "beta1": 0.99, "init": "uniform", "epsilon": 1e-4}
    audit = (one for one in records() if one.training["epochs"] == 101 and one.scale == "short")
    values = [one.evaluation["values"]["log_p"] for one in audit if start.items() <= one.config.items()]
    assert len(values) == 3
    return f"{max(values) - min(values):.1f}"


def of_full_length(output_bias):
    """Negative log-likelihood of the audit's VAE after the published 3,280 epochs."""
    (found,) = (one for one in records() if one.training["epochs"] == 3280 and one.config["output_bias"] == output_bias)
    return f"{-found.evaluation['values']['log_p']:.2f}"


def two_layers_of_five():
    found = WHICH["log_p"](records(), ("elbo", None, 5, None), ("two-layer", "mnist", 160)).values()
    return f"{-statistics.fmean(found):.2f}"


def audited():
    """The sentences of the story of the audit."""
    gaps = printed("tightiwae", "TightIWAE report, Table 1", metric="minus_kl")
    assert (len(gaps), sum(gap > 0 for gap in gaps)) == (10, 6)
    report = printed("tightiwae", "TightIWAE report, Table 1", metric="log_p")
    one_layer = printed("dd2434", "DD2434", column="mnist VAE", row="1 layer, k = 1")
    low, high = re.search(r"between (\S+) and (\S+),", shown("iwae-64")[1]).groups()
    (_, piwae), (resumed, _) = shown("piwae"), shown("resume")
    betas = re.search(r"at k = 1 beta is (\S+), (\S+), (\S+), by", shown("learned-beta")[1]).groups()
    (corner,) = (row[5] for row in shown("learned-beta")[0] if row[0] == "seed002" and row[1] == 8)
    worth = ablated()
    omniglot = {"column": "omniglot IWAE", "row": "1 layer, k = 50"}
    deep = {"column": "mnist VAE", "row": "2 layers, k = 5"}
    return [
        f"Six of its ten are, up to {max(gaps):+.2f}.",
        f"−KL is {nats(shown('iwae-64')[0][1][2])} nats, and the slice makes it anything between "
        f"{low.replace('-', '−')} and {high}.",
        f"CIWAE with beta 0.5 has log p {nats(report[3])}, beside a VAE's {nats(report[4])}. The paper has "
        f"{published('CIWAE 0.5')}.",
        f"With 64 samples the bound is {shown('ciwae-1')[0][-1][2]:+.2f} nats away.",
        f"{re.search(r'[0-9.]+ nats looser', piwae)[0]} than that of 64 for the same model, from "
        f"{shown('piwae')[0][1][3]} samples an image instead of 64.",
        f"change no parameter (by {resumed[0][1]:g}), and 50 after a right one by up to {resumed[1][1]:.4f}.",
        f"beta at k = 8 is {nats(corner)} after 2,000 steps, where the objective has no maximum; at k = 1, the "
        f"default, it drifts: {betas[0]}, {betas[1]} and {betas[2]} for three seeds.",
        f"{one_layer[0]:.2f} where that has {printed('audit', 'Burda')[0]:.2f}, and its two-layer VAE of five samples, "
        f"{printed('dd2434', 'DD2434', **deep)[0]:.2f}, is the worst of all, where the paper has "
        f"{printed('dd2434', 'Burda', **deep)[0]}.",
        f"The second report has {printed('audit', 'TightIWAE')[0]:.2f},",
        f"the same VAE has {of_full_length('data-mean')} with that start and {of_full_length('zero')} without.",
        f"it is worth {worth['output_bias']} nats on average of eight settings, and Adam's beta1 {worth['beta1']}; the "
        f"initial weights, {worth['init']}, and epsilon, {worth['epsilon']}, are worth nothing that can be told.",
        f"Three seeds of one such setting end {seeds_of_a_plateau()} nats apart.",
        f"two layers and five samples reach {two_layers_of_five()} (the mean of three seeds).",
        f"its {printed('dd2434', 'DD2434', **omniglot)[0]:.2f} and the paper's "
        f"{printed('dd2434', 'Burda', **omniglot)[0]:.2f} are of other images.",
    ]


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
    ],
    "docs/audit.md": audited,
    "docs/reproduce.md": lambda: ["Judging with k = 5000 took {:.0f} to {:.0f} minutes a run".format(*judging())],
}


@pytest.mark.parametrize("page", QUOTES)
def test_what_a_page_quotes_is_what_the_records_hold(page):
    text = " ".join(text_of(page).split())
    for sentence in QUOTES[page]():
        assert sentence in text, f"{page} should say: {sentence}"


@pytest.mark.slow
def test_a_record_that_moves_makes_its_page_stale(monkeypatch):
    """The control: of other numbers, other sentences; those that tell of an order alone stay, as all numbers move."""
    monkeypatch.setitem(globals(), "records", lambda: tuple(moved(one) for one in read_records(ROOT / "results")))
    with pytest.raises(AssertionError, match="should say"):
        test_what_a_page_quotes_is_what_the_records_hold("docs/audit.md")
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
    """Where the page says take PIWAE: best, or within two errors of the best; and MIWAE at most 0.55 behind."""
    found, gaps = WHICH["means"](records(), "log_p"), WHICH["means"](records(), "minus_kl")
    for setting, values in found.items():
        ahead = WHICH["difference"](pairs(), records(), next(iter(values)), setting)
        assert ahead.gain <= ahead.margin, setting
        assert values["PIWAE(8, 8)"] - values["MIWAE(8, 8)"] < 0.55, setting
        assert gaps[setting]["VAE, one sample"] > gaps[setting]["MIWAE(8, 8)"] > gaps[setting]["PIWAE(8, 8)"], setting
        assert gaps[setting]["CIWAE(64), beta 0.5"] > gaps[setting]["MIWAE(8, 8)"], setting
    for setting in (MNIST, OMNIGLOT):
        assert gaps[setting]["VAE, one sample"] > gaps[setting]["IWAE(64)"] + 0.5, setting
        assert found[setting]["MIWAE(8, 8)"] > found[setting]["CIWAE(64), beta 0.5"] + 0.4, setting
    assert gaps[MNIST]["VAE, ELBO(64)"] == max(gaps[MNIST].values())


@functools.cache
def pairs():
    return WHICH["pairing"](records())


def test_what_the_page_says_of_ties_is_what_is_bold():
    """MNIST, one layer: PIWAE and the groups of 16 tie; Omniglot: none; the larger model: all but the VAE and IWAE."""
    bold = {}
    for setting, values in WHICH["means"](records(), "log_p").items():
        less = {row: WHICH["difference"](pairs(), records(), row, setting) for row in values if row != "PIWAE(8, 8)"}
        bold[setting] = {row for row, one in less.items() if abs(one.gain) > one.margin}
    assert set(WHICH["means"](records(), "log_p")[MNIST]) - bold[MNIST] == {
        "PIWAE(8, 8)",
        "PIWAE(4, 16)",
        "MIWAE(4, 16)",
    }
    assert bold[OMNIGLOT] == {"VAE, one sample", "IWAE(64)", "MIWAE(8, 8)", "CIWAE(64), beta 0.5"}
    assert bold[LARGER] == {"VAE, one sample", "IWAE(64)"}


def test_the_error_of_a_difference_is_that_of_seeds_and_of_images():
    """By hand, for PIWAE(4, 16) on MNIST, one run against one: the spread of the models of several seeds, pooled."""
    import numpy as np

    values = {}
    for one in records():
        config = one.config
        kind = (config["objective"], config["num_samples"], one.training["epochs"])
        several = kind in (("elbo", 1, 160), ("elbo", 5, 160), ("iwae", 5, 160)) and config["binarize"] == "dynamic"
        several = (
            several and (config["protocol"], config["algorithm"]) == ("fast", "soap") and config["model"] != "larger"
        )
        if several and (config["dataset"], one.scale) == ("mnist", "short"):
            values.setdefault((config["model"], *kind), []).append(one.evaluation["values"]["log_p"])
    assert [len(found) for kind, found in values.items() if kind[0] == "one-layer"] == [3, 3, 3]
    squares = sum(np.sum((np.array(found) - np.mean(found)) ** 2) for found in values.values())
    seeds = squares / sum(len(found) - 1 for found in values.values())
    first, second, _ = json.loads(text_of("docs/paired.json"))["models"]
    images = second["less_first"]["error"] * np.sqrt(second["less_first"]["num_examples"] / 10_000)
    error = WHICH["difference"](pairs(), records(), "PIWAE(4, 16)", MNIST).error
    assert error == pytest.approx(np.sqrt(2 * seeds + images**2), rel=0.02)
    assert (
        second["less_first"]["error"] < 0.5 * first["log_p_test_error"]
    )  # which a page without pairs would have to take


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
