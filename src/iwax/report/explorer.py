"""A decoder as text that a web page can hold: half-precision weights in base64, and what its sliders need."""

import base64
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from iwax.errors import IwaxTypeError
from iwax.evaluation import ACTIVE, unit_variances
from iwax.figures import image_shape
from iwax.keys import EvaluationKeys
from iwax.models import VAE, BernoulliBlock, Dense, GaussianBlock, Model

__all__ = ["is_explorable", "pack"]

SLIDERS = 12  # of the most active units
PRIOR_DRAWS = 2000  # for the ranges of layers below the top


def is_explorable(model: Model) -> bool:
    """Whether `pack` takes it: a VAE of binary or grey images."""
    return isinstance(model, VAE) and isinstance(model.generative[-1], BernoulliBlock)


def pack(model: VAE, x: np.ndarray, key: jax.Array, *, num_images: int = 10) -> dict[str, Any]:
    """What the page's decoder needs, as JSON.

    Arguments:
        model: with a Bernoulli likelihood.
        x: test images (N, pixels), (N, height, width) or (N, height, width, channels), binarised; the order of the
            sliders is that of the units' A_u over them. Pixels without a shape are a square, if they can be one.
        key: for the averages over q, and the ranges of the sliders below the top layer.
        num_images: how many of them the page offers to start from, at the means of q.

    Raises:
        TypeError: a model of another kind.
    """
    if not is_explorable(model):
        raise IwaxTypeError(
            f"Expected the explorer's model to be an iwax.VAE of binary data; got {type(model).__name__}. Others are "
            "left out of the page."
        )
    variances = unit_variances(model, x, EvaluationKeys(key).units)
    layers = [
        _layer(layer, centre, spread)
        for layer, (centre, spread) in zip(variances, _ranges(model, EvaluationKeys(key).explorer), strict=True)
    ]
    height, width, channels = _shape(np.shape(x)[1:], model.data_size)
    shown = np.asarray(x).reshape(len(x), -1)[:num_images]
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "blocks": [_block(block) for block in model.generative],
        "layers": layers,
        "images": [_bits(image) for image in shown],
        "means": [[_floats(row) for row in layer] for layer in _means(model, shown)],
    }


def _shape(example: tuple[int, ...], size: int) -> tuple[int, int, int]:
    """Height, width and channels, 1 or 3, of the picture of an example; values of another kind stand in a row."""
    if len(example) in (2, 3) and (channels := ([*example, 1])[2]) in (1, 3):
        return example[0], example[1], channels
    return (*image_shape(size), 1)


def _layer(variances: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> dict[str, Any]:
    """The sliders of a layer: its most active units, each from three standard deviations below to three above.

    If all of these are active and others are not, the deadest of these comes last, to be seen moving nothing.
    """
    every = np.argsort(-variances)
    order = every[:SLIDERS]
    if variances[order[-1]] > ACTIVE >= variances[every[-1]]:
        order = np.append(order, every[-1])
    return {
        "size": len(variances),
        "active": int(np.sum(variances > ACTIVE)),
        "units": order.tolist(),
        "activity": [round(float(value), 4) for value in variances[order]],
        "low": [round(float(value), 3) for value in (centre - 3 * spread)[order]],
        "high": [round(float(value), 3) for value in (centre + 3 * spread)[order]],
    }


def _ranges(model: VAE, key: jax.Array) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and standard deviation of every unit under the prior, layer by layer; exactly 0 and 1 at the top."""
    top = model.latent_sizes[-1]
    if len(model.latent_sizes) == 1:
        return [(np.zeros(top), np.ones(top))]
    lower = [np.asarray(layer) for layer in model.prior.sample(key, (PRIOR_DRAWS,))[:-1]]
    return [*((layer.mean(axis=0), layer.std(axis=0)) for layer in lower), (np.zeros(top), np.ones(top))]


def _means(model: VAE, x: np.ndarray) -> list[np.ndarray]:
    """q's mean of each layer given that of the layer below, (N, units)."""
    below, means = jnp.asarray(x, jnp.float32), []
    for block in model.inference:
        below = block(below).mean
        means.append(np.asarray(below))
    return means


def _block(block: GaussianBlock | BernoulliBlock) -> dict[str, Any]:
    layers = {"trunk": [_dense(layer) for layer in block.trunk.layers], "activation": block.trunk.activation}
    if isinstance(block, GaussianBlock):
        heads = {"loc": _dense(block.loc), "scale": _dense(block.scale), "scale_map": block.scale_map}
        return layers | {"heads": heads}
    return layers | {"heads": {"logits": _dense(block.logits)}}


def _dense(layer: Dense) -> dict[str, Any]:
    """x @ weight + bias: the weight (inputs, outputs) row by row."""
    return {"inputs": layer.weight.shape[0], "weight": _floats(layer.weight), "bias": _floats(layer.bias)}


def _floats(values: Any) -> str:
    """Half-precision numbers, little-endian, in base64."""
    return base64.b64encode(np.asarray(values, "<f2").tobytes()).decode()


def _bits(image: np.ndarray) -> str:
    """An image as bytes of 0 to 255, in base64."""
    return base64.b64encode(np.round(255 * np.clip(image, 0, 1)).astype(np.uint8).tobytes()).decode()
