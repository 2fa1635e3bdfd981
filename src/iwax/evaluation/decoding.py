"""What a model's likelihood makes of latent variables: images of its own, and reconstructions.

Both are means of p(x | z), no draws from it: for z from the prior they are the usual pictures of samples, for z from
q(z | x) reconstructions. Where p(x | z) has no mean, `shown` says what stands for it: its mode, or that of draws.
"""

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.checks import check_choice, check_positive_integer
from iwax.errors import IwaxError, IwaxTypeError
from iwax.evaluation.centre import CENTRES, centre, centre_of, known_mean
from iwax.evaluation.streaming import count_examples
from iwax.keys import check_key, stream
from iwax.models import FactorizedModel, MarkovChain, Model, Posterior

__all__ = ["CENTRES", "RULES", "having", "known_mean", "reconstruct", "sample_images", "sample_values", "shown"]

RULES = ("sample", "mean", "posterior-mean")
REMEDY = "Let `likelihood(z)` return a density whose `mean` is what is to be shown, such as its mode."
BATCH = 500  # examples reconstructed at a time


def sample_images(model: Model, num_images: int, key: PRNGKeyArray) -> Float[np.ndarray, "num_images data"]:
    """Means of p(x | z) for z drawn from the prior, (num_images, pixels); what `shown` says where there is no mean.

    Raises:
        TypeError: a model without a prior or a likelihood, or one whose likelihood has neither mean, mode nor draws.
        ValueError: a mean that is not finite.
    """
    factors = having(model, "sampling", "prior", "likelihood")
    density = factors.likelihood(factors.prior.sample(key, (num_images,)))
    how = centre_of(density)
    return _finite(np.asarray(centre(density, how, stream(key, "samples given z"))), density)


def sample_values(model: Model, num_images: int, key: PRNGKeyArray) -> Float[np.ndarray, "num_images data"]:
    """Draws of p(x | z) for the same z as `sample_images` has, (num_images, pixels): noise, counts and all.

    Raises:
        TypeError: a model without a prior or a likelihood.
    """
    factors = having(model, "sampling", "prior", "likelihood")
    density = factors.likelihood(factors.prior.sample(key, (num_images,)))
    return np.asarray(density.sample(stream(key, "samples given z")), np.float32)


def shown(model: Model, x: PyTree | None = None) -> str:
    """What stands for p(x | z) in pictures and SSIM, one of CENTRES: "mean", or what there is in its place.

    Arguments:
        model: with `likelihood(z)`.
        x: an example or more as the model takes them, whose z is looked at; z from the prior if left out.
    """
    key = jax.random.key(0)
    factors = having(model, "pictures", "likelihood", *(("prior",) if x is None else ()))
    if x is None:
        return centre_of(factors.likelihood(factors.prior.sample(key, (1,))))
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf[:1]), x)
    return centre_of(factors.likelihood(model.posterior(first).sample(key, (1,))))


def reconstruct(
    model: Model,
    x: Float[np.ndarray | Array, "n ..."],
    key: PRNGKeyArray,
    *,
    rule: str = "sample",
    num_samples: int = 100,
) -> Float[np.ndarray, "n data"]:
    """What the model makes of examples: means of p(x | z), float32, (N, data); what `shown` says without a mean.

    Arguments:
        model: needs `likelihood(z)`.
        x: examples as the model takes them, (N, *event).
        key: seed of the samples; an example's reconstruction does not depend on those beside it.
        rule: "sample", decoded from one z ~ q(z | x); "mean", the mean of what `num_samples` of them decode to, the
            posterior predictive mean; "posterior-mean", decoded from the mean of q(z | x), by layer: that of
            `num_samples` draws, where q does not know its mean, as a chain of layers or a flow.
        num_samples: draws for the last two.

    Raises:
        ValueError: an unknown rule, or a mean of p(x | z) that is not finite.
        TypeError: a model without a likelihood, or one whose likelihood has neither mean, mode nor draws.
    """
    factors = having(model, "reconstruction", "likelihood")
    check_key(key)
    check_choice("reconstruction", rule, RULES)
    check_positive_integer("num_samples", num_samples)
    how = shown(model, x)
    batches = []
    for start in range(0, count_examples(x), BATCH):
        indices = jnp.arange(start, min(start + BATCH, len(x)))
        batches.append(np.asarray(_decoded(model, jnp.asarray(x)[indices], indices, key, rule, num_samples, how)))
    decoded = np.concatenate(batches)
    if not np.isfinite(decoded).all():
        _finite(decoded, factors.likelihood(model.posterior(jnp.asarray(x)[:1]).sample(key, (1,))))
    return decoded


@eqx.filter_jit
def _decoded(model: Model, x: Array, indices: Array, key: PRNGKeyArray, rule: str, num_samples: int, how: str) -> Array:
    def of_example(x: Array, index: Array) -> Array:
        posterior, example_key = model.posterior(x[None]), jax.random.fold_in(key, index)
        if rule == "posterior-mean":
            z = _posterior_mean(posterior, example_key, num_samples)
        else:
            z = posterior.sample(example_key, (1 if rule == "sample" else num_samples,))
        density = cast(FactorizedModel, model).likelihood(z)
        return jnp.mean(centre(density, how, stream(example_key, "samples given z")), axis=(0, 1))

    return jax.vmap(of_example)(x, indices)


def _posterior_mean(posterior: Posterior, key: PRNGKeyArray, num_samples: int) -> PyTree:
    """E_q[z] of every layer, with a leading axis of one."""
    if isinstance(posterior, MarkovChain) and not posterior.conditionals:
        return posterior.first.mean[None]
    mean = known_mean(posterior)
    if mean is not None:
        return jax.tree.map(lambda leaf: leaf[None], mean)
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0, keepdims=True), posterior.sample(key, (num_samples,)))


def _finite(means: np.ndarray, density: Any) -> np.ndarray:
    """The same, unless some are NaN or infinite: the mean of a category or of a Cauchy density is no picture."""
    if np.isfinite(means).all():
        return means
    inner = getattr(density, "base_dist", density)  # of NumPyro's Independent
    raise IwaxError(
        "Expected p(x | z) to have a finite `mean`, which is what pictures and SSIM show; got "
        f"{means[~np.isfinite(means)][0]} from {type(inner).__name__}. {REMEDY}"
    )


def having(model: Model, what: str, *names: str) -> Any:
    """The model; raises TypeError for one without the optional members that `what` needs."""
    missing = [f"`{name}`" for name in names if not hasattr(model, name)]
    if missing:
        raise IwaxTypeError(f"Expected a model with {' and '.join(missing)} for {what}; got {type(model).__name__}.")
    return model
