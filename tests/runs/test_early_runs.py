"""Runs with few samples at first: what is written, that an end at either side changes no bit, and refusals."""

import dataclasses
import json

import jax
import pytest

import iwax
from iwax.diagnostics.flops import training_flop
from iwax.experiments.identity import non_default_fields
from iwax.experiments.recording import folder_record
from iwax.report.format import objective_name
from iwax.runs import folder as runs
from iwax.runs import session
from iwax.runs.card import model_card
from iwax.runs.config import RunConfig
from iwax.runs.launch import new_run, resume_run
from iwax.runs.listing import list_runs
from iwax.runs.loading import load_run
from iwax.runs.resolution import resolve
from iwax.sweeps.cost import run_flop
from tiny import tiny_config, tiny_data

DATA = tiny_data()
MANY = {"objective": "iwae", "num_samples": 6, "backward": "resampled", "num_resampled": 2, "epochs": 4}
CONFIG = tiny_config(**MANY, early_samples=2, early_part=0.5)
FILES = (runs.CHECKPOINT, runs.METRICS, runs.CONFIG)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing interrupts, 4 steps an epoch, and what was told of its progress."""
    told = []
    folder = new_run(CONFIG, tmp_path_factory.mktemp("runs") / "whole", data=DATA, on_progress=told.append)
    return folder, told


def test_its_records_say_of_how_many_samples_each_bound_is(undisturbed):
    folder, told = undisturbed
    assert [row["samples"] for row in folder.metrics()] == [2, 2, 6, 6]
    assert {progress.numbers["samples"] for progress in told} == {2, 6}
    assert told[-1].note.endswith(" of 6 samples")
    config = json.loads((folder.path / runs.CONFIG).read_text())
    assert (config["early_samples"], config["early_part"]) == (2, 0.5)


@pytest.mark.parametrize("step", [9, *(pytest.param(step, marks=pytest.mark.slow) for step in (7, 8))])
def test_killed_on_either_side_of_the_change_it_ends_with_the_same_bits(undisturbed, tmp_path, monkeypatch, step):
    def on_progress(progress):
        if progress.step == step:
            raise Killed

    monkeypatch.setattr(session, "CHUNK_SECONDS", 0.0)  # it is told of every step
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        new_run(CONFIG, tmp_path / "run", data=DATA, on_progress=on_progress)
    again = resume_run(tmp_path / "run", data=DATA)
    assert [(again.path / name).read_bytes() for name in FILES] == [
        (undisturbed[0].path / name).read_bytes() for name in FILES
    ]


def test_its_arithmetic_is_that_of_the_steps_it_takes(undisturbed):
    run = load_run(undisturbed[0].path, data=DATA)
    batch = jax.ShapeDtypeStruct((10, 4, 4), "float32")
    few, many = (
        training_flop(run.model, objective, batch)
        for objective in (iwax.IWAE(num_samples=2), iwax.IWAE(num_samples=6, backward="resampled", num_resampled=2))
    )
    flops = [run_flop(run.resolved, run.model, run.objective, (4, 4), steps, 4) for steps in (3, 8, 16)]
    assert flops == [3 * few, 8 * few, 8 * few + 8 * many]
    assert few < many


def test_a_curve_of_the_report_has_one_bound_only(undisturbed):
    record = folder_record(undisturbed[0], id="", scale="own", asked={}, flop=None, evaluation={})
    assert [epoch for epoch, _ in record.training["curve"]] == [1, 2, 3, 4]
    assert [epoch for epoch, _ in record.curve] == [3, 4]
    assert objective_name(record.config) == "IWAE(6), 2 resampled, first 50 % with 2 samples"


def test_its_model_card_says_so(undisturbed):
    run = load_run(undisturbed[0].path, data=DATA)
    text = model_card(run, run.config, run.environment, {}, "model.safetensors")
    assert "epochs: 4, the first 2 of them with 2 samples, batches of 10" in text


def test_a_list_of_runs_has_no_bound_of_few_samples_beside_those_of_many(undisturbed, tmp_path):
    (whole,) = list_runs(undisturbed[0].path)
    assert whole["bound"] == undisturbed[0].metrics()[-1]["bound"]
    lines = (undisturbed[0].path / runs.METRICS).read_text().splitlines(keepends=True)
    (tmp_path / runs.CONFIG).write_bytes((undisturbed[0].path / runs.CONFIG).read_bytes())
    (tmp_path / runs.METRICS).write_text("".join(lines[:2]))
    (begun,) = list_runs(tmp_path)
    assert begun["bound"] is None


def test_a_run_without_one_has_the_identity_and_the_choices_it_had():
    plain = RunConfig(objective="iwae", num_samples=5)
    assert (resolve(plain).config.early_samples, resolve(plain).config.early_part) == (None, None)
    assert non_default_fields(dataclasses.replace(plain, early_samples=0)) == non_default_fields(plain)
    early = dataclasses.replace(plain, early_samples=2)
    assert non_default_fields(early) == non_default_fields(plain) | {"early_samples": 2}
    assert non_default_fields(dataclasses.replace(early, early_part=0.8)) == non_default_fields(early)
    assert resolve(resolve(early).config).config == resolve(early).config


def test_the_recipe_for_many_samples_has_an_early_part_where_there_are_many():
    many, one = (RunConfig(objective="iwae", num_samples=samples, protocol="fast-many") for samples in (50, 1))
    throughout = dataclasses.replace(many, early_samples=0)
    found = {config: resolve(config) for config in (many, one, throughout)}
    assert [(run.config.early_samples, run.config.early_part) for run in found.values()] == [
        (5, 0.8),
        (None, None),
        (0, None),
    ]
    assert [run.early and run.early.epochs for run in found.values()] == [240, None, None]
    assert all(resolve(RunConfig.from_json(run.config.to_json())).early == run.early for run in found.values())
    assert non_default_fields(many) == {"protocol": "fast-many"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"early_samples": 6}, "Expected early_samples to be fewer than the 6 samples of the objective; got 6."),
        ({"early_part": 0.5}, "Expected early_samples together with early_part; got early_part 0.5 without it."),
        ({"early_samples": 2, "early_part": 0.0}, "Expected early_part to be above 0 and below 1; got 0.0."),
        ({"early_samples": 1, "objective": "vimco"}, "Expected"),
    ],
)
def test_an_early_part_that_cannot_be_is_refused_before_anything_is_read(fields, message):
    given = {name: MANY[name] for name in ("objective", "num_samples")} | fields
    with pytest.raises(ValueError, match=message):
        resolve(RunConfig(**given))
