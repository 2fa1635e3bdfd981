"""Annealed importance sampling against the linear-Gaussian model's evidence; variants that are wrong must fail."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.evaluation import annealing as tempering
from iwax.judging import anneal as annealing
from iwax.judging.anneal import Annealing, anneal, anneal_run, schedule, simulate
from iwax.models.bernoulli_latent import BernoulliLatent
from iwax.runs.launch import new_run
from iwax.runs.loading import load_run
from tiny import Bare, tiny_config, tiny_data

KEY = jax.random.key(0)
MODEL = iwax.LinearGaussian.isotropic(4, variance=0.9)  # a proposal wider than the posterior's 1/2
X, Z = simulate(MODEL, 128, jax.random.key(1))
TRUTH = np.asarray(MODEL.log_evidence(X))
FEW = {"num_distributions": 4, "num_chains": 8, "leapfrog_steps": 3, "rows": 1024}


def z_of_unit_mean(result):
    """z-score over examples of mean w / p(x) (forward) or mean p(x) / w (backward) against one."""
    truth = -TRUTH if result.upper else TRUTH
    ratio = np.exp(result.log_weights - truth[:, None]).mean(axis=1)
    return (ratio.mean() - 1) / (ratio.std(ddof=1) / np.sqrt(len(ratio)))


@pytest.fixture(scope="module")
def forward():
    return {start: anneal(MODEL, X, jax.random.key(2), start=start, **FEW) for start in tempering.STARTS}


@pytest.fixture(scope="module")
def backward():
    return anneal(MODEL, X, jax.random.key(3), z=Z, **FEW)


@pytest.mark.slow
def test_weights_are_unbiased_from_either_end(forward, backward):
    """E[w] = p(x) forward, from q and from the prior; E[1 / w] = 1 / p(x) backward (4 temperatures, 128 examples)."""
    for result in (*forward.values(), backward):
        assert abs(z_of_unit_mean(result)) < 4
        assert 0.4 < result.acceptance.mean() < 0.9


@pytest.mark.slow
def test_bounds_lie_on_their_sides(forward, backward):
    """Below and above log p(x) in the mean, within noise; far from the exact answer, beyond it."""
    for result in (*forward.values(), backward):
        gap = (result.bound - TRUTH) * (-1 if result.upper else 1)
        assert gap.mean() < 3 * gap.std() / np.sqrt(len(gap))
    for z in (None, Z):
        plain = anneal(MODEL, X, KEY, num_distributions=1, num_chains=8, start="prior", z=z, rows=1024)
        gap = (plain.bound - TRUTH) * (-1 if plain.upper else 1)
        assert gap.mean() < -4 * gap.std() / np.sqrt(len(gap))
        assert plain.upper == (z is not None)


@pytest.mark.slow
def test_shifted_weights_are_caught(forward):
    """log w from the very same chains, but with the steps t_{j+1} - t_j of the next temperature: E[w] is off."""
    inner = jnp.asarray(schedule(4)[1:-1], jnp.float32)
    terms, _ = tempering._chains(MODEL, X, None, jnp.arange(128), jax.random.key(2), inner, "prior", 8, 3)
    steps = np.diff(schedule(4))
    np.testing.assert_allclose(np.einsum("t,ntc->nc", steps, terms), forward["prior"].log_weights, rtol=1e-6)
    shifted = np.einsum("t,ntc->nc", np.roll(steps, 1), terms)
    assert abs(z_of_unit_mean(Annealing(shifted, forward["prior"].acceptance, False))) > 4


def test_steps_that_leave_another_density_invariant_are_caught(monkeypatch):
    """Hamiltonian steps for f_t^2 draw the chains together: E[w] is another number."""
    right = tempering.hamiltonian_step

    def squared(log_terms, variances, leapfrog_steps):
        return right(lambda z: jax.tree.map(lambda term: 2 * term, log_terms(z)), variances, leapfrog_steps)

    monkeypatch.setattr(tempering, "hamiltonian_step", squared)
    wrong = anneal(MODEL, X, jax.random.key(2), **FEW | {"leapfrog_steps": 4})  # another program than is compiled
    assert abs(z_of_unit_mean(wrong)) > 4


def test_one_distribution_is_plain_importance_sampling():
    """The very log-weights of q's draws; from the prior, log p(x | z); backward, minus those of the exact z."""
    options = {"num_distributions": 1, "num_chains": 5}
    result = anneal(MODEL, X[:3], KEY, **options)
    prior = anneal(MODEL, X[:3], KEY, start="prior", **options)

    @jax.jit
    def plain(x, key):
        z, log_q = MODEL.posterior(x).sample_and_log_prob(key, (5,))
        of_prior = MODEL.likelihood(MODEL.prior.sample(key, (5, 1))).log_prob(x)
        return (MODEL.log_joint(x, z) - log_q)[:, 0], of_prior[:, 0]

    for i in range(3):
        expected, from_prior = plain(X[i : i + 1], jax.random.split(jax.random.fold_in(KEY, i), 5)[0])
        np.testing.assert_allclose(result.log_weights[i], expected, rtol=1e-5)
        np.testing.assert_allclose(prior.log_weights[i], from_prior, rtol=1e-4)
    back = anneal(MODEL, X, KEY, z=Z, **options)
    log_w = MODEL.log_joint(X, Z[None])[0] - MODEL.posterior(X).log_prob(Z)
    np.testing.assert_allclose(back.bound, log_w, rtol=1e-4)
    assert np.isnan(back.acceptance).all()


@pytest.mark.parametrize("rows", [1, 10, 1000])
def test_batches_change_nothing(rows):
    options = {"num_distributions": 1, "num_chains": 5}
    expected = anneal(MODEL, X[:7], KEY, **options).log_weights
    np.testing.assert_allclose(anneal(MODEL, X[:7], KEY, rows=rows, **options).log_weights, expected, rtol=1e-5)
    part = anneal(MODEL, X[4:7], KEY, first=4, **options).log_weights
    np.testing.assert_allclose(part, expected[4:], rtol=1e-5)
    assert np.abs(anneal(MODEL, X[4:7], KEY, **options).log_weights - expected[4:]).max() > 0.01


@pytest.mark.slow
def test_several_layers():
    """Weights of a two-layer model have the mean that draws from the prior give; 10 % more must fail."""
    model = iwax.VAE(12, [3, 2], [[6], [5]], key=KEY)
    x = (jax.random.uniform(KEY, (40, 12)) < 0.4).astype(float)
    likelihood = model.likelihood(model.prior.sample(KEY, (50_000, 1)))
    log_p = np.asarray(jax.nn.logsumexp(likelihood.log_prob(x), axis=0) - jnp.log(50_000))
    result = anneal(model, x, KEY, num_distributions=10, num_chains=20, leapfrog_steps=2, start="prior", rows=800)
    ratio = np.exp(result.log_weights - log_p[:, None]).mean(axis=1)
    error = ratio.std(ddof=1) / np.sqrt(len(ratio))
    assert abs(ratio.mean() - 1) < 4 * error
    assert abs(1.1 * ratio.mean() - 1) > 4 * error


def test_what_a_result_says():
    """Equal weights: no error, all chains count. One weight far above: one chain counts."""
    result = Annealing(np.array([[1.0, 1, 1, 1], [50.0, 0, 0, 0]]), np.ones(2), False)
    np.testing.assert_allclose(result.bound, [1, 50 - np.log(4)])
    np.testing.assert_allclose(result.ess, [4, 1])
    np.testing.assert_allclose(result.mc_error, [0, np.sqrt(3 / 4)], atol=1e-7)
    np.testing.assert_allclose(Annealing(result.log_weights, np.ones(2), True).bound, -result.bound)


def test_the_schedule_is_that_of_wu_et_al():
    t = schedule(10)
    raw = 1 / (1 + np.exp(-4 * (2 * np.arange(11) / 10 - 1)))
    np.testing.assert_allclose(t, (raw - raw[0]) / (raw[-1] - raw[0]), atol=1e-7)
    np.testing.assert_array_equal(schedule(1), [0, 1])
    np.testing.assert_array_equal(t, t.astype(np.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_distributions": 0}, "Expected num_distributions to be an integer of at least 1; got 0"),
        ({"num_chains": 0}, "Expected num_chains to be an integer of at least 1; got 0"),
        ({"leapfrog_steps": 0}, "Expected leapfrog_steps to be an integer of at least 1; got 0"),
        ({"start": "encoder"}, "Expected start to be one of posterior, prior; got 'encoder'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        anneal(MODEL, X, KEY, **options)


def test_models_that_cannot_be_annealed(monkeypatch):
    with pytest.raises(TypeError, match="Expected continuous z, for Hamiltonian steps; got a posterior of Bernoulli"):
        anneal(BernoulliLatent(4, 2, key=KEY), jnp.zeros((1, 4)), KEY, num_distributions=2)
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(ImportError, match=r'Expected blackjax.*pip install "iwax\[diagnostics\]"'):
        anneal(MODEL, X[:2], KEY, num_distributions=2)
    with pytest.raises(TypeError, match="Expected a model with a prior, for start='prior'; got Bare without one"):
        anneal(Bare(), X, KEY, start="prior")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("annealing") / "run"
    new_run(tiny_config(), path, data=tiny_data())
    return path


@pytest.mark.slow
def test_anneal_run_goes_on_where_it_was_interrupted(run, monkeypatch):
    """Finished images are not annealed again, and the numbers are those of an undisturbed run."""
    options = {"num_distributions": 1, "num_chains": 256, "num_samples": 64, "data": tiny_data()}  # 2 images a batch
    batches = []
    whole = annealing.anneal

    def counted(*arguments, **more):
        batches.append(more["first"])
        if len(batches) == 4:
            raise KeyboardInterrupt
        return whole(*arguments, **more)

    monkeypatch.setattr(annealing, "anneal", counted)
    with pytest.raises(KeyboardInterrupt):
        anneal_run(run, num_images=5, **options)
    with open(run / "annealing.jsonl", "a") as file:
        file.write('{"bound": "lower", "ima')  # killed while writing
    result = anneal_run(run, num_images=5, **options)
    assert batches == [0, 2, 4, 0, 0, 2, 4, 0, 2, 4]  # the fourth twice: interrupted
    (run / "annealing.jsonl").unlink()
    for done in (2, 4):  # whatever the limit, every session does something
        stopped = anneal_run(run, num_images=5, time_limit=1e-9, **options)
        assert [stopped[name] for name in ("state", "num_examples", "total_examples")] == ["stopped", done, 15]
    assert anneal_run(run, num_images=5, **options) == result
    assert len(batches) == 19  # all nine again, since nothing was kept
    with pytest.raises(ValueError, match="Expected time_limit to be positive; got 0"):
        anneal_run(run, time_limit=0.0)


@pytest.mark.slow
def test_what_anneal_run_writes(run):
    notes = []
    options = {"num_distributions": 1, "num_chains": 40, "num_samples": 640, "data": tiny_data()}
    result = anneal_run(run, num_images=12, on_progress=notes.append, **options)
    assert json.loads((run / "annealing.json").read_text()) == result
    assert [(note.step, note.total_steps) for note in notes] == [(12, 36), (24, 36), (36, 36)]
    for suffix in ("svg", "pdf"):
        assert (run / "figures" / f"annealing.{suffix}").stat().st_size > 1000
    assert result["ais_minus_iwae"] == pytest.approx(result["ais"] - result["iwae"])
    assert result["sandwich"]["gap"] == pytest.approx(result["sandwich"]["upper"] - result["sandwich"]["lower"])
    model = load_run(run, data=tiny_data()).model
    evaluated = iwax.evaluate(model, tiny_data(), jax.random.key(0), num_samples=640)
    assert result["iwae"] == pytest.approx(evaluated.log_likelihood.mean(), rel=1e-6)  # the same images and draws
    assert anneal_run(run, num_images=12, sandwich=False, **options)["sandwich"] is None
