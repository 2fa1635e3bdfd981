"""`iwax table`: seeds in one line, their spread and errors, and bold only where a difference is beyond its error."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from iwax.cli import main
from iwax.evaluation import judge_log_weights
from iwax.judging import MeanOverSeeds, SeedGroup, best_group, group_runs
from iwax.judging.weights import pack_arrays
from iwax.report import as_latex, as_markdown, seed_sheet, seed_values
from iwax.report.own_runs import own_runs
from iwax.report.pictures import Parts
from iwax.runs import RunConfig, RunFolder
from tiny import values_per_image

N, K = 40, 64
X = np.arange(N)[:, None].astype(float)
EXAMPLES = np.random.default_rng(9).normal(-90, 20, N)  # their log p, to which each model adds


def fake_run(path, shift, *, seed=0, x=X, judged=True, epochs=2, k=K, **fields):
    """A folder as training and judging leave it, of numbers made up."""
    config = RunConfig(objective="iwae", num_samples=5, dataset="tiny", epochs=2, seed=seed)
    path.mkdir(parents=True)
    folder = RunFolder(path)
    folder.write("config.json", type(config)(**{**vars(config), **fields}).to_json())
    folder.write_json("environment.json", {})
    folder.write_json("status.json", {"state": "finished", "epoch": epochs, "seconds": 5.0 + seed})
    if judged:
        rng = np.random.default_rng(seed + 100 * fields.get("num_samples", 0))
        log_w = rng.normal(EXAMPLES + shift, 0.5, (k, N))
        evaluation = judge_log_weights(log_w, examples=x)
        folder.write("evaluation.npz", pack_arrays(evaluation))
        own = {"state": "finished", "binarize": "fixed", "seconds": 1.0}
        folder.write_json("evaluation.json", own | evaluation.summary() | {"active_units": [20 + seed]})
    return path


@pytest.fixture
def runs(tmp_path):
    """IWAE(5) of three seeds, and IWAE(50), a nat better, of two."""
    shifts = {"five": (0.0, 0.1, 0.2), "fifty": (1.0, 1.1)}
    for name, own in shifts.items():
        for seed, shift in enumerate(own):
            fake_run(tmp_path / name / f"seed{seed}", shift, seed=seed, num_samples=5 if name == "five" else 50)
    return tmp_path


def log_p(path):
    return json.loads((path / "evaluation.json").read_text())["log_p"]


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code, *capsys.readouterr()


def test_seeds_are_one_line_with_their_mean_and_spread(runs):
    fifty, five = sorted(group_runs([runs]), key=lambda group: len(group.runs))
    assert [run.config.seed for run in five.runs] == [0, 1, 2]
    values = [log_p(runs / "five" / f"seed{seed}") for seed in range(3)]
    number = five.number("log_p")
    assert number.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert number.sd == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert number.count == 3
    summaries = [json.loads((run.folder.path / "evaluation.json").read_text()) for run in five.runs]
    mc_error = np.sqrt(sum(one["log_p_mc_error"] ** 2 for one in summaries)) / 3
    assert number.mc_error == pytest.approx(mc_error, rel=1e-12)
    assert number.data_error == pytest.approx(summaries[0]["log_p_test_error"], rel=0.05)  # not divided by three
    assert fifty.number("active_units").mean == 20.5
    assert fifty.number("seconds").mean == 5.5
    assert fifty.number("nothing") is None


def test_the_best_is_marked_beyond_the_error_of_the_paired_difference_only(runs, tmp_path):
    """A nat is beyond it, though log p varies by 20 nats over examples; two hundredths among seeds are not."""
    groups = group_runs([runs])
    best = best_group(groups, "log_p")
    assert groups[best].config.num_samples == 50
    markdown = as_markdown(seed_sheet(groups))
    lines = [line for line in markdown.splitlines() if line.startswith("| IWAE")]
    assert [line.count("**") for line in lines] == [4, 0]  # log p and IWAE-64, of the first line
    assert lines[0].startswith("| IWAE(50) | 2 | **−")
    assert rf"\textbf{{$-${abs(groups[best].number('log_p').mean):.2f}" in as_latex(seed_sheet(groups))
    near = tmp_path / "near"
    for seed in range(2):
        fake_run(near / f"a{seed}", 0.1 * seed, seed=seed)
        fake_run(near / f"b{seed}", 0.02 + 0.1 * seed, seed=seed, num_samples=50)
    assert best_group(group_runs([near]), "log_p") is None
    assert "**" not in as_markdown(seed_sheet(group_runs([near])))


def test_nothing_is_marked_of_runs_judged_on_other_examples(runs):
    fake_run(runs / "other", 5.0, x=X + 1, model="two-layer")
    sheet = seed_sheet(group_runs([runs]))
    assert "**" not in as_markdown(sheet)
    assert any("same binarised examples" in note for note in sheet.notes)
    assert "model" in sheet.columns


def test_log_p_of_more_samples_is_not_marked_above_that_of_fewer(runs, capsys):
    """It rises with them. The model that leads by a nat was judged with twice as many; its IWAE-64 may be marked."""
    for seed in (2, 3):
        fake_run(runs / "fifty" / f"seed{seed}", 1.2, seed=seed, num_samples=50, k=2 * K)
    groups = group_runs([runs])
    assert best_group(groups, "log_p") is None
    assert best_group(groups, "neg_kl") is None
    assert groups[best_group(groups, "iwae_64")].config.num_samples == 50
    _, out, err = command(capsys, "table", runs)
    assert "log p rests on 64, 128 samples" in err
    assert f"--num-samples {2 * K}" in err
    assert out.count("*") == 1


def test_what_differs_besides_the_seed_is_a_line_and_a_column(runs):
    fake_run(runs / "longer", 0.0, epochs=4)
    fake_run(runs / "smaller batches", 0.0, batch_size=10)
    fake_run(runs / "not judged", 0.0, judged=False, batch_size=7)
    sheet = seed_sheet(group_runs([runs]), ("log_p", "epochs"))
    assert sheet.columns == ("objective", "batch size", "trained epochs", "seeds", "log p", "epochs")
    assert len(sheet.rows) == 5
    assert sheet.rows[-1][4].text == "—"
    assert any("1 run without an evaluation" in note for note in sheet.notes)


def test_a_table_names_data_by_the_last_part_of_their_path_where_that_tells_them_apart(tmp_path):
    for name, dataset in {"a": "/home/somebody/faces", "b": "/home/somebody/cars", "c": "/tmp/cars"}.items():
        fake_run(tmp_path / name, 0.0, judged=False, dataset=dataset, epochs=ord(name))
    two, three = group_runs([tmp_path / "a", tmp_path / "b"]), group_runs([tmp_path])
    sheet = seed_sheet(two)
    assert sheet.columns[:3] == ("objective", "dataset", "trained epochs")
    assert [row[1].text for row in sheet.rows] == ["cars", "faces"]
    assert {row[1].text for row in seed_sheet(three).rows} == {
        "/home/somebody/faces",
        "/home/somebody/cars",
        "/tmp/cars",
    }
    assert seed_values(two)[0]["dataset"] == "/home/somebody/cars"  # for programs it stays what it is


def test_epochs_are_told_once_where_those_asked_for_were_trained(tmp_path):
    for epochs in (1, 2):
        path = fake_run(tmp_path / str(epochs), 0.0, judged=False, epochs=epochs)
        config = json.loads((path / "config.json").read_text()) | {"epochs": epochs}
        (path / "config.json").write_text(json.dumps(config))
    assert seed_sheet(group_runs([tmp_path])).columns[:3] == ("objective", "epochs", "seeds")
    assert "trained epochs" in seed_values(group_runs([tmp_path]))[0]


def test_every_form_has_the_numbers(runs, capsys):
    expected = seed_values(group_runs([runs]))
    status, out, _ = command(capsys, "table", runs, "--json")
    assert status == 0
    assert json.loads(out) == json.loads(json.dumps(expected))
    status, out, _ = command(capsys, "table", runs / "five", runs / "fifty", "--format", "csv", "--columns", "log_p")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [float(row["log_p"]) for row in rows] == [row["log_p"] for row in expected]
    assert [row["log_p_best"] for row in rows] == ["True", "False"]
    assert [float(row["log_p_sd"]) for row in rows] == [row["log_p_sd"] for row in expected]
    status, out, err = command(capsys, "table", runs)
    assert status == 0
    assert out.count(" *") == 2
    assert f"{abs(expected[0]['log_p']):.2f}" in out
    assert "standard deviation over seeds" in " ".join(err.split())
    for form, start in (("markdown", "| objective |"), ("latex", r"\begin{table}")):
        status, out, _ = command(capsys, "table", runs, "--format", form)
        assert out.startswith(start)
    status, out, _ = command(capsys, "table", runs, "--columns", "list")
    assert "iwae_64" in out


def test_what_cannot_be_tabled_is_refused_in_one_line(runs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "none",), "there is no such folder"),
        ((tmp_path / "empty",), "there are none. `iwax train` makes them"),
        ((runs, "--columns", "log_q"), "got 'log_q'. Did you mean 'log_p'?"),
    ):
        status, out, err = command(capsys, "table", *arguments)
        assert (status, out) == (2, "")
        assert message in " ".join(err.split())


def test_the_report_compares_the_best_run_of_each_line_with_the_best_of_all(runs):
    content = own_runs(group_runs(sorted(runs.glob("*/seed*"))), Parts([], runs, None))
    assert [row[0].text for row in content["table"].rows] == ["IWAE(50)", "IWAE(5)"]
    (row,) = content["comparison"].rows
    best, other = ((runs / name).glob("seed*") for name in ("fifty", "five"))
    best, other = (max(paths, key=log_p) for paths in (best, other))
    assert (row[0].text, row[1].text) == ("IWAE(5)", other.name)
    d = values_per_image(other) - values_per_image(best)
    assert row[3].key == pytest.approx(d.mean(), rel=1e-12)
    assert best.name in content["comparison"].title
    assert int(row[5].text) + int(row[6].text) + int(row[7].text) == N
    assert own_runs(group_runs(sorted(runs.glob("five/seed*"))), Parts([], runs, None))["comparison"] is None
    assert own_runs([], Parts([], runs, None)) is None


def test_runs_of_several_data_sets_are_each_compared_with_the_best_on_their_own_examples(runs):
    """The best of all is on other images; what is alone on its examples is named, and gets no empty line."""
    for samples, shift in ((5, 30.0), (50, 32.0)):
        fake_run(runs / f"other{samples}", shift, x=X + 1, num_samples=samples, dataset="other")
    fake_run(runs / "alone", 50.0, x=X + 2, num_samples=5, dataset="third")
    folders = [folder for folder in runs.rglob("*") if (folder / "config.json").exists()]
    sheet = own_runs(group_runs(folders), Parts([], runs, None))["comparison"]
    assert [(row[1].text, row[2].text) for row in sheet.rows] == [("other5", "other50"), ("seed2", "seed1")]
    assert [row[4].key for row in sheet.rows] == pytest.approx([-2.0, -0.9], abs=0.2)
    assert sheet.columns[2] == "less"
    assert sheet.title == "The best run of each line, less the best on the same test examples"
    assert sheet.notes[1:] == ("Not compared, as no other line was judged on the same test examples: alone.",)


@dataclasses.dataclass(frozen=True)
class Made(SeedGroup):
    """A group of so many seeds with these values per example; who asks for them is counted."""

    values: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    sd: float = 0.0
    count: int = 1
    asked: list = dataclasses.field(default_factory=list)

    def number(self, name):
        return MeanOverSeeds(float(np.mean(self.values)), self.sd, self.count)

    def per_example(self, name):
        self.asked.append(name)
        return self.values

    @property
    def test_hash(self):
        return "of all"


def made_group(values, sd, count):
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    known = {"log_p": {"mean": float(np.mean(values)), "error": error, "count": len(values)}}
    return Made((), known, values, sd, count)


def by_definition(first, other):
    """Whether the first is ahead: the paired difference beyond 1.96 of its errors, examples and seeds together."""
    d = first.values - other.values
    seeds = first.sd**2 / first.count + other.sd**2 / other.count
    return bool(d.mean() > 1.96 * np.sqrt(np.var(d, ddof=1) / len(d) + seeds))


def test_the_shortcut_of_the_best_gives_what_pairing_by_example_gives():
    """In 400 pairs, of which some are decided by their own errors alone, either way, and some need the examples."""
    random, ways = np.random.default_rng(5), {(ahead, paired): 0 for ahead in (True, False) for paired in (True, False)}
    for _ in range(400):
        alike, apart, spread = random.choice([0.0, 0.9, 1.0]), 10 ** random.uniform(-2, 1.5), random.choice([0.0, 0.5])
        common = random.normal(-90, 10, N)
        values = [alike * common + (1 - alike) * random.normal(-90, 10, N) + random.normal(0, 0.3, N) for _ in range(2)]
        values[0] += apart - np.mean(values[0]) + np.mean(values[1])
        groups = [made_group(v, float(spread * random.random()), int(random.integers(1, 4))) for v in values]
        ahead = by_definition(*groups)
        assert best_group(groups[::-1], "log_p") == (1 if ahead else None)
        ways[ahead, bool(groups[0].asked)] += 1
    assert min(ways.values()) > 5, ways


def test_a_model_that_comes_with_iwax_is_a_line_of_a_table(runs, capsys, monkeypatch):
    status, out, err = command(capsys, "table", "two-layer-vae", "one-layer-iwae-50", "--json")
    assert status == 0, err
    best, other = json.loads(out)
    assert (round(best["log_p"], 2), round(other["log_p"], 2)) == (-84.3, -84.52)
    assert round(other["log_p_data_error"], 3) == 0.222
    assert other["runs"] == ["one-layer-iwae-50"]
    assert not best["log_p_best"]  # 0.2 nats, of two models whose numbers per example are not kept
    status, out, err = command(capsys, "table", "two-layer-iwae-50", "one-layer-iwae-50", "--json")
    rows = json.loads(out)
    assert [round(row["log_p"], 2) for row in rows] == [-82.46, -84.52]
    assert not any(row["log_p_best"] for row in rows)  # judged on other black and white pixels
    monkeypatch.setattr(SeedGroup, "test_hash", "of one test set")
    _, out, _ = command(capsys, "table", "two-layer-iwae-50", "one-layer-iwae-50", "--json")
    # 2 nats: beyond both their errors together
    assert [row["log_p_best"] for row in json.loads(out)] == [True, False]
    status, out, err = command(capsys, "table", "one-layer-iwae-50", runs / "five", "--json")
    assert [row["seeds"] for row in json.loads(out)] == [1, 3]
    assert command(capsys, "table", "one-layer-iwae-5")[2].startswith(
        "iwax: Expected one-layer-iwae-5 to be a run's folder, or to hold some, or one of the trained models one-layer-"
    )
