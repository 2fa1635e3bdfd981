"""The page of benchmarks, from made-up times: distances to the bare products, nearest peers, targets that count."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks.__main__ import started
from benchmarks.distances import distances, nearest_peer
from benchmarks.page import RESULTS, write_page
from benchmarks.targets import Target, targets

ROOT = Path(__file__).parents[1]
SLOW = np.array([1.0, 1.0, 3.0])  # the machine in each round, of which ratios within a round know nothing
TIMES = {  # milliseconds of a step in a round that is not disturbed
    **{"iwax": 2.0, "iwax in a user's scan": 2.1, "bare matrix products": 1.0, "PyTorch, eager": 3.0},
    **{"PyTorch, compiled": 2.9, "NumPyro": 1.9, "Pythae, its trainer": 4.0, "Pythae's model, bare loop": 5.0},
}
LIKELIHOOD = {"iwax.log_likelihood": 1.2, "bare matrix products": 1.0, "Pythae's get_nll": 6.5}


def entry(name, times, task="train", num_samples=5):
    case = {"task": task, "num_samples": num_samples, "objective": "iwae", "batch": 20}
    systems = {system: {"ms": list(ms * SLOW), "peak_mib": 100.0} for system, ms in times.items()}
    return {"name": name, "case": case, "systems": systems}


STEP = entry("iwae(5), 1 layer, batch 20", TIMES)


def changed(**times):
    return entry(STEP["name"], TIMES | times)


def test_distances_are_of_the_same_rounds():
    found = distances(STEP)
    assert found["iwax"] == pytest.approx(2.0)
    assert found["NumPyro"] == pytest.approx(1.9)
    assert "bare matrix products" not in found
    assert distances(entry("x", {"iwax": 2.0})) == {}


def test_the_nearest_peer_is_the_fastest_and_within_five_percent_it_is_level(tmp_path):
    assert nearest_peer(STEP) == ("NumPyro", pytest.approx(0.95))
    for numpyro, words in ((1.8, "NumPyro: 10% ahead"), (1.96, "NumPyro: level"), (2.4, "NumPyro: 20% behind")):
        results = {"cases": [changed(NumPyro=numpyro)], "machine": machine()}
        assert f"| {words} |" in write_page(results, tmp_path / "page.md")
    assert nearest_peer(entry("x", {"iwax": 2.0})) is None


def machine():
    return {"date": "2026-11-29", "cpu": "a processor", "cores": 2, "commit": "abc", "versions": {"iwax": "0.1.0"}}


def test_a_page_of_times_says_first_how_old_they_are(tmp_path):
    """The generated page before its first section, and those beside it that are written by hand."""
    said = "**Measured on 2026-11-29 with iwax 0.1.0 at commit abc. Newer code has not been measured.**"
    assert said in write_page({"cases": [STEP], "machine": machine()}, tmp_path / "page.md").split("\n## ")[0]
    for name in ("benchmarks", "performance", "cohorts"):
        head = (ROOT / "docs" / f"{name}.md").read_text()[:800]
        assert re.search(r"\*\*[^*]*[Mm]easured on 20\d\d-\d\d-\d\d[^*]* has not been measured", head), name


def test_a_target_that_the_bare_products_would_miss_is_none(tmp_path):
    """PyTorch takes 2.9 times the products, so that twice as fast is possible; Pythae 4 times, so that ten is not."""
    said = {target.what: target for target in targets([STEP])}
    assert said["iwax, K = 5: the faster PyTorch takes"].measured == pytest.approx(1.45)
    assert not said["iwax, K = 5: the faster PyTorch takes"].is_met
    assert not any("Pythae with its trainer" in what for what in said)
    assert any("Pythae with" in target.what for target in targets([changed(**{"Pythae, its trainer": 11.0})]))
    slower = {"PyTorch, eager": 1.9, "PyTorch, compiled": 1.9}
    assert not any("PyTorch takes" in target.what for target in targets([changed(**slower)]))
    assert said["iwae(5), 1 layer, batch 20: the nearest peer, NumPyro, takes"].asked == 1.05
    text = write_page({"cases": [STEP], "machine": machine()}, tmp_path / "page.md")
    assert "| iwae(5), 1 layer, batch 20 | 1.00 | 2.00 | 2.10 | 3.00 | 2.90 | 1.90 | 4.00 | 5.00 |" in text


@pytest.mark.parametrize(
    ("measured", "is_cost", "shown"),
    [(1.0493, False, "1.049x"), (1.05, False, "1.05x"), (1.0504, True, "1.0504x"), (1.204, False, "1.20x")],
)
def test_a_target_just_missed_is_not_shown_as_what_was_asked(measured, is_cost, shown):
    assert Target("", measured, 1.05, is_cost).shown == shown


def test_a_likelihood_ought_to_take_no_more_than_a_quarter_above_its_products():
    judged = entry("likelihood, 1 layer, batch 20", LIKELIHOOD, "likelihood", 5000)
    found = {target.what: (round(target.measured, 2), target.asked, target.is_met) for target in targets([judged])}
    assert found == {
        "likelihood: part of its products' time": (0.83, 0.8, True),
        "likelihood: Pythae's get_nll takes": (5.42, 5.0, True),
    }


def test_the_page_is_that_of_the_results_beside_it(tmp_path):
    """And opens with what they say, which is counted here from the table of targets, not from the times."""
    page = RESULTS.with_suffix(".md").read_text()
    assert page == write_page(json.loads(RESULTS.read_text()), tmp_path / "page.md")
    nearest = [float(t) for t in re.findall(r"the nearest peer, [^|]*, takes \| ([\d.]+)x \|", page)]
    behind = sum(times >= 1.05 for times in nearest)
    said = re.search(r"Of (\d+) cases .* in (\d+), behind in (\d+), by up to (\d+)%, and ahead in none", page)
    assert said is not None
    assert [*map(int, said.groups())] == [len(nearest), len(nearest) - behind, behind, round(100 * max(nearest)) - 100]


def test_a_case_is_kept_only_where_the_commit_is_the_same(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"cases": [STEP], "machine": machine()}))
    assert started(path, machine())["cases"] == [STEP]
    assert started(path, machine() | {"commit": "abd"})["cases"] == []
    assert started(None, machine())["cases"] == []
    assert started(tmp_path / "none.json", machine())["cases"] == []


def test_the_page_of_performance_quotes_the_distances_as_they_are():
    """How many times its products a step takes, one layer, batch 20, of K = 1, 5 and 50."""
    page = (ROOT / "docs" / "performance.md").read_text().replace("\n", " ")
    cases = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())["cases"]}
    found = [distances(cases[f"iwae({k}), 1 layer, batch 20"]) for k in (1, 5, 50)]
    first = "a step of iwax takes N times its products at K = 1, N times at K = 5 and N times at K = 50"
    for said, systems in {
        first: ["iwax"],
        "the faster PyTorch N, N and N times": ["PyTorch, eager", "PyTorch, compiled"],
        "NumPyro N, N and N times": ["NumPyro"],
        "Pythae with its trainer N, N and N times": ["Pythae, its trainer"],
    }.items():
        quoted = re.search(re.sub(r"\bN\b", r"([\\d.]+)", said), page)
        assert quoted is not None, said
        assert [*quoted.groups()] == [f"{min(times[name] for name in systems):.1f}" for times in found], said
