"""Whether claims hold, from records: where they do not, what is of unequal length, and what is open."""

import dataclasses

from iwax.experiments.study import Cell, Claim, Published, Study, Table
from iwax.report.verdicts import verdicts
from iwax.runs.config import RunConfig
from made import record

IWAE, ELBO = RunConfig(objective="iwae", num_samples=5), RunConfig(objective="elbo", num_samples=1)
NLL = (Cell("k = 5", "IWAE", IWAE, "nll"), Cell("k = 1", "VAE", ELBO, "nll"))
LOG_P = (Cell("k = 5", "IWAE", IWAE, "log_p"), Cell("k = 1", "VAE", ELBO, "log_p"))
PAPER = Published(85.54, "A paper, Table 1", tolerance=0.3)


def line(pairs, records, slack=0.0):
    """The entries of one claim: where it does not hold, in how many it does, how many are unequal, how many open."""
    claim = Claim("A claim", tuple(pairs), slack)
    study = Study("s", "A study", "a source", (Table("t", "A table", (*NLL, *LOG_P)),), claims=(claim,))
    (row,) = verdicts([study], records).rows
    assert [d.text for d in row[:2]] == ["s", "A claim"]
    return tuple(d.text for d in row[2:])


ONE = "(1 run, ± 0.80 over images)"  # as all that is made here


def made(iwae, elbo):
    return [record(IWAE, log_p=-iwae), record(ELBO, log_p=-elbo)]


def test_lower_is_better_for_negative_log_likelihoods_and_higher_for_bounds():
    for cells in (NLL, LOG_P):
        assert line([cells], made(85.0, 86.0)) == ("", "1 of 1", "0", "0")
    where, *counts = line([NLL], made(86.5, 86.0))
    assert (where, counts) == (f"k = 5, IWAE, 40 epochs: 86.50 {ONE} against 86.00 {ONE}", ["0 of 1", "0", "0"])
    where, *counts = line([LOG_P], made(86.5, 86.0))
    assert (where, counts) == (f"k = 5, IWAE, 40 epochs: −86.50 {ONE} against −86.00 {ONE}", ["0 of 1", "0", "0"])
    assert line([NLL], made(86.5, 86.0), slack=0.6) == ("", "1 of 1", "0", "0")


def test_a_published_number_has_its_tolerance():
    assert line([(NLL[0], PAPER)], made(85.8, 86.0)) == ("", "1 of 1", "0", "0")
    where, *counts = line([(NLL[0], PAPER)], made(85.9, 86.0))
    assert (where, counts) == (f"k = 5, IWAE, 40 epochs: 85.90 {ONE} against 85.54", ["0 of 1", "0", "0"])
    assert line([(NLL[0], PAPER)], made(80.0, 86.0)) == ("", "1 of 1", "0", "0")  # or better
    zero = Published(0.0, "by definition")
    where, *counts = line([(zero, LOG_P[0])], made(-1.0, 86.0))
    assert (where, counts) == (f"k = 5, IWAE, 40 epochs: 0.00 against 1.00 {ONE}", ["0 of 1", "0", "0"])


def test_where_a_claim_fails_the_runs_and_their_spread_are_told():
    seeds = [record(dataclasses.replace(IWAE, seed=seed), log_p=-87.0 - seed) for seed in range(3)]
    where = line([NLL], [*seeds, *made(0.0, 86.0)[1:]])[0]
    assert where == f"k = 5, IWAE, 40 epochs: 88.00 (3 runs, ± 1.00 over seeds, ± 0.80 over images) against 86.00 {ONE}"


def test_what_has_no_run_is_open_and_runs_of_other_lengths_are_not_compared():
    records = made(85.0, 86.0)
    assert line([NLL, (NLL[0], PAPER)], records[1:]) == ("", "open", "0", "2")
    assert line([NLL, (NLL[0], PAPER)], records[:1]) == ("", "1 of 1", "0", "1")
    longer = record(dataclasses.replace(ELBO, epochs=400), log_p=-80.0, training={**records[1].training, "epochs": 400})
    assert line([NLL], [records[0], longer]) == ("", "open", "1", "0")
    assert line([NLL], [*records, longer]) == ("", "1 of 1", "0", "0")
    assert line([NLL], [record(IWAE, scale="smoke"), record(ELBO, scale="smoke")]) == ("", "open", "0", "1")


def test_studies_without_claims_have_no_verdicts():
    assert verdicts([Study("s", "A study", "a source")], made(85.0, 86.0)) is None
