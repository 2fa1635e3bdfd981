"""What has no importance weight is refused, and the message names the site and the way out."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import mask, scale
from numpyro.infer import RenyiELBO, autoguide
from numpyro.primitives import mutable

import iwax
from iwax.contrib.numpyro import ImportanceWeightedELBO
from iwax.objectives import JVI, VIMCO, AbstractObjective, AnalyticELBO, GDReG

X = jnp.array([0.3, -1.0, 2.0, 0.7])
IWAE = iwax.IWAE(num_samples=2)
DREG = iwax.IWAE(num_samples=2, gradient="doubly-reparameterized")


def local_model(subsample_size=None):
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index:
        z = numpyro.sample("z", dist.Normal(0, 1))
        numpyro.sample("x", dist.Normal(z, 1), obs=X[index])


def local_guide(subsample_size=None):
    with numpyro.plate("data", 4, subsample_size=subsample_size):
        numpyro.sample("z", dist.Normal(0, 1))


def loss(model, guide, objective=IWAE, *, joint=False, params=None):
    """The loss without its numbers: whether a program is taken shows before anything is computed."""
    function = ImportanceWeightedELBO(objective, joint=joint).loss
    return jax.eval_shape(lambda key, params: function(key, params, model, guide), jax.random.key(0), params or {})


def mixed_model(subsample_size=None):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("data", 4, subsample_size=subsample_size) as index:
        z = numpyro.sample("z", dist.Normal(mean, 1))
        numpyro.sample("x", dist.Normal(z, 1), obs=X[index])


def mixed_guide(subsample_size=None):
    numpyro.sample("mean", dist.Normal(0, 1))
    local_guide(subsample_size)


def global_model():
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("data", 4, subsample_size=2) as index:
        numpyro.sample("x", dist.Normal(mean, 1), obs=X[index])


def global_guide():
    numpyro.sample("mean", dist.Normal(0, 1))


def test_local_and_global_latents():
    with pytest.raises(ValueError, match=r"plate 'data'.*model site 'mean', guide site 'mean' outside.*joint=True"):
        loss(mixed_model, mixed_guide)
    assert loss(mixed_model, mixed_guide, joint=True).shape == ()
    assert loss(mixed_model, mixed_guide, iwax.ELBO(num_samples=2)).shape == ()  # linear: it makes no difference
    assert loss(mixed_model, mixed_guide, iwax.IWAE(num_samples=1)).shape == ()


def test_a_factor_outside_of_the_plate():
    def model():
        local_model()
        numpyro.factor("penalty", -1.0)

    with pytest.raises(ValueError, match=r"plate 'data'.*model site 'penalty' outside"):
        loss(model, local_guide)


def test_a_subsampled_plate_inside_of_a_weight():
    with pytest.raises(ValueError, match=r"'data', which is subsampled.*biased upward; got model site 'mean'"):
        loss(global_model, global_guide)
    with pytest.raises(ValueError, match=r"'data', which is subsampled.*biased upward; got joint=True"):
        loss(lambda: local_model(2), lambda: local_guide(2), joint=True)
    assert loss(global_model, global_guide, iwax.ELBO(num_samples=2)).shape == ()


@pytest.mark.filterwarnings("ignore:Found plate statements in guide but not model")  # NumPyro's own
@pytest.mark.parametrize(
    ("plate", "size", "message"),
    [
        ("data", 3, "Expected plate 'data' to be of one size in model and guide; got 4 and 3"),
        ("rows", 4, r"plate 'data'.*to hold every site.*got guide site 'z' \(in plate 'rows'\) outside"),
    ],
)
def test_plates_that_do_not_match(plate, size, message):
    """The first would pass over data in silence: the model takes the guide's elements as its subsample."""

    def guide():
        with numpyro.plate(plate, size):
            numpyro.sample("z", dist.Normal(0, 1))

    with pytest.raises(ValueError, match=message):
        loss(local_model, guide)


def test_data_that_do_not_fit_their_plate():
    def model():
        with numpyro.plate("data", 4):
            z = numpyro.sample("z", dist.Normal(0, 1))
            numpyro.sample("x", dist.Normal(z, 1), obs=X[:3])

    with pytest.raises(ValueError, match=r"Expected a value of site 'x' that fits .* \(4,\); got shape \(3,\)"):
        loss(model, local_guide)


def test_latents_that_the_guide_forgets_or_adds():
    with pytest.raises(ValueError, match=r"guide site for every latent of the model; got none for 'z'"):
        loss(local_model, lambda: None)
    with pytest.raises(ValueError, match=r"every guide site in the model; got 'mean'.*is_auxiliary"):
        loss(local_model, mixed_guide)

    def observing():
        local_guide()
        numpyro.sample("x", dist.Normal(jnp.zeros(4), 1))

    with pytest.raises(ValueError, match=r"guide sites for latents only; got 'x', which the model observes"):
        loss(local_model, observing)


def test_a_model_without_sites():
    with pytest.raises(ValueError, match="Expected a model with sample sites; got none"):
        loss(lambda: None, lambda: None)


@pytest.mark.parametrize(
    ("fn", "name"),
    [(dist.VonMises(jnp.zeros(4), 1.0), "VonMises"), (dist.Bernoulli(jnp.full(4, 0.5)), "BernoulliProbs")],
)
def test_sites_without_reparameterized_samples(fn, name):
    def guide():
        with numpyro.plate("data", 4):
            numpyro.sample("z", fn)

    with pytest.raises(ValueError, match=rf"reparameterized samples.*got {name} at site 'z'.*VIMCO"):
        loss(local_model, guide)
    assert loss(local_model, guide, VIMCO(num_samples=2)).shape == ()


def test_mutable_sites():
    def model():
        mutable("state", {"count": 0})
        local_model()

    with pytest.raises(ValueError, match=r"model without mutable sites.*'state'"):
        loss(model, local_guide)
    objective = ImportanceWeightedELBO(IWAE)
    with pytest.raises(ValueError, match="'state'"):
        objective.loss_with_mutable_state(jax.random.key(0), {}, model, local_guide)


def test_control_flow():
    from numpyro.contrib.control_flow import scan

    def model():
        scan(lambda z, x: (numpyro.sample("z", dist.Normal(z, 1)), None), 0.0, X)

    with pytest.raises(ValueError, match=r"outside `scan` and `cond`.*model site 'z'"):
        loss(model, lambda: numpyro.sample("z", dist.Normal(jnp.zeros(4), 1)))


def test_scaled_guide_sites():
    def guide():
        with scale(scale=0.5):
            local_guide()

    with pytest.raises(ValueError, match=r"without handlers.scale for gradient='doubly.*got site 'z'"):
        loss(local_model, guide, DREG)
    sticking = iwax.ELBO(num_samples=2, gradient="sticking-the-landing")  # its score terms have mean zero at any scale
    for objective in (IWAE, sticking):
        assert loss(local_model, guide, objective).shape == ()


def test_guide_sites_masked_alone():
    def guide():
        with mask(mask=X > 0):
            local_guide()

    def masked_model():
        with mask(mask=X > 0):
            local_model()

    with pytest.raises(ValueError, match=r"masked as in the model for gradient='doubly.*got site 'z'"):
        loss(local_model, guide, DREG)
    assert loss(masked_model, guide, DREG).shape == ()


class OneWay(dist.transforms.ParameterFreeTransform):
    """z + z^3, whose inverse nobody wrote."""

    domain = codomain = dist.constraints.real

    def __call__(self, x):
        return x + x**3

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        return jnp.log1p(3 * x**2)


def test_transforms_without_an_inverse():
    def guide():
        with numpyro.plate("data", 4):
            numpyro.sample("z", dist.TransformedDistribution(dist.Normal(0, 1), OneWay()))

    with pytest.raises(ValueError, match=r"got \w*Distribution at site 'z', whose transform has no inverse"):
        loss(local_model, guide, DREG)
    assert loss(local_model, guide).shape == ()


def initial_params(guide):
    trace = numpyro.handlers.trace(numpyro.handlers.seed(guide, 0)).get_trace()
    return {name: site["value"] for name, site in trace.items() if site["type"] == "param"}


def joint_guide():
    """One auxiliary draw for all data, taken apart by Delta sites: how automatic guides do it."""
    scale_tril = numpyro.param("auto_scale_tril", jnp.eye(4))
    loc = numpyro.param("auto_loc", jnp.zeros(4))
    z = numpyro.sample(
        "_auto_latent", dist.MultivariateNormal(loc, scale_tril=scale_tril), infer={"is_auxiliary": True}
    )
    with numpyro.plate("data", 4):
        numpyro.sample("z", dist.Delta(z))


@pytest.mark.parametrize(
    "guide", [joint_guide, pytest.param(autoguide.AutoMultivariateNormal(local_model), marks=pytest.mark.slow)]
)
def test_a_joint_guide_of_a_plated_model(guide):
    """NumPyro's own RenyiELBO subtracts log q once for each of the data here."""
    params = initial_params(guide)
    params["auto_loc"], params["auto_scale_tril"] = X / 2, jnp.eye(4) * jnp.sqrt(0.5)
    with pytest.raises(ValueError, match=r"plate 'data'.*guide site '_auto_latent' outside.*joint=True"):
        loss(local_model, guide, DREG, params=params)
    # At the posterior the bound is log p(x), whatever the draws.
    exact = jnp.sum(dist.Normal(0, jnp.sqrt(2)).log_prob(X))

    @jax.jit
    def values(params):
        losses = ImportanceWeightedELBO(DREG, joint=True), RenyiELBO(num_particles=2)
        return [loss.loss(jax.random.key(0), params, local_model, guide) for loss in losses]

    ours, theirs = values(params)
    assert ours == pytest.approx(-float(exact), rel=1e-5)
    assert theirs != pytest.approx(-float(exact), abs=1)


@pytest.mark.slow
def test_dais_guides():
    model = local_model
    for guide in (
        autoguide.AutoSemiDAIS(model, lambda: None, None),
        autoguide.AutoSurrogateLikelihoodDAIS(model, model),
    ):
        with pytest.raises(ValueError, match=rf"got {type(guide).__name__}, which is not supported"):
            loss(model, guide)
    guide = autoguide.AutoDAIS(model)
    params = initial_params(guide)
    assert loss(model, guide, params=params, joint=True).shape == ()
    with pytest.raises(ValueError, match=r"masked as in the model.*'auto_momentum'"):
        loss(model, guide, DREG, params=params, joint=True)


class Beyond(AbstractObjective):
    """An objective of a user's own that is no function of log-weights."""

    beyond_log_weights = "the colour of z"
    has_second_derivatives = False

    def formula(self, log_w):
        return log_w.mean(axis=0)

    def estimate(self, model, x, key):
        raise AssertionError("It is not asked for one.")


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (AnalyticELBO(), "AnalyticELBO, which needs the densities.*TraceMeanField_ELBO"),
        (GDReG(), "GDReG, which needs the prior's own reparameterization"),
        (Beyond(num_samples=2), "Beyond, which needs the colour of z"),
        (iwax.IWAE(num_samples=2, sampling="antithetic"), "sampling='independent'.*got 'antithetic'"),
        (iwax.CIWAE(num_samples=2, beta_rule="ascend"), "without learned fields.*CIWAE with beta_parameter"),
    ],
)
def test_objectives(objective, text):
    with pytest.raises(ValueError, match=text):
        ImportanceWeightedELBO(objective)


def test_what_is_no_objective():
    with pytest.raises(TypeError, match="Expected objective to be an objective of iwax"):
        ImportanceWeightedELBO(iwax.IWAE)


def test_functions_of_log_weights_are_taken():
    """A new objective that is refused must be listed here with its reason."""
    refused = {"elbo-analytic", "gdreg"}
    for name, objective in iwax.OBJECTIVES.items():
        if name not in refused:
            assert ImportanceWeightedELBO(objective()).num_particles == objective().total_samples
    assert ImportanceWeightedELBO(iwax.IWAE(num_samples=2, backward="resampled")).num_particles == 2
    assert ImportanceWeightedELBO(JVI(num_samples=4, order=2)).num_particles == 4
