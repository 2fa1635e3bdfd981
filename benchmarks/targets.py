"""What a step and a likelihood ought to take, beside what they do: only what a program in float32 could reach."""

import dataclasses
import itertools
from collections.abc import Iterator

from benchmarks.case import ESTIMATOR
from benchmarks.distances import AHEAD, PRODUCTS, Entry, can_be_met, nearest_peer, ratio

__all__ = ["Target", "against_iwae", "likelihood_entry", "targets"]

SCAN, TRAINER = "iwax in a user's scan", "Pythae, its trainer"
PYTORCH = ("PyTorch, eager", "PyTorch, compiled")
OF_STEPS = ((1, 2.0, 0.35), (5, 2.0, None), (50, 3.0, 0.55))  # K, times the faster PyTorch, part of the products' time
PYTHAE = 10.0
OF_ESTIMATORS = {
    **{"sticking-the-landing": 1.1, "doubly-reparameterized": 1.1},
    **{"miwae": 1.05, "ciwae": 1.05, "piwae": 1.4},
}
LIKELIHOOD = {"products": 0.8, "Pythae's get_nll": 5.0}


@dataclasses.dataclass(frozen=True)
class Target:
    """A ratio that was measured, and what it ought to be, at least or, of a cost, at most."""

    what: str
    measured: float
    asked: float
    is_cost: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured <= self.asked if self.is_cost else self.measured >= self.asked

    @property
    def shown(self) -> str:
        """What was measured, with as many digits as tell whether that is enough: 1.049x and not 1.05x of 1.05x."""
        rounded = (f"{self.measured:.{digits}f}" for digits in itertools.count(2))
        return next(
            f"{text}x" for text in rounded if dataclasses.replace(self, measured=float(text)).is_met == self.is_met
        )


def targets(entries: list[Entry]) -> list[Target]:
    """Those that were measured and that the bare products do not rule out."""
    return [*_of_steps(entries), *_of_peers(entries), *_of_estimators(entries), *_of_likelihood(entries)]


def against_iwae(entries: list[Entry]) -> dict[str, float]:
    """How many times as long as IWAE(64) each other estimator of 64 samples takes, by its name."""
    shared = next((e for e in entries if any(name.startswith(ESTIMATOR) for name in e["systems"])), None)
    if shared is None:
        return {}
    names = [name for name in shared["systems"] if name.startswith(ESTIMATOR)]
    return {name.removeprefix(ESTIMATOR): ratio(shared, name, "iwax") for name in names}


def likelihood_entry(entries: list[Entry]) -> Entry | None:
    """The case of a likelihood, if it was measured."""
    return next((e for e in entries if e["case"]["task"] == "likelihood"), None)


def _of_steps(entries: list[Entry]) -> Iterator[Target]:
    """Of one layer at batch 20: against the faster PyTorch, Pythae, and the products."""
    for num_samples, times, part in OF_STEPS:
        ending = f"iwae({num_samples}), 1 layer, batch 20"
        entry = next((e for e in entries if e["name"] == ending and SCAN in e["systems"]), None)
        if entry is None:
            continue
        faster = min(PYTORCH, key=lambda peer, entry=entry: ratio(entry, peer, "iwax"))
        for name in ("iwax", SCAN):
            if can_be_met(entry, faster, times):
                yield Target(f"{name}, K = {num_samples}: the faster PyTorch takes", ratio(entry, faster, name), times)
            if part is not None:
                yield Target(
                    f"{name}, K = {num_samples}: part of its products' time", ratio(entry, PRODUCTS, name), part
                )
        if can_be_met(entry, TRAINER, PYTHAE):
            yield Target(f"K = {num_samples}: Pythae with its trainer takes", ratio(entry, TRAINER, "iwax"), PYTHAE)


def _of_peers(entries: list[Entry]) -> Iterator[Target]:
    """Not behind any peer in any case, by at least so much."""
    for entry in entries:
        nearest = nearest_peer(entry) if SCAN in entry["systems"] else None
        if nearest is not None:
            yield Target(f"{entry['name']}: the nearest peer, {nearest[0]}, takes", nearest[1], 1 + AHEAD)


def _of_estimators(entries: list[Entry]) -> Iterator[Target]:
    costs = against_iwae(entries)
    for name, most in OF_ESTIMATORS.items():
        if name in costs:
            yield Target(f"{name} costs, against IWAE(64)", costs[name], most, is_cost=True)


def _of_likelihood(entries: list[Entry]) -> Iterator[Target]:
    entry, ours, peer = likelihood_entry(entries), "iwax.log_likelihood", "Pythae's get_nll"
    if entry is None:
        return
    yield Target("likelihood: part of its products' time", ratio(entry, PRODUCTS, ours), LIKELIHOOD["products"])
    if can_be_met(entry, peer, LIKELIHOOD[peer]):
        yield Target(f"likelihood: {peer} takes", ratio(entry, peer, ours), LIKELIHOOD[peer])
