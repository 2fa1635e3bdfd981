"""What stands for a density in a picture: its mean; where that is not known or not finite, its mode, or draws of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from iwax.errors import IwaxTypeError

__all__ = ["CENTRES", "centre", "centre_of", "known", "known_mean"]

DRAWS = 65  # odd, so that the middle one of them is a value that was drawn
MEAN, MODE, MEAN_OF_DRAWS, MEDIAN_OF_DRAWS = CENTRES = (
    "mean",
    "mode",
    f"mean of {DRAWS} draws",
    f"median of {DRAWS} draws",
)


def centre_of(density: Any) -> str:
    """Which of CENTRES stands for p(x | z), by one look at it: the first of these that there is and is finite.

    A mean that is not finite is that of a category, or of heavy tails; then the mean of draws would be no better, and
    their median is taken.

    Raises:
        TypeError: it has neither a mean, nor a mode, nor draws.
    """
    mean = known_mean(density)
    if mean is not None and _is_finite(mean):
        return MEAN
    mode = _known_mode(density)
    if mode is not None and _is_finite(mode):
        return MODE
    if not hasattr(density, "sample"):
        raise IwaxTypeError(
            "Expected p(x | z) to have a `mean`, which is what pictures and SSIM show, a `mode`, or `sample(key)`; got "
            f"a {type(density).__name__} that has none. Let `likelihood(z)` return a density with one of these."
        )
    return MEAN_OF_DRAWS if mean is None else MEDIAN_OF_DRAWS


def centre(density: Any, how: str, key: PRNGKeyArray) -> Array:
    """What `centre_of` has chosen, of p(x | z): (*batch of z, *event). Can be traced."""
    if how == MEAN:
        return density.mean
    if how == MODE:
        mode = _known_mode(density)
        assert mode is not None  # `centre_of` has seen it
        return mode
    draws = jax.vmap(density.sample)(jax.random.split(key, DRAWS))
    if how == MEAN_OF_DRAWS:
        return jnp.mean(draws, axis=0)
    return jnp.sort(draws, axis=0)[DRAWS // 2]


def known_mean(density: Any) -> PyTree | None:
    """The mean of a density; None for one that does not know it: without a `mean`, or with one that is not implemented.

    Flows in NumPyro and distrax have the attribute, and raise NotImplementedError.
    """
    return known(density, "mean")


def known(density: Any, name: str) -> PyTree | None:
    """Its `mean`, `mode` or `variance` by name; None as above."""
    try:
        return getattr(density, name)
    except NotImplementedError:
        return None
    except AttributeError as error:
        if error.name != name:  # a fault within the property
            raise
        return None


def _known_mode(density: Any) -> Array | None:
    """The mode where the density has one, or is a category; NumPyro's Independent passes on what is within it."""
    mode = known(density, "mode")
    inner = getattr(density, "base_dist", density)
    if mode is None and type(inner).__name__.startswith("Categorical"):
        return jnp.argmax(inner.logits, axis=-1).astype(jnp.float32)
    return mode


def _is_finite(value: PyTree) -> bool:
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(value))
