"""Studies as values: their numbers, their runs, and which records are theirs."""

import collections
import dataclasses
import importlib
from types import SimpleNamespace

import pytest

from iwax.experiments import STUDIES
from iwax.experiments.identity import explicit_fields, identifier, non_default_fields, run_name
from iwax.experiments.matching import matching_records
from iwax.experiments.scales import plan
from iwax.experiments.study import Cell, Published, Study, Table
from iwax.runs.config import RunConfig
from iwax.runs.resolution import resolve

METRICS = {"nll", "log_p", "iwae_64", "minus_kl", "elbo", "active_units", "ssim"}


def cells():
    return [(study, cell) for study in STUDIES.values() for cell in study.cells]


def printed(study, row, column, source):
    """The value that a source prints in a cell."""
    (value,) = (
        number.value
        for cell in STUDIES[study].cells
        if (cell.row, cell.column) == (row, column)
        for number in cell.published
        if source in number.source
    )
    return value


def test_the_numbers_of_the_documents():
    assert len(list(STUDIES["dd2434"].cells)) == 24
    assert printed("dd2434", "2 layers, k = 5", "mnist VAE", "DD2434") == 90.94
    assert printed("dd2434", "2 layers, k = 5", "mnist VAE", "Burda") == 85.01
    assert printed("burda2016", "1 layer, k = 50", "mnist IWAE", "Burda") == 84.78
    assert printed("burda2016", "2 layers, k = 50", "mnist IWAE active units", "Burda") == (26, 7)
    assert {cell.metric for _, cell in cells()} <= METRICS
    assert all(number.source for _, cell in cells() for number in cell.published)


def test_what_has_been_read_in_the_paper_is_not_called_recalled():
    """All of Burda et al.; of Rainforth et al. all but what no source at hand quotes."""
    unread = {
        (cell.column, cell.metric) for _, cell in cells() for number in cell.published if "recalled" in number.source
    }
    metrics = {"iwae_64", "log_p", "minus_kl"}
    assert unread == {("PIWAE(4, 16)", metric) for metric in metrics} | {
        (system, metric) for system in ("MIWAE(4, 16)", "CIWAE 0.05") for metric in ("iwae_64", "minus_kl")
    }


def test_the_table_of_fixed_binarisation_is_trained_and_found_apart_from_that_of_the_dynamic_one():
    """On fewer images, at one seed, whatever the scale."""
    assert printed("burda2016-fixed", "1 layer, k = 50", "VAE", "Table 3") == 89.05
    assert printed("burda2016-fixed", "2 layers, k = 50", "IWAE", "Table 3") == 85.32
    assert printed("burda2016-fixed", "2 layers, k = 50", "VAE active units", "Table 3") == (17, 6)
    study, dynamic = STUDIES["burda2016-fixed"], STUDIES["burda2016"]
    for scale in ("short", "full"):
        runs = plan(study, scale)
        assert len(runs) == 10  # at k = 1 one run serves both methods
        assert {(run.binarize, run.train_images, run.seed) for run in runs} == {("fixed", 50_000, 0)}
        records = [record_of(run) for run in (*runs, *plan(dynamic, scale, 1)) if run.init_from is None]
        for cell in study.cells:
            assert [one.asked["binarize"] for one in matching_records(study, cell.config, records)] == ["fixed"]
        for cell in dynamic.cells:
            found = matching_records(dynamic, cell.config, records)
            assert not any("binarize" in one.asked for one in found)
    assert len(plan(study, "short", 3)) == 30  # as many as are asked for


def minus_kl_disagreement(study, table):
    """By how much -KL and IWAE-64 minus log p, as printed, differ at most."""
    values = {}
    (found,) = (t for t in STUDIES[study].tables if t.name == table)
    for cell in found.cells:
        values.setdefault(cell.column, {})[cell.metric] = cell.published[0].value
    return max(abs(v["iwae_64"] - v["log_p"] - v["minus_kl"]) for v in values.values())


def test_the_printed_metrics_agree_with_each_other():
    """-KL = IWAE-64 - log p, up to rounding; a misprint of a tenth would be seen."""
    assert minus_kl_disagreement("rainforth2018", "table-1") < 0.025
    assert minus_kl_disagreement("tightiwae", "table-1") < 0.025


def test_impossible_numbers_are_marked():
    """-KL is never positive: whatever a source prints above zero is not compared with ours."""
    positive = [
        cell for _, cell in cells() if cell.metric == "minus_kl" and cell.published and cell.published[0].value >= 0
    ]
    assert len(positive) == 7
    assert all("batches" in cell.incomparable for cell in positive)


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_every_run_is_named_once_and_after_what_it_starts_from(study):
    runs = plan(study, "short", 1)
    names = [run_name(run) for run in runs]
    assert len(set(names)) == len(names)
    for i, run in enumerate(runs):
        resolve(run)
        assert run.init_from is None or run.init_from in names[:i]


def test_studies_share_runs():
    """By what is asked for, not by who asks."""
    burda, report = ({run_name(run) for run in plan(STUDIES[name], "short", 1)} for name in ("burda2016", "dd2434"))
    assert report < burda
    full = {run_name(run) for run in plan(STUDIES["dd2434"], "full", 1)}
    assert not full & {run_name(run) for run in plan(STUDIES["burda2016"], "full", 1)}  # other recipes
    given = {"protocol": "burda-paper"}
    shared = [{run_name(run) for run in plan(STUDIES[name], "full", 1, given)} for name in ("burda2016", "dd2434")]
    assert shared[1] < shared[0]


def test_how_runs_of_many_samples_are_made_at_short():
    """A few samples go backward where that costs nothing; tables of methods have all."""

    def of(study, objective, num_samples, model="one-layer"):
        runs = [run for run in plan(STUDIES[study], "short", 1) if run.model == model and run.dataset == "mnist"]
        made = (resolve(r) for r in runs if (r.objective, r.num_samples, r.init_from) == (objective, num_samples, None))
        run = next(made)
        return run.epochs, run.config.num_resampled, run.config.precision

    assert of("dd2434", "elbo", 5) == (160, None, "float32")
    assert of("dd2434", "elbo", 50) == (160, None, "bfloat16")
    assert of("dd2434", "elbo", 50, "two-layer") == (160, None, "bfloat16")
    assert of("dd2434", "iwae", 50) == (300, 8, "bfloat16")
    assert of("tightiwae", "iwae", 64) == of("tightiwae", "miwae", 8) == (160, None, "bfloat16")
    assert of("tightiwae", "iwae", 64, "larger") == (96, None, "bfloat16")
    assert of("tightiwae", "ciwae", 8) == (30, None, "bfloat16")
    for model in ("one-layer", "two-layer"):
        made = [of("burda2016-fixed", objective, k, model) for objective in ("elbo", "iwae") for k in (5, 50)]
        assert made == [(160, None, "float32")] * 3 + [(160, 8, "float32")]


def test_seeds():
    counts = [len(plan(STUDIES["rainforth2018"], "full", seeds)) for seeds in (1, 4, None)]
    assert counts == [8, 32, 24]
    seeds = collections.Counter((run.dataset, run.model, run.num_samples) for run in plan(STUDIES["dd2434"], "short"))
    cells = {(data, model) for data in ("mnist", "omniglot") for model in ("one-layer", "two-layer")}
    assert {cell: [seeds[(*cell, k)] for k in (1, 5, 50)] for cell in cells} == {key: [3, 6, 2] for key in cells}


def test_an_id_is_that_of_the_meaning():
    short = RunConfig(objective="elbo", seed=3)
    assert non_default_fields(short) == {"objective": "elbo", "seed": 3}
    assert non_default_fields(resolve(short).config) == non_default_fields(short)
    assert non_default_fields(
        dataclasses.replace(short, num_samples=1, split="standard", gradient="doubly-reparameterized")
    ) == non_default_fields(short)
    assert run_name(dataclasses.replace(short, num_samples=2)) != run_name(short)
    assert identifier(non_default_fields(short), {"num_samples": 64}) != identifier(
        non_default_fields(short), {"num_samples": 5000}
    )


def test_an_id_outlives_new_fields():
    """What is left out is not part of it, so that a field of tomorrow changes no ID of today."""
    assert identifier({"objective": "elbo"}, {}) == "cbc3d5e6ba38"
    named = {field for run in plan(STUDIES["audit"], "short") for field in non_default_fields(run)}
    named -= {"objective", "protocol", "batch_size", "schedule_scale", "eval_every", "eval_images"}
    assert named == {"output_bias", "init", "epsilon", "beta1"}


def record_of(run, started_from=None):
    return SimpleNamespace(asked=non_default_fields(run), started_from=started_from, scale="short")


@pytest.mark.parametrize("name", ["burda2016", "audit"])
def test_records_find_their_cells(name):
    """Each run is claimed by what it was made for, under whatever spelling, and by nothing else."""
    study = STUDIES[name]
    runs = plan(study, "short", 1)
    by_name = {run_name(run): run for run in runs}
    recipe = dict(study.recipe) if study.keeps_recipe else {}
    for run in runs:
        before = None if run.init_from is None else non_default_fields(by_name[run.init_from])
        record = record_of(run, before)
        claimed = {pair for pair in study.configs if matching_records(study, pair[0], [record], pair[1])}
        meanings = {run_name(dataclasses.replace(pair[0], **recipe | explicit_fields(pair[0]))) for pair in claimed}
        assert len(meanings) == 1


def test_at_smoke_every_cell_finds_its_run():
    for study in STUDIES.values():
        records = [record_of(run) for run in plan(study, "smoke") if run.init_from is None]
        found = [bool(matching_records(study, cell.config, records)) for cell in study.cells if cell.start is None]
        assert all(found)


def test_records_of_other_recipes_do_not_pass_for_the_ablation():
    study = STUDIES["audit"]
    ablation, full_length = (table.cells[0] for table in study.tables)
    published = RunConfig(objective="elbo", protocol="burda-paper", batch_size=100)
    short, shorter, other = (
        dataclasses.replace(published, **fields)
        for fields in ({"schedule_scale": 0.03}, {"schedule_scale": 0.1}, {"output_bias": "zero"})
    )
    records = [record_of(run) for run in (short, shorter, other, published)]
    assert matching_records(study, ablation.config, records) == [record_of(short)]
    assert matching_records(study, full_length.config, records) == [record_of(published)]


def test_demonstrations_are_there():
    for study in STUDIES.values():
        for shown in study.demonstrations:
            module, name = shown.function.split(":")
            assert callable(getattr(importlib.import_module(module), name))


def test_an_unknown_scale_is_refused():
    study = Study("x", "x", "x", (Table("t", "t", (Cell("r", "c", RunConfig(), published=(Published(1.0, "s"),)),)),))
    with pytest.raises(ValueError, match=r"one of smoke, trial, short, full; got 'shor'. Did you mean"):
        plan(study, "shor")


def test_a_renamed_value_has_the_identity_that_it_had():
    """Of the rule that was called after the seed; identities of records are made of the former name."""
    configs = [RunConfig(objective="ciwae", beta_rule=rule) for rule in ("seed002", "unconstrained", "ascend")]
    assert non_default_fields(configs[0]) == {"objective": "ciwae", "beta_rule": "seed002"}
    names = [run_name(config) for config in configs]
    assert names[0] == names[1] != names[2]
