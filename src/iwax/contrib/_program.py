"""A NumPyro model with its guide, run on the guide's draws, and the log-densities that such a run adds up.

Runs with the same key draw the same numbers, whatever is put in the place of parameters and draws.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree
from numpyro.handlers import seed, substitute, trace

from iwax.contrib._plates import Layout, Site, Trace, is_delta, plate_ratio, plate_sizes, sample_sites
from iwax.errors import IwaxError

__all__ = ["Program", "seed_plates", "terms"]


@dataclasses.dataclass(frozen=True)
class Program:
    """A model and its guide; runs with the same key draw the same numbers, whatever is substituted."""

    model: Callable[..., Any]
    guide: Callable[..., Any]

    def run(self, key: PRNGKeyArray, inputs: PyTree, draws: dict[str, Array]) -> tuple[Trace, Trace]:
        """Traces of model and guide at these inputs (parameters, args, kwargs), with `draws` put in place."""
        params, args, kwargs = inputs
        guide_trace = self.run_guide(key, inputs, draws)
        drawn = {
            name: site["value"]
            for name, site in guide_trace.items()
            if site["type"] == "plate" or (site["type"] == "sample" and not site["is_observed"])
        }
        model = seed(self.model, jax.random.split(key)[0])
        return trace(substitute(model, {**params, **drawn})).get_trace(*args, **kwargs), guide_trace

    def run_guide(self, key: PRNGKeyArray, inputs: PyTree, draws: dict[str, Array]) -> Trace:
        """Substituting outside of the seed keeps the keys of all other sites as they were."""
        params, args, kwargs = inputs
        guide = seed(self.guide, jax.random.split(key)[1])
        return trace(substitute(guide, {**params, **draws})).get_trace(*args, **kwargs)


def seed_plates(program: Callable[..., Any], key: PRNGKeyArray) -> Callable[..., Any]:
    """The program with its subsamples drawn, the same for all particles and runs."""
    return seed(program, key, hide_types=["sample", "prng_key", "control_flow"])


def terms(traces: tuple[Trace, Trace], layout: Layout) -> tuple[Array, Array]:
    """num and log q, one value for each element of the layout's plates."""
    model_trace, guide_trace = traces
    num = log_q = jnp.zeros(())
    for name, site in sample_sites(model_trace).items():
        num += _log_prob(name, site, site, plate_sizes(model_trace), layout)
    for name, site in sample_sites(guide_trace).items():
        place = model_trace[name] if is_delta(site) and name in model_trace else site
        log_prob = _log_prob(name, site, place, plate_sizes(guide_trace), layout)
        num, log_q = (num, log_q + log_prob) if name in layout.random else (num - log_prob, log_q)
    return num, log_q


def _log_prob(name: str, site: Site, place: Site, sizes: dict[str, tuple[int, int]], layout: Layout) -> Array:
    """The scaled log-density of a site, without the scale of the layout's plates, summed down to them.

    Arguments:
        place: the site whose plates say where the density belongs.
    """
    if isinstance(site["value"], list | tuple):
        raise IwaxError(
            f"Expected the value of site {name!r} to be an array; got a {type(site['value']).__name__}. Pass the data "
            "as jnp.asarray(...)."
        )
    try:
        extra = [site["intermediates"]] if site["intermediates"] else []
        log_prob = site["fn"].log_prob(site["value"], *extra)
    except NotImplementedError as error:
        raise IwaxError(
            f"Expected a distribution that can evaluate the density of any value, which this estimator needs; got "
            f"{type(site['fn']).__name__} at site {name!r}, whose transform has no inverse. Use "
            "gradient='reparameterized'."
        ) from error
    except (TypeError, ValueError) as error:  # of shapes that do not broadcast
        raise IwaxError(
            f"Expected a value of site {name!r} that fits its distribution and plates, {site['fn'].shape()}; got shape "
            f"{jnp.shape(site['value'])}. Check the sizes of plates and data."
        ) from error
    own = {frame.name for frame in site["cond_indep_stack"]}
    if site["scale"] is not None:
        log_prob *= site["scale"] / math.prod(plate_ratio(sizes, plate) for plate in layout.plates if plate in own)
    dims = {frame.name: frame.dim for frame in place["cond_indep_stack"]}
    kept = [log_prob.ndim + dims[plate] for plate in layout.plates]
    others = [axis for axis in range(log_prob.ndim) if axis not in kept]
    return jnp.sum(jnp.transpose(log_prob, [*kept, *others]), axis=tuple(range(len(kept), log_prob.ndim)))
