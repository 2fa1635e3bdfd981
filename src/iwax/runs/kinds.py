"""What the files of a run must hold, as far as iwax reads it; what else they hold is let pass. Nothing of JAX here."""

import os
from collections.abc import Mapping
from typing import Any, Required, TypedDict

from iwax.reading import Count, typed
from iwax.runs.contents import COHORT, ENVIRONMENT, EVALUATIONS, JUDGED, METRICS, STATUS

__all__ = [
    "AGAIN",
    "Along",
    "CohortRecord",
    "Environment",
    "Epoch",
    "Evaluated",
    "Judged",
    "Status",
    "has_failed",
    "kind_of",
    "selected_of",
]

AGAIN = "Judge the run again with `iwax evaluate --recompute`."
RESTORE = "Put it back from a copy, or start a new run."

Number = float | None
"""null stands for what is not finite."""
Quantiles = dict[str, float | None] | None


class Best(TypedDict):
    """The part of status.json that tells of the best epoch."""

    epoch: Count
    by: str
    value: float


class Status(TypedDict, total=False):
    """status.json."""

    state: Required[str]
    epoch: Count
    epochs: Count
    step: Count
    seconds: float
    message: str
    best: Best
    stopped_early: Count
    out_of_memory: bool


class Epoch(TypedDict, total=False):
    """A line of metrics.jsonl; bounds in nats."""

    epoch: Required[Count]
    step: Required[Count]
    bound: Required[Number]
    samples: Count
    beta: Number


class Along(TypedDict, total=False):
    """A line of evaluations.jsonl, in nats."""

    epoch: Required[Count]
    step: Required[Count]
    log_p: Number
    iwae_64: Number
    neg_kl: Number


class KeptModel(TypedDict, total=False):
    """The part of environment.json that tells of a model of one's own."""

    file: str
    function: str
    sha256: Required[str]


class Sessions(TypedDict, total=False):
    """A later session in environment.json, and what a first one has in common with it."""

    versions: dict[str, str]
    code: str
    commit: str | None
    python: str
    device: str
    cores: Count
    command: list[str]


Extension = TypedDict("Extension", {"from": Count, "to": Count, "epoch": Count, "step": Count})


class Environment(Sessions, total=False):
    """environment.json."""

    platform: str
    dataset: str
    split: str | None
    source: str
    checksums: dict[str, str]
    dataset_as_given: str
    example_shape: list[Count]
    example_range: list[float] | None
    columns: list[str]
    sessions: list[Sessions]
    model: KeptModel
    protocol: dict[str, Any]
    objective: dict[str, Any]
    init_from: dict[str, Any]
    cohort: dict[str, Any]
    validation: dict[str, Any]
    extensions: list[Extension]


Above = TypedDict("Above", {"khat_above_0.5": Number, "khat_above_0.7": Number}, total=False)


class Evaluated(Above, total=False):
    """An evaluation's numbers, in nats, of whatever was judged: a run, an exported model, or weights alone."""

    objective: str
    log_p: Number
    log_p_mc_error: Number
    log_p_bias: Number
    log_p_jackknife: Number
    log_p_jackknife_error: Number
    log_p_test_error: Number
    iwae_64: Number
    iwae_64_test_error: Number
    iwae_samples: Count | list[Count]
    neg_kl: Number
    neg_kl_test_error: Number
    elbo: Number
    elbo_mc_error: Number
    elbo_test_error: Number
    reconstruction: Number
    kl: Number
    ess: Number
    ess_quantiles: Quantiles
    khat_quantiles: Quantiles
    active_units: list[Count] | None
    num_examples: Required[Count]
    num_samples: Required[Count]
    test_hash: Required[str | None]
    notes: list[str]
    advice: str | None
    seed: int
    found_finished: Count
    settings: dict[str, Any]
    made_from: dict[str, Any]
    bits_per_dimension: Number
    bits_per_dimension_test_error: Number
    dimensions: Count


class Judged(Evaluated, total=False):
    """evaluation.json of a run, which was in some state."""

    state: Required[str]
    binarize: Required[str]
    seconds: Required[float]


class CohortRecord(TypedDict, total=False):
    """cohort.json."""

    runs: Required[list[str]]
    vectorized: Required[bool]
    configs: dict[str, dict[str, Any]]


KINDS: dict[str, tuple[Any, str]] = {
    STATUS: (Status, "Delete it: it only says how far the run has come."),
    METRICS: (Epoch, RESTORE),
    EVALUATIONS: (Along, "Delete it: it only holds what was noted along training."),
    ENVIRONMENT: (Environment, RESTORE),
    JUDGED: (Judged, AGAIN),
    COHORT: (CohortRecord, "Go on with each of its runs alone."),
}
ANYTHING = (dict[str, Any], "Delete it, and make it again.")


def kind_of(name: str) -> tuple[Any, str]:
    """What a file must hold, and what to do about one that does not; an evaluation on other data is one, too."""
    is_evaluation = name.startswith("evaluation-") and name.endswith(".json")
    return KINDS.get(JUDGED if is_evaluation else name, ANYTHING)


def has_failed(status: Mapping[str, Any]) -> bool:
    """Whether a run failed for good, by its status.json; one for which memory was full goes on where there is more."""
    return status.get("state") == "failed" and not status.get("out_of_memory", False)


def selected_of(notes: Mapping[str, str], path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the notes of a checkpoint say of the epoch whose it is; {} unless it was selected by that.

    Raises:
        ValueError: they say something else.
    """
    if "selected" not in notes:
        return {}
    said: dict[str, Any] = typed(notes["selected"], Best, f"what {path} says of its epoch", RESTORE)
    return said
