"""Which sites of a Pyro model and guide share an importance weight, and which programs have none to share.

The rule is that of `iwax.contrib._plates` for NumPyro: a plate that holds every site has one weight for each of its
elements, all other plates are summed inside a weight.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import pyro
import torch
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor

from iwax.errors import IwaxError
from iwax.objectives import SCORE_FUNCTION, AbstractObjective, has_equal_coefficients

__all__ = ["PARTICLES", "Layout", "Sites", "check_estimator", "frames_of", "read_layout", "sample_sites"]

PARTICLES = "iwax_particles"
Site = dict[str, Any]
Sites = dict[str, Site]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the terms of a program are gathered into log-weights (particles, *common)."""

    common: dict[str, int]
    """Plate that holds every site -> its dimension, negative."""
    ratios: dict[str, float]
    """Elements of each plate for each that was drawn."""

    @property
    def scale(self) -> float:
        return math.prod((self.ratios[plate] for plate in self.common), start=1.0)

    def densities(self, model: Sites, guide: Sites) -> tuple[Tensor, Tensor]:
        """log p and log q."""
        log_p, log_q = (sum(map(self._gathered, sites.values())) for sites in (model, guide))
        log_q = log_q if isinstance(log_q, Tensor) else torch.zeros_like(log_p)
        return log_p, log_q

    def _gathered(self, site: Site) -> Tensor:
        """The log-density of a site, without the scale of the common plates, summed down to them."""
        log_prob = site["log_prob"] / self.scale
        (particles,) = (frame.dim for frame in site["cond_indep_stack"] if frame.name == PARTICLES)
        summed = [dim for dim in range(particles + 1, 0) if dim not in self.common.values()]
        return log_prob.sum(summed) if summed else log_prob


def read_layout(model: Sites, guide: Sites, joint: bool, linear: bool) -> Layout:
    """Which sites share a weight; refuses those that have no place in one, by name."""
    _check_sites(model, guide)
    places = {
        f"{name} site {site!r}": {frame.name: frame for frame in frames_of(value)}
        for name, sites in (("model", model), ("guide", guide))
        for site, value in sites.items()
        if name == "model" or not (_is_delta(value) and site in model)
    }
    plates = {name: frame for frames in places.values() for name, frame in frames.items()}
    ratios = {name: (frame.full_size or frame.size) / frame.size for name, frame in plates.items()}
    common = {name: frame.dim for name, frame in plates.items() if all(name in frames for frames in places.values())}
    if not linear:
        common = {} if joint else common
        latent = {f"model site {name!r}" for name, site in model.items() if not site["is_observed"]}
        for plate in sorted(plates.keys() - common.keys()):
            inside = {place for place, frames in places.items() if plate in frames}
            _check_split_plate(plate, sorted(inside), sorted(places.keys() - inside), inside & latent, ratios, joint)
    return Layout(common, ratios)


def _check_split_plate(
    plate: str, inside: list[str], outside: list[str], latent: set[str], ratios: dict[str, float], joint: bool
) -> None:
    """Refuses a plate inside a weight that would have to be split between weights, or that is subsampled."""
    got = f"got {', '.join(outside)} outside" if outside else "got joint=True, one weight for everything"
    if ratios[plate] != 1:
        raise IwaxError(
            f"Expected plate {plate!r}, which is subsampled, to hold every site: a scaled likelihood inside a log of "
            f"mean weights is biased upward; {got}. Use all of the data, or iwax.ELBO, which is linear in log-weights."
        )
    observed = {place for place in inside if place.startswith("model")} - latent
    if latent and observed and not joint:
        raise IwaxError(
            f"Expected plate {plate!r}, which holds both latent and observed sites ({inside[0]} ...), to hold every "
            f"site, so that each of its elements has a weight of its own; {got}. Pass joint=True for a single weight "
            "over all sites (its variance grows with the plate), or use iwax.ELBO, where it makes no difference."
        )


def _check_sites(model: Sites, guide: Sites) -> None:
    """Every latent has its draw in the guide, the guide draws nothing else, and nothing is to be summed out."""
    for program, sites in (("model", model), ("guide", guide)):
        for name, site in sites.items():
            if site["infer"].get("enumerate") and (program == "guide" or name not in guide):
                raise IwaxError(
                    f"Expected no latents to enumerate, as sums over them are not taken here; got {program} site "
                    f"{name!r}, marked with infer={{'enumerate': ...}}. Sum it out in the density "
                    "(pyro.distributions.MixtureSameFamily), or draw it in the guide, without the mark, and train with "
                    "a score-function objective such as VIMCO."
                )
    for name, site in model.items():
        if not site["is_observed"] and name not in guide:
            raise IwaxError(
                f"Expected a guide site for every latent of the model; got none for {name!r}. Add "
                f"pyro.sample({name!r}, ...) to the guide."
            )
    for name, site in guide.items():
        if name not in model and not site["infer"].get("is_auxiliary"):
            raise IwaxError(
                f"Expected every guide site in the model; got {name!r}, which is not there. Remove it, or mark it with "
                "infer={'is_auxiliary': True} if other sites are computed from it."
            )


def check_estimator(objective: AbstractObjective, guide: Sites) -> None:
    """Refuses guide sites for which the gradient estimator would be wrong."""
    for name, site in guide.items():
        if _is_delta(site):
            if not has_equal_coefficients(objective):
                raise IwaxError(
                    f"Expected a guide of random sites for gradient={objective.gradient!r}; got site {name!r}, which "
                    "is computed (Delta). Use gradient='reparameterized'."
                )
        elif objective.gradient != SCORE_FUNCTION and not site["fn"].has_rsample:
            raise IwaxError(
                "Expected guide sites with reparameterized samples for "
                f"gradient={objective.gradient!r}; got {type(site['fn']).__name__} at site {name!r}. Use an objective "
                "with a score-function gradient, such as iwax.objectives.VIMCO."
            )


def sample_sites(trace: Any) -> Sites:
    """The sites of a trace with their log-densities, by name; without those that draw subsamples."""
    kept = prune_subsample_sites(trace)
    kept.compute_log_prob()
    return {name: site for name, site in kept.nodes.items() if site["type"] == "sample"}


def frames_of(site: Site) -> Iterable[Any]:
    """The program's own plates around a site."""
    return [frame for frame in site["cond_indep_stack"] if frame.vectorized and frame.name != PARTICLES]


def _is_delta(site: Site) -> bool:
    fn = site["fn"]
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return isinstance(fn, pyro.distributions.Delta)
