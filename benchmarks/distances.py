"""How far every system is from the bare matrix products of its step, and from its nearest peer, case by case."""

from typing import Any

import numpy as np

from benchmarks.case import ESTIMATOR

__all__ = ["AHEAD", "PRODUCTS", "can_be_met", "distances", "nearest_peer", "ratio", "standing"]

PRODUCTS = "bare matrix products"
OURS = ("iwax", "iwax.log_likelihood")
PEERS = ("PyTorch, eager", "PyTorch, compiled", "NumPyro", "Pythae, its trainer", "Pythae's model, bare loop")
PEERS_OF_LIKELIHOOD = ("Pythae's get_nll",)
AHEAD = 0.05  # of a peer's time, from which one of us is ahead and not level

Entry = dict[str, Any]


def ratio(entry: Entry, over: str, under: str) -> float:
    """How many times as long `over` takes as `under`: the median over rounds of the ratio within a round."""
    above, below = (np.asarray(entry["systems"][name]["ms"]) for name in (over, under))
    return float(np.median(above / below))


def distances(entry: Entry) -> dict[str, float]:
    """System -> how many times as long it takes as the case's bare float32 products; {} where they were not timed."""
    if PRODUCTS not in entry["systems"]:
        return {}
    others = (name for name in entry["systems"] if name != PRODUCTS and not name.startswith(ESTIMATOR))
    return {name: ratio(entry, name, PRODUCTS) for name in others}


def nearest_peer(entry: Entry) -> tuple[str, float] | None:
    """The peer in float32 that takes the least time, and how many times as long it takes as iwax; None without one."""
    ours = next(name for name in OURS if name in entry["systems"])
    times = {peer: ratio(entry, peer, ours) for peer in (*PEERS, *PEERS_OF_LIKELIHOOD) if peer in entry["systems"]}
    peer = min(times, key=lambda name: times[name], default=None)
    return None if peer is None else (peer, times[peer])


def standing(times: float) -> str:
    """Of a peer that takes so many times as long as iwax: "behind", "ahead", or "level" within AHEAD."""
    if abs(times - 1) < AHEAD:
        return "level"
    return "behind" if times > 1 else "ahead"


def can_be_met(entry: Entry, peer: str, times: float) -> bool:
    """Whether a program in float32 could be so many times as fast as a peer: if its products alone would be."""
    return PRODUCTS not in entry["systems"] or ratio(entry, peer, PRODUCTS) >= times
