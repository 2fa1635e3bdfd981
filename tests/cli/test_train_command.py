"""`iwax train` as it starts, goes on with and refuses runs; what training does is tested below the command line."""

import json

import pytest

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
    with pytest.raises(SystemExit) as exit_:
        main(["train", *map(str, arguments)])
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


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
