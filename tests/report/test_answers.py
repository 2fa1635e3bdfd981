"""The first screen: the best models, and ours against what was published; and what the page is built of."""

import dataclasses
import itertools
import re
from html.parser import HTMLParser

import pytest

from iwax.experiments.study import Cell, Claim, Published, Study, Table
from iwax.report.against import compare, comparisons, tally
from iwax.report.answers import best_models
from iwax.report.cell_runs import find
from iwax.report.gather import Run
from iwax.report.report import write_report
from iwax.report.verdicts import outcome, verdicts
from iwax.runs.config import RunConfig
from made import record

IWAE, ELBO = RunConfig(objective="iwae", num_samples=5), RunConfig(objective="elbo", num_samples=1)
BOUND = RunConfig(objective="iwae", num_samples=50)
CONFIGS = {"a": IWAE, "b": ELBO, "c": BOUND}
DEEP = {"objective": "iwae", "num_samples": 50, "model": "two-layer", "backward": "resampled", "num_resampled": 8}
PAPER = Published(86.0, "A paper", tolerance=0.3)


def study(*cells):
    return Study("s", "A study", "a source", (Table("t", "a table", cells),))


def seeds(config, *log_ps, **fields):
    return [record(dataclasses.replace(config, seed=i), log_p=value, **fields) for i, value in enumerate(log_ps)]


def judged(cell, *log_ps, **fields):
    """(verdict, amount) of a cell beside each published number."""
    found = find(study(cell), cell, seeds(cell.config, *log_ps, **fields))
    return [(one.verdict, one.text) for one in compare(found, cell)]


@pytest.mark.parametrize(("log_p", "wanted"), [(-85.5, "better"), (-85.8, "near"), (-86.2, "near"), (-86.5, "worse")])
@pytest.mark.parametrize("metric", ["nll", "log_p"])
def test_better_is_positive_whichever_way_the_metric_runs(log_p, wanted, metric):
    printed = dataclasses.replace(PAPER, value=86.0 if metric == "nll" else -86.0)
    ((verdict, amount),) = judged(Cell("r", "c", IWAE, metric, (printed,)), log_p)
    assert (verdict, amount) == (wanted, f"{log_p + 86:+.2f}".replace("-", "−"))


def test_without_a_tolerance_two_standard_errors_decide():
    cell = Cell("r", "c", IWAE, "nll", (Published(86.0, "A report"), Published(86.0, "Another", error=0.4)))
    assert judged(cell, -85.5) == [("better", "+0.50"), ("near", "+0.50")]
    assert judged(cell, -84.5, -86.5) == [("near", "+0.50"), ("near", "+0.50")]  # seeds that lie two nats apart


@pytest.mark.parametrize(
    ("change", "fields"),
    [({"incomparable": "of another split"}, {}), ({"metric": "active_units"}, {}), ({}, {"scale": "trial"})],
)
def test_what_is_no_match_is_not_compared(change, fields):
    cell = Cell("r", "c", IWAE, "nll", (PAPER,))
    assert judged(cell, -80.0)
    assert not judged(dataclasses.replace(cell, **change), -80.0, **fields)


def test_the_sentence_counts_what_it_compared():
    cells = [Cell("r", column, config, "nll", (PAPER,)) for column, config in CONFIGS.items()]
    records = [record(config, log_p=value) for config, value in zip(CONFIGS.values(), (-80, -86, -99), strict=True)]
    found = comparisons(study(*cells), records)
    assert tally(found) == "3 numbers compared with what was published: 1 better, 1 within the tolerance, 1 worse."
    assert tally(comparisons(study(*cells), [])) == ""


def test_the_best_model_is_the_best_on_average_and_not_the_luckiest_seed(tmp_path):
    made = [*seeds(IWAE, -80.0, -90.0), *seeds(ELBO, -84.0), *seeds(BOUND, -70.0, scale="trial")]
    sheet = best_models([Run(one, tmp_path) for one in made], [study(Cell("r", "c", IWAE, "nll", (PAPER,)))])
    first, second = (dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows)
    assert (first["objective"].text, first["log p"].text, first["runs"].text) == ("VAE(1)", "−84.00", "1")
    assert sheet.columns[:3] == ("data", "objective", "log p")  # what a phone shows
    assert (first["published"].text, first["difference"].text) == ("−86.00", "+2.00")
    assert (second["log p"].text, second["runs"].text) == ("−85.00 ± 7.07", "2")
    assert (first["log p"].kind, second["log p"].kind) == ("best", "")
    assert best_models([]) is None


@pytest.mark.parametrize("other", [{"binarize": "fixed"}, {"algorithm": "muon"}, {"batch_size": 500}], ids=str)
def test_the_mean_of_a_model_is_of_runs_that_differ_by_their_seed_alone(other, tmp_path):
    asked = [IWAE, dataclasses.replace(IWAE, seed=1), dataclasses.replace(IWAE, seed=2, **other)]
    made = [record(one, log_p=-80.0 - i) for i, one in enumerate(asked)]
    made = [
        dataclasses.replace(one, config=one.config | dataclasses.asdict(c)) for one, c in zip(made, asked, strict=True)
    ]
    sheet = best_models([Run(one, tmp_path) for one in made])
    shown = [
        (line["log p"].text, line["runs"].text)
        for line in (dict(zip(sheet.columns, r, strict=True)) for r in sheet.rows)
    ]
    assert shown == [("−80.50 ± 0.71", "2"), ("−82.00", "1")]


def test_no_model_is_best_where_another_was_judged_with_other_samples(tmp_path):
    made = [record(IWAE, log_p=-80.0), record(ELBO, log_p=-84.0)]
    made[1] = dataclasses.replace(made[1], evaluation=made[1].evaluation | {"num_samples": 640})
    sheet = best_models([Run(one, tmp_path) for one in made])
    assert [row[2].text for row in sheet.rows] == ["−80.00", "−84.00"]
    assert not any(datum.kind == "best" for row in sheet.rows for datum in row)


def test_the_outcome_of_claims_is_one_sentence():
    cells = [Cell("r", column, config, "nll") for column, config in CONFIGS.items()]
    claims = tuple(Claim(f"{i}", ((cells[i], cells[j]),)) for i, j in ((0, 1), (1, 0), (0, 2)))
    records = [*seeds(IWAE, -85.0, -85.1, -85.0), *seeds(ELBO, -86.0, -86.1, -86.1)]
    said = outcome(verdicts([dataclasses.replace(study(*cells), claims=claims)], records))
    assert said.split("; ") == [
        *("1 of 3 claims hold in every pair of numbers compared", "1 fails somewhere", "1 cannot be told yet.")
    ]


class Outline(HTMLParser):
    """Headings, sections, what pictures are called, and the names of regions, in the order of a page."""

    def __init__(self, page):
        super().__init__()
        self.levels, self.sections, self.names, self.regions, self.folded, self.cells = [], [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        elif tag == "section":
            self.sections.append(given["id"])
        elif tag in ("svg", "img"):
            self.names.append(given.get("aria-label") or given.get("alt"))
        elif tag == "details":
            self.folded.append("open" not in given)
        elif tag in ("td", "th"):
            self.cells.append(given.get("class") or "")
        if given.get("role") == "region":
            self.regions.append(given["aria-label"])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    cells = (Cell("k = 5", "IWAE", IWAE, "nll", (PAPER,)), Cell("k = 1", "VAE", ELBO, "nll", (PAPER,)))
    two = [Study(name, "A study", "a source", (Table("t", "a table", cells),)) for name in "st"]
    for one in (record(IWAE, log_p=-85.0), record(ELBO, log_p=-87.0)):
        (folder / f"{one.id}.json").write_text(one.to_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
        patch.setattr("iwax.report.report.explorable", lambda *args: [])
        return write_report(folder, folder / "none", folder / "out", studies=two).read_text()


def test_answers_come_first_and_bookkeeping_last_and_studies_are_folded(page):
    outline = Outline(page)
    assert outline.sections == ["answers", "claims", "s", "t", "cost", "architectures", "runs"]
    assert outline.folded
    assert all(outline.folded)
    links = re.findall(r'href="#([^"]+)"', page[page.index("<nav") : page.index("</nav>")])
    assert links == outline.sections
    assert page.index("4 numbers compared with what was published: 2 better, 2 worse.") < page.index("2 runs: 2 short")


def test_cells_say_by_colour_and_by_sign_how_they_compare(page):
    classes = [name.split()[-1] for name in Outline(page).cells if name.startswith("number ")]
    assert sorted(set(classes)) == ["best", "better", "number", "worse"]
    assert classes.count("better") == classes.count("worse") == 2
    assert '<span class="better"><span aria-hidden="true">▲</span> +1.00ᵃ<span class="unseen"> better</span>' in page
    assert '<span class="worse"><span aria-hidden="true">▼</span> −1.00ᵃ<span class="unseen"> worse</span>' in page


def test_headings_are_in_order_and_pictures_and_regions_have_names_of_their_own(page):
    outline = Outline(page)
    assert outline.levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(outline.levels))
    assert outline.names
    assert all(outline.names)
    assert len(outline.regions) == len(set(outline.regions)) > 4


def test_every_figure_of_the_answers_has_a_legend(page):
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    dots = [figure for figure in figures if "by how much ours is better (nats)" in figure]
    assert len(dots) == 2
    assert all(f">{word}<" in figure for figure in dots for word in ("better", "worse", "hollow: one run"))
    assert all("legend_1" in figure for figure in figures)


def test_a_run_of_a_biased_backward_pass_is_no_best_model_once_there_is_another(tmp_path):
    """However good: what was trained before the mend has no `keys` in its evaluation."""
    config = RunConfig(**DEEP)
    biased, mended = record(config, log_p=-82.0), record(dataclasses.replace(config, protocol="fast-many"), log_p=-83.0)
    mended = dataclasses.replace(mended, evaluation=mended.evaluation | {"keys": "EvaluationKeys"})
    assert biased.has_biased_backward
    for shown, best in (([biased], "−82.00"), ([biased, mended], "−83.00")):
        assert [row[2].text for row in best_models([Run(one, tmp_path) for one in shown]).rows] == [best]
