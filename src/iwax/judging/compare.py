"""Compare models on the same examples: runs, trained models of the zoo, evaluations, and files of log-weights."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from iwax import zoo
from iwax.data import Dataset, rule_again
from iwax.errors import IwaxError, MissingExtraError
from iwax.evaluation import Comparison, Evaluation, compare_evaluations, evaluate
from iwax.files import make_folder
from iwax.judging.evaluate import evaluate_run
from iwax.judging.weights import judge_weights, read_evaluation
from iwax.keys import EvaluationKeys
from iwax.numpy_files import open_archive
from iwax.runs import CONFIG, ENVIRONMENT, SUFFIX, LoadedRun, RunFolder, find_runs, is_on_hub

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
        num_samples: k of what is judged here; as it was judged before, or as the others have it, or 5,000.
        num_images: the first this many test images; as it was judged before, or as many as the others have, or all.
        seed: of binarisation and samples; as it was judged before, or 0.
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
    _check_same_data(sources)
    settings: dict[str, Any] = {"num_samples": num_samples, "num_images": num_images, "seed": seed}
    common: dict[str, Any] = {"data_dir": data_dir, "data": data, "trust_code": trust_code, "log": log}
    found: dict[int, Evaluation] = {}
    follow = [i for i, source in enumerate(sources) if _has_no_evaluation(source)]
    for i in [i for i in range(len(sources)) if i not in follow] + follow:  # those which the others' settings decide
        if i in follow and found:
            place, first = next(iter(found.items()))
            known = {"num_samples": first.num_samples, "num_images": len(first.log_likelihood)}
            known |= _judged_with(sources[place])
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
        kept = _judged_with(path)
        if not kept or given.items() - kept.items():
            log(f"judging {path}" + (f" again, in place of its evaluation by {_words(kept)}" if kept else ""))
            evaluate_run(path, **kept | given, data_dir=data_dir, data=data, log=log)
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


def _has_no_evaluation(source: str | Path | Evaluation) -> bool:
    """Whether it is a model that is to be judged, and may be as the others were."""
    if isinstance(source, Evaluation):
        return False
    is_run = (Path(source) / CONFIG).is_file()
    return (is_run and not _judged_with(Path(source))) or zoo.is_of_zoo(source) or is_on_hub(source)


def _check_same_data(sources: Sequence[str | Path | Evaluation]) -> None:
    """Raises ValueError for runs whose test examples are not the same, before any of them is judged."""
    runs = [Path(source) for source in sources if not isinstance(source, Evaluation)]
    known = [(run, RunFolder(run).json(ENVIRONMENT)) for run in runs if (run / CONFIG).is_file()]
    for run, environment in known[1:]:
        first = known[0][1]
        sizes = _size(first), _size(environment)
        tests = [one.get("checksums", {}).get("test") for one in (first, environment)]
        if any(None not in pair and pair[0] != pair[1] for pair in (sizes, tests)):
            words = [
                f"{one.get('dataset')}, examples of shape {one.get('example_shape')}" for one in (first, environment)
            ]
            raise IwaxError(
                f"Expected models of the same data; {known[0][0]} was trained on {words[0]}, and {run} on {words[1]}: "
                "their test examples differ."
            )


def _size(environment: dict[str, Any]) -> int | None:
    return math.prod(environment["example_shape"]) if "example_shape" in environment else None


def _judged_with(source: str | Path | Evaluation) -> dict[str, int]:
    """With how many samples, on how many images and by which seed a run was judged; {} where it was not, or is none."""
    if isinstance(source, Evaluation) or not (Path(source) / CONFIG).is_file():
        return {}
    names = {"num_samples": "num_samples", "num_examples": "num_images", "seed": "seed"}
    judged = RunFolder(Path(source)).judged()
    return {names[name]: judged[name] for name in names if name in judged}


def _words(kept: dict[str, int]) -> str:
    return ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in kept.items())


def _holds_evaluation(path: Path) -> bool:
    if path.suffix != ".npz":
        return False
    with open_archive(path) as arrays:
        return "log_likelihood" in arrays


def _judge_trained(run: LoadedRun, given: dict[str, Any]) -> Evaluation:
    """A model that is no run on the test images of its data set, binarised as `iwax evaluate` does."""
    seed = given.get("seed", 0)
    x, rule = run.test_images(seed, given.get("num_images")), rule_again(run.resolved.test_binarize)
    key = EvaluationKeys.of_seed(seed).key
    return evaluate(run.model, x, key, num_samples=given.get("num_samples", SAMPLES), binarize=rule)


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
