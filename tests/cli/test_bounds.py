"""Sizes, counts, seeds and epochs that no device can take are refused by name, and cost nothing."""

import json

import jax
import numpy as np
import pytest

from iwax.cli import main
from iwax.errors import IwaxError
from iwax.experiments.scales import plan
from iwax.experiments.studies import STUDIES
from iwax.keys import EvaluationKeys, TrainingKeys
from iwax.runs.cohorts import seeds
from iwax.runs.launch import new_run
from iwax.sweeps.evaluating import evaluate_by_executor
from iwax.sweeps.executors import make_executor
from iwax.sweeps.executors.local import LocalExecutor
from iwax.sweeps.specification import Specification
from tiny import tiny_config, tiny_data

SEEDS = "Expected seed to be an integer from 0 to 4294967295; got"
COUNTS = "to be an integer of at most 2147483647; got"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bounds")
    np.savez(folder / "own.npz", train=tiny_data().train, test=tiny_data().test)
    new_run(tiny_config(dataset=str(folder / "own.npz")), folder / "run", time_limit=1e-9)
    return folder


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("iwax: ")]
    assert exit_.value.code == 2
    (line,) = lines
    return line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", 2**32), f"{SEEDS} 4294967296"),
        (("--seed", 2**63), f"{SEEDS} 9223372036854775808"),
        (("--seed", -1), f"{SEEDS} -1"),
        (("--seeds", 2, "--seed", 2**32 - 1), f"{SEEDS} 4294967296"),
        (("--seeds", 2**64), f"Expected seeds to be an integer of at most 10000; got {2**64}"),
        (("--epochs", 2**63), f"epochs {COUNTS}"),
        (("--num-samples", 2**63), f"num_samples {COUNTS}"),
        (("--num-samples", 10**9), "at most 2147483647; got 10 times 1000000000. Lower --batch-size or --num-samples."),
    ],
)
def test_training_that_no_device_can_count_is_refused_and_leaves_nothing(capsys, folder, options, message):
    line = refused(
        capsys, "train", "--dataset", folder / "own.npz", "--batch-size", 10, *options, "--out", folder / "new"
    )
    assert message in line
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("sample", ("--num-images", 10**9), "Expected num_images to be an integer of at most 10000; got 1000000000"),
        ("sample", ("--seed", 2**32), SEEDS),
        ("reconstruct", ("--num-images", 2**63), "Expected num_images to be an integer of at most 10000"),
        ("evaluate", ("--seed", 2**63), SEEDS),
        ("evaluate", ("--num-samples", 2**63), f"num_samples {COUNTS}"),
        ("evaluate", ("--rows", 2**40), f"rows {COUNTS}"),
        ("anneal", ("--num-images", 2, "--num-distributions", 2**63), f"num_distributions {COUNTS}"),
        ("ssim", ("--seed", -1), SEEDS),
    ],
)
def test_judging_that_no_device_can_count_is_refused(capsys, folder, command, options, message):
    assert message in refused(capsys, command, folder / "run", *options)


WHOLE = {
    **{"num_samples": 64, "num_images": None, "dataset": None, "seed": 0, "rows": 256, "checkpoint": None},
    **{"iwae_samples": [8], "data_dir": None},
}


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        ("2", WHOLE, "Expected PART to be I-of-N, or whole; got '2'."),
        ("1-of-2", [], "Expected OPTIONS to be a JSON object of num_samples, num_images"),
        ("1-of-2", {"data_dir": None, "checkpoint": None}, "Expected OPTIONS to be a JSON object of"),
        ("1-of-2", WHOLE | {"unheard_of": 1}, "Expected OPTIONS to be a JSON object of"),
        ("1-of-2", WHOLE | {"seed": "0"}, "Expected seed of OPTIONS to be of another type; got '0'."),
        ("3-of-2", WHOLE, "Expected a part to be from 1 to 2; got 3."),
    ],
)
def test_a_part_of_an_evaluation_that_is_none_is_refused(capsys, folder, part, options, message):
    """The hidden command of executors, typed by hand."""
    assert message in refused(capsys, "evaluate-part", folder / "run", folder / "parts", part, json.dumps(options))


def test_the_last_seed_is_one_of_its_own_and_the_next_is_none():
    """JAX takes the last 32 bits, so that 2^32 would be 0 under another name."""
    last, first = (jax.random.key_data(TrainingKeys.of_seed(seed).key).tolist() for seed in (2**32 - 1, 0))
    assert last != first
    for keys in (TrainingKeys, EvaluationKeys):
        keys.of_seed(2**32 - 1)
        with pytest.raises(ValueError, match=SEEDS):
            keys.of_seed(2**32)


def test_more_runs_than_anybody_trains_are_refused_before_they_are_made(capsys, folder):
    """Of a number with one digit too many, a run was made after the other until memory was full."""
    most = "to be an integer of at most 10000; got 10001"
    with pytest.raises(ValueError, match=f"Expected seeds {most}"):
        seeds(tiny_config(), 10_001)
    for count, message in ((0, "to be an integer of at least 1; got 0"), (10_001, most)):
        with pytest.raises(ValueError, match=f"Expected seeds {message}"):
            plan(STUDIES["burda2016"], "smoke", seeds=count)
        with pytest.raises(ValueError, match=f"Expected seeds {message}"):
            Specification(seeds=count).runs()
    with pytest.raises(ValueError, match=r"all runs of a study share; got seed\. Say by --seeds how many each has"):
        plan(STUDIES["burda2016"], "smoke", given={"seed": 1})
    grid = {"num_samples": range(1, 401), "epochs": range(1, 301)}
    with pytest.raises(ValueError, match=r"Expected a sweep of at most 100000 runs; got 120000\."):
        Specification(grid=grid).runs()
    with pytest.raises(ValueError, match=f"Expected shards {most}"):
        evaluate_by_executor([], LocalExecutor(1), {}, parts=10_001)
    line = refused(capsys, "impute", folder / "none.csv", "--out", folder / "full.csv", "--multiple", 10_001)
    assert f"Expected multiple {most}" in line


@pytest.mark.parametrize("gpus", [float("nan"), float("inf"), 1e-320, -1.0, 1025.0])
def test_a_share_of_a_gpu_that_is_none_is_refused(tmp_path, monkeypatch, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    for name in ("local", "slurm"):
        with pytest.raises(IwaxError, match=r"Expected gpus of a task to be 0, or from 0\.01 to 1024; got"):
            make_executor(name, tmp_path, gpus=gpus)
