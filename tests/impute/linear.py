"""A linear-Gaussian table model, whose answers with missing values are all known in closed form; computed in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from iwax.impute.columns import Column
from iwax.impute.model import LEAST_SCALE, TableModel

W = np.array([[1.0, 0.5], [-0.8, 0.9], [0.3, -1.2], [0.7, 0.7]])
OFFSET = np.array([0.5, -1.0, 0.0, 2.0])
NOISE = np.array([0.5, 0.4, 0.6, 0.3])


def linear_model(weight=W, offset=OFFSET, noise=NOISE, missingness="ignorable", pull=0.2, columns=None):
    """p(x | z) = N(W z + offset, diag noise^2), and q(z | x) = N(pull W^T (x where observed), I): too broad."""
    columns = columns or tuple(Column(f"c{j}", "gaussian") for j in range(len(weight)))
    size, latent = weight.shape
    model = TableModel(columns, latent_size=latent, hidden_sizes=(), key=jax.random.key(0), missingness=missingness)
    decoder, encoder = model.generative.decoder.network.layers[0], model.inference.layers[0]
    raw = np.log(np.expm1(noise - LEAST_SCALE))  # whose softplus is the scale
    pulled = np.concatenate([pull * weight, np.zeros((size, latent))], axis=1)
    values = [
        (lambda m: m.generative.decoder.network.layers[0].weight, np.concatenate([weight.T, 0 * weight.T], axis=1)),
        (lambda m: m.generative.decoder.network.layers[0].bias, np.concatenate([offset, raw])),
        (lambda m: m.inference.layers[0].weight, np.concatenate([pulled, np.zeros_like(pulled)])),
        (lambda m: m.inference.layers[0].bias, np.zeros(2 * latent)),
    ]
    assert decoder.weight.shape == (latent, 2 * size)
    assert encoder.weight.shape == (2 * size, 2 * latent)
    for where, value in values:
        model = eqx.tree_at(where, model, jnp.asarray(value, jnp.float32))
    return model


def table(num_rows, seed=0, missing=0.4):
    """Complete values drawn from the model, and a mask; every row keeps a value."""
    rng = np.random.default_rng(seed)
    full = rng.normal(size=(num_rows, W.shape[1])) @ W.T + OFFSET + NOISE * rng.normal(size=(num_rows, len(W)))
    mask = rng.random(full.shape) >= missing
    mask[~mask.any(axis=1), 0] = True
    return full, mask


def as_x(full, mask):
    return {"values": np.where(mask, full, 0).astype(np.float32), "mask": mask}


def conditional(full, mask):
    """Of one row: log p(x_obs) in nats, and mean and covariance of what is missing."""
    covariance = W @ W.T + np.diag(NOISE**2)
    seen, hidden = np.flatnonzero(mask), np.flatnonzero(~mask)
    inner = covariance[np.ix_(seen, seen)]
    residual = full[seen] - OFFSET[seen]
    log_p = -0.5 * (residual @ np.linalg.solve(inner, residual) + np.linalg.slogdet(2 * np.pi * inner)[1])
    gain = np.linalg.solve(inner, covariance[np.ix_(seen, hidden)]).T
    mean = OFFSET[hidden] + gain @ residual
    return log_p, mean, covariance[np.ix_(hidden, hidden)] - gain @ covariance[np.ix_(seen, hidden)]
