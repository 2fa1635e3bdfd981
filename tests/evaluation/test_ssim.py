"""SSIM against closed forms and its formula written out, and the runs it judges."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import iwax
from iwax.data import test_set_hash
from iwax.evaluation.decoding import reconstruct, sample_images
from iwax.evaluation.examples import first_examples
from iwax.evaluation.ssim import SETTINGS, Setting, get_setting, ssim
from iwax.evaluation.units import single_sample_unit_variances
from iwax.evaluation.value_range import value_range
from iwax.figures import image_sheet
from iwax.judging.pictures import reconstruction_sheet, sample_sheet
from iwax.judging.ssim import ssim_run
from iwax.keys import stream
from iwax.runs.launch import new_run
from iwax.runs.loading import load_run
from tiny import Bare, tiny_config, tiny_data

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 28, 28))
OTHERS = np.clip(IMAGES + RNG.normal(scale=0.3, size=IMAGES.shape), 0, 1)
C1, C2 = 0.01**2, 0.03**2


def written_out(a, b, setting, data_range=1.0):
    """The formula at every pixel whose window lies inside, by explicit sums over the window."""
    c1, c2 = C1 * data_range**2, C2 * data_range**2
    radius = setting.window // 2
    offsets = np.arange(-radius, radius + 1)
    row = np.ones(setting.window) if setting.sigma is None else np.exp(-(offsets**2) / 2 / setting.sigma**2)
    weights = np.outer(row, row) / row.sum() ** 2
    factor = setting.window**2 / (setting.window**2 - 1) if setting.sample_covariance else 1
    values = []
    for i in range(radius, a.shape[0] - radius):
        for j in range(radius, a.shape[1] - radius):
            x, y = (v[i - radius : i + radius + 1, j - radius : j + radius + 1] for v in (a, b))
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = factor * (weights * (x - mx) ** 2).sum(), factor * (weights * (y - my) ** 2).sum()
            cov = factor * (weights * (x - mx) * (y - my)).sum()
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return np.mean(values)


@pytest.mark.parametrize("name", SETTINGS)
def test_ssim_is_its_formula(name):
    """Zeros around the image are zeros in the windows; the other border must not give the same value."""
    setting = SETTINGS[name]
    margin = setting.window // 2 if setting.border == "zero" else 0
    expected = [written_out(np.pad(a, margin), np.pad(b, margin), setting) for a, b in zip(IMAGES, OTHERS, strict=True)]
    np.testing.assert_allclose(ssim(IMAGES, OTHERS, setting=name), expected, rtol=1e-9)
    other = dataclasses.replace(setting, border="interior" if setting.border == "zero" else "zero")
    assert np.abs(ssim(IMAGES, OTHERS, setting=other) - expected).max() > 1e-3


@pytest.mark.parametrize("name", SETTINGS)
def test_equal_images_have_one_and_order_does_not_matter(name):
    np.testing.assert_allclose(ssim(IMAGES, IMAGES, setting=name), 1, rtol=1e-12)
    np.testing.assert_allclose(ssim(OTHERS, IMAGES, setting=name), ssim(IMAGES, OTHERS, setting=name), rtol=1e-12)
    assert (ssim(IMAGES, OTHERS, setting=name) < 0.95).all()


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_constant_images(data_range):
    """(2 a b + C1) / (a^2 + b^2 + C1) inside; with zeros around them, another number."""
    a, b = 0.2 * data_range, 0.7 * data_range
    images, others = np.full((1, 20, 20), a), np.full((1, 20, 20), b)
    c1 = (0.01 * data_range) ** 2
    expected = (2 * a * b + c1) / (a**2 + b**2 + c1)
    for name in ("wang", "skimage"):
        setting = dataclasses.replace(SETTINGS[name], data_range=data_range)
        np.testing.assert_allclose(ssim(images, others, setting=setting), expected, rtol=1e-9)
    zero = dataclasses.replace(SETTINGS["pytorch_ssim"], data_range=data_range)
    assert abs(ssim(images, others, setting=zero)[0] - expected) > 1e-2


def test_the_range_of_the_data_matters():
    as_bytes = dataclasses.replace(SETTINGS["wang"], data_range=255.0)
    np.testing.assert_allclose(ssim(255 * IMAGES, 255 * OTHERS, setting=as_bytes), ssim(IMAGES, OTHERS), rtol=1e-9)
    assert (np.abs(ssim(IMAGES, OTHERS, setting=as_bytes) - ssim(IMAGES, OTHERS)) > 0.05).all()


def test_the_range_is_that_of_images_that_leave_0_to_1():
    """In [-1, 1] it is 2. A range of 1, which was taken whatever the data, gives another number."""
    images, others = 2 * IMAGES[:1] - 1, 2 * OTHERS[:1] - 1
    images[0, 0, :2] = -1, 1
    expected = written_out(images[0], others[0], SETTINGS["skimage"], data_range=2.0)
    fixed = dataclasses.replace(SETTINGS["skimage"], data_range=1.0)
    np.testing.assert_allclose(ssim(images, others, setting="skimage"), [expected], rtol=1e-9)
    assert abs(ssim(images, others, setting=fixed)[0] - expected) > 0.005


def test_images_between_0_and_1_have_a_range_of_1_however_little_of_it_they_fill():
    faint = 0.3 + 0.1 * IMAGES
    fixed = dataclasses.replace(SETTINGS["wang"], data_range=1.0)
    np.testing.assert_array_equal(ssim(faint, OTHERS), ssim(faint, OTHERS, setting=fixed))
    assert value_range(faint) == value_range(np.zeros(3)) == (0, 1)
    assert value_range(np.array([-0.5, 3])) == (-0.5, 3)
    for values in ([2.0, 2.0], [0.0, np.nan], [-np.inf, 2.0], [0.0, np.inf]):
        with pytest.raises(ValueError, match="Expected images with a range, finite values of which two differ"):
            value_range(np.array(values))


def test_reconstruction_rules():
    """p(x | z) = N(z, I), q = N(x / 2, 2/3 I): decoded are z ~ q, its mean over n draws, and x / 2."""
    model = iwax.LinearGaussian.isotropic(3)
    x = np.asarray(model.sample(jax.random.key(1), 2000))
    by_rule = {rule: reconstruct(model, x, KEY, rule=rule) - x / 2 for rule in ("sample", "mean", "posterior-mean")}
    variances = {rule: float(np.mean(gap**2)) for rule, gap in by_rule.items()}
    noise = 2 / 3 * np.sqrt(2 / x.size)  # of a variance of 6000 numbers
    assert abs(variances["sample"] - 2 / 3) < 4 * noise
    assert abs(variances["mean"] - 2 / 300) < 4 * noise / 100
    assert variances["posterior-mean"] < 1e-12
    np.testing.assert_allclose(reconstruct(model, x[:7], KEY), reconstruct(model, x, KEY)[:7], atol=1e-6)


@pytest.mark.slow
def test_posterior_means_of_layers():
    """One layer: the encoder's mean, exactly. Two: averages, that many draws make exact."""
    x = (jax.random.uniform(KEY, (4, 12)) < 0.4).astype(float)
    one = iwax.VAE(12, [2], [[6]], key=KEY)
    expected = one.likelihood(one.posterior(x).first.loc).mean
    np.testing.assert_allclose(reconstruct(one, x, KEY, rule="posterior-mean"), expected, rtol=1e-5)
    two = iwax.VAE(12, [3, 2], [[6], [5]], key=KEY)
    expected = two.likelihood(two.posterior(x).first.loc).mean
    decoded = reconstruct(two, x, KEY, rule="posterior-mean", num_samples=20_000)
    np.testing.assert_allclose(decoded, expected, atol=0.02)
    assert np.abs(reconstruct(two, x, KEY) - np.asarray(expected)).max() > 0.05


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("ssim") / "run"
    new_run(tiny_config(), path, data=tiny_data())
    return path


def test_ssim_run(run, tmp_path):
    """Its mean, s.e. and standard deviation are those of the values, its files are there."""
    setting = "pytorch_ssim"
    result = ssim_run(run, setting=setting, data=tiny_data())
    assert result["num_examples"] == 12
    assert result["ssim_test_error"] == pytest.approx(result["ssim_std"] / np.sqrt(11))
    assert -1 < result["ssim"] < 1
    assert (result["setting"]["reconstruction"], result["setting"]["data_range"]) == ("sample", 1.0)
    assert (result["trained_on"], result["dataset"]) == ("tiny", "tiny")
    assert json.loads((run / "ssim.json").read_text()) == result
    assert (run / "figures" / "ssim.png").stat().st_size > 1000
    np.save(tmp_path / "other.npy", tiny_data(seed=1).train.astype(np.float32) / 255)
    other = ssim_run(run, setting=setting, dataset=str(tmp_path / "other.npy"), data=tiny_data())
    assert other["trained_on"] == "tiny"
    assert other["ssim"] != result["ssim"]
    assert json.loads((run / "ssim.json").read_text()) == result
    assert json.loads((run / "ssim-other.json").read_text()) == other


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run on real numbers from about -4 to 4, and its data."""
    rng = np.random.default_rng(3)
    train, test = (rng.normal(scale=1.5, size=(n, 4, 4)).astype(np.float32) for n in (40, 12))
    data = dataclasses.replace(tiny_data(), train=train, test=test)
    path = tmp_path_factory.mktemp("real") / "run"
    new_run(tiny_config(likelihood="gaussian", binarize="none"), path, data=data)
    return path, data


def test_ssim_of_a_run_on_real_numbers_is_relative_to_the_range_of_its_test_images(real):
    """Whatever the number of images; said in the result; another if given. Not 1, which it was."""
    path, data = real
    result = ssim_run(path, setting="pytorch_ssim", num_images=3, data=data)
    span = float(data.test.max() - data.test.min())
    assert result["setting"]["data_range"] == pytest.approx(span, rel=1e-6)
    model = load_run(path, data=data).model
    decoded = reconstruct(model, data.test[:3], stream(KEY, "similarity")).reshape(3, 4, 4)
    pairs = [(np.pad(a, 5), np.pad(b, 5)) for a, b in zip(data.test[:3], decoded, strict=True)]
    expected, of_one = (
        np.mean([written_out(a, b, SETTINGS["pytorch_ssim"], data_range=size) for a, b in pairs])
        for size in (span, 1.0)
    )
    assert result["ssim"] == pytest.approx(expected, rel=1e-5)
    assert abs(of_one - expected) > 0.003
    given = ssim_run(path, setting="pytorch_ssim", num_images=3, data=data, data_range=1.0)
    assert given["setting"]["data_range"] == 1.0
    assert given["ssim"] == pytest.approx(of_one, rel=1e-5)


def test_pictures_of_real_numbers_are_black_and_white_where_the_data_end(real, tmp_path):
    """A value half way is grey. From 0 to 1, which they were whatever the data, all that is negative would be black."""
    path, data = real
    sheet = np.asarray(Image.open(sample_sheet(path, num_images=4, data=data)))
    means = sample_images(load_run(path, data=data).model, 4, stream(KEY, "samples")).reshape(4, 4, 4)
    assert (means < 0).any()
    low, high = data.test.min(), data.test.max()
    for i, mean in enumerate(means):
        shown = sheet[3:15:3, 3 + 18 * i : 15 + 18 * i : 3]  # three screen pixels each, after a line of one pixel
        np.testing.assert_allclose(shown, np.clip(255 * (mean - low) / (high - low), 0, 255), atol=1.01)
    image_sheet(np.array([[-1.0, 0.0, 1.0, 9.0]]), tmp_path / "a.png", shades=(-1.0, 1.0), scale=1)
    assert np.asarray(Image.open(tmp_path / "a.png"))[1:3, 1:3].ravel().tolist() == [0, 127, 255, 255]
    image_sheet(np.array([[-1.0, 0.0, 1.0, 9.0]]), tmp_path / "a.png", scale=1)
    assert np.asarray(Image.open(tmp_path / "a.png"))[1:3, 1:3].ravel().tolist() == [0, 0, 255, 255]
    reconstruction_sheet(path, num_images=4, data=data, out=tmp_path / "rows.png")
    grey = np.asarray(Image.open(tmp_path / "rows.png").convert("L"))
    pictured = grey[grey < 255]  # not the paper around them
    assert np.mean((pictured > 100) & (pictured < 155)) > 0.1  # the middle of the range, where most values are


class Density(eqx.Module):
    """A normal density whose mean is what is asked for: a number, or nothing, as that of a flow."""

    loc: jax.Array
    stated: float | None

    @property
    def mean(self):
        if self.stated is None:
            raise NotImplementedError
        return self.stated + self.loc

    def sample(self, key, sample_shape=()):
        return self.loc + jax.random.normal(key, (*sample_shape, *self.loc.shape))

    def log_prob(self, z):
        return -0.5 * jnp.sum((z - self.loc) ** 2, axis=-1)


class Stub(eqx.Module):
    """q and p(x | z) with such means: z is near x, and x near z."""

    of_q: float | None = 0.0
    of_p: float | None = 0.0

    @property
    def prior(self):
        return Density(jnp.zeros(4), 0.0)

    def posterior(self, x):
        return Density(x, self.of_q)

    def likelihood(self, z):
        return Density(z, self.of_p)

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x)


def test_a_posterior_that_does_not_know_its_mean_is_averaged_over_draws():
    """Flows raise NotImplementedError there, which ended `iwax ssim` in a traceback."""
    x = np.arange(8.0, dtype=np.float32).reshape(2, 4)
    decoded = reconstruct(Stub(of_q=None), x, KEY, rule="posterior-mean", num_samples=10_000)
    np.testing.assert_allclose(decoded, x, atol=0.05)
    assert np.abs(decoded - x).max() > 1e-4  # draws, not the mean
    with pytest.raises(NotImplementedError):
        Stub(of_q=None).posterior(x).mean  # noqa: B018 (the control)


class Sometimes(Stub):
    """A mean that is there at first, and NaN for what lies above zero."""

    def likelihood(self, z):
        return Density(jnp.where(z > 0, jnp.nan, z), 0.0)


def test_a_likelihood_whose_mean_is_not_finite_somewhere_is_refused_by_name():
    """What stands for a mean is chosen by the first example; the pictures were black and SSIM was NaN."""
    x = np.array([[-9.0] * 4, [9.0] * 4], np.float32)
    assert np.isfinite(reconstruct(Sometimes(), x[:1], KEY)).all()
    with pytest.raises(ValueError, match=r"Expected p\(x \| z\) to have a finite `mean`.*got nan from Density"):
        reconstruct(Sometimes(), x, KEY)


def test_units_by_a_single_draw_need_means_and_say_so():
    with pytest.raises(TypeError, match="Expected the posterior to have a `mean` for each layer; got Density, which"):
        single_sample_unit_variances(Stub(of_q=None), np.zeros((2, 4), np.float32), KEY)


def test_images_are_those_of_evaluate(run):
    """The same binarised examples for every count; another seed gives others."""
    data = tiny_data()
    rule = load_run(run, data=data).resolved.test_binarize
    x = first_examples(data, rule, seed=3, count=None)
    np.testing.assert_array_equal(first_examples(data, rule, seed=3, count=5), x[:5])
    evaluated = iwax.evaluate(load_run(run, data=data).model, data, jax.random.key(3), num_samples=64)
    assert evaluated.test_hash == test_set_hash(x)
    assert test_set_hash(first_examples(data, rule, seed=4, count=None)) != evaluated.test_hash
    with pytest.raises(ValueError, match="Expected at most 12 test images, all there are; got 13"):
        first_examples(data, rule, seed=3, count=13)


def test_ssim_of_data_of_the_same_name_elsewhere_is_not_written_over(run, tmp_path):
    for i, place in enumerate((tmp_path / "a", tmp_path / "b")):
        place.mkdir()
        np.save(place / "faces.npy", tiny_data(seed=i).train)
    options = {"setting": "pytorch_ssim", "num_images": 2, "data": tiny_data()}
    ssim_run(run, dataset=str(tmp_path / "a" / "faces.npy"), **options)
    before = (run / "ssim-faces.json").read_bytes()
    with pytest.raises(ValueError, match=r"ssim-faces\.json in .* to be of .*b.faces\.npy; it is of .*a.faces"):
        ssim_run(run, dataset=str(tmp_path / "b" / "faces.npy"), **options)
    assert (run / "ssim-faces.json").read_bytes() == before


def test_ssim_run_refuses(run, tmp_path):
    np.save(tmp_path / "larger.npy", np.linspace(0, 1, 500, dtype=np.float32).reshape(20, 5, 5))
    with pytest.raises(ValueError, match=r"dataset to have examples of shape \(4, 4\), as the run .*with \(5, 5\)"):
        ssim_run(run, setting="pytorch_ssim", dataset=str(tmp_path / "larger.npy"), data=tiny_data())
    with pytest.raises(ValueError, match="Expected window to be at most the shorter side of the images, 4; got 11"):
        ssim_run(run, setting="wang", data=tiny_data())
    with pytest.raises(ValueError, match="Expected setting to be one of wang, skimage, pytorch_ssim; got 'seed02'"):
        ssim_run(run, setting="seed02", data=tiny_data())
    with pytest.raises(ValueError, match="Expected reconstruction to be one of sample, mean, posterior-mean"):
        ssim_run(run, setting="pytorch_ssim", reconstruction="mode", data=tiny_data())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window": 8}, "Expected window to be odd, so that it has a centre; got 8"),
        ({"window": 0}, "Expected window to be an integer of at least 1; got 0"),
        ({"window": 7, "sigma": 1.5}, "Expected window to be 11, for a Gaussian of sigma 1.5; got 7"),
        ({"window": 7, "sigma": -1.0}, "Expected sigma to be positive"),
        ({"window": 7, "data_range": 0.0}, "Expected data_range to be positive, or None for the images'; got 0.0"),
        ({"window": 7, "border": "reflect"}, "Expected border to be one of interior, zero; got 'reflect'"),
    ],
)
def test_bad_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        Setting(**fields)


def test_a_model_that_decodes_nothing():
    with pytest.raises(TypeError, match="Expected a model with `likelihood` for reconstruction; got Bare"):
        reconstruct(Bare(), jnp.zeros((1, 3)), KEY)


def test_the_former_name_of_a_setting_is_read():
    assert get_setting("seed002") == SETTINGS["pytorch_ssim"] != SETTINGS["wang"]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_ssim_of_colour_is_the_mean_over_its_channels(name):
    """The control: the SSIM of the channels side by side, whose windows see two of them."""
    images, others = (np.stack([v, v[:, ::-1], v**2], axis=-1) for v in (IMAGES, OTHERS))
    one = dataclasses.replace(SETTINGS[name], data_range=1.0)
    by_channel = [ssim(images[..., c], others[..., c], setting=one) for c in range(3)]
    np.testing.assert_allclose(ssim(images, others, setting=one), np.mean(by_channel, axis=0), rtol=1e-9)
    aside = [np.concatenate(np.moveaxis(v, -1, 0), axis=2) for v in (images, others)]
    assert np.abs(ssim(*aside, setting=one) - np.mean(by_channel, axis=0)).max() > 1e-3
