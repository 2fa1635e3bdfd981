"""Evaluations that are interrupted, go on, start again, or are there already."""

import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from iwax.evaluation.decoding import reconstruct, sample_images
from iwax.judging.evaluate import evaluate_run
from iwax.judging.partial import partial_evaluation
from iwax.runs.folder import PARTIAL, RunFolder
from iwax.runs.launch import new_run
from tiny import Bare, tiny_config, tiny_data

CLOCK = ("seconds", "images_per_second", "found_finished")
OPTIONS = {"num_samples": 128, "rows": 256}  # two images a batch, six batches


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return new_run(tiny_config(), tmp_path_factory.mktemp("judge") / "run", data=tiny_data()).path


@pytest.fixture
def judged(run):
    """The files of an evaluation that nothing disturbed, and the folder without them."""
    evaluate_run(run, data=tiny_data(), recompute=True, **OPTIONS)
    files = (run / "evaluation.npz").read_bytes(), summary(run)
    for name in ("evaluation.npz", "evaluation.json"):
        (run / name).unlink()
    return run, files


def summary(run):
    """What must not depend on interruptions."""
    written = json.loads((run / "evaluation.json").read_text())
    return {
        name: value for name, value in written.items() if name not in ("seconds", "images_per_second", "found_finished")
    }


def interrupt_after(images):
    def on_progress(progress):
        if progress.step >= images:
            raise KeyboardInterrupt

    return on_progress


def steps_of(run, said=None, **options):
    steps = []
    evaluate_run(
        run,
        data=tiny_data(),
        on_progress=lambda progress: steps.append(progress.step),
        log=(said if said is not None else []).append,
        **OPTIONS | options,
    )
    return steps


def test_an_interrupted_evaluation_goes_on_to_the_same_bits(judged):
    run, (arrays, numbers) = judged
    said = []
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(run, data=tiny_data(), on_progress=interrupt_after(6), **OPTIONS)
    assert not (run / "evaluation.json").exists()
    assert steps_of(run, said) == [8, 10, 12]  # finished images are not computed again
    assert "6 examples are finished" in said[0]
    assert (run / "evaluation.npz").read_bytes() == arrays
    assert summary(run) == numbers
    assert not (run / PARTIAL).exists()
    steps_of(run, seed=1)
    assert (run / "evaluation.npz").read_bytes() != arrays  # negative control


def test_a_batch_written_in_part_is_computed_again(judged):
    run, (arrays, _) = judged
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(run, data=tiny_data(), on_progress=interrupt_after(6), **OPTIONS)
    content = (run / PARTIAL).read_bytes()
    (run / PARTIAL).write_bytes(content[:-100])  # the power failed: a row and a half are missing
    assert steps_of(run) == [6, 8, 10, 12]
    assert (run / "evaluation.npz").read_bytes() == arrays


@pytest.mark.parametrize(
    ("options", "what"),
    [({"seed": 1}, "seed: 0 -> 1"), ({"num_samples": 192}, "num_samples: 128 -> 192"), ({"rows": 128}, "rows: 256")],
)
def test_other_settings_start_again_and_say_so(judged, options, what):
    run, _ = judged
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(run, data=tiny_data(), on_progress=interrupt_after(6), **OPTIONS)
    said = []
    assert steps_of(run, said, **options)[0] <= 2
    assert "starting again" in said[0]
    assert what in said[0]


def test_a_finished_evaluation_is_not_repeated_unless_asked(judged):
    run, _ = judged
    assert len(steps_of(run)) == 6
    said = []
    assert steps_of(run, said) == []
    assert "holds this evaluation already" in said[0]
    assert len(steps_of(run, recompute=True)) == 6


def test_a_time_limit_stops_between_batches(judged):
    run, (arrays, _) = judged
    result = evaluate_run(run, data=tiny_data(), time_limit=1e-6, **OPTIONS)
    assert result["state"] == "stopped"
    assert (result["num_examples"], result["total_examples"]) == (2, 12)
    assert not (run / "evaluation.json").exists()
    assert steps_of(run)[0] == 4
    assert (run / "evaluation.npz").read_bytes() == arrays
    with pytest.raises(ValueError, match="Expected time_limit to be positive; got 0"):
        evaluate_run(run, data=tiny_data(), time_limit=0.0, **OPTIONS)


def test_two_evaluations_of_one_run_do_not_mix(judged):
    run, _ = judged
    with (
        partial_evaluation(run / PARTIAL, {}),
        pytest.raises(ValueError, match="evaluated by one process at a time; one is already running"),
    ):
        evaluate_run(run, data=tiny_data(), **OPTIONS)
    assert not (run / PARTIAL).exists()  # it held nothing


def test_overwriting_a_run_takes_its_partial_evaluation_away(tmp_path):
    folder = new_run(tiny_config(epochs=1), tmp_path / "run", data=tiny_data())
    (folder.path / PARTIAL).write_bytes(b"{}\n")
    RunFolder(folder.path).create(tiny_config(), {}, overwrite=True)
    assert not (folder.path / PARTIAL).exists()


COMMAND = """
import sys; sys.path.insert(0, {tests!r})
from tiny import tiny_data
from iwax.judging import evaluate_run
evaluate_run({run!r}, data=tiny_data(), num_samples=40_000, rows=256)
"""


@pytest.mark.slow
def test_a_killed_process_loses_nothing(judged):
    """SIGKILL in the middle, as soon as some images are finished; then the same bits as without."""
    run, _ = judged
    evaluate_run(run, data=tiny_data(), num_samples=40_000, rows=256)
    arrays = (run / "evaluation.npz").read_bytes()
    (run / "evaluation.json").unlink()
    command = COMMAND.format(tests=str(Path(__file__).parent.parent), run=str(run))
    process = subprocess.Popen([sys.executable, "-c", command])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not num_bytes_of_rows(run):
        time.sleep(0.002)
    process.kill()
    process.wait()
    steps = steps_of(run, num_samples=40_000)
    assert 0 < len(steps) < 12
    assert (run / "evaluation.npz").read_bytes() == arrays


def num_bytes_of_rows(run):
    path = run / PARTIAL
    return len(path.read_bytes().partition(b"\n")[2]) if path.exists() else 0


def test_values_per_image_are_saved(judged):
    run, _ = judged
    evaluate_run(run, data=tiny_data(), **OPTIONS)
    written = summary(run)
    with np.load(run / "evaluation.npz") as arrays:
        saved = dict(arrays)
    assert saved["log_likelihood"].shape == (12,)
    assert saved["log_likelihood"].mean() == pytest.approx(written["log_p"])
    assert {"khat", "elbo", "kl", "reconstruction", "iwae_64", "mc_error", "unit_variances_1"} <= set(saved)


def test_a_model_without_the_optional_parts_is_refused_by_name():
    with pytest.raises(TypeError, match=r"Expected a model with `prior` and `likelihood` for sampling; got Bare"):
        sample_images(Bare(), 3, jax.random.key(0))
    with pytest.raises(TypeError, match=r"Expected a model with `likelihood` for reconstruction; got Bare"):
        reconstruct(Bare(), np.zeros((1, 4)), jax.random.key(0))
