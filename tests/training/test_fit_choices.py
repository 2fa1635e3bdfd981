"""`fit` with choices of one's own: optimiser, validation, KL weight, results that go on, what is told of each epoch."""

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import iwax
from iwax.data import Dataset
from iwax.errors import NoticeWarning
from iwax.training import Recipe
from iwax.training.recipe import check_optimizer

MODEL = iwax.LinearGaussian.isotropic(2, variance=0.3)
X = np.asarray(iwax.LinearGaussian.isotropic(2).sample(jax.random.key(0), 50))
OBJECTIVE = iwax.CIWAE(num_samples=3, beta_rule="ascend")
FLAT = Recipe(name="flat", source="this test", batch_size=8, stages=((1e-2, 100),))
OTHER = dataclasses.replace(FLAT, name="other", stages=((1e-4, 1), (1e-3, 1)))
NUMBER = "validation_iwae_64"


def fit(model=MODEL, objective=OBJECTIVE, data=X, **options):
    return iwax.fit(model, objective, data, **{"recipe": FLAT, "key": jax.random.key(1), "binarize": "none"} | options)


fit_flat = fit


def same(*trees):
    """Whether all leaves of all trees are the same to the bit."""
    first, *others = ([np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(t, eqx.is_array))] for t in trees)
    return all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def near(tree, other):
    """Whether all leaves are the same but for rounding: optax writes Adam in another form than a recipe's."""
    pairs = zip(*(jax.tree.leaves(eqx.filter(t, eqx.is_array)) for t in (tree, other)), strict=True)
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)


class TestOptimizers:
    def test_a_transformation_takes_the_place_of_the_recipe_s_optimiser_and_schedule(self):
        expected = fit(epochs=2)
        own = fit(recipe=OTHER, optimizer=optax.adam(1e-2), epochs=2)
        assert near(own.model, expected.model)
        assert not near(own.model, fit(recipe=OTHER, epochs=2).model)
        assert "learning_rate" not in own.records[0]

    @pytest.mark.slow
    def test_a_rate_and_a_schedule_are_those_of_the_recipe_s_optimiser(self):
        expected = fit(epochs=2)
        rates = 1e-2, optax.constant_schedule(1e-2)
        assert all(same(fit(recipe=OTHER, optimizer=rate, epochs=2).model, expected.model) for rate in rates)
        falling = fit(optimizer=optax.linear_schedule(1e-2, 0.0, 12), epochs=2)
        assert falling.records[-1]["learning_rate"] == pytest.approx(1e-2 / 12)
        assert not same(falling.model, expected.model)

    @pytest.mark.slow
    def test_clipping_is_the_recipe_s_for_a_rate_and_not_for_a_transformation(self):
        clipped = dataclasses.replace(FLAT, clip=1.0)
        assert not near(fit(recipe=clipped, optimizer=1e-2, epochs=2).model, fit(epochs=2).model)
        assert near(fit(recipe=clipped, optimizer=optax.adam(1e-2), epochs=2).model, fit(epochs=2).model)

    @pytest.mark.parametrize(
        ("optimizer", "message"),
        [
            ("adam", r"Expected optimizer to be a transformation of optax, .*; got str\."),
            (optax.adam, r"Expected optimizer to be .*; got a function that gives no rate\. Call it first\."),
            (True, r"Expected optimizer to be .*; got bool\."),
            (-1.0, r"Expected the rate of optimizer to be finite and not negative; got -1\.0\."),
        ],
    )
    def test_what_is_none_is_refused(self, optimizer, message):
        with pytest.raises(ValueError, match=message):
            check_optimizer(optimizer)

    @pytest.mark.slow
    def test_the_default_recipe_is_that_of_the_command(self):
        options = {"epochs": 1, "batch_size": 25}
        fast = iwax.training.get_recipe("fast")
        assert fit(recipe=None, **options).records == fit(recipe=fast, **options).records
        assert fast.name == iwax.runs.RunConfig().protocol

    def test_a_small_data_set_gets_batches_that_fit(self):
        with pytest.warns(NoticeWarning, match=r"Batches of 5 examples, a tenth of the 50 there are, in place of"):
            result = fit(recipe=dataclasses.replace(FLAT, batch_size=60), epochs=1)
        assert result.records[-1]["step"] == 10

    def test_more_than_half_of_the_data_is_no_batch(self):
        with pytest.warns(
            NoticeWarning, match="Batches of 5 examples, a tenth of the 50 there are, in place of the 26"
        ):
            result = fit(recipe=dataclasses.replace(FLAT, batch_size=26), epochs=1)
        assert result.records[-1]["step"] == 10  # and not one, without 24 of the examples

    def test_examples_left_out_of_an_epoch_are_said(self):
        with pytest.warns(NoticeWarning, match="18 leave 14 of the 50 .* others each time; batch_size=10 leaves out 0"):
            fit(recipe=dataclasses.replace(FLAT, batch_size=18), epochs=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(recipe=dataclasses.replace(FLAT, batch_size=23), epochs=1)  # 4 of 50
            fit(batch_size=18, epochs=1)  # as the caller says


class TestMoreEpochs:
    def test_a_result_goes_on_as_the_longer_run_to_the_bit(self):
        longer, halves = fit(epochs=4), fit(fit(epochs=2), epochs=2)
        assert same(halves.model, longer.model)
        assert same(halves.objective, longer.objective)  # beta is learned
        assert same(halves.opt_state, longer.opt_state)
        assert halves.records == longer.records
        assert not same(fit(fit(epochs=2).model, epochs=2).model, longer.model)

    @pytest.mark.slow
    def test_another_number_of_samples_and_another_key_go_on_from_there(self):
        begun = fit(objective=iwax.IWAE(num_samples=2), epochs=1)
        result = fit(begun, iwax.IWAE(num_samples=3), key=jax.random.key(9), epochs=1)
        assert [record["epoch"] for record in result.records] == [1, 2]
        assert same(result.records[0]["bound"], begun.records[0]["bound"])

    @pytest.mark.parametrize(("rule", "other"), [("ascend", "unconstrained"), ("unconstrained", "descend")])
    def test_a_beta_that_was_learned_goes_on_under_another_rule(self, rule, other):
        """Each rule has a parameter of its own for it: the logit of one is no beta of another."""
        begun = fit(objective=iwax.CIWAE(num_samples=3, beta=0.9, beta_rule=rule), epochs=1)
        stopped = dataclasses.replace(FLAT, stages=((0.0, 100),))
        after = fit(begun, iwax.CIWAE(num_samples=3, beta=0.1, beta_rule=other), recipe=stopped, epochs=1)
        assert float(after.objective.beta) == pytest.approx(float(begun.objective.beta), abs=1e-5)
        assert 0.85 < float(after.objective.beta) < 0.95

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"batch_size": 4}, r"Expected the data and batch size that the result .*, 6 steps in 1 epochs; got 12\."),
            ({"optimizer": optax.sgd(1e-2)}, "Expected the recipe or optimizer that the result was trained with; got"),
            ({"epochs": 0}, r"Expected epochs to be an integer of at least 1; got 0\."),
            ({"epochs": None, "recipe": OTHER}, None),
            (
                {"epochs": None, "recipe": dataclasses.replace(OTHER, stages=((1e-4, 1),))},
                r"Expected epochs, as the result has had 1 and the recipe other has 1; got None\.",
            ),
        ],
    )
    def test_what_cannot_go_on_is_refused(self, options, message):
        begun = fit(epochs=1)
        if message is None:  # the rest of the schedule
            assert len(fit(begun, **options).records) == 2
            return
        with pytest.raises(ValueError, match=message):
            fit(begun, **{"epochs": 1} | options)


class TestValidation:
    def test_no_validation_example_is_trained_on(self):
        out = iwax.data.hold_out(np.arange(50), 0.2)[1]
        assert len(out) == 10
        other, control = X.copy(), X.copy()
        other[out] += 5
        control[np.setdiff1d(np.arange(50), out)[0]] += 5
        results = [fit(data=data, validation=0.2, epochs=2) for data in (X, other, control)]
        assert same(results[0].model, results[1].model)
        assert results[0].records[0][NUMBER] != results[1].records[0][NUMBER]
        assert not same(results[0].model, results[2].model)
        assert results[0].records[-1]["step"] == 2 * (40 // 8)

    @pytest.mark.slow
    def test_the_numbers_are_those_of_evaluate_within_their_errors(self):
        result = fit(validation=X[:10], epochs=1)
        found = iwax.evaluate(result.model, X[:10], jax.random.key(8), num_samples=640, binarize="none")
        expected = found.summary()
        assert result.records[0][NUMBER] == pytest.approx(expected["iwae_64"], abs=0.05)
        assert result.records[0]["validation_log_p"] == pytest.approx(expected["log_p"], abs=0.05)

    def test_the_best_model_is_kept_and_patience_stops(self):
        # From the second epoch on the rate does harm.
        recipe = dataclasses.replace(FLAT, stages=((1e-2, 2), (0.5, 9)))
        start = jax.tree.map(lambda leaf: leaf + 0.4, MODEL)

        def fit(model=start, **options):
            return fit_flat(model, **{"recipe": recipe, "validation": 0.2} | options)

        result = fit(keep="best", patience=2, epochs=9)
        numbers = [record[NUMBER] for record in result.records]
        best = int(np.argmax(numbers)) + 1
        assert best > 1
        assert len(numbers) == best + 2 < 9
        assert result.selected == result.records[best - 1]
        there = fit(epochs=best)
        assert same(result.model, there.model)
        assert same(result.objective, there.objective)
        last, _ = result.last
        assert same(last, fit(epochs=best + 2).model)
        assert not same(last, result.model)
        longer = fit(result, keep="best", epochs=1)  # from the last state, not the best
        assert longer.records == fit(epochs=best + 3).records
        assert longer.selected == result.selected
        assert same(longer.model, result.model)
        after = fit(result, keep="last", epochs=1)  # which asks for the last one, not for the best
        assert same(after.model, longer.last[0])
        assert not same(after.model, result.model)
        assert after.selected is None
        impatient = fit(result, keep="last", patience=1, epochs=3)
        assert len(impatient.records) == best + 3  # no better than the best, which is not forgotten

    @pytest.mark.slow
    def test_every_so_many_epochs_and_at_the_end(self):
        records = fit(validation=10, eval_every=2, epochs=5).records
        assert [record["epoch"] for record in records if NUMBER in record] == [2, 4, 5]

    def test_the_part_of_a_data_set_and_examples_as_pytrees(self):
        parts = {"train": X[:40], "test": X[40:45] * np.nan, "validation": X[45:]}
        data = Dataset(parts["train"], parts["test"], "own", "given", {}, "this test", validation=parts["validation"])
        expected = fit(data=X[:40], validation=X[45:], epochs=1)
        assert fit(data=data, validation="val", epochs=1).records == expected.records

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"keep": "best"}, r"Expected validation together with keep='best'; got none\. Give it, such as 0\.1\."),
            ({"patience": 3}, r"Expected validation together with patience; got none\."),
            ({"validation": 50}, r"Expected validation to leave some of the 50 training examples; got 50\."),
            ({"validation": "val"}, r"Expected validation 'val' of a Dataset that has such a part; got none\."),
            ({"validation": 0.1, "keep": "all"}, r"Expected keep to be one of last, best; got 'all'\."),
            ({"validation": True}, r"Expected validation to be a part of the training examples .*; got True\."),
            ({"validation": X[:5] * np.nan}, r"Expected validation examples to be finite; got 10 NaN"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            fit(**options)


def test_what_is_told_of_an_epoch_may_take_the_model_and_stop():
    told = []
    result = fit(epochs=3, on_epoch=lambda record, model: told.append((record["epoch"], model)))
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert same(told[-1][1], result.model)
    assert not same(told[0][1], result.model)

    def with_default(record, verbose=False):
        told.append(verbose)

    assert len(fit(epochs=2, on_epoch=with_default).records) == 2
    assert told[-1] is False
    for answer, epochs in ((False, 1), (np.False_, 1), (jnp.asarray(False), 1), (None, 2), (0, 2), (True, 2)):
        assert len(fit(epochs=2, on_epoch=lambda record, answer=answer: answer).records) == epochs


class TestKLWeights:
    def test_a_schedule_is_counted_in_steps_and_recorded(self):
        result = fit(objective=iwax.IWAE(num_samples=3), kl_weight=optax.linear_schedule(0, 1, 8), epochs=2)
        assert [record["kl_weight"] for record in result.records] == [5 / 8, 1.0]  # of steps 5 and 11

    @pytest.mark.slow
    def test_a_weight_of_one_changes_nothing_but_rounding_and_another_does(self):
        def trained(**options):
            model = fit(objective=iwax.IWAE(num_samples=3), epochs=1, **options).model
            return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model)])

        np.testing.assert_allclose(trained(kl_weight=1.0), trained(), atol=1e-4)
        assert np.abs(trained(kl_weight=0.0) - trained()).max() > 1e-2

    def test_what_cannot_take_one_is_refused_before_it_trains(self):
        with pytest.raises(ValueError, match=r"got CIWAE with .*, which learns beta_parameter\."):
            fit(kl_weight=0.5)
        with pytest.raises(ValueError, match=r"Expected kl_weight to be finite and not negative; got -1\."):
            fit(objective=iwax.IWAE(), kl_weight=-1)
