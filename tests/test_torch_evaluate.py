"""PyTorch models judged: against a closed form, in any wrapping, and with what is wrong refused by name."""

import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import iwax  # noqa: E402
import iwax.torch  # noqa: E402
from iwax.evaluation import join_evaluations, judge_log_weights  # noqa: E402

WEIGHT = torch.tensor([[1.0, 0.5], [-0.3, 0.8], [0.2, 0.0]], dtype=torch.float64)
OFFSET = torch.tensor([0.5, 0.0, -1.0], dtype=torch.float64)
NOISE = 0.8
X = torch.as_tensor(np.random.default_rng(0).normal(size=(10, 3)))
NUMBERS = ("log_likelihood", "mc_error", "ess", "khat", "elbo", "elbo_error", "iwae", "jackknife_error")


class LinearGaussian(torch.nn.Module):
    """z ~ N(0, I), x | z ~ N(W z + b, 0.8^2 I); q has twice the posterior's covariance, and dropout may spoil it."""

    def __init__(self):
        super().__init__()
        self.decoder = torch.nn.Linear(2, 3).double()
        self.decoder.load_state_dict({"weight": WEIGHT, "bias": OFFSET})
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x, samples):
        weight, offset = self.decoder.weight, self.decoder.bias
        covariance = torch.linalg.inv(torch.eye(2, dtype=x.dtype) + weight.T @ weight / NOISE**2)
        mean = (x - offset) @ weight @ covariance / NOISE**2
        q = torch.distributions.MultivariateNormal(mean, 2 * covariance)
        z = q.sample((samples,))
        log_prior = -(z**2).sum(-1) / 2 - np.log(2 * np.pi)
        residual = (x - self.dropout(self.decoder(z))) / NOISE
        log_likelihood = -(residual**2).sum(-1) / 2 - 3 * np.log(NOISE * (2 * np.pi) ** 0.5)
        return log_prior + log_likelihood - q.log_prob(z)


def evidence(x=X):
    covariance = WEIGHT @ WEIGHT.T + NOISE**2 * torch.eye(3, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(OFFSET, covariance).log_prob(x).numpy()


def assert_same(one, other):
    for name in NUMBERS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.fixture(scope="module")
def plain():
    return iwax.torch.evaluate(LinearGaussian(), X.split(4), num_samples=1280, chunk_size=640)


def test_the_closed_form_lies_within_the_printed_errors(plain):
    """Each example's z-score, and the mean's; the ELBO, which is a bound, fails the same."""
    z = (plain.log_likelihood - plain.jackknife_bias - evidence()) / plain.jackknife_error
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert 0.3 < z.std() < 2
    assert plain.khat_above_limit == 0
    assert abs((plain.elbo - evidence()) / plain.elbo_error).min() > 4


def test_numbers_are_those_of_the_log_weights_that_the_function_returned():
    """Chunk by chunk, batch by batch, as `iwax.judge_log_weights` has them."""
    kept = []

    def log_weights(x, samples):
        kept.append(LinearGaussian().eval()(x, samples))
        return kept[-1]

    found = iwax.torch.evaluate(log_weights, X.split(5), num_samples=130, chunk_size=50)
    whole = torch.cat([torch.cat(kept[:3]), torch.cat(kept[3:])], dim=1)
    assert [len(chunk) for chunk in kept] == [50, 50, 28] * 2
    assert_same(found, judge_log_weights(whole))
    assert not any(chunk.requires_grad for chunk in kept)
    assert (found.num_samples, found.notes) == (128, ())


def test_the_hash_is_that_of_the_same_examples_elsewhere(plain):
    binary = (X > 0).float()
    found = [
        iwax.torch.evaluate(lambda batch, samples: torch.zeros(samples, 10), loader, num_samples=64).test_hash
        for loader in ([binary], [(binary, torch.arange(10))], [{"x": binary}], [object()])
    ]
    expected = judge_log_weights(np.zeros((64, 10)), examples=np.asarray(binary)).test_hash
    tree = judge_log_weights(np.zeros((64, 10)), examples={"x": np.asarray(binary)}).test_hash
    assert found == [expected, expected, tree, ""]
    assert plain.test_hash not in found


def test_a_seed_decides_the_draws_and_leaves_the_generator_alone(plain):
    model = LinearGaussian()
    before = torch.random.get_rng_state()
    assert_same(iwax.torch.evaluate(model, X.split(4), num_samples=1280, chunk_size=640), plain)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = iwax.torch.evaluate(model, X.split(4), num_samples=1280, chunk_size=640, seed=1)
    assert (other.log_likelihood != plain.log_likelihood).all()
    iwax.torch.evaluate(model, X, num_samples=64, seed=None)
    assert not torch.equal(torch.random.get_rng_state(), before)


def test_a_module_is_in_evaluation_mode_meanwhile_and_as_before_afterwards(plain):
    model = LinearGaussian().train()
    model.decoder.eval()
    assert_same(iwax.torch.evaluate(model, X.split(4), num_samples=1280, chunk_size=640), plain)
    assert (model.training, model.dropout.training, model.decoder.training) == (True, True, False)
    spoilt = iwax.torch.evaluate(lambda x, s: model(x, s), X.split(4), num_samples=128)  # negative control
    assert abs(spoilt.log_likelihood - plain.log_likelihood).max() > 0.5


def test_a_model_loaded_from_a_state_dict_is_judged_the_same(plain, tmp_path):
    torch.save(LinearGaussian().state_dict(), tmp_path / "model.pt")
    model = LinearGaussian()
    torch.nn.init.zeros_(model.decoder.weight)
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert_same(iwax.torch.evaluate(model, X.split(4), num_samples=1280, chunk_size=640), plain)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_module_is_judged_as_the_plain_one():
    plain, compiled = LinearGaussian(), LinearGaussian()
    compiled.decoder.compile(backend="aot_eager")
    found = [iwax.torch.evaluate(model, X.split(5), num_samples=128) for model in (plain, compiled)]
    for name in ("log_likelihood", "khat", "iwae"):
        np.testing.assert_allclose(getattr(found[1], name), getattr(found[0], name), rtol=1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_wholly_compiled_module_is_judged_as_the_plain_one():
    """By the default compiler, whose rounding is its own."""
    compiled = torch.compile(LinearGaussian(), options={"fallback_random": True})
    found = iwax.torch.evaluate(compiled, X.split(5), num_samples=128)
    expected = iwax.torch.evaluate(LinearGaussian(), X.split(5), num_samples=128)
    np.testing.assert_allclose(found.log_likelihood, expected.log_likelihood, rtol=1e-6)


def test_weights_of_half_precision_and_of_labelled_batches_are_taken():
    def log_weights(batch, samples):
        x, _ = batch
        return LinearGaussian().eval()(x, samples).half()

    found = iwax.torch.evaluate(log_weights, [(X, torch.arange(10))], num_samples=128)
    assert "half precision" in found.notes[0]
    np.testing.assert_allclose(found.log_likelihood, evidence(), atol=0.5)


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda x, s: torch.zeros(len(x), s), ValueError, r"to return \(64, examples\).*got \(10, 64\)"),
        (lambda x, s: torch.zeros(s), ValueError, r"got \(64,\). Sum over the events"),
        (lambda x, s: torch.zeros(s, 1), ValueError, r"\(64, 10\) for 10 examples; got \(64, 1\)"),
        (lambda x, s: np.zeros((s, len(x))), TypeError, "to return a torch tensor; got ndarray"),
        (lambda x, s: torch.zeros(s, len(x), dtype=torch.int64), TypeError, "floating-point numbers"),
    ],
)
def test_what_is_no_log_weight_for_each_sample_and_example_is_refused(returned, error, message):
    with pytest.raises(error, match=message):
        iwax.torch.evaluate(returned, [X], num_samples=640)


@pytest.mark.parametrize("n", [64, 1])
@pytest.mark.parametrize("loader", [lambda x: x, lambda x: [x], lambda x: [(x, x)]], ids=["tensor", "batch", "pair"])
def test_examples_before_samples_are_refused_where_there_are_as_many_of_both(n, loader):
    """64 examples and 64 samples, as by default, have the right shape either way round."""
    with pytest.raises(ValueError, match=rf"\({n + 1}, examples\).*; got \({n}, {n + 1}\)\. Sum .* which come first"):
        iwax.torch.evaluate(
            lambda x, s: torch.randn(s, n).T, loader(torch.linspace(-3, 3, n)), num_samples=640, chunk_size=n
        )


def test_a_square_of_log_weights_has_the_numbers_of_the_seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = torch.cat([torch.randn(64, 64) for _ in range(2)])
    found = iwax.torch.evaluate(lambda x, s: torch.randn(s, len(x)), torch.zeros(64), num_samples=128)
    assert_same(found, judge_log_weights(drawn))


def test_arguments_are_checked_before_anything_is_drawn():
    def never(x, samples):
        raise AssertionError

    for options, message in (
        ({"num_samples": 10}, "at least 64, one block of IWAE-64; got 10"),
        ({"chunk_size": 0}, "Expected chunk_size to be an integer of at least 1; got 0"),
        ({"across_processes": True}, "Expected a process group for across_processes=True; got none"),
    ):
        with pytest.raises(ValueError, match=message):
            iwax.torch.evaluate(never, [X], **options)
    with pytest.raises(ValueError, match="at least one batch; got none"):
        iwax.torch.evaluate(never, [])


def test_parts_join_to_the_whole_and_unequal_ones_are_refused():
    log_w = np.random.default_rng(0).normal(size=(128, 6))
    log_w[:, 5] = -np.inf
    whole = judge_log_weights(log_w)
    found = join_evaluations([judge_log_weights(log_w[:, :2]), judge_log_weights(log_w[:, 2:])])
    assert_same(found, whole)
    assert found.notes == whole.notes
    assert "1 of 6 examples" in found.notes[0]
    with pytest.raises(ValueError, match=r"k = 64 in blocks of .64,., k = 128 in blocks"):
        join_evaluations([judge_log_weights(log_w), judge_log_weights(log_w[:64])])
    with pytest.raises(ValueError, match="got none"):
        join_evaluations([])


def one_process(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    own = list(X[5 * rank : 5 * rank + 5].split(2))
    model = torch.nn.parallel.DistributedDataParallel(LinearGaussian())
    alone = iwax.torch.evaluate(model, own, num_samples=128)
    together = iwax.torch.evaluate(model, own, num_samples=128, across_processes=True)
    torch.save([one.to_numpy() for one in (alone, together)], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_judge_as_one_does(tmp_path, monkeypatch):
    """Wrapped and alone each has the plain one's numbers; together both have all, with draws of their own."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    processes = torch.multiprocessing.spawn(one_process, (tmp_path,), nprocs=2, join=False)
    deadline = time.monotonic() + 120
    try:
        while not processes.join(timeout=5):
            assert time.monotonic() < deadline, "Expected two processes to meet within 120 s."
    finally:
        for process in processes.processes:
            process.kill()
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    for rank in range(2):
        expected = iwax.torch.evaluate(LinearGaussian(), X[5 * rank : 5 * rank + 5].split(2), num_samples=128)
        np.testing.assert_array_equal(found[rank][0]["log_likelihood"], expected.log_likelihood)
    joined = found[0][1]["log_likelihood"]
    np.testing.assert_array_equal(joined, found[1][1]["log_likelihood"])
    np.testing.assert_array_equal(joined[:5], found[0][0]["log_likelihood"])
    assert (joined[5:] != found[1][0]["log_likelihood"]).all()  # the second process has a seed of its own
    np.testing.assert_allclose(joined, evidence(), atol=0.5)
