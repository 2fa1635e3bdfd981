"""Judge a finished run: its evaluation, its samples and its reconstructions, written beside it."""

import dataclasses
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from iwax.data import Dataset
from iwax.evaluate import Evaluation, evaluate, test_examples
from iwax.figures import image_rows, image_sheet
from iwax.launch import load_run
from iwax.objectives.objective import check_positive_integer
from iwax.runs import RunFolder

__all__ = ["evaluate_run", "reconstruct", "reconstruction_sheet", "sample_images", "sample_sheet"]


@dataclasses.dataclass(frozen=True)
class EvaluationProgress:
    """Test images done (`step`) of `total_steps`."""

    step: int
    total_steps: int
    seconds: float

    @property
    def note(self) -> str:
        return f"{self.step}/{self.total_steps} images, {self.step / max(self.seconds, 1e-9):.1f}/s"


def evaluate_run(
    path: str | Path,
    *,
    num_samples: int = 5000,
    test_images: int | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    data: Dataset | None = None,
    on_progress: Callable[[EvaluationProgress], None] | None = None,
) -> dict[str, Any]:
    """The summary of a run's `evaluate`, also written to evaluation.json; values per image to evaluation.npz.

    Arguments:
        path: the run's folder.
        num_samples: k, importance samples per image.
        test_images: the first this many test images; all if left out.
        seed: of the binarisation and the samples.
        data_dir: folder of the data sets.
        data: the data set itself, if it is loaded already.
        on_progress: called now and then.
    """
    config, model, _, loaded = load_run(path, data_dir=data_dir, data=data)
    images = _first(loaded.test, test_images)
    begin = time.monotonic()

    def on_batch(done: int) -> None:
        if on_progress is not None:
            on_progress(EvaluationProgress(done, len(images), time.monotonic() - begin))

    rule = config.test_binarize
    result = evaluate(model, images, jax.random.key(seed), num_samples=num_samples, binarize=rule, on_batch=on_batch)
    summary = {
        "objective": config.objective,
        **result.summary(),
        "seed": seed,
        "binarize": rule,
        "seconds": time.monotonic() - begin,
    }
    folder = RunFolder(path)
    folder.write("evaluation.npz", _arrays(result))
    folder.write_json("evaluation.json", summary)
    return summary


def sample_images(model: Any, num_images: int, key: jax.Array) -> np.ndarray:
    """Means of p(x | z) for z drawn from the prior, (num_images, pixels)."""
    z = model.prior.sample(key, (num_images,))
    return np.asarray(model.likelihood(z).mean)


def reconstruct(model: Any, x: np.ndarray, key: jax.Array) -> np.ndarray:
    """Means of p(x | z) for one z drawn from q(z | x) of each example, (N, pixels)."""
    z = model.posterior(jnp.asarray(x)).sample(key, (1,))
    return np.asarray(model.likelihood(z).mean)[0]


def sample_sheet(
    path: str | Path,
    *,
    num_images: int = 100,
    seed: int = 0,
    out: Path | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> Path:
    """A picture of images drawn from the model of a run; returns where it is."""
    check_positive_integer("num_images", num_images)
    _, model, _, loaded = load_run(path, data_dir=data_dir, data=data)
    out = out or Path(path) / "samples.png"
    image_sheet(_as_images(sample_images(model, num_images, jax.random.key(seed)), loaded), out)
    return out


def reconstruction_sheet(
    path: str | Path,
    *,
    num_images: int = 20,
    seed: int = 0,
    out: Path | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> Path:
    """A picture of test images above what the model of a run makes of them; returns where it is."""
    check_positive_integer("num_images", num_images)
    config, model, _, loaded = load_run(path, data_dir=data_dir, data=data)
    binarize_key, key = jax.random.split(jax.random.key(seed))
    x = test_examples(_first(loaded.test, num_images), config.test_binarize, binarize_key)
    out = out or Path(path) / "reconstructions.png"
    image_rows({"test": _as_images(x, loaded), "decoded": _as_images(reconstruct(model, x, key), loaded)}, out)
    return out


def _first(images: np.ndarray, count: int | None) -> np.ndarray:
    if count is None:
        return images
    check_positive_integer("test_images", count)
    if count > len(images):
        raise ValueError(f"Expected at most {len(images)} test images, all there are; got {count}.")
    return images[:count]


def _as_images(values: np.ndarray, data: Dataset) -> np.ndarray:
    return values.reshape(len(values), *data.test.shape[1:])


def _arrays(result: Evaluation) -> bytes:
    buffer = io.BytesIO()
    per_example = {
        name: getattr(result, name) for name in ("log_likelihood", "iwae", "neg_kl", "mc_error", "bias", "ess")
    }
    layers = {f"unit_variances_{i + 1}": layer for i, layer in enumerate(result.unit_variances)}
    np.savez_compressed(buffer, allow_pickle=False, **per_example, **layers)
    return buffer.getvalue()
