"""Exact expectations of the NumPyro loss that users call, by Gauss-Hermite quadrature over the guide's noise.

The noise travels as an argument of the programs, (particles, noises), and a site reads that of its own particle off
the index of the mapped axis. So `ImportanceWeightedELBO.loss` runs unchanged, once for each node of the grid.
"""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from iwax.contrib.numpyro import ImportanceWeightedELBO
from objectives.quadrature import grid


class NodeNormal(dist.Normal):
    """A normal distribution whose draws come from the noise that is passed."""

    pytree_data_fields = ("noise",)

    def __init__(self, loc, scale, noise):
        self.noise = noise
        super().__init__(loc, scale)

    def sample(self, key, sample_shape=()):
        return self.loc + self.scale * self.noise[_particle()]


def _particle():
    try:
        return jax.lax.axis_index("particle")
    except NameError:  # the one run outside of all particles, which reads off the programs' structure
        return 0


def map_over_particles(function, keys):
    return jax.vmap(function, axis_name="particle")(keys)


def expectation(model, guide, params, objective, num_nodes, num_noises=1):
    """E[bound] and the expected gradient of the estimator, by ascent."""
    loss = ImportanceWeightedELBO(objective, vectorize_particles=map_over_particles)
    nodes, weights = grid(num_nodes, objective.total_samples * num_noises)
    noise = jnp.asarray(nodes.reshape(len(nodes), objective.total_samples, num_noises))

    @jax.jit
    @jax.value_and_grad
    def expected_loss(params):
        node_loss = jax.vmap(lambda noise: loss.loss(jax.random.key(0), params, model, guide, noise))
        return jnp.sum(weights * node_loss(noise))

    value, gradient = expected_loss(jax.tree.map(jnp.asarray, params))
    return -float(value), {name: -float(leaf) for name, leaf in gradient.items()}
