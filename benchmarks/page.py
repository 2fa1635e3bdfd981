"""The page of results, from their JSON: times, ratios within rounds, and each target beside what was measured.

`python -m benchmarks.page` writes docs/benchmarks.md from docs/benchmarks.json again.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.distances import AHEAD, PRODUCTS, distances, nearest_peer, ratio, standing
from benchmarks.targets import against_iwae, likelihood_entry, targets

__all__ = ["RESULTS", "write_page"]

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.json"
EAGER, COMPILED, NUMPYRO = "PyTorch, eager", "PyTorch, compiled", "NumPyro"
TRAINER, BARE = "Pythae, its trainer", "Pythae's model, bare loop"
SCAN = "iwax in a user's scan"
MIXED, PEERS_MIXED = "iwax, bfloat16", "PyTorch, compiled, bfloat16"

Entry = dict[str, Any]


def write_page(results: dict[str, Any], path: Path) -> str:
    """Writes the page and returns it."""
    entries = results["cases"]
    train = [e for e in entries if SCAN in e["systems"]]
    sections = [
        "# Benchmarks",
        "How long a training step and a likelihood take in iwax, and how many times as long the same work takes in "
        "PyTorch, NumPyro and Pythae; which targets are met, and where the rest of a step's time goes.",
        _measured(results["machine"]),
        _in_short(train, entries),
        "The machine and the versions:",
        _machine(results["machine"]),
        "Every ratio is the median over rounds of turns of about a second, the other systems being stopped meanwhile; "
        "all rows are of one commit.",
        "## A training step",
        "iwax: the engine of `fit` and `iwax train`, with shuffling and binarisation; beside it `iwax.loss` in a scan "
        "of the user's own. The other columns say how many times as long a step takes there.",
        _table(train, _step_columns()),
        "### Mixed precision",
        "Operands of the matrix products in bfloat16, everything else in float32: `precision=bfloat16` here, "
        "`torch.autocast` there. Times relative to iwax in float32, and to each other. Their sums are not ours to "
        "1e-4, nor could they be, so no target is judged by this table.",
        _table([e for e in train if MIXED in e["systems"]], _mixed_columns()),
        "Peak memory in MiB, of the whole process with its libraries and compiler:",
        _table(train, _memory_columns()),
        "## What an estimator costs",
        "64 samples, one layer, batch 20, against IWAE(64) with its plain gradient, turn by turn; and how many times "
        "as long Pythae takes for the same objective.",
        _estimators(entries),
        "## Likelihood of 20 images, k = 5000",
        _likelihood(entries),
        "## Distance to the bare products",
        "How many times as long a step, or the likelihood, takes as its float32 matrix products alone, forward and "
        "backward, timed in the same rounds: 1.00 is all that a program could reach which computes these products "
        "as fast as XLA does. The last column is the peer nearest to iwax, and by how much of iwax's time it is behind "
        f"or ahead; within {AHEAD:.0%} they are level.",
        _distances(entries),
        "## Targets",
        "Targets that no float32 program could meet, since the bare products alone would miss them, are not here: the "
        "distance above stands in their place.",
        _targets(entries),
        *_profiles(results.get("profiles", [])),
        "## Equal work",
        "Bound and gradient of every peer on iwax's weights and noise, relative differences (the largest over cases). "
        "What Pythae returns is not the bound, so only its gradient is compared. Its MIWAE weighs over the other "
        "axis, and gets (K, M) for (M, K). Its PIWAE adds the gradients of both bounds in the encoder, which is as far "
        "from PIWAE's as PIWAE's is long (relative difference 1.0), so it is not timed.",
        _agreement(entries),
    ]
    text = "\n\n".join(section for section in sections if section) + "\n"
    path.write_text(text)
    return text


def _in_short(train: list[Entry], entries: list[Entry]) -> str:
    """What the tables say, of the cases that have what it takes."""
    said = []
    own = [times["iwax"] for entry in train if (times := distances(entry))]
    if own:
        said.append(f"A step takes {_range(own)} times its bare matrix products.")
    nearest = [found[1] for entry in train if (found := nearest_peer(entry))]
    if nearest:
        level = sum(standing(times) == "level" for times in nearest)
        said.append(
            f"Of {len(nearest)} cases the nearest peer is level with iwax, within {AHEAD:.0%}, in {level}, "
            f"{_how_many(nearest, 'behind')}, and {_how_many(nearest, 'ahead')}."
        )
    for names, called in (((EAGER, COMPILED), "The faster PyTorch"), ((TRAINER,), "Pythae with its trainer")):
        times = [min(ratio(e, n, "iwax") for n in names) for e in train if all(n in e["systems"] for n in names)]
        if times:
            said.append(f"{called} takes {_range(times)} times as long as iwax.")
    likelihood = likelihood_entry(entries)
    if likelihood is not None and (times_of := distances(likelihood)):
        said.append(f"The likelihood takes {times_of['iwax.log_likelihood']:.2f} times its products.")
    return " ".join(said)


def _range(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _how_many(nearest: list[float], how: str) -> str:
    """Such as "behind in 7, by up to 26%"."""
    far = [abs(times - 1) for times in nearest if standing(times) == how]
    return f"{how} in {len(far)}, by up to {max(far):.0%}" if far else f"{how} in none"


def _profiles(profiles: list[str]) -> list[str]:
    if not profiles:
        return []
    return [
        "## Where the time goes",
        "Thread time by kind of work, from a trace of the runtime's threads over 20 steps "
        "(`python -m benchmarks.profile`, which also prints a step operation by operation). What is not busy is "
        "waiting: for the other thread, or for the operation before.",
        *(f"### {profile}" for profile in profiles),
    ]


def _measured(machine: dict[str, Any]) -> str:
    """How old the page is."""
    return (
        f"**Measured on {machine['date']} with iwax {machine['versions']['iwax']} at commit {machine['commit']}. Newer "
        "code has not been measured.**"
    )


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, commit {machine['commit']}; {versions}."


def _table(entries: list[Entry], columns: dict[str, Callable[[Entry], str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cell(entry) for cell in columns.values()) + " |" for entry in entries]
    return "\n".join(lines)


def _times(name: str) -> Callable[[Entry], str]:
    """The column "how many times as long as iwax"."""
    return lambda e: f"{ratio(e, name, 'iwax'):.2f}x" if name in e["systems"] else ""


def _ms(name: str) -> Callable[[Entry], str]:
    return lambda e: f"{np.median(e['systems'][name]['ms']):.2f}"


def _step_columns() -> dict[str, Callable[[Entry], str]]:
    return {
        "case": lambda e: e["name"],
        "iwax, ms": _ms("iwax"),
        "steps/s": lambda e: f"{1000 / np.median(e['systems']['iwax']['ms']):.0f}",
        "own scan, ms": _ms(SCAN),
        EAGER: _times(EAGER),
        COMPILED: _times(COMPILED),
        NUMPYRO: _times(NUMPYRO),
        TRAINER: _times(TRAINER),
        BARE: _times(BARE),
    }


def _mixed_columns() -> dict[str, Callable[[Entry], str]]:
    return {
        "case": lambda e: e["name"],
        "iwax in bfloat16, ms": _ms(MIXED),
        "against its float32": lambda e: f"{ratio(e, MIXED, 'iwax'):.2f}x",
        "PyTorch, compiled, in float32": lambda e: f"{ratio(e, COMPILED, MIXED):.1f}x",
        "PyTorch, compiled, in bfloat16": lambda e: f"{ratio(e, PEERS_MIXED, MIXED):.1f}x",
    }


def _memory_columns() -> dict[str, Callable[[Entry], str]]:
    def memory(name: str) -> Callable[[Entry], str]:
        return lambda e: f"{e['systems'][name]['peak_mib']:.0f}" if name in e["systems"] else ""

    return {"case": lambda e: e["name"], **{n: memory(n) for n in ("iwax", SCAN, EAGER, COMPILED, NUMPYRO, BARE)}}


def _estimators(entries: list[Entry]) -> str:
    costs = against_iwae(entries)
    theirs = {
        e["case"]["objective"]: e for e in entries if TRAINER in e["systems"] and e["case"]["objective"] != "iwae"
    }

    def times(name: str) -> Callable[[str], str]:
        return lambda objective: _times(name)(theirs[objective]) if objective in theirs else ""

    columns: dict[str, Callable[[Any], str]] = {
        "estimator": lambda name: name,
        "against IWAE(64)": lambda name: f"{costs[name]:.2f}x",
        TRAINER: times(TRAINER),
        BARE: times(BARE),
    }
    return _table(list(costs), columns)  # type: ignore[arg-type]


def _likelihood(entries: list[Entry]) -> str:
    entry = likelihood_entry(entries)
    if entry is None:
        return ""
    rows = entry["case"]["batch"] * entry["case"]["num_samples"]
    return _table(
        list(entry["systems"]),  # type: ignore[arg-type]
        {
            "system": lambda name: name,
            "ms": lambda name: _ms(name)(entry),
            "thousand samples/s": lambda name: f"{rows / np.median(entry['systems'][name]['ms']):.0f}",
            "times iwax": lambda name: f"{ratio(entry, name, 'iwax.log_likelihood'):.2f}x",
        },
    )


def _distances(entries: list[Entry]) -> str:
    """A line for each case whose products were timed."""
    found = [(entry, times) for entry in entries if (times := distances(entry))]
    names = list(dict.fromkeys(name for _, times in found for name in times))
    columns: dict[str, Callable[[Any], str]] = {
        "case": lambda item: item[0]["name"],
        "products, ms": lambda item: _ms(PRODUCTS)(item[0]),
        **{name: _distance(name) for name in names},
        "nearest peer": lambda item: _nearest(item[0]),
    }
    return _table(found, columns)  # type: ignore[arg-type]


def _distance(name: str) -> Callable[[Any], str]:
    return lambda item: f"{item[1][name]:.2f}" if name in item[1] else ""


def _nearest(entry: Entry) -> str:
    """Such as "NumPyro: 8 % behind"."""
    found = nearest_peer(entry)
    if found is None:
        return ""
    peer, times = found
    how = standing(times)
    return f"{peer}: {how}" if how == "level" else f"{peer}: {abs(times - 1):.0%} {how}"


def _targets(entries: list[Entry]) -> str:
    columns: dict[str, Callable[[Any], str]] = {
        "target": lambda t: t.what,
        "measured": lambda t: t.shown,
        "asked": lambda t: ("at most " if t.is_cost else "at least ") + f"{t.asked:.2f}x",
        "": lambda t: "met" if t.is_met else "**not met**",
    }
    return _table(targets(entries), columns)  # type: ignore[arg-type]


def _agreement(entries: list[Entry]) -> str:
    rows: dict[str, list[tuple[str, float, float]]] = {}
    for entry in entries:
        for name, system in entry["systems"].items():
            if "gradient_error" in system:
                kind = name + ("" if entry["case"]["objective"] == "iwae" else f", {entry['case']['objective']}")
                rows.setdefault(kind, []).append((entry["name"], system["bound_error"], system["gradient_error"]))
    columns: dict[str, Callable[[Any], str]] = {
        "system": lambda name: name,
        "bound": lambda name: f"{max(bound for _, bound, _ in rows[name]):.1e}".replace("nan", "no bound"),
        "gradient": lambda name: f"{max(gradient for *_, gradient in rows[name]):.1e}",
    }
    return _table(list(rows), columns)  # type: ignore[arg-type]


if __name__ == "__main__":
    write_page(json.loads(RESULTS.read_text()), RESULTS.with_suffix(".md"))
