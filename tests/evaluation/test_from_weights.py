"""Log-weights of any program get the evaluation that iwax's own draws get, in any chunks and of any framework."""

import json
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import iwax
from iwax.cli import main
from iwax.evaluation import Evaluation, from_arrays, judge_log_weights
from iwax.judging import read_evaluation
from iwax.keys import EvaluationKeys

NUMBERS = ("log_likelihood", "mc_error", "ess", "khat", "elbo", "elbo_error", "iwae", "neg_kl", "bias")
NUMBERS += ("jackknife_bias", "jackknife_error")


def normal(k=640, n=5, spread=1.0, seed=0):
    """Log-weights of log p = 0."""
    return np.random.default_rng(seed).normal(-(spread**2) / 2, spread, (k, n))


def assert_same(one, other):
    for name in NUMBERS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.fixture(scope="module")
def judged():
    """iwax's own evaluation, and the draws that it is of."""
    model = iwax.LinearGaussian.isotropic(3)
    x, key = np.asarray(model.sample(jax.random.key(1), 7)), jax.random.key(0)
    evaluation = iwax.evaluate(model, x, key, num_samples=3000, binarize="none", iwae_samples=(64, 8))
    own = iwax.evaluation.log_weights(model, x, EvaluationKeys(key).samples, num_samples=3000)
    return model, x, evaluation, own.T


def test_the_same_draws_give_the_bits_of_iwax_evaluate(judged):
    """Of 3,000 samples whole blocks of 64 are 2,944, in two pieces of other sizes than these chunks."""
    _, x, expected, log_w = judged
    found = iwax.judge_log_weights(log_w, iwae_samples=(64, 8), examples=x)
    assert_same(found, expected)
    np.testing.assert_array_equal(found.bounds[8], expected.bounds[8])
    assert (found.num_samples, found.test_hash) == (expected.num_samples, expected.test_hash)
    assert found.notes == ("56 of 3000 samples are left out, beyond whole blocks of 64 and 8.",)
    chunks = (log_w[a:b] for a, b in ((0, 1), (1, 1), (1, 2500), (2500, 3000)))
    assert_same(judge_log_weights(chunks, num_samples=3000, iwae_samples=(64, 8)), expected)
    other = judge_log_weights(log_w[::-1], iwae_samples=(64, 8))  # negative control: other samples are left out
    assert np.abs(other.log_likelihood - expected.log_likelihood).max() > 1e-5
    summary = found.summary()
    assert {key: summary[key] for key in ("log_p", "iwae_64", "khat_above_0.7", "advice", "log_p_test_error")} == {
        key: expected.summary()[key] for key in ("log_p", "iwae_64", "khat_above_0.7", "advice", "log_p_test_error")
    }


def test_the_linear_gaussian_evidence_lies_within_the_printed_error(judged):
    model, x, _, log_w = judged
    summary = judge_log_weights(log_w).summary()
    truth = float(np.mean(model.log_evidence(jnp.asarray(x))))
    assert abs(summary["log_p_jackknife"] - truth) < 4 * summary["log_p_jackknife_error"]
    assert abs(summary["elbo"] - truth) > 4 * summary["elbo_mc_error"]  # negative control


@pytest.mark.parametrize(("spread", "least", "most", "doubtful"), [(1.0, 0.9, 0.99, False), (4.0, 0.0, 0.2, True)])
def test_the_printed_error_covers_the_truth_or_khat_warns(spread, least, most, doubtful):
    """200 replications of the mean over 10 examples of log p = 0, as the table of docs/evaluation.md has them."""
    found = judge_log_weights(normal(640, 200 * 10, spread))
    means = found.log_likelihood.reshape(200, 10).mean(axis=1)
    errors = np.sqrt((found.mc_error**2).reshape(200, 10).sum(axis=1)) / 10
    assert least <= np.mean(np.abs(means) <= 1.96 * errors) <= most
    assert (found.khat_above_limit > 0.5) is doubtful
    assert found.khat_above_limit > 0.5 or found.khat_above_limit < 0.05
    assert (found.advice is not None and "not to be trusted" in found.advice) or not doubtful


def test_numbers_are_those_of_their_formulas():
    log_w = normal(640, 6, 1.5)
    found = judge_log_weights(log_w, iwae_samples=10)
    log_p = logsumexp(log_w, axis=0) - np.log(640)
    share = np.exp(log_w - logsumexp(log_w, axis=0))
    np.testing.assert_allclose(found.log_likelihood, log_p, rtol=1e-12)
    np.testing.assert_allclose(found.ess, 1 / np.sum(share**2, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.elbo, log_w.mean(axis=0), rtol=1e-12)
    blocks = logsumexp(log_w.reshape(64, 10, 6), axis=1).mean(axis=0) - np.log(10)
    np.testing.assert_allclose(found.iwae, blocks, rtol=1e-12)


@pytest.mark.parametrize("framework", ["jax", "torch", "torch.bfloat16", "half"])
def test_arrays_of_any_framework_are_taken(framework):
    log_w = normal().astype(np.float32)
    if framework.startswith("torch"):
        torch = pytest.importorskip("torch")
        dtype = torch.bfloat16 if framework.endswith("16") else torch.float32
        given = torch.tensor(log_w, requires_grad=True).to(dtype)
        log_w = given.detach().double().numpy()
    elif framework == "jax":
        given = jnp.asarray(log_w)
    else:
        given = log_w = log_w.astype(np.float16)
    found = judge_log_weights(given)
    assert_same(found, judge_log_weights(log_w.astype(np.float64)))
    rounded = framework in ("torch.bfloat16", "half")
    assert any("half precision" in note for note in found.notes) is rounded


@pytest.mark.parametrize(("kind", "spacing"), [(np.float16, "0.062"), (jnp.bfloat16, "0.5")])
def test_the_rounding_of_half_precision_is_said_in_nats(kind, spacing):
    """Between 64 and 128 float16 has 1,024 numbers and bfloat16 has 128."""
    log_w = (normal() - 90).astype(kind)
    assert f"rounded to {spacing} nats" in judge_log_weights(log_w).notes[0]


def test_what_is_not_finite_is_counted_and_nothing_else_is_touched():
    log_w = normal(640, 5)
    whole = judge_log_weights(log_w)
    log_w[7, 1], log_w[9, 2], log_w[:, 3], log_w[5, 4] = np.nan, np.inf, -np.inf, -np.inf
    found = judge_log_weights(log_w)
    assert np.isfinite(found.log_likelihood).tolist() == [True, False, False, False, True]
    assert found.log_likelihood[2] == np.inf
    assert found.log_likelihood[3] == -np.inf
    assert found.log_likelihood[0] == whole.log_likelihood[0]
    assert any("not finite for 3 of 5 examples" in note for note in found.notes)
    assert found.summary()["log_p"] is None
    assert found.khat_above_limit >= 3 / 5


def test_a_stream_of_unknown_length_gives_the_same_tail():
    """Pieces differ, so that sums may by their rounding; k-hat and the jackknife rest on the same largest weights."""
    log_w = normal(20_000, 3, 2.0)
    found = judge_log_weights(iter(np.array_split(log_w, 37)))
    expected = judge_log_weights(log_w)
    assert found.num_samples == expected.num_samples == 19_968
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12)


def test_a_sorted_stream_of_unknown_length_is_refused_and_not_misjudged():
    log_w = np.sort(normal(20_000, 3, 2.0), axis=0)[::-1]
    chunks = np.array_split(log_w, 37)
    with pytest.raises(ValueError, match=r"in no particular order.*Pass num_samples=19968"):
        judge_log_weights(iter(chunks))
    np.testing.assert_allclose(
        judge_log_weights(iter(chunks), num_samples=20_000).khat, judge_log_weights(log_w).khat, rtol=1e-12
    )


@pytest.mark.parametrize("known", [True, False])
def test_memory_does_not_grow_with_k(known):
    """Sixteen times the samples take less than twice the memory."""

    def peak(k):
        rng = np.random.default_rng(0)
        chunks = (rng.normal(size=(1000, 20)) for _ in range(k // 1000))
        tracemalloc.start()
        judge_log_weights(chunks, num_samples=k if known else None)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(4000)
    assert peak(64_000) < 2 * peak(4000)


@pytest.mark.parametrize(
    ("log_w", "options", "error", "message"),
    [
        (np.zeros(640), {}, ValueError, r"shape \(samples, examples\); got \(640,\)"),
        (np.zeros((640, 0)), {}, ValueError, "at least one example"),
        (np.zeros((640, 2), int), {}, TypeError, "floating-point numbers, in nats; got dtype int64"),
        (np.zeros((640, 2), complex), {}, TypeError, "got dtype complex128"),
        (np.zeros((10, 2)), {}, ValueError, "at least 64 samples, one block of IWAE-64; got 10"),
        (iter([np.zeros((10, 2))]), {}, ValueError, "at least 64 samples, one block of IWAE-64; got 10"),
        (iter([]), {}, ValueError, "at least one chunk; got none"),
        (iter([np.zeros((64, 2)), np.zeros((64, 3))]), {}, ValueError, r"\(samples, 2\), as the first; got \(64, 3\)"),
        (iter([np.zeros((64, 2))]), {"num_samples": 128}, ValueError, "num_samples=128 samples together; got 64"),
        (iter([np.zeros((99, 2))]), {"num_samples": 64}, ValueError, "num_samples=64 samples together; got more"),
        (np.zeros((64, 2)), {"num_samples": 65}, ValueError, "num_samples=65 samples; got 64"),
        (np.zeros((64, 2)), {"examples": np.zeros((3, 4))}, ValueError, r"the 2 of log_w.*got shape \(3, 4\)"),
        (
            np.zeros((64, 2)),
            {"iwae_samples": 0},
            ValueError,
            "Expected iwae_samples to be an integer of at least 1; got 0",
        ),
        (5, {}, TypeError, "an array .samples, examples., or an iterable of them; got 5"),
        ("log_w", {}, TypeError, "got 'log_w'"),
        (np.ma.masked_less(np.eye(64), 1), {}, ValueError, "Expected log_w without masked values"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(log_w, options, error, message):
    with pytest.raises(error, match=message):
        judge_log_weights(log_w, **options)


def test_an_evaluation_prints_as_a_small_table(judged):
    text = str(judged[2])
    assert repr(judged[2]) == text
    assert len(text.splitlines()) < 15
    summary = judged[2].summary()
    lines = {line[:18].strip(): line for line in text.splitlines()}
    assert f"{summary['log_p']:.3f}  ± {summary['log_p_mc_error']:.3f} Monte Carlo" in lines["log p"]
    assert {"IWAE-64", "IWAE-8", "Pareto k-hat", "active units"} <= lines.keys()
    assert "active units" not in str(judge_log_weights(judged[3]))
    heavy = str(judge_log_weights(normal(640, 4, 6.0)))
    assert heavy.endswith(judge_log_weights(normal(640, 4, 6.0)).advice)


def test_an_evaluation_goes_through_arrays_and_back(judged):
    arrays, summary = judged[2].to_numpy(), json.loads(json.dumps(judged[2].summary()))
    again = from_arrays(arrays, summary)
    assert isinstance(again, Evaluation)
    assert_same(again, judged[2])
    assert again.summary() == judged[2].summary()
    assert list(again.bounds) == [64, 8]
    with pytest.raises(ValueError, match="'khat' is missing"):
        from_arrays({name: value for name, value in arrays.items() if name != "khat"}, summary)
    with pytest.raises(ValueError, match="arrays of 8 examples, as the summary has it; got 7"):
        from_arrays(arrays, summary | {"num_examples": 8})


def test_pandas_has_a_row_for_each_example(judged):
    pytest.importorskip("pandas")
    frame = judged[2].to_pandas()
    assert frame.index.name == "example"
    np.testing.assert_array_equal(frame["log_likelihood"], judged[2].log_likelihood)
    assert {"khat", "iwae_64", "iwae_8", "kl"} <= set(frame.columns)
    assert len(frame) == 7


def test_arviz_has_a_group_of_the_evaluation(judged):
    pytest.importorskip("arviz")
    data = judged[2].to_arviz()
    np.testing.assert_array_equal(data.evaluation["khat"], judged[2].khat)
    assert data.evaluation["log_likelihood"].dims == ("example",)
    assert data.evaluation.attrs["num_samples"] == judged[2].num_samples


def test_without_pandas_and_arviz_one_line_says_what_is_missing(judged, monkeypatch):
    for name, export in (("pandas", judged[2].to_pandas), ("arviz", judged[2].to_arviz)):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        with pytest.raises(ImportError, match=f"pip install {name}"):
            export()


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code, *capsys.readouterr()


def test_one_example_is_no_plural():
    log_w = np.random.default_rng(0).normal(size=(64, 2))
    assert str(judge_log_weights(log_w[:, :1])).startswith("1 example, k = 64 (nats)")
    assert str(judge_log_weights(log_w)).startswith("2 examples, k = 64 (nats)")


def test_iwax_judge_prints_and_writes_what_the_function_returns(judged, tmp_path, capsys):
    _, x, _, log_w = judged
    np.save(tmp_path / "a.npy", log_w[:1000])
    np.savez(tmp_path / "b.npz", log_w=log_w[1000:], other=x)
    np.save(tmp_path / "x.npy", x)
    both, data = (tmp_path / "a.npy", tmp_path / "b.npz"), ("--data", tmp_path / "x.npy")
    expected = judge_log_weights(log_w, examples=x)
    status, out, _ = command(capsys, "judge", *both, *data, "--json")
    assert (status, json.loads(out)) == (0, json.loads(json.dumps(expected.summary())))
    assert json.loads((tmp_path / "a.evaluation.json").read_text()) == {
        **json.loads(out), "weights": ["a.npy", "b.npz"]
    }  # fmt: skip
    assert_same(read_evaluation(tmp_path / "a.evaluation.npz"), expected)
    status, out, err = command(capsys, "judge", *both, "--out", tmp_path / "both")
    assert status == 0
    assert "log p" in out
    assert f"{expected.summary()['log_p']:.3f}" in out
    assert "56 of 3000" in err
    assert (tmp_path / "both.evaluation.npz").exists()
    status, out, _ = command(capsys, "judge", *both, "--csv")
    header, *lines = out.splitlines()
    assert header.startswith("example,log_likelihood,iwae")
    assert [float(line.split(",")[1]) for line in lines] == expected.log_likelihood.tolist()


def test_iwax_judge_refuses_what_is_no_array_in_one_line(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("0.5")
    (tmp_path / "b.npy").write_text("0.5")
    np.savez(tmp_path / "c.npz", one=np.zeros(3), two=np.zeros(3))
    for name, message in (
        ("a.txt", ".npy or .npz"),
        ("b.npy", "plain numeric arrays; got another file"),
        ("c.npz", "one array, or one of the name log_w; got one, two"),
        ("none.npy", "No such file"),
    ):
        status, out, err = command(capsys, "judge", tmp_path / name)
        assert (status, out) == (2, "")
        assert message in " ".join(err.split())
    status, _, err = command(capsys, "judge", tmp_path / "a.txt", "--json", "--csv")
    assert "--json or --csv; got both" in err
    with pytest.raises(ValueError, match="Expected an evaluation in"):
        read_evaluation(tmp_path)
