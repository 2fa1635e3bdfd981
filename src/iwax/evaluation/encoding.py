"""Latent codes: the mean and scale of q(z | x) of each example, and one draw of it, for each stochastic layer."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.checks import check_positive_integer
from iwax.data import Dataset, check_likelihood, is_tree, num_examples
from iwax.evaluation.centre import known
from iwax.evaluation.evaluate import test_examples
from iwax.keys import EvaluationKeys
from iwax.models import DiagonalNormal, MarkovChain, Model, Posterior

__all__ = ["Codes", "encode"]

BATCH = 200  # examples on the device at a time, each with all its draws


@dataclasses.dataclass(frozen=True)
class Codes:
    """What `encode` found: for each stochastic layer, nearest the data first, arrays (N, *event of z) of float32.

    Attributes:
        mean: E_q[z | x] of each layer; below the top of a chain of layers, the mean over what the layers below it are.
        scale: the standard deviations beside it.
        sample: one draw z ~ q(z | x) of all layers together.
        exact: for each layer whether mean and scale are those that q knows; else they are moments of draws.
        num_samples: of how many.
    """

    mean: tuple[np.ndarray, ...]
    scale: tuple[np.ndarray, ...]
    sample: tuple[np.ndarray, ...]
    exact: tuple[bool, ...]
    num_samples: int

    def to_numpy(self) -> dict[str, np.ndarray]:
        """mean, scale and sample; of several layers mean_1, mean_2 and so on, nearest the data first."""
        single = len(self.mean) == 1
        return {
            name if single else f"{name}_{number}": layer
            for name in ("mean", "scale", "sample")
            for number, layer in enumerate(getattr(self, name), 1)
        }


def encode(
    model: Model,
    data: Dataset | PyTree,
    key: PRNGKeyArray,
    *,
    binarize: str = "fixed",
    num_samples: int = 128,
) -> Codes:
    """The latent codes of examples, in their order: mean and scale of q(z | x), and a draw of it, by layer.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        data: a `Dataset`, of which the test half is used, an array (N, *event), or a pytree of arrays (N, ...), which
            reaches the model as it is.
        key: seed of the binarisation and of all samples; an example's code does not depend on those beside it.
        binarize: "fixed", "threshold", "intensities" or "none", as for `iwax.evaluate`.
        num_samples: draws of q for the moments of a layer whose mean and scale q does not know: those above the first
            of a chain, and flows. What is exact is so without them.

    Raises:
        ValueError: data that cannot be binarised.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = model.sample(jax.random.key(0), 3)
    >>> codes = encode(model, x, jax.random.key(1), binarize="none")
    >>> codes.exact, bool(np.allclose(codes.mean[0], x / 2)), bool(np.allclose(codes.scale[0] ** 2, 2 / 3))
    ((True,), True, True)
    """
    check_positive_integer("num_samples", num_samples, 2)
    keys = EvaluationKeys(key)
    x = test_examples(data, binarize, keys.binarisation)
    if not is_tree(x):
        check_likelihood(getattr(model, "real_valued", None), x, binarize)
    batches, count = [], num_examples(x)
    for start in range(0, count, BATCH):
        indices = np.minimum(np.arange(start, start + BATCH), count - 1)  # one shape; the last example again
        batch = jax.tree.map(lambda leaf, indices=indices: jnp.asarray(leaf[indices]), x)
        found = _codes(model, batch, jnp.asarray(indices), keys.codes, num_samples)
        batches.append(jax.tree.map(lambda leaf, start=start: np.asarray(leaf)[: count - start], found))
    whole = jax.tree.map(lambda *parts: np.concatenate(parts), *batches)
    exact = jax.tree.leaves(_is_exact(model, jax.tree.map(lambda leaf: jnp.asarray(leaf[:1]), x)))
    mean, scale, sample = (tuple(jax.tree.leaves(part)) for part in whole)
    return Codes(mean, scale, sample, tuple(map(bool, exact)), num_samples)


@eqx.filter_jit
def _codes(model: Model, x: PyTree, indices: Array, key: PRNGKeyArray, num_samples: int) -> tuple[PyTree, ...]:
    def of_example(x: PyTree, index: Array) -> tuple[PyTree, ...]:
        posterior = model.posterior(jax.tree.map(lambda leaf: leaf[None], x))
        z = posterior.sample(jax.random.fold_in(key, index), (num_samples,))
        moments = [(leaf.mean(axis=0), leaf.std(axis=0, ddof=1)) for leaf in jax.tree.leaves(z)]
        for number, layer in enumerate(_known_moments(posterior, z)):
            moments[number] = layer or moments[number]
        first = [leaf[0, 0] for leaf in jax.tree.leaves(z)]
        return [mean[0] for mean, _ in moments], [scale[0] for _, scale in moments], first

    return jax.vmap(of_example)(x, indices)


def _known_moments(posterior: Posterior, z: PyTree) -> list[tuple[Array, Array] | None]:
    """Mean and scale of each layer, (batch, *event), as far as q knows them."""
    if isinstance(posterior, MarkovChain):
        found = _moments(posterior.first)
        unknown: list[tuple[Array, Array] | None] = [None] * len(posterior.conditionals)
        return [*unknown, found] if posterior.top_down else [found, *unknown]
    found = _moments(posterior)
    return [found] if found is not None else [None] * len(jax.tree.leaves(z))


def _moments(density: Any) -> tuple[Array, Array] | None:
    if isinstance(density, DiagonalNormal):
        return density.loc, jnp.exp(density.log_scale)
    mean, variance = known(density, "mean"), known(density, "variance")
    if mean is None or variance is None or jnp.ndim(mean) == 0:
        return None
    return mean, jnp.sqrt(variance)


def _is_exact(model: Model, x: PyTree) -> list[bool]:
    posterior = model.posterior(x)
    z = posterior.sample(jax.random.key(0), (2,))
    return [layer is not None for layer in _known_moments(posterior, z)]
