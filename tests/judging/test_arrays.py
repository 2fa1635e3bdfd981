"""Latent codes and samples as arrays: which numbers they are, of which example, and in which order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import iwax
from iwax.cli import main
from iwax.data.splits import split_at_random
from iwax.evaluation.centre import CENTRES
from iwax.evaluation.decoding import reconstruct, sample_images, sample_values, shown
from iwax.evaluation.encoding import encode
from iwax.judging.arrays import encode_run, sample_run
from iwax.judging.pictures import sample_sheet
from iwax.models import DiagonalNormal
from iwax.runs.launch import new_run
from tiny import tiny_config, tiny_data

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    np.save(folder / "own.npy", tiny_data().train)
    config = tiny_config(dataset=str(folder / "own.npy"), epochs=1, split="test_fraction=0.2,seed=3")
    return new_run(config, folder / "run", command=[]).path


def test_codes_are_those_of_the_closed_form():
    """x = z + e of unit variances and q(z | x) = N(x / 2, 2/3), in the order of the examples."""
    model = iwax.LinearGaussian.isotropic(2)
    x = np.arange(10.0, dtype=np.float32).reshape(5, 2)
    codes = encode(model, x, KEY, binarize="none")
    assert codes.exact == (True,)
    np.testing.assert_allclose(codes.mean[0], x / 2, rtol=1e-6)
    np.testing.assert_allclose(codes.scale[0], np.full((5, 2), (2 / 3) ** 0.5), rtol=1e-6)
    many = np.repeat(x[:1], 1000, axis=0)  # and draws vary as the scale says
    drawn = encode(model, many, KEY, binarize="none", num_samples=2).sample[0]
    np.testing.assert_allclose(drawn.std(axis=0), (2 / 3) ** 0.5, atol=0.06)
    np.testing.assert_allclose(drawn.mean(axis=0), x[0] / 2, atol=0.12)


@pytest.mark.slow
def test_layers_above_the_first_have_the_moments_of_draws():
    model = iwax.VAE(16, [3, 2], [[8], [8]], key=KEY)
    x = (np.random.default_rng(0).random((4, 16)) < 0.5).astype(np.float32)
    codes = encode(model, x, KEY, num_samples=2000)
    assert codes.exact == (True, False)
    assert [layer.shape for layer in codes.mean] == [(4, 3), (4, 2)]
    assert set(codes.to_numpy()) == {f"{name}_{i}" for name in ("mean", "scale", "sample") for i in (1, 2)}
    z = jax.jit(lambda x: model.posterior(x).sample(jax.random.key(7), (20_000,)))(x)[1]
    np.testing.assert_allclose(codes.mean[1], z.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(codes.scale[1], z.std(axis=0), rtol=0.1)
    alone = encode(model, x[2:3], KEY, num_samples=2000)  # keyed by place, so another draw; the exact part the same
    np.testing.assert_allclose(alone.mean[0][0], codes.mean[0][2], rtol=1e-5)


def test_the_file_of_codes_says_which_example_each_row_is(run, tmp_path, capsys):
    """`index` leads from a row to the file that was split at random, so that labels beside it can be looked up."""
    with pytest.raises(SystemExit) as exit_:
        main(["encode", str(run), "--out", str(tmp_path / "codes.npz")])
    assert exit_.value.code == 0
    assert "mean 8x50, scale 8x50, sample 8x50, index 8" in capsys.readouterr().out
    images = tiny_data().train
    _, test, _ = split_at_random(images, "test_fraction=0.2,seed=3")
    with np.load(tmp_path / "codes.npz") as arrays:
        found = dict(arrays)
    assert (images[found["index"]] == test).all()
    assert not (images[: len(test)] == test).all()  # the control
    model = iwax.load(run)
    x = iwax.evaluation.test_examples(test, "fixed", iwax.keys.EvaluationKeys.of_seed(0).binarisation)
    np.testing.assert_allclose(
        found["mean"], np.asarray(model.posterior(jnp.asarray(x)).first.loc), rtol=2e-5, atol=2e-6
    )
    encode_run(run, tmp_path / "train.npz", part="train", num_images=5)
    with np.load(tmp_path / "train.npz") as arrays:
        train, _, _ = split_at_random(images, "test_fraction=0.2,seed=3")
        assert (images[arrays["index"]] == train[:5]).all()


def test_samples_as_an_array_are_those_of_the_picture(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["sample", str(run), "--out", str(tmp_path / "s.npy"), "-n", "6"])
    assert exit_.value.code == 0
    assert "6 x 4 x 4, float32, the mean of p(x | z)" in capsys.readouterr().out
    array = np.load(tmp_path / "s.npy")
    assert (array.shape, array.dtype) == ((6, 4, 4), np.float32)
    assert 0 < array.min() < array.max() < 1
    sample_sheet(run, num_images=6, out=tmp_path / "s.png")
    from PIL import Image

    pixels = np.asarray(Image.open(tmp_path / "s.png").convert("L"), np.float32) / 255
    assert np.abs(pixels[:, :, None] - array.ravel()).min(axis=(0, 1)).max() < 1 / 255  # each value is somewhere in it


def test_drawn_samples_are_draws_with_the_same_means(run, tmp_path):
    found = sample_run(run, tmp_path / "drawn.npy", num_images=500, drawn=True)
    assert found["values"] == "draws"
    drawn = np.load(tmp_path / "drawn.npy")
    assert set(np.unique(drawn)) == {0.0, 1.0}
    sample_run(run, tmp_path / "means.npy", num_images=500)
    error = 0.5 / np.sqrt(drawn.size)
    assert abs(drawn.mean() - np.load(tmp_path / "means.npy").mean()) < 5 * error


@pytest.mark.parametrize(
    ("write", "out", "message"),
    [
        (encode_run, "codes.csv", r"Expected out to be a file of the suffix \.npz; got codes\.csv"),
        (sample_run, "s.txt", r"Expected out to be a file of the suffix \.npy; got s\.txt"),
    ],
)
def test_a_file_of_another_suffix_is_refused(write, out, message):
    with pytest.raises(ValueError, match=message):
        write("runs/none", out)


class Shown(eqx.Module):
    """A model of four values, whose p(x | z) is given."""

    density: str = eqx.field(static=True)

    @property
    def prior(self):
        return DiagonalNormal(jnp.zeros(4), jnp.zeros(4))

    def posterior(self, x):
        return DiagonalNormal(x, jnp.full_like(x, -6.0))

    def likelihood(self, z):
        if self.density == "categorical":
            return dist.Categorical(logits=jnp.stack([z, 0 * z, -z], axis=-1)).to_event(1)
        if self.density == "cauchy":
            return dist.Cauchy(z, 0.01).to_event(1)
        if self.density == "beta":
            return dist.Beta(jnp.exp(z), 1.0).to_event(1)
        if self.density == "mixture":
            parts = dist.Normal(z[..., None] + jnp.array([-1.0, 1.0]), 0.1)
            return dist.MixtureSameFamily(dist.Categorical(probs=jnp.array([0.25, 0.75])), parts).to_event(1)
        return dist.TransformedDistribution(dist.Normal(z, 0.1), [dist.transforms.ExpTransform()]).to_event(1)

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x)


X = np.array([[-3.0, -2.0, 2.0, 3.0]], np.float32)


@pytest.mark.parametrize(
    ("density", "how", "expected"),
    [
        ("categorical", CENTRES[1], [2, 2, 0, 0]),  # the likeliest category
        pytest.param("cauchy", CENTRES[3], X[0], marks=pytest.mark.slow),
        pytest.param("beta", CENTRES[0], np.exp(X[0]) / (np.exp(X[0]) + 1), marks=pytest.mark.slow),
        pytest.param("mixture", CENTRES[0], X[0] + 0.5, marks=pytest.mark.slow),
        ("flow", CENTRES[2], np.exp(X[0] + 0.005)),
    ],
)
def test_what_has_no_finite_mean_is_shown_by_its_mode_or_by_draws(density, how, expected):
    """Pictures of them were refused. Which it is, is said."""
    model = Shown(density)
    assert shown(model) == how
    assert shown(model, X) == how
    np.testing.assert_allclose(reconstruct(model, X, KEY, num_samples=2)[0], expected, rtol=0.1, atol=0.02)
    assert np.isfinite(sample_images(model, 3, KEY)).all()
    assert sample_values(model, 3, KEY).shape == (3, 4)


class Nothing(Shown):
    def likelihood(self, z):
        return object()


def test_a_likelihood_of_which_nothing_can_be_shown_is_refused_by_name():
    with pytest.raises(TypeError, match=r"Expected p\(x \| z\) to have a `mean`, .* `mode`, or `sample\(key\)`; got a"):
        sample_images(Nothing("none"), 3, KEY)
