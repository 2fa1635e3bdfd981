"""Evaluation: a model and examples in, numbers with their errors out. No run folders, no pictures."""

from iwax.evaluation.annealing import CHAINS, Annealing, anneal, schedule, simulate
from iwax.evaluation.bits import is_discrete
from iwax.evaluation.blocks import block_bounds, block_sizes, samples_in_blocks
from iwax.evaluation.comparison import Comparison, compare_evaluations
from iwax.evaluation.decoding import RULES, reconstruct, sample_images, sample_values, shown
from iwax.evaluation.encoding import Codes, encode
from iwax.evaluation.estimators import EstimatorCurves, estimator_curves
from iwax.evaluation.evaluate import (
    evaluate,
    evaluate_batches,
    gather,
    log_likelihood,
    test_examples,
)
from iwax.evaluation.examples import first_examples
from iwax.evaluation.exports import from_arrays, heading, unit_variances_of
from iwax.evaluation.from_weights import judge_log_weights
from iwax.evaluation.implicit import implicit_log_density, implicit_posterior, implicit_weights
from iwax.evaluation.joining import join_evaluations
from iwax.evaluation.pareto import LIMIT, has_tail, pareto_khat, tail_size
from iwax.evaluation.pruning import PrunedModel, prune
from iwax.evaluation.result import Evaluation, standard_error, why_no_divergence
from iwax.evaluation.ssim import get_setting, ssim
from iwax.evaluation.streaming import ROWS, Tally, chunk_shape, log_weights
from iwax.evaluation.units import (
    ACTIVE,
    count_active_by_kl,
    single_sample_unit_variances,
    unit_divergences,
    unit_variances,
)
from iwax.evaluation.value_range import range_of

__all__ = [
    "ACTIVE",
    "CHAINS",
    "LIMIT",
    "ROWS",
    "RULES",
    "Annealing",
    "Codes",
    "Comparison",
    "EstimatorCurves",
    "Evaluation",
    "PrunedModel",
    "Tally",
    "anneal",
    "block_bounds",
    "block_sizes",
    "chunk_shape",
    "compare_evaluations",
    "count_active_by_kl",
    "encode",
    "estimator_curves",
    "evaluate",
    "evaluate_batches",
    "first_examples",
    "from_arrays",
    "gather",
    "get_setting",
    "has_tail",
    "heading",
    "implicit_log_density",
    "implicit_posterior",
    "implicit_weights",
    "is_discrete",
    "join_evaluations",
    "judge_log_weights",
    "log_likelihood",
    "log_weights",
    "pareto_khat",
    "prune",
    "range_of",
    "reconstruct",
    "sample_images",
    "sample_values",
    "samples_in_blocks",
    "schedule",
    "shown",
    "simulate",
    "single_sample_unit_variances",
    "ssim",
    "standard_error",
    "tail_size",
    "test_examples",
    "unit_divergences",
    "unit_variances",
    "unit_variances_of",
    "why_no_divergence",
]
