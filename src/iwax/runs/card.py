"""The model card of an exported model: what it is, on what it was trained, its numbers with errors, how to load it."""

from typing import Any

import equinox as eqx
import jax

from iwax.data import DATASETS
from iwax.evaluation import why_no_divergence
from iwax.models import is_own
from iwax.objectives import OBJECTIVES, options
from iwax.runs.config import RunConfig
from iwax.runs.loading import LoadedRun

__all__ = ["model_card"]

HEAD = """---
library_name: iwax
tags: [variational-autoencoder, importance-weighted-autoencoder, jax]
---
"""
ROWS = (  # of the table: label, name in the evaluation, and its errors
    ("log p", "log_p", (("log_p_mc_error", "Monte Carlo"), ("log_p_test_error", "over test examples"))),
    ("ELBO", "elbo", (("elbo_mc_error", "Monte Carlo"), ("elbo_test_error", "over test examples"))),
    ("-KL(Q‖P)", "neg_kl", (("neg_kl_test_error", "over test examples"),)),
)
UNTRUSTED = (
    "The file holds the Python code of the model, `{file}`, and `trust_code=True` (`--trust-code`) runs it. Like any "
    'program it may do what it likes: read it first, `iwax.runs.read_checkpoint(PATH).notes["source"]`.\n'
)


def model_card(
    run: LoadedRun, config: RunConfig, environment: dict[str, Any], evaluation: dict[str, Any], file: str
) -> str:
    """The card in Markdown, with the header that model hubs read.

    Arguments:
        run: what was trained.
        config, environment: of it, as others get to see them.
        evaluation: the summary of `iwax evaluate`, or {}.
        file: the name of the file that holds model and card.
    """
    parts = [_what(run, config), _data(run, config, environment), _numbers(evaluation)]
    return "\n".join([HEAD, *parts, _loading(config, file), _made_with(environment)])


def _what(run: LoadedRun, config: RunConfig) -> str:
    own = is_own(config.model)
    size = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(run.model, eqx.is_inexact_array)))
    model = f"a model of its author's own, `{config.model}`" if own else f"iwax's `{config.model}`"
    likelihood = "" if own else f", p(x | z) {config.likelihood}"
    best = run.selected
    chosen = f" This is the checkpoint of epoch {best['epoch']}, the best by {best['by']}." if best else ""
    known = options(OBJECTIVES[config.objective])
    given = ", ".join(f"{name}={getattr(config, name)}" for name in known if getattr(config, name) is not None)
    early = run.resolved.early
    few = f", the first {early.epochs} of them with {early.num_samples} samples" if early else ""
    return (
        f"# {config.model} trained by {config.objective} on {config.dataset}\n\n"
        f"A latent-variable model p(x, z) with its inference network q(z | x): {model}{likelihood}, {size:,} "
        f"parameters.\n\n"
        f"Trained by `{config.objective}` ({given}), recipe `{config.protocol}`, epochs: {config.epochs}{few}, "
        f"batches of {run.resolved.recipe.batch_size}, seed {config.seed}.{chosen}\n"
    )


def _data(run: LoadedRun, config: RunConfig, environment: dict[str, Any]) -> str:
    shape = "x".join(map(str, environment.get("example_shape", ()))) or "not recorded"
    sums = [f"- {name}: SHA-256 `{value}`" for name, value in environment.get("checksums", {}).items()]
    lines = [
        "## Data\n",
        f"`{config.dataset}`, split `{config.split}`, examples of shape {shape}; binarize `{config.binarize}` in "
        f"training, `{run.resolved.test_binarize}` in testing.\n",
        *sums,
    ]
    return "\n".join(lines) + "\n"


def _numbers(evaluation: dict[str, Any]) -> str:
    if not evaluation:
        return "## Numbers\n\nNone: the model was not judged before it was exported (`iwax evaluate`).\n"
    size = f"iwae_{evaluation['iwae_samples']}"
    rows = [ROWS[0], (f"IWAE-{evaluation['iwae_samples']}", size, ()), *ROWS[1:]]
    lines = [
        "## Numbers\n",
        f"In nats, means over {evaluation['num_examples']} test examples by {evaluation['num_samples']} importance "
        f"samples each; test set SHA-256 `{evaluation['test_hash']}`.\n",
        "| quantity | value | errors |\n|---|---|---|",
    ]
    for label, name, errors in rows:
        if name == "neg_kl" and (reason := why_no_divergence(evaluation)):
            lines.append(f"| {label} | none | {reason} |")
            continue
        notes = ", ".join(f"± {_number(evaluation.get(error))} {what}" for error, what in errors)
        lines.append(f"| {label} | {_number(evaluation.get(name))} | {notes} |")
    above = evaluation.get("khat_above_0.7")
    if above is not None:
        lines.append(f"| k-hat above 0.7 | {above:.1%} | of test examples, whose log p is not to be trusted |")
    if evaluation.get("active_units"):
        lines.append(f"| active units | {' + '.join(map(str, evaluation['active_units']))} | |")
    return "\n".join(lines) + "\n"


def _loading(config: RunConfig, file: str) -> str:
    own = is_own(config.model)
    trust, flag = (", trust_code=True", " --trust-code") if own else ("", "")
    where = "" if config.dataset in DATASETS else f" --data {config.dataset}"
    warning = UNTRUSTED.format(file=config.model.rpartition(":")[0]) if own else ""
    return (
        "## How to load it\n\n`pip install iwax`, then\n\n"
        f'```python\nimport iwax\n\nmodel = iwax.load("{file}"{trust})\n```\n\n'
        f"or judge it: `iwax evaluate {file}{flag}{where}`. From a hub: "
        f'`iwax.load("hf:OWNER/NAME"{trust})`, with `pip install "iwax[hub]"`.\n{warning}'
    )


def _made_with(environment: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in environment.get("versions", {}).items())
    return f"## Made with\n\n{versions}; Python {environment.get('python')}; {environment.get('device')}.\n"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"
