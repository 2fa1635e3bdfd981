"""An evaluation in other forms: a small table in text, NumPy arrays, pandas, ArviZ; and back from arrays."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from iwax.errors import IwaxError, MissingExtraError
from iwax.evaluation.result import Evaluation, why_no_divergence

__all__ = ["as_arrays", "as_frame", "as_inference_data", "as_text", "from_arrays", "heading", "unit_variances_of"]

FIELDS = ("log_likelihood", "iwae", "neg_kl", "mc_error", "bias", "ess", "khat", "elbo", "elbo_error")
JACKKNIFE = ("jackknife_bias", "jackknife_error")
LAYER = re.compile(r"unit_variances_[0-9]+")
STORED = ("log_likelihood", "mc_error", "ess", "khat", "elbo", "elbo_error")  # the others follow from these


def _neg_kl(found: dict[str, Any], shown: tuple[str, str]) -> tuple[str, str, str]:
    """The line of -KL(Q||P), of which k = K samples say nothing."""
    reason = why_no_divergence(found)
    return ("-KL(Q||P)", *(("none", reason) if reason else shown))


def as_text(evaluation: Evaluation) -> str:
    """A table of the means over examples, each beside its errors, with notes and advice below it."""
    found = evaluation.summary()

    def mean(name: str) -> str:
        return "not finite" if found[name] is None else f"{found[name]:.3f}"

    def errors(*names: tuple[str, str]) -> str:
        return ", ".join(f"± {mean(name)} {what}" for name, what in names if found[name] is not None)

    rows = [
        ("log p", mean("log_p"), errors(("log_p_mc_error", "Monte Carlo"), ("log_p_test_error", "over examples"))),
        ("  less its bias", mean("log_p_jackknife"), errors(("log_p_jackknife_error", "jackknife"))),
        *((f"IWAE-{size}", mean(f"iwae_{size}"), "") for size in evaluation.bounds),
        _neg_kl(found, (mean("neg_kl"), errors(("neg_kl_test_error", "over examples")))),
        ("ELBO", mean("elbo"), errors(("elbo_mc_error", "Monte Carlo"), ("elbo_test_error", "over examples"))),
        ("effective samples", *_spread(found["ess_quantiles"], 1)),
        ("Pareto k-hat", *_spread(found["khat_quantiles"], 2)),
    ]
    if found["khat_above_0.7"] is not None:
        rows.append(("  above 0.7", f"{found['khat_above_0.7']:.1%}", "of examples"))
    if evaluation.unit_variances:
        rows.append(("active units", " + ".join(map(str, evaluation.active_units)), "A_u above 0.01"))
    wide = max(len(value) for _, value, _ in rows)
    lines = [f"{label:18} {value:>{wide}}  {note}".rstrip() for label, value, note in rows]
    return "\n".join([heading([found]), *lines, *evaluation.notes, *filter(None, [evaluation.advice])])


def heading(found: Sequence[Mapping[str, Any]], noun: str = "example") -> str:
    """Of a table of evaluations: how many examples they have, of which data if not their own, and their samples.

    >>> heading([{"num_examples": 1, "num_samples": 64}])
    '1 example, k = 64 (nats)'
    """
    counts = sorted({one["num_examples"] for one in found})
    examples = f"{' or '.join(map(str, counts))} {noun}{'s' * (counts != [1])}"
    where = f" of {found[0]['dataset']}" if "dataset" in found[0] else ""
    return f"{examples}{where}, k = {found[0]['num_samples']} (nats)"


def as_arrays(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Name -> per example (N,), and unit_variances_1, ... of each layer's units."""
    found = {name: getattr(evaluation, name) for name in (*FIELDS, *JACKKNIFE)}
    if evaluation.kl is not None:
        found |= {"reconstruction": evaluation.reconstruction, "kl": evaluation.kl}
    found |= {f"iwae_{size}": bound for size, bound in evaluation.bounds.items()}
    found |= {f"unit_variances_{i + 1}": layer for i, layer in enumerate(evaluation.unit_variances)}
    return {name: value for name, value in found.items() if value is not None}


def unit_variances_of(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """A_u of the units of each stochastic layer, the one nearest the data first, of what `as_arrays` gives."""
    layers = sorted((name for name in arrays if LAYER.fullmatch(name)), key=lambda name: int(name[15:]))
    return tuple(np.asarray(arrays[name]) for name in layers)


def from_arrays(arrays: Mapping[str, np.ndarray], summary: Mapping[str, Any]) -> Evaluation:
    """The evaluation of which `as_arrays` and `Evaluation.summary` were kept, as evaluation.npz and evaluation.json do.

    Raises:
        ValueError: they are not those of an evaluation, or not of the same one.
    """
    try:
        sizes = sorted(int(name[5:]) for name in arrays if name.startswith("iwae_") and name[5:].isdecimal())
        first = int(summary["iwae_samples"] if isinstance(summary["iwae_samples"], int) else sizes[0])
        bounds = {size: np.asarray(arrays[f"iwae_{size}"]) for size in (first, *(s for s in sizes if s != first))}
        fields: dict[str, Any] = {name: np.asarray(arrays[name]) for name in STORED}
        optional: dict[str, Any] = {
            name: np.asarray(arrays[name]) if name in arrays else None for name in ("kl", *JACKKNIFE)
        }
        found = Evaluation(
            **fields,
            **optional,
            bounds=bounds,
            unit_variances=unit_variances_of(arrays),
            num_samples=summary["num_samples"],
            iwae_samples=first,
            test_hash=summary["test_hash"],
            notes=tuple(summary.get("notes", ())),
        )
    except (KeyError, IndexError) as error:
        raise IwaxError(f"Expected the arrays and the summary of an evaluation; {error} is missing.") from error
    wrong = {name: values.shape for name, values in as_arrays(found).items() if values.ndim != 1}
    if wrong:
        raise IwaxError(f"Expected the arrays of an evaluation to have one axis; got {wrong}. Judge it again.")
    if len(found.log_likelihood) != summary["num_examples"]:
        raise IwaxError(
            f"Expected the arrays of {summary['num_examples']} examples, as the summary has it; got "
            f"{len(found.log_likelihood)}. Judge them again."
        )
    return found


def as_frame(evaluation: Evaluation) -> Any:
    """A `pandas.DataFrame`, one row for each example."""
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("Expected pandas for to_pandas; pip install pandas brings it.") from error
    return pandas.DataFrame(_per_example(evaluation)).rename_axis("example")


def as_inference_data(evaluation: Evaluation) -> Any:
    """ArviZ's form: the group `evaluation`, whose attributes say how it was made."""
    try:
        import arviz
        import xarray
    except ImportError as error:
        raise MissingExtraError("Expected ArviZ for to_arviz; pip install arviz brings it.") from error
    variables = {name: ("example", value) for name, value in _per_example(evaluation).items()}
    attributes = {name: getattr(evaluation, name) for name in ("num_samples", "iwae_samples", "test_hash")}
    dataset = xarray.Dataset(
        variables,
        coords={"example": np.arange(len(evaluation.log_likelihood))},
        attrs=attributes | {"unit": "nats", "advice": evaluation.advice or ""},
    )
    return arviz.InferenceData(evaluation=dataset)


def _per_example(evaluation: Evaluation) -> dict[str, np.ndarray]:
    return {name: value for name, value in as_arrays(evaluation).items() if not name.startswith("unit_variances_")}


def _spread(quantiles: dict[str, float | None] | None, digits: int) -> tuple[str, str]:
    """The median, and the range of nine tenths of the examples."""
    if quantiles is None:
        return "unknown", ""
    low, middle, high = (
        "beyond any" if quantiles[q] is None else f"{quantiles[q]:.{digits}f}" for q in ("0.05", "0.5", "0.95")
    )
    return middle, f"{low} to {high} in 90 % of examples"
