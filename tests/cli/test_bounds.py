"""Sizes, counts, seeds and epochs that no device can take are refused by name, and cost nothing."""

import json

import jax
import numpy as np
import pytest

from iwax.cli import main
from iwax.keys import EvaluationKeys, TrainingKeys
from iwax.runs.launch import new_run
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
