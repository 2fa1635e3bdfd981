"""The whole judgement of a run: its evaluation and its diagnostics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from iwax.data import Dataset
from iwax.errors import IwaxError
from iwax.evaluation import (
    ACTIVE,
    count_active_by_kl,
    estimator_curves,
    log_likelihood,
    prune,
    single_sample_unit_variances,
    standard_error,
    unit_divergences,
    unit_variances_of,
)
from iwax.extras import beside_numbers
from iwax.figures import about
from iwax.files import make_folder
from iwax.judging.evaluate import evaluate_run
from iwax.judging.weights import ARRAYS
from iwax.keys import EvaluationKeys
from iwax.numpy_files import read_arrays
from iwax.runs import LoadedRun, RunFolder
from iwax.zoo import open_run

__all__ = ["JUDGEMENT", "estimators_run", "judge_run", "plot_evaluation", "pruned_run"]

JUDGEMENT = "judgement.json"
FORMATS = (".pdf", ".svg")
COSTLY = 100  # images of the costly parts, unless another number is asked for


def judge_run(
    run: str | Path | LoadedRun,
    *,
    costly_images: int = COSTLY,
    num_samples: int = 5000,
    seed: int = 0,
    data_dir: str | None = None,
    data: Dataset | None = None,
    log: Callable[[str], None] = lambda message: None,
    **options: Any,
) -> dict[str, Any]:
    """Everything there is to say of a finished run, also written to judgement.json, with pictures in figures/.

    The evaluation of all test images comes first, then what tells how far to trust it, on a hundred of them. What the
    model or the installation does not allow is left out; "missing" says what and why.

    Arguments:
        run: its folder, or the run itself, loaded.
        costly_images: the first this many test images, for the costly parts.
        num_samples: k of every likelihood.
        seed: of the binarisation and of all samples.
        data_dir: folder of the data sets.
        data: the data set itself, if it is loaded already.
        log: told of each part before it starts.
        options: further options of `evaluate_run`.

    Returns:
        The summaries by part: evaluation and, unless it was stopped, pruned, estimators, annealing, ssim,
        posterior; missing.
    """
    loaded = open_run(run, data_dir=data_dir, data=data)
    path = loaded.folder.path
    common: dict[str, Any] = {"seed": seed, "data_dir": data_dir}
    log("evaluation")
    evaluation = evaluate_run(loaded, num_samples=num_samples, log=log, **common, **options)
    if evaluation["state"] == "stopped":
        return {"state": "stopped", "evaluation": evaluation}
    with beside_numbers("figures/trust and figures/active-units"), about(loaded.made_from):
        plot_evaluation(path)
    few = min(costly_images, evaluation["num_examples"])
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "pruned": lambda: pruned_run(loaded, num_images=few, num_samples=num_samples, **common),
        "estimators": lambda: estimators_run(loaded, num_images=few, num_samples=num_samples, **common),
        "annealing": lambda: _annealing(loaded, few, num_samples, common),
        "ssim": lambda: _ssim(loaded, few, common),
        "posterior": lambda: _posterior(loaded, common),
    }
    result: dict[str, Any] = {"state": "finished", "evaluation": evaluation}
    missing: dict[str, str] = {}
    for name, part in parts.items():
        log(name)
        try:
            result[name] = part()
        except (IwaxError, NotImplementedError) as error:  # a fault of iwax's own is none of them
            missing[name] = (str(error) or type(error).__name__).splitlines()[0]
    loaded.folder.write_json(JUDGEMENT, result := {**result, "missing": missing, "made_from": loaded.made_from})
    return result


def plot_evaluation(path: str | Path) -> list[Path]:
    """The pictures of a run's evaluation, from evaluation.npz: figures/trust and figures/active-units.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from iwax.judging.plots import trust_plot, unit_plot

    folder = RunFolder(path)
    num_samples = folder.json("evaluation.json")["num_samples"]
    arrays = read_arrays(folder.path / ARRAYS)
    khat, ess, layers = arrays["khat"], arrays["ess"], unit_variances_of(arrays)
    written = []
    for trust, units in zip(_figures(path, "trust"), _figures(path, "active-units"), strict=True):
        trust_plot(khat, ess, num_samples, trust)
        unit_plot(layers, units)
        written += [trust, units]
    return written


def pruned_run(
    run: str | Path | LoadedRun,
    *,
    num_images: int | None = None,
    num_samples: int = 5000,
    seed: int = 0,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> dict[str, Any]:
    """log p of the first test images as it is, and with inactive units drawn from the prior: the same, if they are.

    Which are inactive is as evaluation.npz has it; the counts by the IWAE paper's single sample, and by what each unit
    holds beyond the layer above, are given beside it.
    """
    run = open_run(run, data_dir=data_dir, data=data)
    model, x, keys = run.model, run.test_images(seed, num_images, most=COSTLY), EvaluationKeys.of_seed(seed)
    variances = unit_variances_of(read_arrays(run.folder.path / ARRAYS))
    active = tuple(layer > ACTIVE for layer in variances)
    whole = log_likelihood(model, x, keys.samples, num_samples=num_samples)
    pruned = log_likelihood(prune(model, active), x, keys.samples, num_samples=num_samples)
    single = single_sample_unit_variances(model, x, keys.single_sample_units)
    divergences = unit_divergences(model, x, keys.divergences)
    return {
        "log_p": float(np.mean(whole)),
        "log_p_pruned": float(np.mean(pruned)),
        "difference": float(np.mean(pruned - whole)),
        "difference_test_error": standard_error(pruned - whole),
        "active_units": [int(layer.sum()) for layer in active],
        "units": [len(layer) for layer in active],
        "active_units_single_sample": [int(np.sum(layer > ACTIVE)) for layer in single],
        "active_units_by_divergence": count_active_by_kl(divergences),
        "num_examples": len(x),
        "num_samples": num_samples,
    }


def estimators_run(
    run: str | Path | LoadedRun,
    *,
    num_images: int | None = None,
    num_samples: int = 5000,
    seed: int = 0,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> dict[str, Any]:
    """Bias and spread of IWAE-K, JVI-1(K) and JVI-2(K) against K on the first test images; drawn in figures/."""
    from iwax.judging.plots import estimator_plot

    run = open_run(run, data_dir=data_dir, data=data)
    x, keys = run.test_images(seed, num_images, most=COSTLY), EvaluationKeys.of_seed(seed)
    curves = estimator_curves(run.model, x, keys.samples, num_samples=num_samples)
    with beside_numbers("figures/estimators"), about(run.made_from):
        for figure in _figures(run.folder.path, "estimators"):
            estimator_plot(curves, figure)
    return curves.summary()


def _annealing(run: LoadedRun, images: int, num_samples: int, common: dict[str, Any]) -> dict[str, Any]:
    """A short annealing of the test images, to see whether log p is far off; longer ones, of `iwax anneal`, stay."""
    from iwax.judging.anneal import anneal_run

    effort: dict[str, Any] = {"num_distributions": 200, "num_chains": 8, "sandwich": False, "replace": False}
    return anneal_run(run, num_images=images, num_samples=num_samples, **effort, **common)


def _ssim(run: LoadedRun, images: int, common: dict[str, Any]) -> dict[str, Any]:
    from iwax.judging.ssim import ssim_run

    return ssim_run(run, num_images=images, **common)


def _posterior(run: LoadedRun, common: dict[str, Any]) -> dict[str, Any]:
    """q, the implicit posterior and the true one of a few test images, pictured."""
    from iwax.judging.posterior import implicit_run

    return implicit_run(run, **common)


def _figures(path: str | Path, name: str) -> list[Path]:
    """Where a picture goes, in every format."""
    folder = Path(path) / "figures"
    make_folder(folder)
    return [folder / (name + suffix) for suffix in FORMATS]
