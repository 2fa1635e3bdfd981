"""Likelihood and posterior quality of a trained model, from one stream of log-weights.

For each example, k log-weights log w_s = log p(x, z_s) - log q(z_s | x), z_s ~ q(. | x), give

    log p^(x) = log (1/k) sum_s w_s                 a lower bound on log p(x) in expectation
    IWAE-K    = mean over the k/K disjoint blocks of K samples of their log mean weight
    -KL(Q||P) = IWAE-K - log p^(x)                  never positive, as both come from the same samples
    ELBO      = mean log w = E_q[log p(x | z)] - E_q[log q(z | x) - log p(z)]
    k-hat     shape of the tail of the weights      above 0.5 errors are too small, above 0.7 nothing is to be trusted

How they are drawn and summed is in `iwax.evaluation.streaming`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray, PyTree

from iwax.checks import check_positive_integer
from iwax.data import (
    Dataset,
    as_examples,
    binarize,
    check_examples,
    check_likelihood,
    check_mask,
    check_stored,
    is_tree,
    test_set_hash,
)
from iwax.evaluation.blocks import block_sizes, samples_in_blocks
from iwax.evaluation.leave_one_out import jackknife, kept_size
from iwax.evaluation.pareto import has_tail, pareto_khat, tail_size
from iwax.evaluation.result import Evaluation
from iwax.evaluation.streaming import ROWS, Tally, tallies
from iwax.evaluation.units import unit_variances
from iwax.keys import EvaluationKeys, check_key
from iwax.models import Model

__all__ = ["evaluate", "evaluate_batches", "gather", "log_likelihood", "tally_values"]

BLOCK_SIZE = 64  # the K of Rainforth et al. (2018), Table 1
NO_KHAT = "k-hat is missing, as it needs 25 samples: nothing says whether the errors are to be trusted."
NOT_FINITE = "log p is not finite for "
NO_SPLIT = "The ELBO's reconstruction and KL parts are missing, as the model has no `prior` and `likelihood`."


def evaluate(
    model: Model,
    data: Dataset | PyTree,
    key: PRNGKeyArray,
    *,
    num_samples: int = 5000,
    iwae_samples: int | Sequence[int] = BLOCK_SIZE,
    binarize: str = "fixed",
    rows: int = ROWS,
    on_batch: Callable[[int], None] | None = None,
) -> Evaluation:
    """Log-likelihood, IWAE-K, -KL(Q||P), ELBO, their errors, k-hat, and active units on test examples.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        data: a `Dataset`, of which the test half is used, an array (N, *event), or a pytree of arrays (N, ...), which
            reaches the model as it is (`binarize="none"`).
        key: seed of the binarisation and of all samples.
        num_samples: k, cut down to a multiple of the block sizes, so that every number is from the same samples.
        iwae_samples: K of IWAE-K; several of them give several bounds, and the first gives -KL(Q||P).
        binarize: "fixed" draws black and white once from `key` (examples of 0 and 1 stay as they are), "threshold",
            "intensities" (grey values / 255), or "none" (values as they are); see `iwax.data.binarize`.
        rows: (example, sample) pairs on the device at a time; changes rounding and speed only.
        on_batch: called with the number of examples done, now and then.

    Raises:
        ValueError: fewer samples than one block, or data that cannot be binarised.

    >>> import iwax
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = model.sample(jax.random.key(0), 10)
    >>> evaluation = evaluate(model, x, jax.random.key(1), num_samples=640, binarize="none")
    >>> bool((evaluation.neg_kl <= 0).all())
    True
    """
    sizes = block_sizes(iwae_samples)
    num_samples = samples_in_blocks(num_samples, sizes)
    keys = EvaluationKeys(key)
    x = test_examples(data, binarize, keys.binarisation)
    if not is_tree(x):
        check_likelihood(getattr(model, "real_valued", None), x, binarize)
    batches = []
    for examples, values in evaluate_batches(
        model, x, keys.samples, num_samples=num_samples, block_sizes=sizes, rows=rows
    ):
        batches.append(values)
        if on_batch is not None:
            on_batch(examples.stop)
    values = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return gather(values, sizes, unit_variances(model, x, keys.units), num_samples, test_set_hash(x))


def log_likelihood(
    model: Model, x: PyTree, key: PRNGKeyArray, *, num_samples: int = 5000, rows: int = ROWS
) -> Float[np.ndarray, " batch"]:
    """log p^(x) = log (1/k) sum_s w_s of each example in nats, float64, (N,); memory does not grow with k.

    Arguments:
        model: the pair of densities; see `iwax.models.model`.
        x: examples as the model takes them (binarised already), every leaf (N, *event); they reach it as they are.
        key: seed of the samples.
        num_samples: k.
        rows: (example, sample) pairs on the device at a time; changes rounding and speed only.

    >>> import iwax, jax.numpy as jnp
    >>> model = iwax.LinearGaussian.isotropic(2)
    >>> x = jnp.ones((1, 2))
    >>> error = log_likelihood(model, x, jax.random.key(0)) - model.log_evidence(x)
    >>> bool(abs(error[0]) < 0.05)
    True
    """
    check_key(key)
    check_positive_integer("num_samples", num_samples)
    check_positive_integer("rows", rows)
    for leaf in jax.tree.leaves(x):
        check_mask(leaf, "x")
    batches = tallies(model, x, key, num_samples=num_samples, rows=rows)
    return np.concatenate([tally.log_mean for _, tally in batches])


def evaluate_batches(
    model: Model,
    x: PyTree,
    key: PRNGKeyArray,
    *,
    num_samples: int,
    block_sizes: Sequence[int] = (BLOCK_SIZE,),
    rows: int = ROWS,
    start: int = 0,
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """What `evaluate` finds, batch by batch of examples: (which examples, name -> (examples,)), in nats.

    Draws are keyed by example and sample: what is found for an example does not depend on where one starts.

    Arguments:
        num_samples: k, a multiple of every block size; see `samples_in_blocks`.
        start: the first example, one at which an earlier call ended a batch.
    """
    check_positive_integer("rows", rows)
    split = has_split(model)
    for examples, tally in tallies(
        model, x, key, num_samples=num_samples, rows=rows, start=start, split=split, block_sizes=block_sizes,
        tail_size=kept_size(num_samples),
    ):  # fmt: skip
        yield examples, tally_values(tally, split)


def gather(
    values: dict[str, np.ndarray],
    sizes: Sequence[int],
    variances: tuple[np.ndarray, ...],
    num_samples: int,
    test_hash: str,
    *,
    notes: Sequence[str] | None = None,
) -> Evaluation:
    """An `Evaluation` from what `evaluate_batches` found; `notes` come first, those of a model if left out."""
    bounds = {size: values[f"iwae_{size}"] for size in sizes}
    rest: dict[str, Any] = {name: value for name, value in values.items() if not name.startswith("iwae_")}
    notes = [*notes] if notes is not None else [NO_SPLIT] if "kl" not in rest else []
    notes += [] if has_tail(num_samples) else [NO_KHAT]
    if unknown := int(np.sum(~np.isfinite(values["log_likelihood"]))):
        notes.append(
            f"{NOT_FINITE}{unknown} of {len(values['log_likelihood'])} examples, and so no mean over them "
            "is: every log-weight is -inf (impossible under the model), or one is NaN or +inf (a fault of densities)."
        )
    return Evaluation(
        **{"kl": None} | rest,
        bounds=bounds,
        unit_variances=variances,
        num_samples=num_samples,
        iwae_samples=sizes[0],
        test_hash=test_hash,
        notes=tuple(notes),
    )


def has_split(model: Model) -> bool:
    """Whether the ELBO can be split into reconstruction and KL."""
    return hasattr(model, "prior") and hasattr(model, "likelihood")


def test_examples(data: Dataset | PyTree, rule: str, key: PRNGKeyArray) -> PyTree:
    """The test half of a data set, or an array, binarised once by `rule`: (N, *event) floats.

    A pytree of arrays stays as it is.

    float32, but what is float64 stays it under x64 where the rule is "none" or "intensities".
    """
    images = as_examples(data.test if isinstance(data, Dataset) else data)
    check_examples(images, rule)
    if is_tree(images):
        return images
    if isinstance(data, Dataset):
        check_stored(images, rule)
    return np.asarray(binarize(images, rule, key))


test_examples.__test__ = False  # type: ignore[attr-defined]  # or pytest would collect it


def tally_values(tally: Tally, split: bool) -> dict[str, np.ndarray]:
    """Per example: the fields of `Evaluation` of that shape, and iwae_K for each K."""
    log_mean, variance, k = tally.log_mean, tally.relative_variance, tally.num_samples
    tail = np.partition(tally.tail, -tail_size(k) - 1, axis=1)[:, -tail_size(k) - 1 :]
    bias, error = jackknife(tally)
    return {
        "log_likelihood": log_mean,
        "mc_error": np.sqrt(variance) if k > 1 else np.full(len(log_mean), math.nan),  # one sample has no spread
        "jackknife_bias": bias,
        "jackknife_error": error,
        "ess": tally.ess,
        "khat": pareto_khat(tail, k),
        # Jensen's inequality holds draw by draw; the minimum takes away what rounding adds to equal weights.
        **{f"iwae_{size}": np.minimum(bound.mean, log_mean) for size, bound in tally.bounds.items()},
        "elbo": tally.elbo,
        "elbo_error": tally.elbo_error,
        **({"kl": tally.kl_sum / k} if split else {}),
    }
