"""Whether claims hold, from records: by how much and how surely, what is of unequal length, and what is open."""

import dataclasses
import math

import numpy as np
import pytest

from iwax.experiments.per_image import PerImage, keep_per_image
from iwax.experiments.study import Cell, Claim, Published, Study, Table
from iwax.report.claims import published_claim
from iwax.report.paired import Pairing
from iwax.report.verdicts import claim_sheets, outcome, verdicts
from iwax.runs.config import RunConfig
from made import record

IWAE, ELBO = RunConfig(objective="iwae", num_samples=5), RunConfig(objective="elbo", num_samples=1)
LARGER = RunConfig(objective="iwae", num_samples=50)
NLL = (Cell("k = 5", "IWAE", IWAE, "nll"), Cell("k = 1", "VAE", ELBO, "nll"))
LOG_P = (Cell("k = 5", "IWAE", IWAE, "log_p"), Cell("k = 1", "VAE", ELBO, "log_p"))
MANY = Cell("k = 50", "IWAE", LARGER, "nll")
PAPER = Published(85.54, "A paper, Table 1", tolerance=0.3)
JITTER = (0.0, 0.02, -0.02)  # of three seeds


def study_of(*claims):
    return Study("s", "A study", "a source", (Table("t", "A table", (*NLL, *LOG_P, MANY)),), claims=claims)


def line(pairs, records, slack=0.0, **options):
    """Of one claim: its verdict, the pair it rests on the least surely, and the five counts."""
    study = study_of(Claim("A claim", tuple(pairs), slack, **options))
    (row,) = verdicts([study], records).rows
    assert [d.text for d in row[:2]] == ["s", "A claim"]
    return row[2].text, row[3].text, [int(d.text) for d in row[4:]]


def three(config, nll, *, jitter=JITTER, **fields):
    return [record(dataclasses.replace(config, seed=i), log_p=-nll - j, **fields) for i, j in enumerate(jitter)]


def both(iwae, elbo):
    """Their seeds go up and down together but for 0.01, so that their difference is surer than either."""
    return [*three(IWAE, iwae), *three(ELBO, elbo, jitter=(0.01, 0.02, -0.03))]


def test_lower_is_better_for_negative_log_likelihoods_and_higher_for_bounds():
    for cells in (NLL, LOG_P):
        verdict, where, counts = line([cells], both(85.0, 86.0))
        assert (verdict, counts) == ("holds", [1, 0, 0, 0, 0])
        assert where == "k = 5, IWAE against k = 1, VAE, 40 epochs: +1.00 ± 0.01 (3 seeds)"
        verdict, where, counts = line([cells], both(86.5, 86.0))
        assert (verdict, counts) == ("fails", [0, 1, 0, 0, 0])
        assert where == "k = 5, IWAE against k = 1, VAE, 40 epochs: −0.50 ± 0.01 (3 seeds)"
    verdict, where, _ = line([NLL], both(86.5, 86.0), slack=0.6)
    assert (verdict, where[-22:]) == ("holds", "(3 seeds, 0.6 allowed)")


def test_differences_are_paired_over_seeds_and_judged_by_students_t():
    """By hand: the differences are 0.5 + (0.01, 0, -0.01), so s.d. 0.01; 4.303 is the 97.5 % point of t with 2."""
    pairing = Pairing([study_of()], both(85.5, 86.0))
    (iwae, elbo) = ([r for r in both(85.5, 86.0) if r.config["objective"] == name] for name in ("iwae", "elbo"))
    difference = pairing.difference(_found(iwae), _found(elbo), "nll")
    assert difference.gain == pytest.approx(0.5)
    assert difference.error == pytest.approx(0.01 / math.sqrt(3))
    assert difference.margin == pytest.approx(4.303 * 0.01 / math.sqrt(3), rel=1e-3)
    assert difference.words == "3 seeds"
    unpaired = pairing.difference(_found(iwae), _found(elbo[::-1]), "nll")  # whatever their order
    assert unpaired == difference


def test_a_recipe_that_is_studied_borrows_no_spread_of_another():
    """A plateau left by chance: its seeds end ten nats apart, those of the other studies' recipes 0.02."""
    (one, other), steady = NLL, study_of()
    at_chance = dataclasses.replace(study_of(Claim("A claim", (NLL,))), name="recipes", keeps_recipe=True)
    single = [record(one.config, log_p=-90.0), record(other.config, log_p=-95.0)]
    found = [_found([r]) for r in single]
    few = dataclasses.replace(at_chance, tables=(Table("t", "A table", NLL),))
    lent = Pairing([steady, few], [*three(LARGER, 84.0), *single])
    assert lent.difference(*found, "nll", steady).margin < 0.2
    assert lent.difference(*found, "nll", few).margin is None
    tried = three(dataclasses.replace(one.config, protocol="burda-paper"), 95.0, jitter=(0.0, 5.0, -5.0))
    beside = Pairing([steady], [*single, *tried, *three(LARGER, 84.0)])  # a trial fills no cell
    assert beside.difference(*found, "nll", steady) == lent.difference(*found, "nll", steady)
    apart = three(LARGER, 84.0, jitter=(0.0, 5.0, -5.0))
    own = Pairing([at_chance], [*apart, *single]).difference(*found, "nll", at_chance)
    assert own.error == pytest.approx(5 * math.sqrt(2))
    longer = [dataclasses.replace(r, training={**r.training, "epochs": 400}) for r in apart]
    assert Pairing([at_chance], [*longer, *single]).difference(*found, "nll", at_chance).margin is None


def _found(records):
    from iwax.report.cell_runs import Found

    return Found(tuple(records), "nll")


def test_what_is_within_its_error_is_open():
    """0.02 with an error of 0.006, whose 95 % interval over three seeds is 0.025 to either side."""
    assert line([NLL], both(85.98, 86.0))[0] == "open"
    assert line([NLL], both(85.97, 86.0))[0] == "holds"
    assert line([NLL], both(86.02, 86.0))[0] == "open"
    assert line([NLL], both(86.03, 86.0))[0] == "fails"
    assert line([NLL], both(86.02, 86.0), within_error=True)[0] == "holds"
    assert line([NLL], both(86.03, 86.0), within_error=True)[0] == "fails"


def test_one_seed_has_the_spread_of_all_cells_or_no_error_at_all():
    """The s.d. of (0, 0.02, -0.02) is 0.02, of two runs 0.0283; of no seeds at all nothing can be told."""
    one = [record(LARGER, log_p=-84.0), *three(IWAE, 86.0)]
    verdict, where, counts = line([(MANY, NLL[0])], one)
    assert (verdict, counts) == ("holds", [1, 0, 0, 0, 0])
    assert where == "k = 50, IWAE against k = 5, 40 epochs: +2.00 ± 0.03 (1 seed; spread over seeds of all cells)"
    verdict, where, counts = line([(MANY, NLL[0])], one[:2])
    assert (verdict, counts) == ("open", [0, 0, 1, 0, 0])
    assert where.endswith("+2.00 ± not known (1 seed)")


def test_two_models_are_paired_over_the_images_whose_numbers_are_kept(tmp_path):
    """Images differ by 20 nats, models by 0.5 ± 0.1: unpaired the error would be two hundred times as large."""
    rng = np.random.default_rng(0)
    images = rng.normal(-90, 20, 100)
    values = {IWAE: images + rng.normal(0.5, 0.1, 100), ELBO: images}
    records = []
    for config, log_p in values.items():
        one = record(config, log_p=float(log_p.mean()))
        one = dataclasses.replace(one, evaluation=one.evaluation | {"test_hash": "abc"})
        np.savez(tmp_path / "evaluation.npz", log_likelihood=log_p, neg_kl=np.full(100, -1.0))
        assert keep_per_image(tmp_path, one, tmp_path / "evaluation.npz")
        records.append(one)
    study = study_of(Claim("A claim", (NLL,)))
    claims, pairs = claim_sheets([study], records, Pairing([study], records, PerImage(tmp_path)))
    assert claims.rows[0][2].text == "holds"
    (row,) = (dict(zip(pairs.columns, line, strict=True)) for line in pairs.rows)
    assert row["± images"].key == pytest.approx(0.01, rel=0.3)
    assert (row["± seeds"].text, row["error by"].text, row["verdict"].text) == ("—", "1 seed; images", "holds")
    others = [records[0], dataclasses.replace(records[1], evaluation=records[1].evaluation | {"test_hash": "other"})]
    pairing = Pairing([study], others, PerImage(tmp_path))
    assert verdicts([study], others, pairing).rows[0][2].text == "open"  # binarised otherwise: no pairs


def test_numbers_per_image_are_read_as_they_were_and_those_of_another_record_never(tmp_path):
    log_p = np.random.default_rng(1).normal(-90, 20, 100)
    mine = record(IWAE, log_p=float(log_p.mean()))
    assert not keep_per_image(tmp_path, mine, tmp_path / "evaluation.npz")  # there is none
    np.savez(tmp_path / "evaluation.npz", log_likelihood=log_p, iwae=log_p - 1)
    assert not keep_per_image(tmp_path, record(IWAE, log_p=-80.0), tmp_path / "evaluation.npz")
    assert keep_per_image(tmp_path, mine, tmp_path / "evaluation.npz")
    said = []
    kept = PerImage(tmp_path, said.append)
    for metric, sign, exact in (("log_p", 1, log_p), ("nll", -1, log_p), ("iwae_64", 1, log_p - 1)):
        assert np.abs(sign * kept.of(mine, metric) - exact).max() < 1 / 16
    assert kept.of(record(ELBO), "log_p") is None
    path = tmp_path / "images" / f"{mine.id}.npz"
    assert PerImage(tmp_path, said.append).of(record(IWAE, log_p=-80.0), "log_p") is None
    path.write_bytes(path.read_bytes()[:100])
    assert PerImage(tmp_path, said.append).of(mine, "log_p") is None
    assert [("another record" in one, "Expected" in one) for one in said] == [(True, False), (False, True)]


def test_a_published_number_has_its_tolerance_and_its_printed_error():
    assert line([(NLL[0], PAPER)], both(85.7, 86.0))[0] == "holds"
    verdict, where, _ = line([(NLL[0], PAPER)], both(85.9, 86.0))
    assert verdict == "fails"
    assert where == "k = 5, IWAE against A paper, Table 1, 40 epochs: −0.36 ± 0.01 (3 seeds, 0.3 allowed)"
    assert line([(NLL[0], PAPER)], both(80.0, 86.0))[0] == "holds"  # or better
    unsure = dataclasses.replace(PAPER, error=0.1)
    assert line([(NLL[0], unsure)], both(85.9, 86.0))[:2] == ("open", where.replace("0.01", "0.10"))
    verdict, where, _ = line([(Published(0.0, "by definition"), LOG_P[0])], both(-1.0, 86.0))
    assert (verdict, where[:40]) == ("fails", "by definition against k = 5, IWAE, 40 ep")


def test_every_study_says_whether_it_is_as_good_as_what_was_published():
    """Within the error, without the tolerance; what may not be compared is left out."""
    worse = Published(84.0, "A report")
    cells = (
        dataclasses.replace(NLL[0], published=(PAPER, worse)),
        dataclasses.replace(NLL[1], published=(Published(0.0, "A report"),), incomparable="of another split"),
    )
    study = Study("s", "A study", "a source", (Table("t", "A table", cells),))
    (row,) = verdicts([study], both(85.55, 86.0)).rows
    assert row[1].text == "Every likelihood is at the published value or better, within its error"
    assert [d.text for d in row[2:]][:1] == ["fails"]
    assert row[3].text == "k = 5, IWAE against A report, 40 epochs: −1.55 ± 0.01 (3 seeds)"
    assert [d.text for d in row[4:]] == ["1", "1", "0", "0", "0"]
    assert published_claim(study_of()) is None


def test_what_has_no_run_is_told_and_numbers_that_a_claim_joins_are_of_one_length():
    records = both(85.0, 86.0)
    assert line([NLL, (NLL[0], PAPER)], records[3:]) == ("open", "", [0, 0, 0, 0, 2])
    assert line([NLL, (NLL[0], PAPER)], records[:3])[2] == [1, 0, 0, 0, 1]
    long = {"training": records[0].training | {"epochs": 400}}
    longer = three(dataclasses.replace(ELBO, epochs=400), 80.0, **long)
    assert line([NLL], [*records[:3], *longer]) == ("open", "", [0, 0, 0, 1, 0])
    assert line([NLL], [*records, *longer])[0] == "holds"
    smoke = [dataclasses.replace(one, scale="smoke") for one in records]
    assert line([NLL], smoke) == ("open", "", [0, 0, 0, 0, 1])
    chain = [(MANY, NLL[0]), NLL]  # k = 50 is there at 400 epochs, k = 5 at both: two pairs of 400 beat one of 40
    lengthy = [*three(dataclasses.replace(LARGER, epochs=400), 84.0, **long)]
    lengthy += three(dataclasses.replace(IWAE, epochs=400), 85.0, **long)
    assert line(chain, [*records, *lengthy])[2] == [1, 0, 0, 1, 0]
    assert line(chain, [*records, *lengthy, *longer])[2] == [1, 1, 0, 0, 0]  # and 80 beats 85


def test_a_run_of_a_biased_backward_pass_decides_no_claim():
    deep = dataclasses.replace(IWAE, model="two-layer", backward="resampled")
    cell, records = Cell("k = 5", "IWAE", deep, "nll"), [*three(deep, 80.0), *three(ELBO, 86.0)]
    assert line([(cell, NLL[1])], records)[2] == [0, 0, 0, 0, 1]
    anew = [dataclasses.replace(r, evaluation=r.evaluation | {"keys": "EvaluationKeys"}) for r in records]
    assert line([(cell, NLL[1])], anew)[2] == [1, 0, 0, 0, 0]


def test_studies_without_claims_have_no_verdicts():
    assert verdicts([Study("s", "A study", "a source")], both(85.0, 86.0)) is None
    assert outcome(verdicts([study_of(Claim("A claim", (NLL,)))], [])) == (
        "0 of 1 claim hold in every pair of numbers compared; 1 cannot be told yet."
    )
