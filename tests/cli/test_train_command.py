"""`iwax train` as it starts, goes on with and refuses runs; what training does is tested below the command line."""

import errno
import io
import json
import sys

import pytest

from in_process import run_command
from iwax.cli import main
from iwax.runs.folder import RunFolder

RUN = [
    "--dataset",
    "mnist-sample",
    "--train-images",
    "40",
    "--batch-size",
    "10",
    "--objective",
    "elbo",
    "--epochs",
    "3",
    "--recipe",
    "burda-paper",
]


def train(capsys, *arguments):
    return run_command(capsys, "train", *arguments)


def test_a_stopped_run_goes_on(tmp_path, capsys):
    path = tmp_path / "run"
    status, out, _ = train(capsys, *RUN, "--epsilon", "1e-5", "--parts", "2", "--out", path, "--time-limit", "1e-9")
    assert status == 0
    assert "stopped after 0 of 3 epochs" in out
    status, out, err = train(capsys, "--resume", path, "--epsilon", "1e-6")
    assert status == 2
    assert "these differ: epsilon: 1e-05 -> 1e-06." in err
    status, out, _ = train(capsys, "--resume", path, "--json")
    assert status == 0
    assert json.loads(out)["state"] == "finished"
    assert json.loads(out)["epoch"] == 3
    overridden = RunFolder(path).json("environment.json")["protocol"]["overridden"]
    assert overridden["epsilon"] == {"protocol": 1e-4, "run": 1e-5}
    assert overridden["parts"] == {"protocol": None, "run": 2}


class Closed(io.StringIO):
    """A terminal that is no longer there, as the system reports it."""

    def isatty(self):
        return True

    def write(self, text):
        raise OSError(errno.EIO, "Input/output error")


def test_a_run_goes_on_where_its_notices_cannot_be_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", closed := Closed())
    with pytest.raises(SystemExit) as exit_:
        main(["train", *RUN, "--out", str(tmp_path / "run"), "--time-limit", "1e-9"])
    assert exit_.value.code == 0
    assert sys.stderr is closed
    assert RunFolder(tmp_path / "run").json("status.json")["state"] == "stopped"
    assert "stopped after 0 of 3 epochs" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdout", Closed())  # the control: results that cannot be written are a failure
    with pytest.raises(SystemExit) as exit_:
        main(["objectives"])
    assert exit_.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "RUN", "--resume", "RUN"], "Expected either --out RUN, for a new run, or --resume RUN"),
        ([], "Expected either --out RUN, for a new run, or --resume RUN"),
        (["--out", "RUN", "--force"], "Expected --force together with --resume RUN; got it alone."),
        (["--resume", "RUN", "--overwrite"], "Expected --overwrite together with --out RUN"),
        (["--resume", "RUN"], "to be the folder of a run"),
        (["--out", "RUN", "--time-limit", "0"], "Expected time_limit to be positive; got 0.0."),
        (["--out", "RUN", "--dataset", "mnist-sample", "--init-from", "RUN"], "to be the folder of a run"),
        (["--out", "RUN", "--recipe", "burda-cod"], "Did you mean 'burda-code'?"),
        (["--out", "RUN", "--epsilon-hat", "perhaps"], "'perhaps' is not a valid boolean"),
        (["--out", "RUN", "--update", "alternating"], "Expected objective to be piwae for an alternating update"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(tmp_path, capsys, arguments, message):
    path = tmp_path / "run"
    data = [] if "--dataset" in arguments or "--resume" in arguments else ["--dataset", "mnist-sample"]
    status, out, err = train(capsys, *data, *[str(path) if a == "RUN" else a for a in arguments])
    assert (status, out) == (2, "")
    assert message in next(line for line in err.splitlines() if line.startswith("iwax: "))
    assert not path.exists()


@pytest.mark.slow
def test_a_run_selects_extends_and_is_judged_by_the_command(tmp_path, capsys):
    path = tmp_path / "run"
    judged = ["--validation", "0.2", "--eval-images", "4", "--eval-samples", "64", "--keep", "best", "--kl-warmup", "2"]
    status, out, _ = train(capsys, *RUN, *judged, "--learning-rate", "1e-4", "--out", path)
    assert status == 0
    assert "finished after 3 of 3 epochs, " in out
    assert "is the best, IWAE-64 of 4 validation images -" in out
    records = RunFolder(path).metrics()
    assert [record["step"] for record in records] == [3, 6, 9]  # of 32 images
    assert records[0]["learning_rate"] == pytest.approx(1e-4)
    assert [record["kl_weight"] for record in records] == pytest.approx([2 / 6, 5 / 6, 1.0])
    status, out, _ = train(capsys, "--resume", path, "--epochs", "4")
    assert (status, "finished after 4 of 4 epochs" in out) == (0, True)
    for arguments, said in (([], "The checkpoint of epoch "), (["--checkpoint", "last"], "")):
        with pytest.raises(SystemExit) as exit_:
            main(["evaluate", str(path), "--num-samples", "64", "--num-images", "3", *arguments])
        assert exit_.value.code == 0
        assert ("The checkpoint of epoch " in capsys.readouterr().err) is bool(said)
    status, _, err = train(capsys, "--resume", path, "--epochs", "2")
    assert status == 2
    assert "Expected epochs to be more than the 4 that" in err


@pytest.mark.slow
def test_a_batch_size_that_fits_is_said_once_for_all_seeds(tmp_path, capsys):
    options = ["--dataset", "mnist-sample", "--train-images", "40", "--objective", "elbo", "--epochs", "1"]
    status, _, err = train(capsys, *options, "--seeds", "2", "--out", tmp_path / "runs")
    assert status == 0
    said = [line for line in err.splitlines() if line.startswith("iwax: ")]
    assert said == [
        "iwax: Batches of 4 examples, a tenth of the 40 there are, in place of the 250 of the recipe fast; batch_size "
        "sets another number."
    ]
