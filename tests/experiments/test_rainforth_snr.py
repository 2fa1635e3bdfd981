"""The toy study: its model and limits against closed forms, its slopes at reduced size."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.cli import main
from iwax.experiments.rainforth_snr import Toy, ToyStudy, closed_form_snr, group_of, limit_direction, toy_of
from iwax.experiments.rainforth_snr_report import fit_slope, lines, table


def as_linear_gaussian(toy):
    """The same model with its closed forms."""
    zeros, eye = jnp.zeros_like(toy.generative), jnp.eye(toy.generative.size)
    scale = jnp.full_like(zeros, 0.5 * np.log(2 / 3))
    return iwax.LinearGaussian(toy.generative, eye, zeros, zeros, toy.inference.weight, toy.inference.offset, scale)


def toy_and_data(deviation):
    return Toy.perturbed(jax.random.key(0), size=3, num_examples=50, deviation=deviation)


def free_gradients(function, toy):
    """Gradients of a function of the linear-Gaussian model in mu, A and b."""
    g = jax.grad(lambda toy: function(as_linear_gaussian(toy)))(toy)
    return np.concatenate([g.generative, jnp.ravel(g.inference.weight), g.inference.offset])


def test_the_toy_is_the_linear_gaussian_model():
    toy, x = toy_and_data(0.5)
    model, z = as_linear_gaussian(toy), jax.random.normal(jax.random.key(1), (4, 50, 3))
    np.testing.assert_allclose(toy.log_joint(x, z), model.log_joint(x, z), rtol=1e-5)
    np.testing.assert_allclose(toy.posterior(x).log_prob(z), model.posterior(x).log_prob(z), rtol=1e-5)


@pytest.mark.parametrize(("deviation", "at_optimum"), [(0.0, True), (0.01, False)])
def test_unmoved_parameters_are_at_their_optimum(deviation, at_optimum):
    toy, x = toy_and_data(deviation)
    gradients = free_gradients(lambda model: jnp.mean(model.elbo(x)), toy)
    assert (np.abs(gradients).max() < 1e-5) == at_optimum


def test_the_limit_of_the_directions_is_that_of_the_closed_forms():
    """theta: grad log p(x); phi: the leading term of the bound's bias, -grad E[w^2] / (2 K p(x)^2)."""
    toy, x = toy_and_data(0.3)
    mu, phi = limit_direction(toy, x)
    by_mu = free_gradients(lambda model: jnp.mean(model.log_evidence(x)), toy)[:3]
    by_phi = -free_gradients(lambda model: jnp.mean(jnp.exp(model.log_weight_moment(x, 2.0))), toy)[3:]
    np.testing.assert_allclose(mu, by_mu, rtol=1e-4, atol=1e-6)
    phi = np.concatenate([np.ravel(phi.weight), phi.offset])
    cosine = phi @ by_phi / np.linalg.norm(phi) / np.linalg.norm(by_phi)
    assert cosine == pytest.approx(1, abs=1e-5)
    elbo = free_gradients(lambda model: jnp.mean(model.elbo(x)), toy)[3:]  # negative control
    assert phi @ elbo / np.linalg.norm(phi) / np.linalg.norm(elbo) < 0.999


def test_the_slope_of_a_power_law_and_its_error():
    counts, rng = np.array([1, 10, 100, 1000]), np.random.default_rng(0)
    snr = 3 * counts**-0.5
    assert fit_slope(counts, snr, np.zeros(4)).value == pytest.approx(-0.5)
    assert np.isnan(fit_slope(counts[:1], snr[:1], np.zeros(1))).all()  # of one there is none
    error = snr * [0.01, 0.02, 0.03, 0.02]
    noisy = [fit_slope(counts, rng.normal(snr, error), error) for _ in range(2000)]
    assert np.std([slope.value for slope in noisy]) == pytest.approx(noisy[0].error, rel=0.06)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """(folder, records) of a study of D = 2, N = 4 and counts that are large for it."""
    out = tmp_path_factory.mktemp("toy")
    settings = ToyStudy(size=2, num_examples=4, counts=(32, 512), deviations=(0.1,), replicates=100)
    return out, settings.run(out), settings


def wrong_slopes(records):
    return [line for line in lines(records) if abs(line.slope.value - line.expected) > 0.1]


@pytest.mark.slow
def test_slopes_are_those_of_the_theory(study):
    """theta: +1/2 in M and K; phi: +1/2 in M, -1/2 in K, +1/2 by the other two estimators.

    Negative controls: an estimator that is doubly reparameterized in name only, and the plain one's own mean.
    """
    _, records, _ = study
    assert len(lines(records)) == 8
    assert not wrong_slopes(records)
    of = {(r["point"]["varied"], r["point"]["gradient"], r["point"]["count"]): r for r in records}
    in_name_only = [
        r | {"inference": of["K", "reparameterized", r["point"]["count"]]["inference"]}
        if r["point"]["gradient"] == "doubly-reparameterized"
        else r
        for r in records
    ]
    wrong = {(line.gradient, line.group) for line in wrong_slopes(in_name_only)}
    assert ("doubly-reparameterized", "inference") in wrong
    assert ("reparameterized", "inference") in wrong  # its signal is now its own, lost in noise


@pytest.mark.slow
def test_the_plain_estimator_has_its_closed_form(study):
    """Exact in M, to leading order in K; negative control: the one for the other count."""
    _, records, _ = study
    for record in (r for r in records if r["point"]["varied"] == "M"):
        count = record["point"]["count"]
        right, wrong = (closed_form_snr(*toy_of(record["point"]), varied="M", count=n) for n in (count, 544 - count))
        for name, expected in right.items():
            found = group_of(record, name)
            assert (np.abs(found.snr - expected) < 4.5 * found.snr_error).all()
            assert (np.abs(found.snr - wrong[name]) > 4.5 * found.snr_error).any()
    for line in (line for line in lines(records) if (line.varied, line.gradient) == ("K", "reparameterized")):
        assert abs(line.snr[1] / line.closed_form[1] - 1) < 0.1
        assert abs(line.snr[0] / line.closed_form[1] - 1) > 0.5
    point = records[0]["point"] | {"deviation": 5.0}  # where no K is large
    assert np.isnan(closed_form_snr(*toy_of(point), varied="K", count=512)["inference"]).all()


@pytest.mark.slow
def test_a_finished_study_is_not_measured_again(study):
    out, records, settings = study
    written = (out / "points.jsonl").read_bytes()
    again = settings.run(out)  # a second or nothing: no point is measured
    assert json.dumps(again) == json.dumps(records)
    assert (out / "points.jsonl").read_bytes() == written
    assert len(table(records).splitlines()) == 2 + 8 + 4  # four of them with closed forms
    group = group_of(records[0], "inference")
    assert group.snr.shape == (2 * 2 + 2,)
    assert len(records[0]["inference"]["shown"]) == group.num_replicates


@pytest.mark.slow
def test_the_command(study, capsys):
    """On the finished study, of which it measures nothing again."""
    out, records, _ = study
    options = ["--out", str(out), "--size", "2", "--num-examples", "4", "--counts", "512,32", "--deviations", "0.1"]
    with pytest.raises(SystemExit) as exit_:
        main(["snr", "toy", *options, "--json"])
    assert exit_.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["slope"]["value"] for row in rows] == [line.slope.value for line in lines(records)]
    assert (out / "table.md").read_text() == table(records)
    assert "mean SNR" in (out / "snr.svg").read_text()
    assert {path.name for path in out.glob("*.pdf")} == {"snr.pdf", "dsnr.pdf", "histograms.pdf"}


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--counts", "1,ten", "counts to be integers of at least 1 with commas between; got '1,ten'"),
        ("--counts", "0,1", "counts to be integers of at least 1"),
        ("--deviations", "-1", "deviations to be numbers of at least 0 with commas between; got '-1'"),
        ("--replicates", "0", "replicates to be an integer of at least 4; got 0"),
    ],
)
def test_what_the_command_refuses(option, value, rule, capsys, tmp_path):
    with pytest.raises(SystemExit) as exit_:
        main(["snr", "toy", "--out", str(tmp_path / "new"), option, value])
    assert exit_.value.code == 2
    assert f"iwax: Expected {rule}" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_replicates_are_many_where_they_are_cheap():
    points = ToyStudy(deviations=(0.01,)).points()
    assert [point["replicates"] for point in points[:4]] == [2000, 2000, 500, 100]
    assert len(points) == 16
