"""Compare models on the same examples: runs, trained models of the zoo, evaluations, and files of log-weights."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from iwax import zoo
from iwax.data import Dataset
from iwax.errors import IwaxError, MissingExtraError
from iwax.evaluation import Comparison, Evaluation, compare_evaluations, evaluate
from iwax.files import make_folder
from iwax.judging.evaluate import evaluate_run
from iwax.judging.weights import judge_weights, read_evaluation
from iwax.numpy_files import open_archive
from iwax.runs import CONFIG, SUFFIX, LoadedRun, RunFolder, find_runs, is_on_hub

__all__ = ["ComparedModels", "compare", "evaluation_of"]

SAMPLES = 5000
PICTURE = "compare.svg"


@dataclasses.dataclass(frozen=True)
class ComparedModels:
    """What `compare` found.

    Attributes:
        names: of the models, the first is what the others are compared with.
        evaluations: of each, on the same examples.
        comparisons: of each but the first with the first: its log p less that of the first.
        pictures: where each example's log p is drawn, one model against another.
        notes: what is missing, and why.
    """

    names: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]
    comparisons: tuple[Comparison, ...]
    pictures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Of each model its own summary, and the comparison with the first; in nats."""
        differences: tuple[dict[str, Any], ...] = ({}, *({"less_first": one.summary()} for one in self.comparisons))
        models = zip(self.names, self.evaluations, differences, strict=True)
        return {
            "models": [{"name": name, **found.summary(), **less} for name, found, less in models],
            "pictures": [str(path) for path in self.pictures],
            "notes": list(self.notes),
        }


def compare(
    sources: Sequence[str | Path | Evaluation],
    *,
    num_samples: int | None = None,
    num_images: int | None = None,
    seed: int | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
    out: str | Path | None = None,
    trust_code: bool = False,
    log: Callable[[str], None] = lambda message: None,
) -> ComparedModels:
    """The paired difference of log p of each further model and the first, with its errors, on the same examples.

    A run's evaluation is taken as it is if there is one and no setting is asked for; else the run is judged, as `iwax
    evaluate` does. Models of the zoo are judged on as many images and with as many samples as the others.

    Arguments:
        sources: two or more: folders of runs, names of `iwax.zoo.records()`, evaluation.npz, .npy and .npz files of
            log-weights, or evaluations.
        num_samples: k of what is judged here; as the others have it, or 5,000.
        num_images: the first this many test images; as many as the others have, or all.
        seed: of binarisation and samples; 0 if left out.
        data_dir: folder of the data sets.
        data: the data set itself, if it is loaded already.
        out: folder of the pictures, one for each comparison; nothing is drawn if left out.
        trust_code: run the Python code that an exported file of somebody's own model holds.
        log: told what is judged.

    Raises:
        ValueError: fewer than two, something that is none of these, or models that were judged on other examples.
    """
    if len(sources) < 2:
        raise IwaxError(f"Expected two models or more to compare; got {len(sources)}.")
    settings: dict[str, Any] = {"num_samples": num_samples, "num_images": num_images, "seed": seed}
    common: dict[str, Any] = {"data_dir": data_dir, "data": data, "trust_code": trust_code, "log": log}
    found: dict[int, Evaluation] = {}
    of_zoo = [i for i, source in enumerate(sources) if zoo.is_of_zoo(source) or is_on_hub(source)]
    for i in [i for i in range(len(sources)) if i not in of_zoo] + of_zoo:  # those which the others' settings decide
        if i in of_zoo and found:
            first = next(iter(found.values()))
            known = {"num_samples": first.num_samples, "num_images": len(first.log_likelihood)}
            settings |= {name: value for name, value in known.items() if settings[name] is None}
        found[i] = evaluation_of(sources[i], **settings, **common)
    evaluations = tuple(found[i] for i in range(len(sources)))
    comparisons = tuple(compare_evaluations(other, evaluations[0]) for other in evaluations[1:])
    names = tuple(_name(source, i) for i, source in enumerate(sources))
    pictures, notes = _draw(names, evaluations, out)
    return ComparedModels(names, evaluations, comparisons, pictures, notes)


def evaluation_of(
    source: str | Path | Evaluation,
    *,
    num_samples: int | None = None,
    num_images: int | None = None,
    seed: int | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
    trust_code: bool = False,
    log: Callable[[str], None] = lambda message: None,
) -> Evaluation:
    """The evaluation of a run, of a model of the zoo, or of a file, judged now where it is not yet; see `compare`."""
    if isinstance(source, Evaluation):
        return source
    settings = {"num_samples": num_samples, "num_images": num_images, "seed": seed}
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    path = Path(source)
    if (path / CONFIG).is_file():
        if given or not RunFolder(path).judged():
            log(f"judging {path}")
            evaluate_run(path, **given, data_dir=data_dir, data=data, log=log)
        return read_evaluation(path)
    if path.is_file() and path.suffix != SUFFIX:
        return read_evaluation(path) if _holds_evaluation(path) else judge_weights([path])
    if path.is_file() or zoo.is_of_zoo(source) or is_on_hub(source):
        log(f"judging {source}")
        return _judge_trained(zoo.open_run(source, trust_code=trust_code, data_dir=data_dir, data=data), given)
    if path.is_dir() and (below := next(find_runs(path), None)) is not None:
        raise IwaxError(
            f"Expected one run; got {source}, a folder of several. Name one of them, such as {below}, or see all by "
            f"`iwax table {source}`."
        )
    known = ", ".join(zoo.records())
    raise IwaxError(
        f"Expected a run's folder, a .npy or .npz file, an exported {SUFFIX}, or one of the trained models {known}; "
        f"got {source}, which is none of these."
    )


def _holds_evaluation(path: Path) -> bool:
    if path.suffix != ".npz":
        return False
    with open_archive(path) as arrays:
        return "log_likelihood" in arrays


def _judge_trained(run: LoadedRun, given: dict[str, Any]) -> Evaluation:
    """A model that is no run on the test images of its data set, binarised as `iwax evaluate` does."""
    seed = given.get("seed", 0)
    x, rule = run.test_images(seed, given.get("num_images")), run.resolved.test_binarize
    rule = "fixed" if rule == "threshold" else rule  # images of 0 and 1 stay as they are
    return evaluate(run.model, x, jax.random.key(seed), num_samples=given.get("num_samples", SAMPLES), binarize=rule)


def _name(source: Any, place: int) -> str:
    return f"evaluation {place + 1}" if isinstance(source, Evaluation) else str(source)


def _draw(
    names: Sequence[str], evaluations: Sequence[Evaluation], out: str | Path | None
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The picture of each further model against the first; and why there is none."""
    if out is None:
        return (), ()
    from iwax.judging.plots import scatter_plot

    make_folder(out)
    pictures = []
    try:
        for i, (name, other) in enumerate(zip(names[1:], evaluations[1:], strict=True), 1):
            path = Path(out) / (PICTURE if len(names) == 2 else f"{i}-{PICTURE}")
            scatter_plot(evaluations[0], other, (names[0], name), path)
            pictures.append(path)
    except MissingExtraError as error:
        return (), (str(error),)
    return tuple(pictures), ()
