"""One owner of randomness: no two purposes share a key, and what draws beside a model is out of the model's reach."""

import functools
import pathlib
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
import iwax.objectives.objective
from iwax.judging.anneal import anneal_run
from iwax.judging.evaluate import evaluate_run
from iwax.judging.judgement import pruned_run
from iwax.judging.pictures import reconstruction_sheet, sample_sheet
from iwax.judging.posterior import implicit_run
from iwax.judging.ssim import ssim_run
from iwax.keys import PURPOSES, EvaluationKeys, FormerEvaluationKeys, TrainingKeys, recorded, stream
from iwax.runs.launch import new_run
from tiny import tiny_config, tiny_data


def words(key):
    return tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())


def children(key, count):
    """The keys that folding reaches in one step, which are those of splitting, too."""
    return {tuple(row) for row in np.asarray(folded(key, count)).tolist()}


@functools.partial(jax.jit, static_argnums=1)
def folded(key, count):
    return jax.vmap(lambda i: jax.random.key_data(jax.random.fold_in(key, i)))(jnp.arange(count))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", pytest.param("unsafe_rbg", marks=pytest.mark.slow)])
def test_no_fold_and_no_split_of_a_key_is_one_of_its_streams(impl):
    key = jax.random.key(7, impl=impl)
    streams = {words(stream(key, purpose)) for purpose in PURPOSES}
    assert len(streams) == len(PURPOSES)
    reached = children(key, 30_000) | {words(k) for k in jax.random.split(key, 1000)} | {words(key)}
    for i in range(8):
        reached |= children(jax.random.fold_in(key, i), 1000)
    assert not streams & reached
    if impl == "threefry2x32":  # the control: where the number for resampling once came from
        assert words(jax.random.fold_in(key, 1)) == words(jax.random.split(key, 3)[1])


def test_streams_take_raw_keys_and_their_order_matters():
    raw = jax.random.PRNGKey(0)
    assert words(stream(raw, "samples")) == words(stream(jax.random.key(0), "samples"))
    twice = stream(stream(raw, "samples"), "similarity"), stream(stream(raw, "similarity"), "samples")
    assert words(twice[0]) != words(twice[1])
    with pytest.raises(ValueError, match="Expected purpose to be one of test binarisation"):
        stream(raw, "something else")


TRAINED_AND_EVALUATED = {
    *("initial parameters", "shuffling", "step binarisation", "step samples", "resampling"),
    *("evaluation along training", "test binarisation", "evaluation samples", "active units"),
}
BY_OTHER_COMMANDS = {
    *("annealing", "simulated examples", "annealing upwards", "annealing downwards", "simulated evaluation"),
    *("unit divergences", "single-sample units", "reconstructions", "samples", "prior of dropped units"),
}


@pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["evaluate", "every command"]
)
def test_no_two_purposes_of_a_run_and_its_commands_share_a_key(every, tmp_path):
    """With equal seeds everywhere, which is what the defaults are."""
    jax.clear_caches()
    with recorded() as found:
        train_and_judge(tmp_path / "run", every)
    jax.clear_caches()
    owners = {}
    for purpose, key in found:
        owners.setdefault(key, set()).add(purpose)
    assert set().union(*owners.values()) >= TRAINED_AND_EVALUATED | (BY_OTHER_COMMANDS if every else set())
    assert {key: purposes for key, purposes in owners.items() if len(purposes) > 1} == {}
    reach = {}  # what each purpose's keys are folded into, by example and by block
    for purpose in set().union(*owners.values()):
        own = [jax.random.wrap_key_data(jnp.array(k, jnp.uint32)) for k, who in owners.items() if purpose in who][:2]
        reach[purpose] = set().union(*(children(key, 256) | {words(key)} for key in own))
    names = sorted(reach)
    shared = {(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if reach[a] & reach[b]}
    assert shared == set()


def train_and_judge(path, every):
    data = tiny_data()
    config = tiny_config(objective="iwae", num_samples=4, epochs=1, eval_every=1, eval_samples=64, backward="resampled")
    run = new_run(config, path, data=data).path
    few = {"data": data, "seed": 0}
    evaluate_run(run, num_samples=64, **few)
    if every:
        pruned_run(run, num_images=3, num_samples=64, **few)
        effort = {"num_distributions": 2, "num_chains": 2, "leapfrog_steps": 1}
        anneal_run(run, num_images=2, num_samples=64, **effort, **few)
        ssim_run(run, setting="pytorch_ssim", num_images=4, **few)
        implicit_run(run, images=[0], num_samples=[2], **few)
        sample_sheet(run, num_images=2, **few)
        reconstruction_sheet(run, num_images=2, **few)


def test_the_former_keys_of_evaluation_were_keys_of_training():
    """The control of the test above: what it would find of the keys that records were once made with."""
    former, seed = FormerEvaluationKeys.of_seed(0), 0
    assert words(former.binarisation) == words(TrainingKeys.model(seed))
    assert words(former.samples) == words(TrainingKeys.of_seed(seed).key)
    now = EvaluationKeys.of_seed(0)
    assert len({words(k) for k in (now.binarisation, now.samples, now.units)}) == 3


class SplitKey(eqx.Module):
    """q of two layers of one scalar, whose key the model splits itself; z_2 given z_1 in p, and x given z_1."""

    generative: jax.Array
    inference: jax.Array
    splits: bool = eqx.field(static=True, default=True)

    def posterior(self, x):
        return SplitPosterior(self.inference, x, self.splits)

    def log_joint(self, x, z):
        lower, upper = z
        a, b = self.generative

        def normal(value, mean):
            return -0.5 * (value - mean) ** 2 - 0.5 * jnp.log(2 * jnp.pi)

        return normal(upper, 0.0) + normal(lower, a * upper) + normal(x, b * lower)


class SplitPosterior(eqx.Module):
    parameters: jax.Array
    x: jax.Array
    splits: bool = eqx.field(static=True)

    def sample(self, key, sample_shape=()):
        shape = (*sample_shape, *self.x.shape)
        if self.splits:
            k1, k2 = jax.random.split(key)
            noise = jax.random.normal(k1, shape), jax.random.normal(k2, shape)
        else:
            noise = jax.random.normal(key, (2, *shape))
        lower = self.parameters[0] * self.x + 0.8 * noise[0]
        return lower, self.parameters[1] * lower + 0.9 * noise[1]

    def log_prob(self, z):
        lower, upper = z

        def normal(value, mean, scale):
            return -0.5 * ((value - mean) / scale) ** 2 - jnp.log(scale) - 0.5 * jnp.log(2 * jnp.pi)

        return normal(lower, self.parameters[0] * self.x, 0.8) + normal(upper, self.parameters[1] * lower, 0.9)


def models():
    split = SplitKey(jnp.array([0.7, 1.3]), jnp.array([0.9, 0.2]))
    yield "split key", split, jnp.array([1.1])
    yield "two-layer", iwax.VAE(3, [1, 1], [[2], [2]], key=jax.random.key(1)), jnp.ones((1, 3))
    whole = SplitKey(split.generative, split.inference, splits=False)  # `batched` splits the key, one for each example
    yield "batched", iwax.batched(whole), jnp.array([0.4, 1.1])


QUICK = ("split key-reparameterized", "split key-doubly-reparameterized")


@pytest.mark.parametrize(
    ("name", "gradient"),
    [
        pytest.param(name, gradient, marks=[] if f"{name}-{gradient}" in QUICK else [pytest.mark.slow])
        for name in ("split key", "two-layer", "batched")
        for gradient in ("reparameterized", "doubly-reparameterized")
    ],
)
def test_some_samples_backward_have_the_expected_gradient_of_all(name, gradient, monkeypatch):
    """The expectation is over many keys; the control is the number once drawn from a key that the model uses, too."""
    model, x = next(made for of, *made in models() if of == name)

    def largest_z():
        every = iwax.IWAE(num_samples=4, gradient=gradient)
        some = iwax.IWAE(num_samples=4, gradient=gradient, backward="resampled")

        def difference(key):
            of = [eqx.filter_grad(iwax.loss)(model, objective, x, key) for objective in (every, some)]
            flat = [jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)]) for gradient in of]
            return flat[1] - flat[0]

        found = jax.jit(jax.vmap(difference))(jax.random.split(jax.random.key(5), 20_000))
        mean, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(len(found))
        return float(jnp.max(jnp.abs(mean / error)))

    assert largest_z() < 4.5
    monkeypatch.setattr(iwax.objectives.objective, "stream", lambda key, purpose: jax.random.fold_in(key, 1))
    assert largest_z() > 10


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["one-layer", pytest.param("two-layer", marks=pytest.mark.slow)])
def test_training_and_evaluation_run_clean_under_jax_s_own_checks(architecture):
    """NaN must not be the mark of anything in a healthy run, and no key may be used twice."""
    x = (np.random.default_rng(0).random((40, 16)) < 0.5).astype("float32")
    with jax.debug_nans(True), jax.debug_key_reuse(True):
        with pytest.raises(FloatingPointError):
            jnp.log(-jnp.ones(3))  # the controls
        with pytest.raises(jax.errors.KeyReuseError):
            jax.jit(lambda key: jax.random.normal(key) + jax.random.uniform(key))(jax.random.key(3))
        model = iwax.ARCHITECTURES[architecture](key=jax.random.key(0), data_size=16)
        for backward in ("all", "resampled"):
            objective = iwax.IWAE(num_samples=4, backward=backward)
            result = iwax.fit(model, objective, x, recipe="burda-paper", key=jax.random.key(1), epochs=1)
        assert np.isfinite(iwax.evaluate(result.model, x, jax.random.key(2), num_samples=64).summary()["log_p"])


def test_whoever_judges_takes_keys_by_name_and_derives_none():
    """Only what draws beside a model, given a key, makes streams of it."""
    package = pathlib.Path(iwax.__file__).parent
    deriving = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"from iwax\.keys import .*\bstream\b", path.read_text())
    }
    assert deriving <= {"contrib", "evaluation", "objectives", "torch", "impute"}
    named = {value.purpose for value in vars(EvaluationKeys).values() if hasattr(value, "purpose")}
    beside = {"evaluation along training", "own-model check", "resampling", "implicit choice", "prior of dropped units"}
    beside |= {"dropout", "samples given z"}
    assert named <= set(PURPOSES) - beside
    assert words(EvaluationKeys.of_seed(3).similarity) == words(stream(jax.random.key(3), "similarity"))
