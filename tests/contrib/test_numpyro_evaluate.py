"""NumPyro fits judged: closed forms for weights by plate and for all data; posterior draws; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import SVI, Trace_ELBO, autoguide

import iwax
from iwax.contrib.numpyro import ImportanceWeightedELBO, evaluate, posterior_sample

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=6))


def local_model(x, size=1.0):
    """z_i ~ N(0, size^2), x_i ~ N(z_i, 1): x_i ~ N(0, size^2 + 1), and z_i | x_i ~ N(x_i / 2, 1/2) at size 1."""
    with numpyro.plate("data", len(x)):
        z = numpyro.sample("z", dist.Normal(0, size))
        numpyro.sample("x", dist.Normal(z, 1), obs=x)


def local_guide(x, size=1.0):
    slope = numpyro.param("slope", 0.5)
    with numpyro.plate("data", len(x)):
        numpyro.sample("z", dist.Normal(slope * x, 0.8))


def global_model(x):
    """mean ~ N(0, 1), x_i ~ N(mean, 1): x ~ N(0, I + 1 1')."""
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("data", len(x)):
        numpyro.sample("x", dist.Normal(mean, 1), obs=x)


def global_guide(x):
    numpyro.sample("mean", dist.Normal(numpyro.param("loc", 0.0), 0.6))


def joint_evidence():
    covariance = np.eye(len(X)) + 1
    return float(dist.MultivariateNormal(jnp.zeros(len(X)), covariance).log_prob(X))


def z_scores(evaluation, truth):
    return (evaluation.log_likelihood - evaluation.jackknife_bias - np.asarray(truth)) / evaluation.jackknife_error


def test_each_element_of_a_common_plate_has_the_evidence_of_its_closed_form():
    found = evaluate(local_model, local_guide, {"slope": 0.4}, X, key=KEY, num_samples=1280)
    assert found.log_likelihood.shape == (6,)
    z = z_scores(found, dist.Normal(0, 2**0.5).log_prob(X))
    assert np.abs(z).max() < 4
    assert np.abs((found.elbo - np.asarray(dist.Normal(0, 2**0.5).log_prob(X))) / found.elbo_error).max() > 4
    other = evaluate(local_model, local_guide, {"slope": 0.4}, X, 2.0, key=KEY, num_samples=1280)
    assert np.abs(z_scores(other, dist.Normal(0, 5**0.5).log_prob(X))).max() < 4  # arguments reach both programs


def test_one_weight_for_everything_has_the_evidence_of_all_data():
    found = evaluate(global_model, global_guide, {"loc": float(X.sum()) / 7}, X, key=KEY, num_samples=1280)
    assert abs(z_scores(found, joint_evidence())[0]) < 4
    local = evaluate(local_model, local_guide, {"slope": 0.4}, X, key=KEY, num_samples=1280)
    joint = evaluate(local_model, local_guide, {"slope": 0.4}, X, key=KEY, num_samples=1280, joint=True)
    assert joint.log_likelihood.shape == (1,)
    assert joint.elbo[0] == pytest.approx(local.elbo.sum(), rel=1e-5)  # the mean of log-weights is linear
    assert joint.ess[0] < local.ess.min()


def test_a_bad_guide_is_told_by_khat():
    found = evaluate(global_model, global_guide, {"loc": 6.0}, X, key=KEY, num_samples=1280)
    assert found.khat[0] > 0.7
    assert found.advice is not None


@pytest.mark.slow
def test_the_size_of_chunks_changes_rounding_only():
    options = {"key": KEY, "num_samples": 128}
    one = evaluate(local_model, local_guide, {"slope": 0.4}, X, **options)
    other = evaluate(local_model, local_guide, {"slope": 0.4}, X, **options, chunk_size=100, examples=np.asarray(X))
    np.testing.assert_allclose(other.log_likelihood, one.log_likelihood, rtol=1e-5)
    assert len(other.test_hash) == 64
    redrawn = evaluate(local_model, local_guide, {"slope": 0.4}, X, key=jax.random.key(1), num_samples=128)
    assert (redrawn.log_likelihood != one.log_likelihood).all()


@pytest.mark.slow
def test_a_fit_is_judged_by_its_parameters_also_of_an_automatic_guide():
    guide = autoguide.AutoMultivariateNormal(global_model)
    svi = SVI(global_model, guide, numpyro.optim.Adam(0.05), ImportanceWeightedELBO(iwax.IWAE(num_samples=4)))
    result = svi.run(KEY, 300, X, progress_bar=False)
    found = evaluate(global_model, guide, result.params, X, key=KEY, num_samples=1280)
    assert abs(z_scores(found, joint_evidence())[0]) < 4
    assert found.khat[0] < 0.7
    draws = posterior_sample(global_model, guide, result.params, X, key=KEY, num_draws=2000, num_samples=1280)
    assert set(draws.draws) == {"mean"}
    assert draws.draws["mean"].mean() == pytest.approx(float(X.sum()) / 7, abs=0.05)


def test_posterior_draws_have_the_moments_of_the_posterior_at_each_element():
    """A guide that is off by 0.3 x and too wide; what it draws itself fails the same."""
    found = posterior_sample(
        local_model, local_guide, {"slope": 0.2}, X, key=KEY, num_draws=4000, num_samples=12_800, chunk_size=1280
    )
    z = found.draws["z"]
    assert z.shape == (4000, 6)
    np.testing.assert_allclose(z.mean(axis=0), X / 2, atol=0.06)
    np.testing.assert_allclose(z.std(axis=0), 0.5**0.5, atol=0.04)
    assert np.abs(0.2 * X - X / 2).max() > 3 * 0.06  # negative control
    assert found.evaluation.khat_above_limit == 0
    assert found.evaluation.log_likelihood.shape == (6,)


def nested_model(x):
    """Weights of rows x columns, in an order that is not that of the axes; each latent is a pair."""
    with numpyro.plate("b_rows", 2, dim=-2), numpyro.plate("a_columns", 3, dim=-1):
        z = numpyro.sample("z", dist.Normal(jnp.zeros(2), 1).to_event(1))
        numpyro.sample("x", dist.Normal(z, 0.05).to_event(1), obs=x)


def nested_guide(x):
    with numpyro.plate("b_rows", 2, dim=-2), numpyro.plate("a_columns", 3, dim=-1):
        numpyro.sample("z", dist.Normal(x, 0.05).to_event(1))


@pytest.mark.slow
def test_draws_of_nested_plates_stay_in_their_place():
    x = jnp.arange(12.0).reshape(2, 3, 2)
    found = posterior_sample(nested_model, nested_guide, {}, x, key=KEY, num_draws=50, num_samples=128)
    assert found.draws["z"].shape == (50, 2, 3, 2)
    np.testing.assert_allclose(found.draws["z"].mean(axis=0), x, atol=0.1)
    assert found.evaluation.log_likelihood.shape == (6,)
    truth = dist.Normal(0, (1 + 0.05**2) ** 0.5).log_prob(x).sum(-1)
    np.testing.assert_allclose(found.evaluation.log_likelihood, np.asarray(truth).ravel(), atol=0.5)


def test_nested_plates_are_in_the_order_of_the_axes_of_the_data_whatever_their_names():
    """Elements far apart, so that the evidence of one is not that of another; 3 columns were taken for rows."""
    x = jnp.arange(12.0).reshape(2, 3, 2)
    found = evaluate(nested_model, nested_guide, {}, x, key=KEY, num_samples=128)
    variance = 1 + 0.05**2
    truth = -(np.arange(12.0) ** 2 / variance + np.log(2 * np.pi * variance)) / 2
    np.testing.assert_allclose(found.log_likelihood.reshape(2, 3), truth.reshape(2, 3, 2).sum(-1), atol=0.5)


def test_params_are_those_of_the_param_sites_or_are_refused_by_name():
    """Left to themselves they would be at their initial values, of a guide that nobody fitted."""
    for take in (evaluate, posterior_sample):
        for params, message in (
            ({}, r"a value for each param site; got none for 'slope', which would stay at the initial"),
            ({"slopes": 0.4}, r"the param sites slope; got 'slopes', which is none\. Did you mean 'slope'\?"),
            ({"slope": 0.4, "z": 1.0}, r"the param sites slope; got 'z', which is none\. Leave it out"),
        ):
            with pytest.raises(ValueError, match=message):
                take(local_model, local_guide, params, X, key=KEY, num_samples=64)
        with pytest.raises(TypeError, match=r"Expected params to be a dictionary, .*; got NoneType\."):
            take(local_model, local_guide, None, X, key=KEY, num_samples=64)
        with pytest.raises(TypeError, match=r"Expected key to be a key of JAX, such as jax\.random\.key\(0\); got 0"):
            take(local_model, local_guide, {"slope": 0.4}, X, key=0, num_samples=64)


def test_data_in_a_list_are_said_to_be_no_array():
    def guide(x):
        local_guide(jnp.asarray(x))

    with pytest.raises(ValueError, match=r"the value of site 'x' to be an array; got a list\. Pass the data as jnp"):
        evaluate(local_model, guide, {"slope": 0.4}, [0.5, 1.0, 2.0], key=KEY, num_samples=64)


def mixture(x):
    with numpyro.plate("data", len(x)):
        k = numpyro.sample("k", dist.Categorical(jnp.array([0.3, 0.7])), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(2.0 * k, 1), obs=x)


def nothing(x):
    pass


def drawn(x, **site):
    with numpyro.plate("data", len(x)):
        numpyro.sample("k", dist.Categorical(jnp.array([0.5, 0.5])), **site)


def test_latents_that_are_marked_for_enumeration_are_refused_by_that_word():
    message = "Expected no latents to enumerate.*model site 'k'.*MixtureSameFamily"
    with pytest.raises(ValueError, match=message):
        evaluate(mixture, nothing, {}, X, key=KEY)
    with pytest.raises(ValueError, match=message):
        ImportanceWeightedELBO(iwax.ELBO()).loss(KEY, {}, mixture, nothing, X)
    with pytest.raises(ValueError, match="guide site 'k'"):
        evaluate(mixture, lambda x: drawn(x, infer={"enumerate": "parallel"}), {}, X, key=KEY)


def test_discrete_latents_that_the_guide_draws_are_judged():
    """Two values: the exact sum is 0.3 N(x; 0, 1) + 0.7 N(x; 2, 1)."""
    found = evaluate(mixture, drawn, {}, X, key=KEY, num_samples=1280)
    parts = dist.Normal(jnp.array([0.0, 2.0]), 1).log_prob(X[:, None]) + jnp.log(jnp.array([0.3, 0.7]))
    assert np.abs(z_scores(found, jax.nn.logsumexp(parts, axis=1))).max() < 4


def test_what_has_no_weight_is_refused_by_name():
    def subsampled(program, x):
        with numpyro.plate("data", 6, subsample_size=2) as index:
            if program == "model":
                z = numpyro.sample("z", dist.Normal(0, 1))
                numpyro.sample("x", dist.Normal(z, 1), obs=x[index])
            else:
                numpyro.sample("z", dist.Normal(x[index] / 2, 1))

    with pytest.raises(ValueError, match="got plates data with a subsample"):
        evaluate(lambda x: subsampled("model", x), lambda x: subsampled("guide", x), {}, X, key=KEY)
    with pytest.raises(ValueError, match="Expected a guide site for every latent of the model; got none for 'z'"):
        evaluate(local_model, nothing, {}, X, key=KEY)
    for options, message in (
        ({"num_samples": 10}, "at least 64, one block of IWAE-64; got 10"),
        ({"chunk_size": 0}, "Expected chunk_size"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(local_model, local_guide, {}, X, key=KEY, **options)
    with pytest.raises(
        ValueError, match="Expected chunk_size to be an integer of at least 1; got 0"
    ):  # it went on forever
        posterior_sample(local_model, local_guide, {"slope": 0.5}, X, key=KEY, chunk_size=0)

    def impossible(x):
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(0, 1))
            numpyro.factor("never", jnp.where(z == z, -jnp.inf, 0.0))

    with pytest.raises(ValueError, match=r"not all zero, to draw among them; log p is not finite for 6 of 6"):
        posterior_sample(impossible, local_guide, {"slope": 0.5}, X, key=KEY, num_samples=64)


@pytest.mark.slow
def test_the_elbo_is_that_of_numpyro_within_its_error():
    found = evaluate(global_model, global_guide, {"loc": 0.3}, X, key=KEY, num_samples=1280)
    loss = Trace_ELBO(num_particles=20_000).loss(jax.random.key(1), {"loc": 0.3}, global_model, global_guide, X)
    assert abs(found.elbo[0] + float(loss)) < 4 * found.elbo_error[0]
