"""Training as a function: what `fit` returns, that chunks change nothing, and what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.data import check_precision
from iwax.training.fit import NonFiniteLossError, Trainer
from iwax.training.recipe import Recipe
from tiny import tiny_data

MODEL = iwax.LinearGaussian.isotropic(2, variance=0.3)
X = np.asarray(iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 50))
OBJECTIVE = iwax.CIWAE(num_samples=3, beta_rule="ascend")
FLAT = Recipe(name="flat", source="this test", batch_size=8, stages=((1e-2, 100),))


def trainer(**options):
    return Trainer(
        **{"images": X, "recipe": FLAT, "key": jax.random.key(1), "batch_size": 8, "binarize": "none"} | options
    )


def fit(model=MODEL, objective=OBJECTIVE, data=X, **options):
    return iwax.fit(model, objective, data, **{"recipe": FLAT, "key": jax.random.key(1), "binarize": "none"} | options)


def leaves(*trees):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(trees, eqx.is_array))]


def assert_same(a, b):
    assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(leaves(a), leaves(b), strict=True))


def test_records():
    seen = []
    result = fit(epochs=2, on_epoch=seen.append)
    assert seen == result.records
    assert [(r["epoch"], r["step"]) for r in result.records] == [(1, 6), (2, 12)]  # 50 // 8 steps an epoch
    assert result.records[0]["learning_rate"] == pytest.approx(1e-2)
    assert result.records[-1]["beta"] == float(result.objective.beta) < 0.5


def test_cutting_a_run_into_chunks_changes_nothing():
    whole = fit(epochs=4)
    cuts = trainer()
    state, images, lengths = cuts.start(MODEL, OBJECTIVE), cuts.on_device(), iter([1, 4, 2, 3, 6, 5, 1, 2, 9])
    while int(state.step) < 24:
        state = cuts.advance(state, images, next(lengths))
    assert_same((whole.model, whole.objective, whole.opt_state), (state.model, state.objective, state.opt_state))
    assert cuts.record(state) == whole.records[-1]


def test_the_length_of_a_run_does_not_change_its_beginning():
    assert fit(epochs=4).records[:2] == fit(epochs=2).records


def test_the_seed_decides_everything():
    assert_same(fit(epochs=1).model, fit(epochs=1).model)
    other = fit(epochs=1, key=jax.random.key(2)).records
    assert other[0]["bound"] != fit(epochs=1).records[0]["bound"]
    raw = fit(epochs=1, key=jax.random.key_data(jax.random.key(1)))
    assert_same(raw.model, fit(epochs=1).model)


class Probe(eqx.Module):
    """A model whose bound is the number of white pixels of x, so that records show what was trained on."""

    generative: jax.Array

    def posterior(self, x):
        size = jnp.zeros((*x.shape[:-2], 1))
        return iwax.LinearGaussian.isotropic(1).posterior(size)

    def log_joint(self, x, z):
        return self.posterior(x).log_prob(z) + jnp.sum(x, axis=(-2, -1)) + 0 * self.generative


def bounds(binarize, epochs=6):
    data = tiny_data()
    result = fit(Probe(jnp.zeros([])), iwax.ELBO(), data, batch_size=40, binarize=binarize, epochs=epochs)
    return [record["bound"] for record in result.records]


@pytest.mark.slow
def test_dynamic_binarisation_draws_afresh_and_fixed_only_once():
    data = tiny_data()
    grey = data.train.reshape(40, -1).sum(1).mean() / 255
    dynamic, fixed = bounds("dynamic"), bounds("fixed")
    assert len(set(dynamic)) > 1
    assert len(set(fixed)) == 1
    # White pixels per image: mean over 40 images of 16 pixels of standard deviation at most 1/2 each.
    assert abs(np.mean(dynamic) - grey) < 4 * 0.5 * np.sqrt(16 / 40 / 6)
    assert abs(fixed[0] - grey) < 4 * 0.5 * np.sqrt(16 / 40)


def test_every_epoch_visits_every_image_once():
    class Sum(Probe):
        def log_joint(self, x, z):
            return self.posterior(x).log_prob(z) + jnp.sum(x * 2.0 ** jnp.arange(10)) / 2 + 0 * self.generative

    # Image i is white in pixel i; a batch of 2 reports the sum of their powers of two, so an epoch's mean is fixed.
    images = np.eye(10, dtype=np.float32).reshape(10, 1, 10)
    result = fit(Sum(jnp.zeros([])), iwax.ELBO(), images, batch_size=2, epochs=3)
    assert [record["bound"] for record in result.records] == [1023 / 10] * 3


class TestWhatIsRefused:
    def test_batch_sizes(self):
        with pytest.raises(ValueError, match="Expected batch_size to be an integer of at least 1; got 0"):
            fit(batch_size=0)
        with pytest.raises(
            ValueError, match="Expected batch_size to be at most the number of training examples, 50; go"
        ):
            fit(batch_size=51)

    def test_epochs(self):
        with pytest.raises(ValueError, match="Expected epochs to be an integer of at least 1; got 0"):
            fit(epochs=0)

    def test_nan_in_data(self):
        with pytest.raises(ValueError, match="Expected training examples to be finite; got 1 NaN or infinite values"):
            fit(data=np.where(np.arange(100).reshape(50, 2) == 7, np.nan, X))

    def test_values_that_float32_cannot_tell_apart(self):
        """Seconds since 1970, 50 of them, would be one number; a day apart they are 50."""
        seconds, daily = (1.7e9 + step * np.arange(50.0)[:, None] + np.zeros(2) for step in (1, 86400))
        for data in (seconds, {"x": X, "seconds": seconds}):
            with pytest.raises(ValueError, match=r"Expected training examples to differ by what float32 .*1700000049"):
                fit(data=data)
        check_precision(daily)  # refuses nothing

    def test_range_of_data(self):
        with pytest.raises(ValueError, match=r"Expected training examples in \[0, 1\] for binarize='dynamic'"):
            fit(iwax.VAE(X.shape[1], [1], [[2]], key=jax.random.key(0)), binarize="dynamic")

    def test_binarisations(self):
        with pytest.raises(
            ValueError, match=r"Expected binarize to be one of .*; got 'dynamo'. Did you mean 'dynamic'"
        ):
            fit(binarize="dynamo")

    def test_recipes(self):
        with pytest.raises(
            ValueError, match=r"Expected recipe to be one of .*; got 'burda-papr'\. Did you mean 'burda-p"
        ):
            fit(recipe="burda-papr")

    @pytest.mark.filterwarnings("ignore:Batches of 20 leave 10 of the 50")
    def test_one_recipe_is_given_by_one_of_its_names(self):
        old_name = fit(recipe=None, protocol=FLAT, epochs=1)
        assert old_name.records == fit(epochs=1).records != fit(recipe="burda-paper", epochs=1).records
        with pytest.raises(TypeError, match=r"Expected recipe, .* to be given once; got recipe=flat and protocol=flat"):
            fit(protocol=FLAT)

    def test_a_loss_that_is_not_finite(self):
        class Cliff(Probe):
            def log_joint(self, x, z):
                lost = jnp.where(jnp.max(x) > 0.5, jnp.nan, 0.0)
                return self.posterior(x).log_prob(z) + 2.0 + lost + 0 * self.generative

        images = np.zeros((10, 1, 1), np.float32)
        images[7] = 1
        in_order = Recipe(name="order", source="this test", batch_size=1, stages=((1e-2, 1),), shuffle="never")
        message = (
            r"got a bound of nan at step 8 \(epoch 1\); the last finite bound was 2\.0000, a step before of the ep"
        )
        with pytest.raises(NonFiniteLossError, match=message):
            fit(Cliff(jnp.zeros([])), iwax.ELBO(), images, recipe=in_order)

    def test_parameters_that_are_not_finite_behind_a_bound_that_is(self):
        class Root(Probe):
            def log_joint(self, x, z):
                return self.posterior(x).log_prob(z) + 1.0 - jnp.sqrt(self.generative)

        with pytest.raises(
            NonFiniteLossError, match=r"got parameters that are not at step 1 \(epoch 1\); it was the first"
        ):
            fit(Root(jnp.zeros([])), iwax.ELBO(), np.zeros((8, 1, 1), np.float32), epochs=1)


def test_infinities_that_a_model_starts_with_are_its_own():
    class Masked(Probe):
        mask: jax.Array

        def log_joint(self, x, z):
            shifts = jax.nn.logsumexp(jnp.stack([self.generative, self.generative]) + self.mask)
            return self.posterior(x).log_prob(z) - (shifts - 1.0) ** 2

    model = Masked(jnp.zeros([]), jnp.asarray([0.0, -jnp.inf]))
    result = fit(model, iwax.ELBO(), np.zeros((8, 1, 1), np.float32), epochs=3)
    assert result.records[-1]["bound"] > result.records[0]["bound"]


def test_piwae_records_both_of_its_bounds():
    """MIWAE(M, K), which the inference network climbs, lies below IWAE(M K), which the generative one does."""
    x = iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 40)
    objective = iwax.PIWAE(num_groups=3, num_samples=4)
    result = iwax.fit(
        iwax.LinearGaussian.isotropic(2), objective, x, recipe="burda-paper", key=jax.random.key(1), epochs=2,
        binarize="none",
    )  # fmt: skip
    for record in result.records:
        assert record["inference_bound"] < record["bound"]
