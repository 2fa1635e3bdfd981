"""A variational autoencoder whose posterior q(z | x) is a normalising flow of flowjax, as a model of your own.

    pip install "iwax[flows]"
    python examples/flow_posterior.py        # writes the data, squares.npy
    iwax train --model examples/flow_posterior.py:make_model --dataset ./squares.npy --binarize none \
               --objective elbo --num-samples 1 --recipe burda-paper --stages 3e-3:20 --batch-size 50 --out runs/flow
    iwax evaluate runs/flow
    iwax posterior runs/flow                 # q beside the true posterior

What is seen of z are its squares, with noise, so that p(z | x) has four modes, at (±, ±). A Gaussian q takes one of
them; `make_gaussian_model` in place of `make_model` trains that. By `fit` with this recipe, seed 0, on the first 1,800
rows, the ELBO of the other 200 was -3.16 nats with the flow and -3.54 with the Gaussian.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import StandardNormal
from flowjax.flows import coupling_flow

from iwax.models import DiagonalNormal

NUM_LATENTS = 2
NUM_FEATURES = 16
NOISE = 0.3


def make_data(count=2000, seed=0):
    """Values (count, 2), float32: the squares of two standard normal numbers, with noise of standard deviation 0.3."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, NUM_LATENTS))
    return (z**2 + NOISE * rng.normal(size=z.shape)).astype(np.float32)


class FlowPosterior(eqx.Module):
    """q(z | x): a flow that is conditioned on features of x, (*batch, NUM_FEATURES). It does not know its mean."""

    flow: eqx.Module
    features: jax.Array

    def sample_and_log_prob(self, key, sample_shape=()):
        return self.flow.sample_and_log_prob(key, sample_shape, self.features)

    def sample(self, key, sample_shape=()):
        return self.flow.sample(key, sample_shape, self.features)

    def log_prob(self, z):
        return self.flow.log_prob(z, self.features)


class Squares(eqx.Module):
    """p(z) = N(0, I), and p(x | z) = N(scale * z² + shift, noise²), all three of each column learned."""

    generative: dict
    inference: tuple

    real_valued = True

    @property
    def prior(self):
        return DiagonalNormal(jnp.zeros(NUM_LATENTS), jnp.zeros(NUM_LATENTS))

    def likelihood(self, z):
        mean = self.generative["scale"] * z**2 + self.generative["shift"]
        return DiagonalNormal(mean, jnp.broadcast_to(self.generative["log_noise"], mean.shape))

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x)

    def posterior(self, x):
        network, flow = self.inference
        features = jnp.vectorize(network, signature="(n)->(m)")(x)
        if flow is None:
            return DiagonalNormal(*jnp.split(features, 2, axis=-1))
        return FlowPosterior(flow, features)


def make_model(key, data_shape):
    """Called by `iwax train`: a key, and the shape of an example."""
    network_key, flow_key = jax.random.split(key)
    flow = coupling_flow(
        flow_key,
        base_dist=StandardNormal((NUM_LATENTS,)),
        transformer=RationalQuadraticSpline(knots=8, interval=4),
        cond_dim=NUM_FEATURES,
        flow_layers=3,
        nn_width=32,
        invert=False,
    )
    return Squares(_start(), (_network(data_shape, NUM_FEATURES, network_key), flow))


def make_gaussian_model(key, data_shape):
    """The same with a Gaussian posterior, to compare."""
    return Squares(_start(), (_network(data_shape, 2 * NUM_LATENTS, key), None))


def _start():
    return {name: jnp.full(NUM_LATENTS, value) for name, value in (("scale", 1.0), ("shift", 0.1), ("log_noise", -0.7))}


def _network(data_shape, size, key):
    return eqx.nn.MLP(data_shape[0], size, 32, 1, activation=jnp.tanh, key=key)


if __name__ == "__main__":
    np.save("squares.npy", make_data())
