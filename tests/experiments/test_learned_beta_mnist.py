"""The MNIST study of beta: its rows, its table and that it never repeats a finished run."""

import json

import numpy as np
import pytest

import iwax
from iwax.errors import IwaxError
from iwax.experiments import learned_beta_mnist as study

ROW = {"rule": "held-out", "beta": 0.5, "steps": 4, "log_p": -100.0, "iwae_64": -101.0, "neg_kl": -1.0}


def test_the_table_gives_means_and_spread_over_seeds():
    rows = [
        ROW | {"seed": 0, "betas": [0.5, 0.4, 0.2]},
        ROW | {"seed": 1, "betas": [0.5, 0.6, 0.4], "log_p": -102.0},
    ]
    lines = study.table(rows).splitlines()
    assert len(lines) == 3
    betas, values = "0.500 | 0.500 | 0.300", "-101.00 ± 1.41 | -101.00 ± 0.00 | -1.00 ± 0.00"
    assert lines[2] == f"| held-out | 0.50 | {betas} | {values} | 2 |"


def test_finished_runs_are_not_repeated(tmp_path, monkeypatch):
    calls = []

    def one_run(data, *, rule, beta, seed):
        calls.append((rule, beta, seed))
        return ROW | {"rule": rule, "beta": beta, "seed": seed, "betas": [beta, beta]}

    monkeypatch.setattr(study, "one_run", one_run)
    monkeypatch.setattr(study, "load", lambda name: None)
    study.main(tmp_path, 1)
    assert sorted(calls) == sorted((rule, beta, 0) for rule, starts in study.STARTS.items() for beta in starts)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:9])  # killed while it wrote
    del calls[:]
    study.main(tmp_path, 1)
    last = json.loads(lines[-1])
    assert calls == [(last["rule"], last["beta"], 0)]
    assert (tmp_path / "rows.jsonl").read_text().splitlines() == lines
    assert (tmp_path / "beta.svg").stat().st_size > 1000


def test_a_damaged_row_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "load", lambda name: None)
    (tmp_path / "rows.jsonl").write_text('{"rule": "held-out", "beta": "half"}\n')
    with pytest.raises(IwaxError, match=r"line 1 of .*rows.jsonl"):
        study.main(tmp_path, 1)


@pytest.mark.slow
def test_a_row_is_what_training_and_evaluation_gave():
    data = iwax.data.load("mnist-sample")
    short, longer = (study.one_run(data, rule="held-out", beta=0.5, seed=0, num_steps=n) for n in (2, 60))
    assert longer["log_p"] > short["log_p"] + 30  # it learns
    assert longer["neg_kl"] <= 0
    assert len(short["betas"]) == 2
    assert np.ptp(longer["betas"]) > 0
