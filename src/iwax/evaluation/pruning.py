"""What becomes of a model's likelihood without some of its latent units: a claim of inactivity, put to the test."""

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.errors import IwaxError
from iwax.evaluation.units import chain_of, check_prior, given_below, layers_of, units_of
from iwax.keys import stream
from iwax.models import FactorizedModel, Model, Posterior

__all__ = ["PrunedModel", "prune"]


def prune(model: Model, active: tuple[np.ndarray, ...]) -> "PrunedModel":
    """The model with its inactive units drawn from the prior, given the layers above, instead of the posterior.

    A draw of q', for active units a and inactive units i of each layer:

        z~_1, ..., z~_L ~ q(z | x);  z_l,a = z~_l,a;  then from the top, z_l,i ~ p(z_l,i | z_l+1)

    The layers above still see the z~_i they were inferred from. These are auxiliary variables; giving the target their
    own density prod_l q(z~_l,i | z~_l-1), which integrates to one, cancels them from the weight

        w = p(x, z) / (prod_l q(z_l,a | z~_l-1) p(z_l,i | z_l+1)),     E[w] = p(x)

    so that every bound made of these weights remains a lower bound on log p(x), for any choice of units. With one layer
    there are none, and q' = q(z_a | x) p(z_i).

    Arguments:
        model: has `prior`; within a layer, given its neighbours, units are independent in q and in p.
        active: for each stochastic layer, which units stay, booleans (units,): such as those whose `unit_variances` are
            above `ACTIVE`.

    Raises:
        TypeError: the model has no `prior`, or its layers are no distributions of this library.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = jnp.ones((1, 2))
    >>> float(iwax.log_likelihood(prune(model, (np.zeros(2, bool),)), x, jax.random.key(0))[0])  # from the prior alone
    -3.0...
    """
    check_prior(model)
    return PrunedModel(model, tuple(tuple(np.flatnonzero(layer).tolist()) for layer in active))


class PrunedModel(eqx.Module):
    """What `prune` returns; its posterior can be drawn from, with the weight's denominator, and no more."""

    model: Model
    active: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def posterior(self, x: PyTree) -> "_PrunedPosterior":
        return _PrunedPosterior(self.model.posterior(x), cast(FactorizedModel, self.model).prior, self.active)

    def log_joint(self, x: PyTree, z: PyTree) -> Float[Array, "samples ..."]:
        """log p(x, z) in nats."""
        return self.model.log_joint(x, z)


class _PrunedPosterior(eqx.Module):
    posterior: Posterior
    prior: Any
    active: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> PyTree:
        """Draws z."""
        return self.sample_and_log_prob(key, sample_shape)[0]

    def log_prob(self, z: PyTree) -> Array:
        raise NotImplementedError("The denominator of a pruned model's weight is known together with its draw only.")

    def sample_and_log_prob(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> tuple[PyTree, Array]:
        """Draws z, and log of the denominator of w. Active units have the noise that the posterior alone would have."""
        drawn = self.posterior.sample(key, sample_shape)
        layers = layers_of(drawn)
        if len(layers) != len(self.active):
            raise IwaxError(f"Expected active units of {len(layers)} stochastic layers; got {len(self.active)}.")
        top, downwards = chain_of(self.prior)
        inferred = given_below(self.posterior, layers)
        log_prob, above = jnp.zeros(layers[0].shape[:-1]), None
        for i in reversed(range(len(layers))):
            density = top if above is None else downwards[len(layers) - 2 - i](above)
            fresh_key = jax.random.fold_in(stream(key, "prior of dropped units"), i)
            fresh = density.sample(fresh_key, layers[i].shape[:-1] if above is None else ())
            kept = np.array(self.active[i], dtype=int)
            dropped = np.setdiff1d(np.arange(layers[i].shape[-1]), kept)
            above = layers[i] = layers[i].at[..., dropped].set(fresh[..., dropped])
            log_prob += units_of(inferred[i], kept).log_prob(above[..., kept])
            log_prob += units_of(density, dropped).log_prob(above[..., dropped])
        return (tuple(layers) if isinstance(drawn, tuple) else layers[0]), log_prob
