"""Validation images of a run: never trained on, judged in place of the test's, by them the best epoch and the end."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from iwax.data import Dataset
from iwax.errors import NoticeWarning
from iwax.judging import evaluate_run
from iwax.runs import folder as runs
from iwax.runs import session
from iwax.runs.checkpoint import read_checkpoint
from iwax.runs.cohorts import new_cohort, seeds
from iwax.runs.folder import RunFolder
from iwax.runs.initial import build_model, training_images, validation_images
from iwax.runs.launch import new_run, plan, reopen, resume_run
from iwax.runs.loading import load_run
from iwax.runs.resolution import resolve
from tiny import tiny_config, tiny_data

PATTERN = np.where(np.arange(16).reshape(4, 4) % 3 == 0, 200, 0)
DATA = dataclasses.replace(
    tiny_data(),
    train=(tiny_data().train // 5 + PATTERN).astype(np.uint8),
    test=(tiny_data().test // 5 + PATTERN).astype(np.uint8),
)
# Three steps an epoch, and a rate that does harm from the fourth on: the best is neither the first nor the last.
CONFIG = tiny_config(
    **{"validation": "8", "keep": "best", "patience": 2, "epochs": 20, "eval_images": 5, "eval_samples": 64},
    **{"stages": "3e-3:3,5e-2:17", "output_bias": "zero"},
)
FILES = (runs.CHECKPOINT, runs.BEST, runs.METRICS, runs.EVALUATIONS)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing interrupts."""
    return new_run(CONFIG, tmp_path_factory.mktemp("runs") / "undisturbed", data=DATA)


def contents(folder):
    return {name: (folder.path / name).read_bytes() for name in FILES}


def held_out(config=CONFIG, data=DATA):
    """Which of the training images are for validation."""
    marked = dataclasses.replace(data, train=np.arange(len(data.train), dtype=np.uint8).reshape(-1, 1, 1) + 100)
    return (validation_images(resolve(config), marked) - 100).ravel()


def with_train(train):
    return dataclasses.replace(DATA, train=train)


def test_the_best_checkpoint_is_that_of_the_epoch_with_the_best_validation_bound(undisturbed, tmp_path):
    numbers = [record["iwae_64"] for record in undisturbed.records(runs.EVALUATIONS)]
    best = int(np.argmax(numbers)) + 1
    assert len(numbers) == best + 2 < 20  # patience ran out
    assert best > 1
    status = undisturbed.json(runs.STATUS)
    assert (status["state"], status["epoch"], status["stopped_early"]) == ("finished", best + 2, 2)
    assert status["best"] == {"epoch": best, "value": max(numbers), "by": "IWAE-64 of 5 validation images"}
    shorter = new_run(dataclasses.replace(CONFIG, epochs=best), tmp_path / "shorter", data=DATA)
    kept = read_checkpoint(undisturbed.path / runs.BEST).tensors
    there, last = shorter.checkpoint().tensors, undisturbed.checkpoint().tensors
    models = [name for name in there if name.startswith(".model")]
    assert models == [name for name in kept if name.startswith(".model")]
    assert all(np.array_equal(kept[name], there[name]) for name in models)
    assert not all(np.array_equal(kept[name], last[name]) for name in models)


def kill(path, monkeypatch, step=None, before=None):
    """Train until `step`, or to just before the file `before` is written for the second time; then die."""
    count, write = [], RunFolder.write

    def on_progress(progress):
        if progress.step == step:
            raise Killed

    def dying(self, name, content):
        count.extend([name] * (name == before))
        if len(count) == 2:
            raise Killed
        write(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write", dying)
        patched.setattr(session, "CHUNK_SECONDS", 0.0)  # it is told of every step
        with pytest.raises(Killed):
            new_run(CONFIG, path, data=DATA, on_progress=on_progress)


@pytest.mark.parametrize(
    ("step", "before", "seconds"),
    [
        (7, None, 60.0),
        (None, runs.BEST, 60.0),
        pytest.param(9, None, 0.0, marks=pytest.mark.slow),
        pytest.param(1, None, 60.0, marks=pytest.mark.slow),
        pytest.param(None, runs.NEW, 0.0, marks=pytest.mark.slow),
        pytest.param(14, None, 0.0, marks=pytest.mark.slow),
    ],
)
def test_killed_in_between_it_keeps_the_same_best_and_stops_at_the_same_epoch(
    tmp_path, undisturbed, monkeypatch, step, before, seconds
):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", seconds)
    kill(tmp_path / "run", monkeypatch, step, before)
    killed = RunFolder(tmp_path / "run")
    assert killed.json(runs.STATUS)["state"] == "running"
    if (killed.path / runs.BEST).exists():  # it never outlives the record by which it is the best
        steps = [checkpoint.tensors[".step"] for checkpoint in (killed.to_judge("best"), killed.checkpoint())]
        assert steps[0] <= steps[1]
    again = resume_run(tmp_path / "run", data=DATA)
    assert contents(again) == contents(undisturbed)
    assert again.json(runs.STATUS)["best"] == undisturbed.json(runs.STATUS)["best"]
    resume_run(tmp_path / "run", data=DATA)  # it has nothing left to do
    assert contents(again) == contents(undisturbed)


def test_a_best_checkpoint_lost_between_two_files_is_written_when_the_run_goes_on(tmp_path, undisturbed):
    """As by a crash after the checkpoint of an epoch and before the best one of the same."""
    config = dataclasses.replace(CONFIG, epochs=3, patience=None)
    folder = new_run(config, tmp_path / "run", data=DATA)
    assert folder.json(runs.STATUS)["best"]["epoch"] == 3
    whole = (folder.path / runs.BEST).read_bytes()
    (folder.path / runs.BEST).unlink()
    resume_run(folder.path, data=DATA)
    assert (folder.path / runs.BEST).read_bytes() == whole
    shutil.copy(folder.path / runs.CHECKPOINT, folder.path / runs.BEST)  # which says of no epoch that it was selected
    resume_run(folder.path, data=DATA)
    assert (folder.path / runs.BEST).read_bytes() == whole


def test_no_validation_image_is_trained_on_nor_seen_by_what_starts_from_the_data(undisturbed, tmp_path):
    out = held_out()
    assert len(out) == 8
    config = resolve(dataclasses.replace(CONFIG, epochs=2))

    def outcome(train, name):
        folder = new_run(config, tmp_path / name, data=with_train(train))
        bias = build_model(config, training_images(config, with_train(train))).generative[-1]
        return folder.metrics(), folder.checkpoint().tensors, bias

    def same(one, other):
        return one[0] == other[0] and all(np.array_equal(one[1][name], other[1][name]) for name in one[1])

    other = DATA.train.copy()
    other[out] = 255 - other[out]
    as_it_is, other_validation = outcome(DATA.train, "one"), outcome(other, "two")
    assert same(as_it_is, other_validation)
    judged = [RunFolder(tmp_path / name).records(runs.EVALUATIONS)[0]["iwae_64"] for name in ("one", "two")]
    assert judged[0] != judged[1]
    other = DATA.train.copy()
    other[np.setdiff1d(np.arange(40), out)[0]] ^= 255
    assert not same(as_it_is, outcome(other, "three"))


def test_nothing_looks_at_the_test_images_before_the_end(undisturbed, tmp_path):
    other = dataclasses.replace(DATA, test=DATA.test[::-1] // 2)
    run = new_run(CONFIG, tmp_path / "run", data=other)
    assert contents(run) == contents(undisturbed)
    before = {name: tmp_path / name for name in ("a", "b")}
    old = dataclasses.replace(CONFIG, validation=None, keep=None, patience=None, epochs=1, eval_every=1)
    for (_, path), data in zip(before.items(), (DATA, other), strict=True):
        new_run(old, path, data=data)
    a, b = (RunFolder(path).records(runs.EVALUATIONS) for path in before.values())
    assert a[0]["iwae_64"] != b[0]["iwae_64"]


def test_the_range_of_pictures_is_not_taken_from_the_test_images(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    data = dataclasses.replace(DATA, train=values, test=1000 * values[:12])
    config = tiny_config(likelihood="gaussian", binarize="none")
    ranges = {}
    for name, validation in (("with", "8"), ("without", None)):
        run = resolve(dataclasses.replace(config, validation=validation))
        ranges[name] = plan(run, tmp_path / name, data).environment["example_range"]
    assert max(ranges["with"]) < 10 < 100 < max(ranges["without"])


def test_how_far_an_unfinished_run_came_is_said_with_its_model(undisturbed, tmp_path):
    folder = new_run(tiny_config(epochs=50), tmp_path / "run", data=DATA, time_limit=1e-9)
    said = load_run(folder.path, data=DATA).words
    assert said.startswith("Trained for ")
    assert said.endswith(f" of 50 epochs so far (stopped); iwax train --resume {folder.path} goes on.")
    (folder.path / runs.STATUS).write_text("{")
    assert load_run(folder.path, data=DATA).words == ""


def test_judging_takes_the_best_checkpoint_and_says_so(undisturbed):
    best, last = load_run(undisturbed.path, data=DATA), load_run(undisturbed.path, data=DATA, checkpoint="last")
    assert best.checkpoint_sha256 == read_checkpoint(undisturbed.path / runs.BEST).sha256
    assert last.checkpoint_sha256 == undisturbed.checkpoint().sha256
    epoch = undisturbed.json(runs.STATUS)["best"]["epoch"]
    assert best.words.startswith(f"The checkpoint of epoch {epoch}, the best by IWAE-64 of 5 validation images")
    assert last.words == ""
    judged = evaluate_run(undisturbed.path, num_samples=64, data=DATA)
    assert judged["selected"] == undisturbed.json(runs.STATUS)["best"]
    assert "selected" not in evaluate_run(undisturbed.path, num_samples=64, data=DATA, checkpoint="last")


def test_the_record_says_which_images_and_what_for(undisturbed):
    record = undisturbed.json(runs.ENVIRONMENT)["validation"]
    assert {name: record[name] for name in ("asked", "images", "judged", "by", "every", "keep", "patience")} == {
        **{"asked": "8", "images": 8, "judged": 5, "by": "IWAE-64", "every": 1, "keep": "best", "patience": 2}
    }
    config = json.loads((undisturbed.path / runs.CONFIG).read_text())
    assert {name: config[name] for name in ("validation", "keep", "patience", "eval_every")} == {
        **{"validation": "8", "keep": "best", "patience": 2, "eval_every": 1}
    }


def test_part_number_and_the_data_s_own_part():
    own = dataclasses.replace(DATA, validation=DATA.test[:3])
    assert len(held_out()) == 8
    assert np.array_equal(held_out(dataclasses.replace(CONFIG, validation="0.2")), held_out())
    assert np.array_equal(held_out(dataclasses.replace(CONFIG, seed=7)), held_out())
    run = resolve(dataclasses.replace(CONFIG, validation="val"))
    assert np.array_equal(validation_images(run, own), DATA.test[:3])
    assert len(training_images(run, own)) == 40
    cut = resolve(dataclasses.replace(CONFIG, train_images=20))  # of which 8 are for validation
    assert len(training_images(cut, DATA)) == 12


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"validation": "1.5"},
            r"Expected validation to be a part of the training examples .*; got '1\.5'\.",
        ),
        ({"validation": "vall"}, r"Expected validation to be .* 'val', the data's own part; got 'vall'\."),
        ({"validation": None}, r"Expected validation together with keep; got keep best without it\."),
        (
            {"validation": None, "keep": None},
            r"Expected validation together with patience; got patience 2 wit",
        ),
        ({"keep": "bets"}, r"Expected keep to be one of last, best; got 'bets'\. Did you mean 'best'"),
        ({"patience": 0}, r"Expected patience to be an integer of at least 1; got 0\."),
        ({"kl_warmup": 0.0}, r"Expected kl_warmup to be a positive number of epochs; got 0\.0\."),
        ({"learning_rate": -1.0}, r"Expected learning_rate to be positive and finite; got -1\.0\."),
    ],
)
def test_choices_that_are_none_or_do_not_go_together_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        resolve(dataclasses.replace(CONFIG, eval_images=None, eval_samples=None, **fields))


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ("40", r"Expected validation to leave some of the 40 training examples; got 40\."),
        ("val", r"Expected validation 'val' of data that have such a part; tiny has none\."),
    ],
)
def test_validation_that_the_data_do_not_allow_leaves_nothing_behind(tmp_path, validation, message):
    with pytest.raises(ValueError, match=message):
        new_run(dataclasses.replace(CONFIG, validation=validation), tmp_path / "run", data=DATA)
    assert not (tmp_path / "run").exists()


def test_a_best_checkpoint_that_is_not_kept_cannot_be_judged(tmp_path):
    folder = RunFolder(tmp_path)
    folder.create(CONFIG, {})
    with pytest.raises(ValueError, match=r"Expected a best checkpoint in .*; it keeps none so far\. Judge the last"):
        folder.to_judge("best")


@pytest.mark.slow
def test_several_seeds_that_choose_train_side_by_side(tmp_path):
    configs = seeds(dataclasses.replace(CONFIG, epochs=2), 2)
    with pytest.raises(ValueError, match=r"Expected no --vectorized with --keep best or --patience"):
        new_cohort(configs, tmp_path / "one", vectorized=True, data=DATA)
    assert not (tmp_path / "one").exists()
    folders = new_cohort(configs, tmp_path / "two", data=DATA)
    assert all((folder.path / runs.BEST).exists() for folder in folders)


def test_a_run_that_asks_for_none_of_it_is_written_as_before(tmp_path):
    folder = new_run(tiny_config(epochs=1), tmp_path / "run", data=DATA)
    assert not (folder.path / runs.BEST).exists()
    assert set(folder.json(runs.STATUS)) == {"state", "epoch", "epochs", "step", "seconds"}
    assert set(folder.metrics()[0]) == {"epoch", "step", "bound", "learning_rate"}
    assert not {"validation", "extensions"} & set(folder.json(runs.ENVIRONMENT))


def test_a_small_data_set_gets_batches_that_fit(tmp_path):
    config = resolve(tiny_config(batch_size=None, epochs=1))
    data = Dataset(DATA.train[:15], DATA.test, "tiny", "standard", {}, "this test")
    with pytest.warns(NoticeWarning, match=r"Batches of 1 examples, a tenth of the 15 there are, in place of the 20"):
        started, state = plan(config, tmp_path / "run", data).create()
    started.folder.save(state)
    assert started.folder.config().batch_size == 1
    assert started.trainer.steps_per_epoch == 15
    again, _ = reopen(started.folder, data=data)
    assert again.trainer.batch_size == 1
