"""`iwax report` from end to end, and the page of the docs."""

import base64
import dataclasses
import io
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import iwax
from example_modules import load_script
from iwax.cli import main
from iwax.diagnostics.flops import training_flop
from iwax.errors import IwaxError
from iwax.experiments import STUDIES
from iwax.experiments.study import Cell, Demonstration, Figure, Published, Study, Table
from iwax.figures import image_sheet
from iwax.models.vae import ARCHITECTURES
from iwax.report.answers import answers
from iwax.report.cost import pareto, worth
from iwax.report.gather import Run, gather
from iwax.report.page import picture_data, sheet_data
from iwax.report.pictures import Parts, caption, line_names
from iwax.report.report import write_report
from iwax.report.reproductions import reproductions_page
from iwax.runs.config import RunConfig
from iwax.runs.launch import new_run
from made import record
from tiny import tiny_config, tiny_data

ROOT = Path(__file__).parents[2]
IWAE = RunConfig(objective="iwae", num_samples=5)
STUDY = Study(
    "s",
    "A study",
    "a source",
    (Table("t", "a table", (Cell("k = 5", "IWAE", IWAE, "nll", (Published(85.54, "A paper"),)),)),),
    (
        Figure("training", "Training", "training", (IWAE,)),
        Figure("along", "Along", "along", (IWAE,)),
        Figure("pictures", "Pictures", "sheets", (IWAE,)),
        Figure("none", "Not yet", "training", (RunConfig(objective="elbo"),)),
    ),
    (Demonstration("d", "Shown", "m:f"), Demonstration("e", "Another", "m:g")),
)


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    (folder / "sheets").mkdir(parents=True)
    image_sheet(np.zeros((4, 16)), folder / "sheets" / "a.png")
    for seed in (0, 1):
        made = record(dataclasses.replace(IWAE, seed=seed), log_p=-86.0 - seed, sheets={"samples": "a.png"})
        (folder / f"{made.id}.json").write_text(made.to_json())
    return folder


def test_nothing_to_report_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["report"])
    assert exit_.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("iwax: Expected runs under runs; there are none. `iwax train")
    assert not (tmp_path / "build").exists()


@pytest.mark.slow
def test_from_records_alone(results, tmp_path, monkeypatch):
    monkeypatch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
    page = write_report(results, tmp_path / "none", tmp_path / "out", studies=[STUDY]).read_text()
    assert "2 runs: 2 short" in page
    assert "1 of 1 numbers in the tables of 1 studies have a run; none is open." in page
    assert "86.50 ± 0.71<small>short, 40 epochs</small>" in page
    assert "Not drawn, since no run of theirs has a record: Not yet." in page
    made = sorted(path.name for path in (tmp_path / "out").rglob("*.*"))
    names = ("against-s", "architecture-one-layer", "cost", "s-along", "s-pictures", "s-training")
    tables = ("all-runs", "best-models", "claim-pairs", "progress", "s-t", "s-t-numbers", "verdicts")
    wanted = [f"{name}.svg" for name in names]
    wanted += [f"{name}.{suffix}" for name in tables for suffix in ("csv", "md", "tex")]
    assert made == sorted(["index.html", *wanted])


def test_a_run_judged_at_two_scales_has_two_records(results, tmp_path):
    first = json.loads(next(iter(sorted(results.glob("*.json")))).read_text())
    (results / "0.json").write_text(json.dumps(first | {"id": "0", "scale": "trial"}))
    found = gather(results, tmp_path)
    assert sorted(run.record.scale for run in found) == ["short", "short", "trial"]
    parts = Parts(found, tmp_path, results)
    assert len(parts.runs) == 2  # each run once
    (sheet,) = parts.sheets()  # both seeds are of one objective and model
    assert sheet["title"] == "IWAE(5), one-layer, mnist, seed 0: log p −86.00"  # the better one


def test_a_sheet_is_shown_without_the_caption_of_its_file(tmp_path):
    images = np.random.default_rng(0).random((4, 5, 6))
    image_sheet(images, tmp_path / "plain.png", columns=2)
    image_sheet(images, tmp_path / "captioned.png", columns=2, caption="Four images. Black is 0, white is 1.")
    plain, captioned = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet_data(tmp_path / name).partition(",")[2]))).convert("L"))
        for name in ("plain.png", "captioned.png")
    )
    np.testing.assert_array_equal(captioned, plain)
    with Image.open(tmp_path / "captioned.png") as whole:
        assert whole.height > len(plain)  # the control: there is something to leave out
    assert sheet_data(tmp_path / "plain.png") == picture_data(tmp_path / "plain.png")


def test_a_report_of_data_of_ones_own_names_them_without_their_folder_and_draws_their_size(tmp_path, monkeypatch):
    """And has no table of best models beside that of the reader's runs."""
    monkeypatch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
    config = dataclasses.replace(IWAE, dataset="/home/somebody/faces")
    parts = Parts([Run(record(config, scale="own"), tmp_path, tmp_path, size=4 * 5)], tmp_path, None)
    (diagram,) = parts.diagrams()
    assert ">20<" in diagram["svg"]
    assert "784" not in diagram["svg"]
    shown = [*parts.own_curves(), parts.cost(), {"title": parts.runs[0].title, "svg": "faces"}]
    assert all("somebody" not in part["title"] + part["svg"] for part in shown)
    assert all("faces" in part["svg"] for part in shown if "along" not in part["title"])
    assert answers([], parts.runs, parts)["best"] is None
    of_study = [Run(record(config), tmp_path)]
    assert answers([], of_study, parts)["best"].rows[0][0].text == "faces"


def test_what_went_on_from_a_trained_model_is_not_drawn_at_the_price_of_its_last_part(tmp_path, monkeypatch):
    monkeypatch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
    whole, part = record(IWAE), record(dataclasses.replace(IWAE, seed=1, init_from="elbo"), started_from={})
    runs = [Run(one, tmp_path) for one in (whole, part)]
    assert Parts(runs[1:], tmp_path, tmp_path).cost() is None
    assert Parts(runs[:1], tmp_path, tmp_path).cost()["svg"] == Parts(runs, tmp_path, tmp_path).cost()["svg"]


def test_a_sheet_says_what_made_it_on_which_images_and_how_alike_they_are():
    similarity = {"mnist": {"ssim": 0.8351, "ssim_std": 0.0471}, "omniglot": {"ssim": 0.609, "ssim_std": 0.12}}
    made = record(IWAE, ssim=similarity)
    place = "IWAE(5)\none-layer, mnist, 40 epochs\n"
    assert caption(made, "samples") == place + "samples"
    assert caption(made, "reconstructions") == place + "reconstructions, SSIM 0.835 ± 0.047"
    assert caption(made, "across") == place + "omniglot reconstructed, SSIM 0.609 ± 0.120"
    assert caption(record(IWAE), "reconstructions") == place + "reconstructions"


def test_a_figure_shows_the_first_run_that_has_its_pictures(tmp_path, monkeypatch):
    """Figure 7 of seed 002 takes reconstructions of the other data set, which older records are without."""
    monkeypatch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
    for name in ("own.png", "other.png"):
        image_sheet(np.zeros((4, 16)), tmp_path / name)
    longer = dict(record(IWAE).training) | {"epochs": 400}
    without = record(IWAE, training=longer, sheets={"reconstructions": "own.png"})
    study = dataclasses.replace(
        STUDY, figures=tuple(Figure(kind, "", kind, (IWAE,)) for kind in ("reconstructions", "across"))
    )
    own, across = study.figures
    assert Parts([Run(without, tmp_path)], tmp_path, tmp_path).figure(study, across) is None
    former = dataclasses.replace(IWAE, epochs=40)  # of another recipe than today's
    both = record(former, sheets={"reconstructions": "own.png", "across": "other.png"})
    parts = Parts([Run(one, tmp_path) for one in (both, without)], tmp_path, tmp_path)
    assert "one-layer, mnist, 400 epochs" in parts.figure(study, own)["svg"]
    assert "one-layer, mnist, 40 epochs" in parts.figure(study, across)["svg"]


def test_a_panel_for_each_rule_of_beta(tmp_path, monkeypatch):
    monkeypatch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
    configs = [
        RunConfig(objective="ciwae", num_samples=8, beta=beta, beta_rule=rule)
        for rule in ("fixed", "ascend")
        for beta in (0.25, 0.75)
    ]
    along = tuple([epoch, {"iwae_64": -90.0 + epoch}] for epoch in (1, 2))
    training = dict(record(IWAE).training) | {"beta": [[1, 0.5], [2, 0.4]]}
    runs = [Run(record(config, training=training, along=along), tmp_path) for config in configs]
    figure = Figure("figure-4", "Beta", "betas", tuple(configs))
    drawn = Parts(runs, tmp_path, tmp_path).figure(STUDY, figure)["svg"]
    assert all(drawn.count(f">{text}<") == 1 for text in ("fixed", "ascend", "β 0.25", "β 0.75", "beta"))


def test_a_figure_of_a_demonstration(tmp_path, monkeypatch):
    monkeypatch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
    study, rows = STUDIES["rainforth2018"], [[1, 1, 1.5, 1.0], [1, 16, 0.4, 4.0], [16, 1, 6.0, 4.0], [16, 16, 1.0, 9.0]]
    (figure,) = (figure for figure in study.figures if figure.kind == "snr")
    parts = Parts([], tmp_path, tmp_path)
    assert parts.figure(study, figure) is None
    (tmp_path / "demonstrations").mkdir()
    path = tmp_path / "demonstrations" / "rainforth2018-snr-short.json"
    shown = {"name": "snr", "title": "SNR", "scale": "short", "seed": 0, "finding": "", "date": "", "command": ""}
    shown |= {"columns": ["M", "K", "inference", "generative"], "rows": rows}
    path.write_text(json.dumps(shown))
    drawn = parts.figure(study, figure)["svg"]
    assert all(text in drawn for text in ("K (M = 1)", "M (K = 1)", "generative network"))
    for damage, message in (({"rows": [[1]]}, "what snr has shown; got another"), ({"name": "../x"}, "got another")):
        path.write_text(json.dumps(shown | damage))
        with pytest.raises(IwaxError, match=message):
            parts.figure(study, figure)


@pytest.mark.slow
def test_a_run_without_a_record_is_reported_and_fills_no_cell(results, tmp_path):
    """Nor does a record appear twice whose run is at hand."""
    folder = new_run(tiny_config(objective="iwae", num_samples=5), tmp_path / "runs" / "mine", data=tiny_data())
    found = gather(results, tmp_path / "runs")
    own = found[-1]
    assert [run.record.scale for run in found] == ["short", "short", "own"]
    curve = [[r["epoch"], r["bound"]] for r in folder.metrics()]
    assert [list(point) for point in own.record.training["curve"]] == curve
    assert own.nll is None
    model, objective = ARCHITECTURES["one-layer"](key=jax.random.key(0), data_size=16), iwax.IWAE(num_samples=5)
    assert own.record.training["flop"] == 8 * training_flop(model, objective, jax.ShapeDtypeStruct((10, 16), "float32"))
    page = write_report(tmp_path / "none", tmp_path / "runs", tmp_path / "out", studies=[STUDY]).read_text()
    assert "0 of 1 numbers" in page
    assert page.index("<h2>Your runs") < page.index("A study</h2>") < page.index("<h2>What was run")
    told = []
    own_only = write_report(None, [folder.path], tmp_path / "own", studies=(), log=told.append).read_text()
    assert "Your runs" in own_only
    assert "A study" not in own_only
    assert "own-training" in own_only
    assert told[0] == "reading runs"
    assert ">mine<" in page
    kept = json.loads(next(iter(sorted(results.glob("*.json")))).read_text())
    (results / f"{kept['id']}.json").write_text(json.dumps(kept | {"checkpoint_sha256": own.record.checkpoint_sha256}))
    found = gather(results, tmp_path / "runs")
    assert len(found) == 2
    assert [run.folder for run in found if run.folder] == [folder.path]


def test_prices_worth_paying_are_of_means_over_seeds_and_of_nothing_that_failed():
    def run(log_p, flop, **config):
        training = {**record(IWAE).training, "flop": flop}
        return record(dataclasses.replace(IWAE, **config), log_p=log_p, training=training)

    seeds = [run(-86.0, 2e13), run(-84.0, 2e13, seed=1)]  # 85.0, not 84.0
    dearer = [run(-84.5, 3e13, num_samples=50), run(-85.5, 4e13, num_samples=64), run(-99.0, 1e13, num_samples=2)]
    text = worth([*dearer, *seeds])
    assert text.endswith(
        "On mnist the Pareto front, means over seeds: IWAE(5), one-layer: 85.00 for 2.0·10¹³ FLOP; "
        "IWAE(50), one-layer: 84.50 for 3.0·10¹³ FLOP."
    )


def test_lines_are_told_apart_by_what_differs():
    changes = ({}, {"output_bias": "zero"}, {"num_samples": 50})
    groups = [[record(dataclasses.replace(IWAE, **change))] for change in changes]
    assert list(line_names(groups)) == ["IWAE(5), output bias None", "IWAE(5), output bias zero", "IWAE(50)"]


def test_the_front_is_what_nothing_beats():
    rng = np.random.default_rng(0)
    points = [tuple(map(float, point)) for point in rng.normal(size=(50, 2))]
    beaten = {p for p in points for q in points if q != p and q[0] <= p[0] and q[1] <= p[1]}
    assert set(pareto(points)) == set(points) - beaten


@pytest.mark.parametrize(
    "name", ["reproductions_page", "imputation_page", pytest.param("speedrun_page", marks=pytest.mark.slow)]
)
def test_the_committed_page_is_what_the_records_say(name):
    script = load_script(name)
    assert script.PAGE.read_text() == script.page(), f"run `python scripts/{name}.py`"


def test_the_page_of_the_docs(results):
    (results / "demonstrations").mkdir()
    shown = {"name": "d", "title": "Shown", "scale": "short", "seed": 3, "finding": "It is so.", "date": "2026-11-22T"}
    table = {"columns": ["what", "nats"], "rows": [["a", -1.23456], ["b", 1000]], "command": "iwax reproduce s"}
    (results / "demonstrations" / "s-d-short.json").write_text(json.dumps(shown | table))
    text = reproductions_page([STUDY], gather(results, "none"), results)
    assert "| k = 5 | 86.50 ± 0.71<br><small>short, 40 epochs</small><br><small>85.54ᵃ</small> |" in text
    assert re.search(r"^    \| k = 5 \| IWAE \| NLL \| 86.50 \| 0.707 \|", text, re.MULTILINE)
    assert "### Shown\n\nIt is so.\n\n| what | nats |\n|:--|--:|\n| a | −1.235 |\n| b | 1,000 |" in text
    assert "Not yet demonstrated: Another." in text
    assert "open |" in reproductions_page([STUDY], [], "none")
