"""The command line as a user meets it: what works, and one line with exit status 2 for what cannot."""

import gzip
import inspect
import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import iwax
from in_process import run_command as run
from iwax.cli import main
from iwax.runs.build import OBJECTIVE_FIELDS
from tiny import values_per_image

TINY = ["--dataset", "mnist-sample", "--train-images", "200", "--epochs", "1", "--batch-size", "100"]
TINY += ["--recipe", "burda-paper"]  # which compiles faster than the default


def refused(capsys, *arguments):
    """The one line with which a command is refused."""
    status, out, err = run(capsys, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("iwax: ")]
    assert status == 2
    assert not out
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few seconds."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.raises(SystemExit) as exit_:
        main(["train", *TINY, "--objective", "miwae", "--num-groups", "2", "--num-samples", "3", "--out", str(path)])
    assert exit_.value.code == 0
    return path


def test_train_writes_a_whole_run(trained):
    assert {path.name for path in trained.iterdir()} >= {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "status.json",
        "checkpoint.safetensors",
    }
    config = json.loads((trained / "config.json").read_text())
    assert (config["objective"], config["num_groups"], config["num_samples"]) == ("miwae", 2, 3)
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["checksums"]
    assert environment["versions"]["jax"] == jax.__version__


@pytest.mark.slow
def test_the_record_says_what_the_gradient_estimates(trained, capsys, tmp_path):
    assert json.loads((trained / "environment.json").read_text())["objective"]["is_unbiased"] is True
    biased = ["--objective", "iwae", "--num-samples", "2", "--gradient", "sticking-the-landing"]
    assert run(capsys, "train", *TINY, *biased, "--out", tmp_path / "run")[0] == 0
    record = json.loads((tmp_path / "run" / "environment.json").read_text())["objective"]
    assert record["is_unbiased"] is False
    assert "not the bound" in record["target"]


def test_every_option_of_every_objective_is_an_option_of_train():
    options = {name for cls in iwax.OBJECTIVES.values() for name in inspect.signature(cls).parameters}
    assert options == set(OBJECTIVE_FIELDS)


def test_evaluate(trained, capsys):
    status, out, _ = run(capsys, "evaluate", trained, "--num-samples", 130, "--test-images", 10, "--json")
    result = json.loads(out)
    assert status == 0
    assert (result["num_examples"], result["num_samples"]) == (10, 128)
    assert result["neg_kl"] <= 0
    assert result["log_p"] == pytest.approx(json.loads((trained / "evaluation.json").read_text())["log_p"])
    assert values_per_image(trained).mean() == pytest.approx(result["log_p"])
    status, out, _ = run(capsys, "evaluate", trained, "--num-samples", 64, "--test-images", 10)
    assert status == 0
    assert "IWAE-64" in out
    assert "active units" in out


@pytest.mark.slow
def test_sample_and_reconstruct(trained, capsys):
    for command in ("sample", "reconstruct"):
        status, out, _ = run(capsys, command, trained, "--num-images", 7)
        assert status == 0
        picture = trained / out.strip().split("/")[-1]
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_runs_lists_state_progress_and_last_numbers(trained, capsys):
    status, out, _ = run(capsys, "runs", trained.parent, "--json")
    (row,) = json.loads(out)
    assert status == 0
    assert row["objective"] == "miwae"
    assert row["state"] == "finished"
    assert row["bound"] < 0


def test_data_lists_sources_and_checksums(capsys):
    status, out, _ = run(capsys, "data")
    assert status == 0
    assert "mnist [standard]: 60,000 training and 10,000 test examples, 28x28" in out
    assert "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db" in out
    assert "omniglot [burda]: 24,345 training and 8,070 test examples" in out


def test_objectives_says_what_learning_beta_does(capsys):
    status, out, _ = run(capsys, "objectives")
    assert status == 0
    assert "beta goes to 0" in out
    assert "beta goes to 1" in out
    status, out, _ = run(capsys, "objectives", "--json")
    assert [row["name"] for row in json.loads(out)][:5] == ["elbo", "iwae", "miwae", "ciwae", "piwae"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--objective", "iwea"], "Expected objective to be one of elbo, iwae, .* got 'iwea'. Did you mean 'iwae'?"),
        (
            ["--dataset", "mnits"],
            "Expected dataset to be one of mnist, .* got 'mnits', which is not there. Did you mean 'mnist'?",
        ),
        (["--protocol", "burda"], "Expected recipe to be one of burda-paper.* Did you mean 'burda-"),
        (["--model", "one-layr"], "Expected model to be one of one-layer, .* Did you mean 'one-layer'?"),
        (["--gradient", "doubly"], "Expected gradient to be one of reparameterized, .* got 'doubly'"),
        (["--binarize", "dynamik"], "Expected binarize to be one of dynamic, .* got 'dynamik'"),
        (["--epoch", "3"], "No such option.*--epoch.*--epochs"),
        (["--num-samples", "0"], "Expected num_samples to be an integer of at least 1; got 0"),
        (["--num-samples", "many"], "many"),
        (["--objective", "miwae", "--num-groups", "-2"], "Expected num_groups to be an integer of at least 1; got -2"),
        (["--objective", "iwae", "--num-groups", "2"], "num_groups for objective 'iwae'; .* belongs to miwae, piwae"),
        (["--objective", "ciwae", "--beta", "1.5"], r"Expected beta to be between 0 .* got 1.5"),
        (["--objective", "ciwae", "--beta-rule", "up"], "Expected beta_rule to be one of fixed, .* got 'up'"),
        (["--batch-size", "0"], "Expected batch_size to be an integer of at least 1; got 0"),
        (["--batch-size", "3000"], "Expected batch_size to be at most the number of training examples, 2000; got 3000"),
        (["--epochs", "-1"], "Expected epochs to be an integer of at least 1; got -1"),
        (["--train-images", "5000"], "Expected train_images to be at most .*2,?000.*; got 5000"),
    ],
)
def test_bad_options_cost_nothing(capsys, tmp_path, options, message):
    out = tmp_path / "run"
    given = ["--dataset", "mnist-sample"] if "--dataset" not in options else []
    assert re.search(message, refused(capsys, "train", *given, *options, "--out", out))
    assert not out.exists()


def save(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 2, 3, 3)), "shape"),
        (np.zeros(7), "shape|axes|dimension"),
        (np.arange(24.0).reshape(4, 6), r"\[0, 1\]|between 0 and 1"),
        (np.full((4, 6), 3.0), "to differ somewhere"),
        (np.full((4, 6), np.nan), "NaN|nan|finite"),
        (np.full((4, 6), "a"), "dtype|type"),
        (np.zeros((0, 6)), "empty|at least"),
    ],
)
def test_bad_arrays_cost_nothing(capsys, tmp_path, array, message):
    path = save(tmp_path / "data.npy", array)
    line = refused(capsys, "train", "--dataset", path, "--out", tmp_path / "run")
    assert re.search(message, line), line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("harm", ["truncated", "altered"])
def test_a_damaged_data_file_is_refused_by_name(capsys, tmp_path, harm):
    folder = tmp_path / "mnist"
    folder.mkdir()
    content = gzip.compress(b"\0" * 1000)
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        (folder / f"{name}.gz").write_bytes(content[:-9] if harm == "truncated" else content)
    line = refused(capsys, "train", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert "ubyte" in line
    assert harm == "truncated" or "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db" in line
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_kept(trained, capsys):
    before = (trained / "config.json").read_bytes()
    line = refused(capsys, "train", *TINY, "--out", trained)
    assert "exists" in line
    assert "--overwrite" in line
    assert (trained / "config.json").read_bytes() == before


def test_a_folder_of_other_things_is_never_overwritten(capsys, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "config.json" in refused(capsys, "train", *TINY, "--out", tmp_path, "--overwrite")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_no_space_left(capsys, tmp_path, monkeypatch):
    """A disk that is full: one line, and no file under its own name that is not whole."""

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    line = refused(capsys, "train", *TINY, "--out", tmp_path / "run")
    assert "No space left on device" in line
    assert not list((tmp_path / "run").glob("*")) or not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_folder_that_cannot_be_made(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, "train", *TINY, "--out", tmp_path / "file" / "run")


@pytest.mark.parametrize("command", ["evaluate", "sample", "reconstruct"])
def test_what_is_no_run(capsys, tmp_path, command):
    assert "to be the folder of a run" in refused(capsys, command, tmp_path)


def test_too_few_samples_to_evaluate(trained, capsys):
    assert "at least 64" in refused(capsys, "evaluate", trained, "--num-samples", 63)
    assert "Expected at most 500 test images" in refused(capsys, "evaluate", trained, "--test-images", 501)


def test_either_out_or_resume(capsys, tmp_path):
    assert "either --out RUN" in refused(capsys, "train")
    assert "either --out RUN" in refused(capsys, "train", "--out", tmp_path / "a", "--resume", tmp_path / "b")


def test_a_loss_that_is_not_finite_stops_the_run(capsys, tmp_path):
    """Exit status 1, with the step and the last finite value; the record says failed."""
    x = np.zeros((400, 6), np.float32)
    x[-200:] = 1e30
    status, _, err = run(
        capsys, "train", "--dataset", save(tmp_path / "x.npy", x), "--likelihood", "gaussian", "--binarize", "none",
        "--out", tmp_path / "run", "--epochs", 2, "--recipe", "burda-paper",
    )  # fmt: skip
    assert status == 1
    assert "Expected a finite loss" in err
    assert "step" in err
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "failed"


SYSTEMS = ("elbo", "iwae", "miwae", "ciwae", "piwae")
QUICK = [("piwae", "two-layer")]  # the tests above train the ELBO with one layer
OTHERS = [(o, m) for o in SYSTEMS for m in ("one-layer", "two-layer", "larger") if (o, m) not in QUICK]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "model"), QUICK + [pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS]
)
def test_every_objective_trains_every_model(capsys, tmp_path, objective, model):
    groups = ["--num-groups", "2"] if objective in ("miwae", "piwae") else []
    status, out, err = run(
        capsys, "train", "--objective", objective, "--model", model, "--num-samples", 2, *groups,
        *("--dataset", "mnist-sample", "--train-images", 40, "--epochs", 1, "--recipe", "burda-paper"),
        *("--out", tmp_path / "run", "--json"),
    )  # fmt: skip
    assert status == 0, err
    assert np.isfinite(json.loads(out)["bound"])
    status, out, err = run(capsys, "evaluate", tmp_path / "run", "--num-samples", 64, "--test-images", 3, "--json")
    assert status == 0, err
    assert json.loads(out)["neg_kl"] <= 0


@pytest.mark.slow
@pytest.mark.parametrize("model", ["one-layer", pytest.param("two-layer", marks=pytest.mark.slow)])
def test_continuous_vectors_with_a_gaussian_likelihood(capsys, tmp_path, model):
    x = save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32))
    status, _, err = run(
        capsys, "train", "--dataset", x, "--likelihood", "gaussian", "--binarize", "none", "--model", model,
        "--num-samples", 3, "--epochs", 2, "--recipe", "burda-paper", "--out", tmp_path / "run",
    )  # fmt: skip
    assert status == 0, err
    status, out, err = run(capsys, "evaluate", tmp_path / "run", "--num-samples", 64, "--json")
    assert status == 0, err
    assert json.loads(out)["num_examples"] == 30


def test_help_is_quick_because_it_does_not_import_jax():
    code = "import sys, iwax.cli; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_whole_judgement(trained, capsys):
    options = ("--num-samples", 128, "--test-images", 5, "--iwae-samples", 64, "--iwae-samples", 8)
    status, out, err = run(capsys, "evaluate", trained, *options, "--all")
    assert status == 0, err
    for words in ("IWAE-8", "Pareto k-hat", "inactive units from the prior", "JVI-2(128)", "SSIM"):
        assert words in out
    assert "k-hat is above 0.7" in err  # the run is of seconds
    assert {path.stem for path in (trained / "figures").glob("*.svg")} >= {"estimators", "annealing", "posterior"}
    status, out, _ = run(capsys, "evaluate", trained, *options, "--all", "--json")
    assert set(json.loads(out)) >= {"evaluation", "pruned", "estimators", "annealing", "ssim", "posterior"}


@pytest.mark.slow
def test_an_evaluation_that_runs_out_of_time(trained, capsys):
    options = ("--num-samples", 2048, "--test-images", 5, "--time-limit", 1e-9)
    status, out, err = run(capsys, "evaluate", trained, *options)
    assert status == 0, err
    assert "stopped after 1 of 5 test examples" in out
    status, out, err = run(capsys, "evaluate", trained, *options[:4], "--figures", "--json")
    assert json.loads(out)["found_finished"] == 1
    assert "1 example is finished" in err
    assert (trained / "figures" / "trust.pdf").exists()
    assert "Expected time_limit to be positive" in refused(capsys, "evaluate", trained, "--time-limit", 0)
