"""The page of the speed run: what the recipe reaches over its seeds, and the attempts that have records."""

import dataclasses

from iwax.experiments.published.speedrun import AS_PUBLISHED, STUDY
from iwax.report.speedrun import as_published, attempts_sheet, recipe_sheet
from iwax.runs.config import RunConfig
from iwax.runs.resolution import resolve
from made import record


def whole(config, **fields):
    """A record with every default filled in, as runs write them."""
    return dataclasses.replace(record(config, **fields), config=dataclasses.asdict(resolve(config).config))


def test_a_line_of_the_recipe_is_of_all_its_seeds():
    fast = RunConfig(objective="elbo", num_samples=1)
    records = [whole(dataclasses.replace(fast, seed=i), log_p=-86.0 - i) for i in (2, 0, 1)]
    other = whole(dataclasses.replace(fast, protocol="burda-paper"))
    (row,) = recipe_sheet([*records, other, whole(fast, scale="trial")]).rows
    line = dict(zip(recipe_sheet(records).columns, [datum.text for datum in row], strict=True))
    assert [datum.text for datum in row[:4]] == [
        "VAE(1), DReG",
        "one-layer",
        "mnist",
        "87.00",
    ]  # the answer is in sight
    shown = [line[name] for name in ("objective", "−log p", "± seeds", "seeds")]
    assert shown == ["VAE(1), DReG", "87.00", "1.000", "0, 1, 2"]
    assert (line["Burda et al."], line["active units"], line["passes"]) == ("86.76", "21", "40")


def test_what_goes_backward_is_another_line():
    fifty = RunConfig(objective="iwae", num_samples=50)
    rows = recipe_sheet([whole(fifty), whole(dataclasses.replace(fifty, backward="resampled"))]).rows
    assert [row[0].text for row in rows] == ["IWAE(50), DReG", "IWAE(50), DReG, 1 resampled"]


def test_the_recipe_for_many_samples_has_a_table_of_its_own_and_takes_the_place_of_biased_runs():
    eight = {"objective": "iwae", "num_samples": 50, "model": "two-layer", "backward": "resampled", "num_resampled": 8}
    biased = whole(RunConfig(**eight))  # of before there were `keys` in an evaluation
    new = whole(RunConfig(**eight, protocol="fast-many"))
    new = dataclasses.replace(new, evaluation={**new.evaluation, "keys": "streams"})
    assert len(recipe_sheet([biased]).rows) == 1
    assert not recipe_sheet([biased, new]).rows
    (row,) = recipe_sheet([biased, new], "fast-many").rows
    assert row[0].text == "IWAE(50), DReG, 8 resampled, first 80 % with 5 samples"
    other = whole(RunConfig(**eight | {"dataset": "omniglot"}))  # whose cell has no other run
    assert len(recipe_sheet([biased, new, other]).rows) == 1


def test_what_muon_trained_is_none_of_soaps_however_it_was_asked_for():
    asked = {"objective": "iwae", "num_samples": 5}
    soap, turned = whole(RunConfig(**asked), log_p=-86.0), whole(RunConfig(**asked, algorithm="muon"), log_p=-85.0)
    named = whole(RunConfig(**asked, protocol="fast-muon", seed=1), log_p=-85.0)
    (of_soap,), of_muon = (
        recipe_sheet([soap, turned, named]).rows,
        recipe_sheet([soap, turned, named], "fast-muon").rows,
    )
    assert of_soap[3].text == "86.00"
    assert [row[3].text for row in of_muon] == ["85.00", "85.00"]  # at two rates


def test_what_was_binarised_once_is_no_seed_of_what_was_binarised_afresh():
    afresh = RunConfig(objective="iwae", num_samples=5)
    once = whole(dataclasses.replace(afresh, binarize="fixed", seed=1), log_p=-88.0)
    sheet = recipe_sheet([whole(afresh, log_p=-86.0), once])
    lines = [dict(zip(sheet.columns, [datum.text for datum in row], strict=True)) for row in sheet.rows]
    shown = [[line[name] for name in ("objective", "−log p", "Burda et al.", "seeds")] for line in lines]
    assert shown == [["IWAE(5), DReG", "86.00", "85.54", "0"], ["IWAE(5), DReG, binarised once", "88.00", "—", "1"]]


def test_seeds_of_another_beta_are_another_line():
    halves = [RunConfig(objective="ciwae", num_samples=8, beta=beta) for beta in (0.1, 0.5)]
    assert len(recipe_sheet([whole(config) for config in halves]).rows) == 2


def test_an_attempt_has_a_line_once_it_has_a_record():
    table = STUDY.tables[0]
    assert not attempts_sheet([], table).rows
    cell = next(cell for cell in table.cells if cell.config.decay == "cosine")  # Adam, at a higher rate
    (row,) = attempts_sheet([whole(cell.config, scale="trial", log_p=-89.0)], table).rows
    texts = [datum.text for datum in row]
    assert texts[:2] == [cell.row, "adam, rate 0.003, cosine, batch 100, warm-up 0.02"]
    assert "89.00" in texts


def test_the_published_recipe_has_its_sentence_once_it_has_run_to_its_end():
    cut = dataclasses.replace(AS_PUBLISHED, epochs=328)
    assert as_published([whole(cut), whole(AS_PUBLISHED, scale="trial")]) == ""
    text = as_published([whole(cut, log_p=-89.0), whole(AS_PUBLISHED, log_p=-86.7)])
    assert "batches of 100 where the paper has 20): 86.70, with" in text
