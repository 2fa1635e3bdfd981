"""The page's decoder in JavaScript is the model's own, within the precision of its weights."""

import json
import shutil
import subprocess
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax.report
from iwax.models.vae import VAE
from iwax.report.explorer import pack
from iwax.report.page import TEMPLATES

NODE = shutil.which("node")
CASES = {
    "one": {"latent_sizes": [3], "hidden_sizes": [[7, 5]]},
    "two": {"latent_sizes": [4, 2], "hidden_sizes": [[7, 6], [5]], "activation": "silu", "scale_map": "softplus"},
    "three": {"latent_sizes": [4, 3, 2], "hidden_sizes": [[6], [5], [4]], "activation": "relu"},
}
PROGRAM = """
const Decoder = require(process.argv[1]);
const { packed, z, noise, layer } = JSON.parse(require("fs").readFileSync(0));
const model = Decoder.unpack(packed);
const images = z.map((one, i) => Array.from(Decoder.decode(model, one, noise[i], layer)));
const means = model.means.map((layer) => layer[0]);
const noises = Decoder.noises(model, means);
const back = Decoder.decode(model, means.map((one) => one.slice()), noises, layer);
const direct = Decoder.decode(model, means.map((one) => one.slice()), noises, 0);
console.log(JSON.stringify({ images, back: Array.from(back), direct: Array.from(direct) }));
"""


def small(name, seed=0):
    return VAE(9, **CASES[name], key=jax.random.key(seed), init="torch")


def zero_variances(model, x, key):
    return tuple(np.zeros(size) for size in model.latent_sizes)


def half(model):
    """The model as the page holds it."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float16).astype(leaf.dtype) if eqx.is_array(leaf) else leaf, model)


def decoded(model, z, noise):
    """Mean of p(x | z_1) for top latents z, and standard normal noise for the layers below."""
    z = jnp.asarray(z)
    for block, eps in zip(model.generative[:-1], reversed(noise), strict=True):
        z = block(z).from_noise(jnp.asarray(eps))[0]
    return np.asarray(model.generative[-1](z).mean)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_decodes_as_the_model_does(name, monkeypatch):
    monkeypatch.setattr("iwax.report.explorer.unit_variances", zero_variances)  # half the time, and not of the decoder
    model, rng = small(name), np.random.default_rng(0)
    sizes = model.latent_sizes
    z = rng.normal(size=(20, sizes[-1])).astype(np.float32)
    noise = [rng.normal(size=(20, size)).astype(np.float32) for size in sizes[:-1]]
    packed = pack(model, rng.integers(0, 2, (6, 9)).astype(np.float32), jax.random.key(1), num_images=2)
    blank = [[0.0] * size for size in sizes[:-1]]
    request = {
        **{"packed": packed, "layer": len(sizes) - 1, "z": [[*blank, row.tolist()] for row in z]},
        "noise": [[*(layer[i].tolist() for layer in noise), [0.0] * sizes[-1]] for i in range(20)],
    }
    command = [NODE, "-e", PROGRAM, str(TEMPLATES / "decoder.js")]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    np.testing.assert_allclose(answer["images"], decoded(half(model), z, noise), atol=2e-6)
    np.testing.assert_allclose(answer["images"], decoded(model, z, noise), atol=3e-3)
    np.testing.assert_allclose(answer["back"], answer["direct"], atol=1e-12)  # noises() undoes decode()
    other = decoded(half(small(name, seed=1)), z, noise)  # a test that another decoder passes would be none
    assert np.abs(np.asarray(answer["images"]) - other).max() > 0.05


@pytest.mark.slow
def test_sliders_are_the_units_that_vary_most():
    model = eqx.tree_at(lambda m: m.inference[0].loc.weight, small("one"), replace_fn=lambda w: 20 * w)
    x = np.random.default_rng(0).integers(0, 2, (200, 9)).astype(np.float32)
    means = np.asarray(model.inference[0](jnp.asarray(x)).mean)
    (layer,) = pack(model, x, jax.random.key(0))["layers"]
    assert layer["units"] == np.argsort(-means.var(axis=0)).tolist()
    np.testing.assert_allclose(layer["activity"], np.sort(means.var(axis=0))[::-1], rtol=0.1)
    assert (layer["low"], layer["high"]) == ([-3.0] * 3, [3.0] * 3)


@pytest.mark.parametrize(
    ("example", "shape"), [((9,), (3, 3, 1)), ((9, 1), (9, 1, 1)), ((1, 3, 3), (1, 3, 3)), ((1, 9, 1), (1, 9, 1))]
)
def test_a_picture_has_the_shape_of_the_examples_and_is_a_square_only_where_they_have_none(example, shape, monkeypatch):
    monkeypatch.setattr("iwax.report.explorer.unit_variances", zero_variances)
    monkeypatch.setattr("iwax.report.explorer._means", lambda model, x: [])
    packed = pack(small("one"), np.zeros((2, *example), np.float32), jax.random.key(0), num_images=2)
    assert (packed["height"], packed["width"], packed["channels"]) == shape


def test_grey_models_only():
    model = VAE(9, [2], [[3]], key=jax.random.key(0), likelihood="gaussian")
    with pytest.raises(TypeError, match=r"Expected the explorer's model to be an iwax.VAE of binary data; got VAE."):
        pack(model, np.zeros((2, 9)), jax.random.key(0))


def test_the_templates_are_in_the_package():
    assert {path.name for path in TEMPLATES.iterdir()} == {
        *("page.html", "page.css", "page.js", "decoder.js"),
        "imputation.html",
    }
    assert TEMPLATES.is_relative_to(Path(iwax.report.__file__).parent)
