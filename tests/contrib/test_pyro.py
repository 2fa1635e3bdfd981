"""Pyro: the losses that it gets right to the bit, other estimators by hand, closed forms, and what is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch, the extra iwax[torch]")
pyro = pytest.importorskip("pyro", reason="needs Pyro, the extra iwax[pyro]")
import pyro.distributions as dist  # noqa: E402
from pyro.infer import SVI, RenyiELBO, Trace_ELBO  # noqa: E402
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal  # noqa: E402

import iwax  # noqa: E402
import iwax.torch  # noqa: E402
from iwax.contrib.pyro import ImportanceWeightedELBO, evaluate  # noqa: E402
from iwax.objectives import VIMCO  # noqa: E402

X = torch.as_tensor(np.random.default_rng(0).normal(size=6))
DOUBLY, STICKING = "doubly-reparameterized", "sticking-the-landing"


@pytest.fixture(autouse=True)
def fresh():
    """In double precision, with no parameters of other tests."""
    torch.set_default_dtype(torch.float64)
    pyro.clear_param_store()
    yield
    torch.set_default_dtype(torch.float32)
    pyro.clear_param_store()


def param(name, value):
    return pyro.param(name, torch.tensor(value))


def local_model(x, subsample_size=None):
    """z_i ~ N(mu, 1), x_i ~ N(z_i, 1), with something of no consequence in between."""
    with pyro.plate("data", len(x), subsample_size=subsample_size) as index:
        z = pyro.sample("z", dist.Normal(param("mu", 0.0), 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=x[index])


def local_guide(x, subsample_size=None):
    with pyro.plate("data", len(x), subsample_size=subsample_size) as index:
        pyro.sample("z", dist.Normal(param("slope", 0.3) * x[index], param("size", 0.9)))


def global_model(x):
    """mean ~ N(0, 1), x_i ~ N(mean, 1): x ~ N(0, I + 1 1')."""
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(mean, 1.0), obs=x)


def global_guide(x):
    pyro.sample("mean", dist.Normal(param("loc", 0.2), 0.6))


def mixed_model(x):
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, scale))
        pyro.sample("x", dist.Normal(z, 1.0), obs=x)


def mixed_guide(x):
    pyro.sample("scale", dist.LogNormal(param("log_scale", 0.1), 0.5))
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(param("slope", 0.3) * x, 0.9))


def value_and_gradients(loss, model, guide, *args, seed=0):
    """The loss and the gradient of every parameter, at draws of one seed."""
    pyro.set_rng_seed(seed)
    value = loss.loss_and_grads(model, guide, *args)
    store = pyro.get_param_store()
    found = {name: store[name].unconstrained().grad for name in sorted(store)}
    grads = {name: None if grad is None else grad.clone() for name, grad in found.items()}
    for name in store:
        store[name].unconstrained().grad = None
    return value, grads


def assert_alike(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, other[1][name])


CASES = {"local": (local_model, local_guide), "global": (global_model, global_guide)}


@pytest.mark.parametrize("case", [*CASES, "mixed"])
def test_the_elbo_is_trace_elbos(case):
    model, guide = (CASES | {"mixed": (mixed_model, mixed_guide)})[case]
    ours = ImportanceWeightedELBO(iwax.ELBO(num_samples=4), max_plate_nesting=1)
    theirs = Trace_ELBO(num_particles=4, vectorize_particles=True, max_plate_nesting=1)
    assert_alike(value_and_gradients(ours, model, guide, X), value_and_gradients(theirs, model, guide, X))


def test_iwae_is_renyi_elbo_of_order_zero_where_that_is_right():
    """In one plate it is; of a global latent it subtracts log q once for each datum."""
    ours = ImportanceWeightedELBO(iwax.IWAE(num_samples=4), max_plate_nesting=1)
    theirs = RenyiELBO(alpha=0, num_particles=4, vectorize_particles=True, max_plate_nesting=1)
    local = value_and_gradients(ours, local_model, local_guide, X)
    assert_alike(local, value_and_gradients(theirs, local_model, local_guide, X))
    elbo = value_and_gradients(ImportanceWeightedELBO(iwax.ELBO(num_samples=4), max_plate_nesting=1),
                               local_model, local_guide, X)  # fmt: skip
    assert local[0] < elbo[0] - 0.05  # negative control: another bound on the same draws


def test_subsampled_plates_are_scaled_up_outside_of_the_bound():
    ours = ImportanceWeightedELBO(iwax.IWAE(num_samples=4), max_plate_nesting=1)
    pyro.set_rng_seed(0)
    whole = np.mean([ours.loss(local_model, local_guide, X) for _ in range(50)])
    parts = np.array([ours.loss(local_model, local_guide, X, 2) for _ in range(150)])
    assert abs(parts.mean() - whole) < 4 * parts.std() / 150**0.5
    assert abs(parts.mean() / 3 - whole) > 10 * parts.std() / 150**0.5  # negative control: not scaled up
    with pytest.raises(ValueError, match=r"'data', which is subsampled, to hold every site.*got joint=True"):
        ImportanceWeightedELBO(iwax.IWAE(num_samples=4), joint=True).loss(local_model, local_guide, X, 2)


@pytest.mark.parametrize("objective", [
    iwax.IWAE(num_samples=4, gradient=DOUBLY), iwax.IWAE(num_samples=4, gradient=STICKING),
    iwax.PIWAE(num_groups=2, num_samples=2), VIMCO(num_samples=4),
], ids=["iwae-doubly", "iwae-sticking", "piwae", "vimco"])  # fmt: skip
def test_other_estimators_are_iwax_torchs_on_the_same_draws(objective):
    """Densities written out by hand."""
    loss = ImportanceWeightedELBO(objective, max_plate_nesting=1)
    value, gradients = value_and_gradients(loss, local_model, local_guide, X)
    pyro.set_rng_seed(0)
    mu, slope, size = (torch.tensor(v, requires_grad=True) for v in (0.0, 0.3, 0.9))
    z = dist.Normal(slope * X, size).rsample((4,))
    z = z.detach() if objective.gradient == "score-function" else z
    log_p = dist.Normal(mu, 1.0).log_prob(z) + dist.Normal(z, 1.0).log_prob(X)
    log_q, frozen = dist.Normal(slope * X, size).log_prob(z), dist.Normal(0.3 * X, 0.9).log_prob(z)
    more = () if objective.gradient == "score-function" else (z, frozen)
    expected = iwax.torch.per_example_loss(objective, log_p, log_q, *more).sum()
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-12)
    for name, leaf in {"mu": mu, "size": size, "slope": slope}.items():
        torch.testing.assert_close(gradients[name], leaf.grad)


def test_networks_are_held_constant_where_the_estimator_needs_it_and_svi_trains_them():
    """Both estimators of one expectation, by the mean over seeds, for a network of `pyro.module`."""
    torch.manual_seed(0)
    network = torch.nn.Linear(1, 2)

    def guide(x):
        pyro.module("network", network)
        with pyro.plate("data", len(x)):
            loc, log_size = network(x[:, None]).unbind(-1)
            pyro.sample("z", dist.Normal(loc, log_size.exp()))

    means = {}
    for gradient in ("reparameterized", DOUBLY):
        loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=8, gradient=gradient), max_plate_nesting=1)
        found = [value_and_gradients(loss, local_model, guide, X, seed=seed)[1] for seed in range(60)]
        grads = torch.stack([torch.cat([g.reshape(-1) for g in one.values() if g is not None]) for one in found])
        means[gradient] = grads.mean(0), grads.std(0) / 60**0.5
    z = (means["reparameterized"][0] - means[DOUBLY][0]) / torch.hypot(means["reparameterized"][1], means[DOUBLY][1])
    assert z.abs().max() < 4.5
    before = network.weight.detach().clone()
    loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=8, gradient=DOUBLY))
    svi = SVI(local_model, guide, pyro.optim.Adam({"lr": 0.05}), loss)
    values = [svi.step(X) for _ in range(100)]
    assert (network.weight != before).all()
    assert np.mean(values[-20:]) < np.mean(values[:5]) - 0.5


def z_scores(evaluation, truth):
    return (evaluation.log_likelihood - evaluation.jackknife_bias - np.asarray(truth)) / evaluation.jackknife_error


def test_each_element_of_a_common_plate_has_the_evidence_of_its_closed_form():
    found = evaluate(local_model, local_guide, X, num_samples=1280, chunk_size=640)
    truth = dist.Normal(0.0, 2**0.5).log_prob(X)
    assert found.log_likelihood.shape == (6,)
    assert np.abs(z_scores(found, truth)).max() < 4
    assert np.abs((found.elbo - truth.numpy()) / found.elbo_error).max() > 4  # negative control
    assert found.test_hash == ""
    again = evaluate(local_model, local_guide, X, num_samples=1280, chunk_size=640, examples=X)
    np.testing.assert_array_equal(again.log_likelihood, found.log_likelihood)
    assert len(again.test_hash) == 64


def test_one_weight_for_everything_has_the_evidence_of_all_data():
    truth = dist.MultivariateNormal(torch.zeros(6), torch.eye(6) + 1).log_prob(X)
    param("loc", float(X.sum()) / 7)
    found = evaluate(global_model, global_guide, X, num_samples=1280, chunk_size=640)
    assert np.abs(z_scores(found, truth)).max() < 4
    param("loc", 0.0)
    pyro.get_param_store()["loc"] = torch.tensor(6.0)
    bad = evaluate(global_model, global_guide, X, num_samples=1280, chunk_size=640)
    assert bad.khat[0] > 0.7
    joint = evaluate(local_model, local_guide, X, num_samples=128, chunk_size=128, joint=True)
    local = evaluate(local_model, local_guide, X, num_samples=128, chunk_size=128)
    assert joint.elbo[0] == pytest.approx(local.elbo.sum(), rel=1e-10)


@pytest.mark.parametrize("kind", [AutoNormal, AutoMultivariateNormal])
def test_automatic_guides_are_trained_and_judged(kind):
    guide = kind(global_model)
    loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=4))
    svi = SVI(global_model, guide, pyro.optim.Adam({"lr": 0.05}), loss)
    for _ in range(150):
        svi.step(X)
    truth = dist.MultivariateNormal(torch.zeros(6), torch.eye(6) + 1).log_prob(X)
    found = evaluate(global_model, guide, X, num_samples=1280, chunk_size=640)
    assert np.abs(z_scores(found, truth)).max() < 4
    assert found.khat[0] < 0.7


def test_what_has_no_weight_is_refused_by_name():
    def mixture(x):
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Bernoulli(0.7), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(2 * k, 1.0), obs=x)

    def drawn(x):
        with pyro.plate("data", len(x)):
            pyro.sample("k", dist.Bernoulli(torch.tensor(0.5)))

    def nothing(x):
        pass

    def more(x):
        local_guide(x)
        pyro.sample("more", dist.Normal(0.0, 1.0))

    iwae = ImportanceWeightedELBO(iwax.IWAE(num_samples=4))
    with pytest.raises(ValueError, match=r"no latents to enumerate.*model site 'k'"):
        evaluate(mixture, nothing, X)
    with pytest.raises(ValueError, match="got none for 'z'"):
        iwae.loss(local_model, nothing, X)
    with pytest.raises(ValueError, match="got 'more', which is not there"):
        iwae.loss(local_model, more, X)
    with pytest.raises(ValueError, match=r"'data', which holds both latent and observed sites.*Pass joint=True"):
        iwae.loss(mixed_model, mixed_guide, X)
    assert evaluate(mixed_model, mixed_guide, X, num_samples=64, joint=True).log_likelihood.shape == (1,)
    with pytest.raises(ValueError, match="got a subsampled plate"):
        evaluate(local_model, local_guide, X, 2)
    with pytest.raises(ValueError, match=r"got Bernoulli at site 'k'. Use an objective with a score-function"):
        iwae.loss_and_grads(mixture, drawn, X)
    with pytest.raises(TypeError, match="Expected objective to be an objective of iwax"):
        ImportanceWeightedELBO("iwae")
    doubly = ImportanceWeightedELBO(iwax.IWAE(num_samples=4, gradient=DOUBLY))
    guide = AutoMultivariateNormal(global_model)
    with pytest.raises(ValueError, match=r"computed .Delta"):
        doubly.loss_and_grads(global_model, guide, X)
    parts = dist.Normal(torch.tensor([[0.0], [2.0]]), 1.0).log_prob(X) + torch.tensor([[0.3], [0.7]]).log()
    exact = torch.logsumexp(parts, 0)
    assert np.abs(z_scores(evaluate(mixture, drawn, X, num_samples=1280, chunk_size=640), exact)).max() < 4
