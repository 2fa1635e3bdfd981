"""Tables of a study: every number is that of its records, and what has no record is open."""

import csv
import dataclasses
import io
import math

import pytest

from example_modules import ROOT
from iwax.experiments.identity import non_default_fields
from iwax.experiments.records import read_records
from iwax.experiments.study import Cell, Published, Study, Table
from iwax.report.cell_runs import cells_done, find, find_all
from iwax.report.cells import numbers, overview
from iwax.report.effects import effects
from iwax.report.tables import Datum, Sheet, as_csv, as_latex, as_markdown
from iwax.runs.config import RunConfig
from made import record

IWAE, ELBO = RunConfig(objective="iwae", num_samples=5), RunConfig(objective="elbo", num_samples=1)
PAPER = (Published(85.54, "A paper, Table 1", error=0.1), Published(85.76, "A report, Table 1"))
TABLE = Table(
    "t",
    "A table",
    (
        Cell("k = 5", "IWAE", IWAE, "nll", PAPER),
        Cell("k = 1", "VAE", ELBO, "nll", (Published(86.76, "A paper, Table 1"),), incomparable="of another split"),
        Cell("k = 5", "units", IWAE, "active_units", (Published((22,), "A paper, Table 1"),)),
    ),
    note="A note.",
)
STUDY = Study("s", "A study", "a source", (TABLE,))


def seeds(config, log_ps, **fields):
    return [record(dataclasses.replace(config, seed=i), log_p=v, **fields) for i, v in enumerate(log_ps)]


def by_name(sheet, row):
    return dict(zip(sheet.columns, sheet.rows[row], strict=True))


def test_numbers_over_seeds():
    made = seeds(IWAE, [-86.0, -87.0, -88.0])
    line = by_name(numbers(STUDY, TABLE, made), 0)
    assert line["ours"] == Datum("87.00", 87.0)
    assert line["s.d. over seeds"].key == pytest.approx(1.0)
    assert line["Monte-Carlo error"].key == pytest.approx(0.03 / math.sqrt(3))  # of a mean of three
    assert line["error over images"].key == pytest.approx(0.8)  # the same images: seeds do not help
    assert line["published"].text == "85.54 ± 0.10ᵃ; 85.76ᵇ"
    assert line["ours less published"].text == "+1.46; +1.24"
    assert (line["FLOP"].text, line["seconds"].text, line["seeds"].text) == ("1.5·10¹⁴", "600", "3")
    assert line["records"].text.split() == [one.id for one in made]
    assert by_name(numbers(STUDY, TABLE, seeds(IWAE, [-86.0, -87.0])), 2)["ours"].text == "20.5"


def test_how_many_units_hold_something_is_said_where_others_are_active():
    def below(*by_kl):
        made = [record(dataclasses.replace(IWAE, seed=i)) for i in range(len(by_kl))]
        records = [dataclasses.replace(r, evaluation={**r.evaluation, **h}) for r, h in zip(made, by_kl, strict=True)]
        return overview(STUDY, TABLE, records).rows[0][3].below[0]

    assert below({"holding_units": [18]}, {"holding_units": [19]}) == "18.5 by KL"
    assert below({"holding_units": [20]}) == "short, 40 epochs"  # the same as are active
    assert below({"holding_units": [18]}, {}) == "short, 40 epochs"  # not known of all


def test_seconds_say_on_which_processors():
    first, *others = seeds(IWAE, [-86.0, -87.0, -88.0])
    made = [dataclasses.replace(first, machine={"cpu": "AMD EPYC", "device": "cpu (cpu)"})]
    made += [dataclasses.replace(one, machine={"cpu": "Intel(R) Xeon(R) Processor"}) for one in others]
    assert by_name(numbers(STUDY, TABLE, made), 0)["processor"].text == "AMD EPYC, Intel Xeon"
    gpu = dataclasses.replace(first, machine={"cpu": "AMD EPYC", "device": "gpu (NVIDIA H200)"})
    assert by_name(numbers(STUDY, TABLE, [gpu]), 0)["processor"].text == "NVIDIA H200"


def test_what_has_no_record_is_open_and_another_run_does_not_fill_it():
    other = [record(dataclasses.replace(IWAE, **change)) for change in ({"num_samples": 50}, {"model": "two-layer"})]
    sheet = numbers(STUDY, TABLE, other)
    assert [row[3].text for row in sheet.rows] == ["open"] * 3
    assert cells_done(STUDY, other) == (0, 3)
    assert cells_done(STUDY, [*other, record(IWAE)]) == (2, 3)
    assert cells_done(STUDY, [record(IWAE, scale="smoke")]) == (0, 3)


def test_a_recipe_tried_fills_the_cells_of_a_study_of_recipes_alone():
    tried, of_recipes = [record(IWAE, scale="trial")], dataclasses.replace(STUDY, keeps_recipe=True)
    assert cells_done(STUDY, tried) == (0, 3)
    assert cells_done(of_recipes, tried) == (2, 3)


def test_seeds_that_went_on_from_others_belong_together():
    """Each from the run of its own seed, whose name tells them apart."""
    cell = Cell("k = 5", "after a VAE", IWAE, "nll", start=ELBO)
    study = Study("s", "A study", "a source", (Table("t", "A table", (cell,)),))
    records = [
        record(
            dataclasses.replace(IWAE, seed=i, init_from=f"elbo-seed{i}"),
            started_from=non_default_fields(ELBO) | {"seed": i},
        )
        for i in range(3)
    ]
    assert len(find(study, cell, records).records) == 3
    other = record(IWAE, started_from=non_default_fields(ELBO) | {"epochs": 2})
    assert len(find(study, cell, [*records, other]).records) == 3


def test_the_largest_scale_counts_and_is_named():
    records = [record(IWAE, log_p=-80.0, scale="smoke"), record(IWAE, log_p=-86.0), *seeds(ELBO, [-88.0], scale="full")]
    assert find(STUDY, TABLE.cells[0], records).value == 86.0
    first, second = overview(STUDY, TABLE, records).rows
    gains = (("worse", "−0.46", "ᵃ"), ("worse", "−0.24", "ᵇ"))
    assert first[1] == Datum("86.00", 86.0, ("short, 40 epochs", "85.54 ± 0.10ᵃ; 85.76ᵇ"), gains=gains)
    assert second[2].text == "88.00"
    assert overview(STUDY, TABLE, records[:1]).rows[0][1].kind == "smoke"


@pytest.mark.parametrize("own", [{"backward": "resampled", "num_resampled": 2}, {"stages": "0.002:40"}])
def test_of_equally_long_runs_the_one_nearest_to_the_recipe_counts_however_good_the_other(own):
    """With all samples backward, and nothing changed in the recipe that need not be."""
    records = [record(dataclasses.replace(IWAE, **own), log_p=-80.0), record(IWAE, log_p=-86.0)]
    assert [find(STUDY, TABLE.cells[0], each).value for each in (records, records[::-1])] == [86.0, 86.0]


def test_a_run_of_the_recipe_of_today_takes_the_place_of_those_of_former_ones():
    """However many seeds and epochs those have, and however good they are; of other scales nothing changes."""
    long = record(IWAE).training | {"epochs": 400}
    former = seeds(dataclasses.replace(IWAE, protocol="burda-paper"), [-80.0, -80.0], training=long)
    assert find(STUDY, TABLE.cells[0], former).value == 80.0
    assert find(STUDY, TABLE.cells[0], [*former, record(IWAE, log_p=-86.0)]).value == 86.0
    assert find(STUDY, TABLE.cells[0], [*former, record(IWAE, log_p=-86.0, scale="smoke")]).value == 80.0


def test_a_run_judged_twice_is_no_second_seed():
    """The evaluation with the most samples counts."""
    often = record(IWAE, log_p=-86.0)
    seldom = record(IWAE, log_p=-88.0, evaluation={**record(IWAE, log_p=-88.0).evaluation, "num_samples": 640})
    for each in ([seldom, often], [often, seldom]):
        assert find(STUDY, TABLE.cells[0], each).values == [86.0]


def test_what_does_not_compare_has_its_reason_and_no_difference():
    smoke = dataclasses.replace(IWAE, dataset="mnist-sample")
    sheet = numbers(STUDY, TABLE, [record(smoke, scale="smoke"), record(ELBO)])
    assert [row[8].text for row in sheet.rows] == ["—¹", "—²", "—¹"]
    assert "¹ Not comparable: trained and judged on the bundled sample" in sheet.notes[-2]
    assert sheet.notes[-1] == "² Not comparable: of another split"


def test_markdown_latex_and_csv_say_the_same():
    sheet = overview(STUDY, TABLE, seeds(IWAE, [-86.0, -87.0]))
    below = "<br><small>short, 40 epochs</small><br><small>85.54 ± 0.10ᵃ; 85.76ᵇ</small>"
    assert f"| k = 5 | 86.50 ± 0.71{below} |" in as_markdown(sheet)
    latex = as_latex(sheet)
    assert (
        r"k = 5 & 86.50 $\pm$ 0.71 (short, 40 epochs; 85.54 $\pm$ 0.10\textsuperscript{a}; 85.76\textsuperscript{b})"
        in latex
    )
    assert latex.count(r"\\") == 3
    rows = list(csv.reader(io.StringIO(as_csv(sheet))))
    assert rows[1][:2] == ["k = 5", "86.5"]
    assert rows[2][1:3] == ["", "open"]


def test_csv_has_numbers_in_full_and_keeps_what_says_more():
    entries = {
        **{"86.53 ± 0.07": -86.531, "−1.15": -1.1489, "4.0·10¹³": 4.00008e13, "10,000": 10000},
        **{"57 + 9": 66.0, "3 of 4": 0.75, "short": 2, "—": 0.0},
    }
    sheet = Sheet("t", "T", ("a",), tuple((Datum(text, key),) for text, key in entries.items()))
    lines = as_csv(sheet).splitlines()[1:]
    assert lines == ["-86.531", "-1.1489", "40000800000000.0", "10000", "57 + 9", "3 of 4", "short", "—"]


def test_latex_escapes_what_it_would_read_otherwise():
    sheet = Sheet("t", "50 % of {x_1} & more", ("a",), ((Datum("KL(Q‖P) −1 \\ 2·10⁻³"),),))
    assert r"\caption{50 \% of \{x\_1\} \& more.}" in as_latex(sheet)
    assert r"KL(Q$\Vert$P) $-$1 \textbackslash{} 2$\cdot$10\textsuperscript{$-$}\textsuperscript{3}" in as_latex(sheet)


def test_the_order_of_methods_is_that_after_as_many_epochs():
    systems = {
        "IWAE": (IWAE, -86.0),
        "VAE": (ELBO, -87.0),
        "CIWAE": (RunConfig(objective="ciwae", num_samples=5), -85.0),
    }
    printed = {"IWAE": -84.5, "CIWAE": -85.2}
    cells = [
        Cell("log p", name, config, published=(Published(printed[name], "A paper"),) if name in printed else ())
        for name, (config, _) in systems.items()
    ]
    table = Table("t", "A table", tuple(cells), ranked=True)
    study = Study("s", "A study", "a source", (table,))
    records = [record(config, log_p=log_p) for config, log_p in systems.values()]
    longer = record(dataclasses.replace(ELBO, epochs=400), log_p=-80.0, training={**records[1].training, "epochs": 400})
    assert overview(study, table, [*records, longer]).notes[-1] == (
        "log p, highest first, after 40 epochs each: CIWAE −85.00 ≈ IWAE −86.00 ≈ VAE −87.00. A paper: IWAE, CIWAE."
    )
    known = [*records, *(record(dataclasses.replace(ELBO, seed=i), log_p=-87.0 - 0.01 * i) for i in (1, 2))]
    assert "CIWAE −85.00 > IWAE −86.00 > VAE −87.01." in overview(study, table, known).notes[-1]  # far beyond 0.01
    assert overview(study, table, records[:1]).notes == ("ᵃ A paper.",)  # one method is no order
    assert overview(study, dataclasses.replace(table, ranked=False), records).notes == ("ᵃ A paper.",)


def test_what_matters_how_much():
    """Two architectures and three methods, with effects of 2 nats and (0, 1, 5) nats and no interaction."""
    models, methods = ("one-layer", "larger"), (("elbo", 1, 0.0), ("iwae", 5, 1.0), ("iwae", 50, 5.0))
    cells, records = [], []
    for model in models:
        for objective, k, gain in methods:
            config = RunConfig(objective=objective, num_samples=k, model=model)
            log_p = -90.0 + gain + 2.0 * (model == "larger")
            cells.append(Cell(model, f"{objective} {k}", config, "nll", (Published(80.0 - 3 * gain, "A paper"),)))
            records.append(record(config, log_p=log_p))
    study = Study("s", "A study", "a source", (Table("t", "A table", tuple(cells)),))
    sheet = effects(study, records)
    architecture, method = ([d.text for d in row] for row in sheet.rows)
    assert architecture[:5] == ["architecture", "2", "2.00 ± 0.00", "3", "larger (3 of 3)"]
    assert architecture[5:] == ["0.00 ± 0.00", "3", "one-layer (3 of 3)"]
    assert method[:5] == ["method", "3", "5.00", "2", "IWAE(50) (2 of 2)"]
    assert method[5:] == ["15.00", "2", "IWAE(50) (2 of 2)"]
    published = "published: method 15.00, architecture 0.00 ± 0.00"
    assert sheet.notes[0] == f"By size, ours: method 5.00, architecture 2.00 ± 0.00 nats; {published}."
    assert effects(study, records[:1]).notes[0].startswith("Of two levels")  # nothing to compare
    assert effects(study, records[:1]).rows[0][2].kind == "open"  # one level is no comparison
    longer = record(cells[3].config, log_p=-80.0, training={**records[3].training, "epochs": 400})
    assert effects(study, [records[0], longer]).rows[0][2].kind == "open"  # nor is the other after more epochs
    assert effects(Study("s", "A study", "a source"), records) is None


def test_a_choice_that_matters_by_chance_alone_has_an_error_that_says_so():
    """Ahead by 1, 1 and -8 nats: the range says that it matters by 3.33, the mean 2.00 and its error 3.00."""
    cells, records = [], []
    for epsilon, log_ps in ((1e-4, (-90.0, -90.0, -90.0)), (1e-8, (-89.0, -89.0, -98.0))):
        for k, log_p in zip((1, 5, 50), log_ps, strict=True):
            config = RunConfig(objective="elbo", num_samples=k, epsilon=epsilon)
            cells.append(Cell(f"{k}", f"{epsilon}", config, "nll"))
            records.append(record(config, log_p=log_p))
    study = Study("s", "A study", "a source", (Table("t", "A table", tuple(cells)),))
    (row,) = (row for row in effects(study, records).rows if row[0].text == "Adam's epsilon")
    assert [datum.text for datum in row[2:5]] == ["2.00 ± 3.00", "3", "0.0001 (1 of 3)"]


def test_cells_of_a_biased_backward_pass_say_so():
    """Two layers resampled by the former keys; the controls: one layer, all samples, or the keys of now."""
    biased = record(RunConfig(objective="iwae", num_samples=50, model="two-layer", backward="resampled"))
    assert biased.has_biased_backward
    now = dataclasses.replace(biased, evaluation=biased.evaluation | {"keys": "EvaluationKeys"})
    one = record(RunConfig(objective="iwae", num_samples=50, model="one-layer", backward="resampled"))
    every = record(RunConfig(objective="iwae", num_samples=50, model="two-layer"))
    assert not any(other.has_biased_backward for other in (now, one, every))
    committed = {other.id for other in read_records(ROOT / "results") if other.has_biased_backward}
    assert committed == {"d91c083c5048", "a25a1d66350b"}
    assert "biased backward pass" in (ROOT / "docs" / "reproductions.md").read_text()


def test_a_run_of_a_biased_backward_pass_is_history_once_there_is_another():
    """Even where the other is shorter and has fewer seeds; but no smoke test takes its place."""
    config = dataclasses.replace(IWAE, model="two-layer", backward="resampled")
    cell = Cell("k = 5", "IWAE", config, "nll")
    study = Study("s", "A study", "a source", (Table("t", "A table", (cell,)),))
    former = [record(dataclasses.replace(config, seed=i), log_p=-80.0) for i in range(2)]
    keys = former[0].evaluation | {"keys": "EvaluationKeys"}
    anew = record(dataclasses.replace(config, epochs=20), evaluation=keys, training=former[0].training | {"epochs": 20})
    smoke = record(config, scale="smoke", evaluation=keys)
    assert find(study, cell, former).is_biased
    assert find(study, cell, [*former, smoke]).is_biased
    assert [one.records for one in find_all(study, cell, [*former, anew])] == [(anew,)]
