"""Which sites of a NumPyro model and guide share an importance weight, and which programs have none to share.

A plate that holds every site splits the bound into a sum: one weight for each of its elements. All other plates are
summed inside a weight. This is read off two traces, before any number is computed.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
import numpyro.distributions as dist
from numpyro.infer.autoguide import AutoSemiDAIS, AutoSurrogateLikelihoodDAIS
from numpyro.util import check_model_guide_match

from iwax.errors import IwaxError
from iwax.objectives import PATH_ONLY, REPARAMETERIZED, SCORE_FUNCTION, AbstractObjective

__all__ = [
    "Layout",
    "Site",
    "Trace",
    "check_guide_class",
    "check_guide_densities",
    "is_delta",
    "plate_ratio",
    "plate_sizes",
    "read_layout",
    "sample_sites",
]

Site = dict[str, Any]
Trace = dict[str, Site]


class Layout(NamedTuple):
    """How the terms of a program are gathered into log-weights."""

    random: tuple[str, ...]
    """The guide's random sites: neither observed nor Delta."""
    plates: tuple[str, ...]
    """There is one weight for each element of these plates; one for everything where there is none."""
    scale: float
    """Elements of these plates for each one that was drawn: 1 without subsampling."""


class Place(NamedTuple):
    """A site as the rule sees it."""

    label: str
    plates: frozenset[str]
    latent: bool


def read_layout(model_trace: Trace, guide_trace: Trace, *, joint: bool, linear: bool) -> Layout:
    """The layout of a program, from one trace of the model and one of the guide.

    Arguments:
        joint: one weight for all sites, whatever the plates.
        linear: the bound is a mean of log-weights, for which it makes no difference who shares a weight.

    Raises:
        ValueError: a site has no place in an importance weight; names it.
    """
    _check_sites(model_trace, guide_trace)
    random = tuple(name for name, site in sample_sites(guide_trace).items() if _is_random(site))
    _check_match(model_trace, guide_trace, random)
    places = _places(model_trace, guide_trace, random)
    _check_sizes(plate_sizes(model_trace), plate_sizes(guide_trace))
    sizes = plate_sizes(model_trace) | plate_sizes(guide_trace)
    common = frozenset.intersection(*(place.plates for place in places))
    if not linear:
        common = frozenset() if joint else common
        for plate in sorted(frozenset().union(*(place.plates for place in places)) - common):
            _check_split_plate(plate, places, sizes, joint)
    plates = tuple(sorted(common))
    return Layout(random, plates, math.prod(plate_ratio(sizes, plate) for plate in plates))


def sample_sites(trace: Trace) -> Trace:
    """The sites of densities, by name."""
    return {name: site for name, site in trace.items() if site["type"] == "sample"}


def is_delta(site: Site) -> bool:
    """Whether the site's value is a function of what came before: no random variable."""
    return any(isinstance(fn, dist.Delta) for fn in _layers(site["fn"]))


def plate_sizes(trace: Trace) -> dict[str, tuple[int, int]]:
    """{plate: (size, number of elements drawn)}."""
    return {name: (site["args"][0], len(site["value"])) for name, site in trace.items() if site["type"] == "plate"}


def plate_ratio(sizes: dict[str, tuple[int, int]], plate: str) -> float:
    """Elements of a plate for each one drawn; a plate made outside the program cannot be subsampled."""
    size, drawn = sizes.get(plate, (1, 1))
    return size / drawn


def check_guide_densities(
    model_trace: Trace, guide_trace: Trace, random: tuple[str, ...], objective: AbstractObjective
) -> None:
    """Refuses guide sites for which the objective's gradient estimator would be wrong or undefined.

    The plain gradient differentiates log-weights as they are. All others use an identity of the density that the
    draws come from, so the density in the weight must be that one: neither scaled nor masked.

    Raises:
        ValueError: names the site.
    """
    gradient = objective.gradient
    is_free = gradient == REPARAMETERIZED or (gradient in PATH_ONLY and objective.has_constant_weights)
    for name in random:
        site = guide_trace[name]
        if gradient != SCORE_FUNCTION and not site["fn"].has_rsample:
            raise IwaxError(
                f"Expected guide sites with reparameterized samples for gradient={gradient!r}; got "
                f"{_kind(site['fn'])} at site {name!r}. Use an objective with a score-function gradient, such "
                "as iwax.objectives.VIMCO."
            )
        if not is_free and _is_scaled(site, guide_trace):
            raise IwaxError(
                f"Expected guide sites without handlers.scale for gradient={gradient!r}, since draws do not come from "
                f"the scaled density; got site {name!r}. Use gradient='reparameterized'."
            )
        if not is_free and _is_masked(site) and not (name in model_trace and _is_masked(model_trace[name])):
            raise IwaxError(
                f"Expected guide sites masked as in the model for gradient={gradient!r}, since draws do not come from "
                f"the masked density; got site {name!r}. Mask the model's site too, or use gradient='reparameterized'."
            )


def check_guide_class(guide: Any) -> None:
    """Refuses the automatic guides whose weights have not been derived."""
    if isinstance(guide, AutoSemiDAIS | AutoSurrogateLikelihoodDAIS):
        raise IwaxError(
            f"Expected a guide whose sites are the model's; got {type(guide).__name__}, which is not supported: its "
            "local or surrogate densities have no importance weight of their own yet. Use another automatic guide."
        )


def _layers(fn: Any) -> list[Any]:
    """A distribution and those that it wraps (expanded, masked, transformed, ...)."""
    layers = [fn]
    while hasattr(layers[-1], "base_dist"):
        layers.append(layers[-1].base_dist)
    return layers


def _kind(fn: Any) -> str:
    """The distribution's name, less what a plate or `to_event` puts around it."""
    around = (dist.ExpandedDistribution, dist.Independent, dist.MaskedDistribution)
    return type(next(layer for layer in _layers(fn) if not isinstance(layer, around))).__name__


def _is_masked(site: Site) -> bool:
    return any(isinstance(fn, dist.MaskedDistribution) for fn in _layers(site["fn"]))


def _is_scaled(site: Site, trace: Trace) -> bool:
    """Whether the site's density is scaled by more than the subsampling of its plates."""
    if site["scale"] is None:
        return False
    sizes = plate_sizes(trace)
    expected = math.prod(plate_ratio(sizes, frame.name) for frame in site["cond_indep_stack"])
    return isinstance(site["scale"], jax.core.Tracer) or not np.allclose(site["scale"], expected)


def _is_random(site: Site) -> bool:
    return not site["is_observed"] and not is_delta(site)


def _places(model_trace: Trace, guide_trace: Trace, random: tuple[str, ...]) -> list[Place]:
    """Every site that a common plate must hold. Deltas of the guide follow their site in the model."""
    model = [_place("model", name, site, not site["is_observed"]) for name, site in sample_sites(model_trace).items()]
    guide = [
        _place("guide", name, site, name in random)
        for name, site in sample_sites(guide_trace).items()
        if not (is_delta(site) and name in model_trace)
    ]
    return model + guide


def _place(program: str, name: str, site: Site, latent: bool) -> Place:
    return Place(f"{program} site {name!r}", frozenset(frame.name for frame in site["cond_indep_stack"]), latent)


def _check_sites(model_trace: Trace, guide_trace: Trace) -> None:
    """Refuses what no weight can be made of."""
    for program, trace in (("model", model_trace), ("guide", guide_trace)):
        for name, site in trace.items():
            if site["type"] == "mutable":
                raise IwaxError(
                    f"Expected a {program} without mutable sites, whose value after several particles is undefined; "
                    f"got mutable site {name!r}. Make it a param, or pass it as an argument."
                )
            if site["type"] == "sample" and site.get("_control_flow_done"):
                raise IwaxError(
                    f"Expected sample sites outside `scan` and `cond`, which are not supported; got {program} site "
                    f"{name!r} inside one. Write the loop in Python, or draw the whole sequence at one site."
                )
    if not sample_sites(model_trace):
        raise IwaxError("Expected a model with sample sites; got none.")


def _check_match(model_trace: Trace, guide_trace: Trace, random: tuple[str, ...]) -> None:
    """Every latent of the model has its draw in the guide, and the guide draws nothing else unless auxiliary."""
    model, guide = sample_sites(model_trace), sample_sites(guide_trace)
    _check_enumeration(model, guide)
    for name, site in model.items():
        if not site["is_observed"] and name not in guide:
            raise IwaxError(
                f"Expected a guide site for every latent of the model; got none for {name!r}. Add "
                f"numpyro.sample({name!r}, ...) to the guide."
            )
        if site["is_observed"] and name in random:
            raise IwaxError(
                f"Expected guide sites for latents only; got {name!r}, which the model observes. Remove it."
            )
    for name, site in guide.items():
        if not site["is_observed"] and name not in model and not site["infer"].get("is_auxiliary"):
            raise IwaxError(
                f"Expected every guide site in the model; got {name!r}, which is not there. Remove it, or mark it with "
                "infer={'is_auxiliary': True} if Delta sites are computed from it."
            )
    check_model_guide_match(model_trace, guide_trace)  # shapes


def _check_enumeration(model: Trace, guide: Trace) -> None:
    """Refuses what would have to be summed out, and would be drawn (or be missing) instead."""
    marked = [("guide", name) for name, site in guide.items() if site["infer"].get("enumerate")]
    marked += [("model", name) for name, site in model.items() if site["infer"].get("enumerate") and name not in guide]
    for program, name in marked:
        raise IwaxError(
            f"Expected no latents to enumerate, as sums over them are not taken here; got {program} site {name!r}, "
            "marked with infer={'enumerate': ...}. Sum it out in the density (numpyro.distributions.MixtureSameFamily),"
            " or draw it in the guide, without the mark, and train with a score-function objective such as VIMCO."
        )


def _elsewhere(place: Place) -> str:
    """Plates are matched by name, so that a misspelt one is another."""
    return f" (in plate {', '.join(map(repr, sorted(place.plates)))})" if place.plates else ""


def _check_sizes(model: dict[str, tuple[int, int]], guide: dict[str, tuple[int, int]]) -> None:
    """The model takes the guide's elements, and would pass over those that the guide does not know."""
    for name in model.keys() & guide.keys():
        if model[name][0] != guide[name][0]:
            raise IwaxError(
                f"Expected plate {name!r} to be of one size in model and guide; got {model[name][0]} and "
                f"{guide[name][0]}."
            )


def _check_split_plate(plate: str, places: list[Place], sizes: dict[str, tuple[int, int]], joint: bool) -> None:
    """Refuses a plate inside a weight that would have to be split between weights."""
    inside = [place for place in places if plate in place.plates]
    outside = [place.label + _elsewhere(place) for place in places if plate not in place.plates]
    got = f"got {', '.join(outside)} outside" if outside else "got joint=True, one weight for everything"
    if plate_ratio(sizes, plate) != 1:
        raise IwaxError(
            f"Expected plate {plate!r}, which is subsampled, to hold every site: a scaled likelihood inside a log of "
            f"mean weights is biased upward; {got}. Use all of the data, or iwax.ELBO, which is linear in log-weights."
        )
    latents = [place for place in inside if place.latent]
    if latents and len(latents) < len(inside) and not joint:
        raise IwaxError(
            f"Expected plate {plate!r}, which holds both latent and observed sites ({inside[0].label} ...), to hold "
            f"every site, so that each of its elements has a weight of its own; {got}. Pass joint=True for a single "
            "weight over all sites (its variance grows with the plate), or use iwax.ELBO, where it makes no difference."
        )
