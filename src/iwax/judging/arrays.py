"""What the model of a run makes, as arrays for other programs: latent codes of its examples, and samples."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np

from iwax.checks import LARGEST, check_choice, check_positive_integer
from iwax.data import Dataset, as_array, positions, rule_again
from iwax.errors import IwaxError
from iwax.evaluation import encode, first_examples, sample_images, sample_values, shown
from iwax.files import write_whole
from iwax.judging.other_data import judged_data
from iwax.keys import EvaluationKeys
from iwax.runs import LoadedRun
from iwax.zoo import open_run

__all__ = ["encode_run", "sample_run"]

PARTS = ("test", "train")
VALUES = 10_000  # of an example, as many as one may be expected to have: all of an array is made at once


def encode_run(
    run: str | Path | LoadedRun,
    out: str | Path,
    *,
    part: str = "test",
    dataset: str | Path | None = None,
    num_images: int | None = None,
    num_samples: int = 128,
    seed: int = 0,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> dict[str, Any]:
    """Write the latent codes of a run's examples to `out`, an .npz; returns what is in it.

    The arrays are those of `iwax.evaluation.Codes.to_numpy`, and `index`: row i is example `index[i]` of the data as
    they are read, before a random split, and example i of the part. Labels in that order fit by labels[index].

    Arguments:
        run: its folder, or what else `iwax.load` takes.
        out: the file.
        part: "test" or "train".
        dataset: other data than the run's own, by name or path.
        num_images: the first this many; all if left out.
        num_samples: draws for the moments of a layer that q does not know.
        seed: of the binarisation, for test examples as `iwax evaluate` does it, and of the draws.
        data_dir, data: as for `evaluate_run`.

    Returns:
        "arrays", name -> shape; "exact", for each layer whether mean and scale are q's own; and what was encoded.

    Raises:
        ValueError: no run, another suffix, or more examples than there are.
    """
    check_choice("part", part, PARTS)
    check_suffix(out, ".npz")
    run = open_run(run, data_dir=data_dir, data=data)
    judged, rule = judged_data(run, dataset, data_dir), run.resolved.test_binarize
    examples = judged if part == "test" else dataclasses.replace(judged, test=as_array(judged.train))
    x = first_examples(examples, rule, seed=seed, count=num_images)
    codes = encode(run.model, x, EvaluationKeys.of_seed(seed).key, binarize=rule_again(rule), num_samples=num_samples)
    index = positions(judged.split, _counts(judged), part)[: len(x)]
    arrays = codes.to_numpy() | {"index": index}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_whole(out, buffer.getvalue())
    return {
        "out": str(out),
        "arrays": {name: list(array.shape) for name, array in arrays.items()},
        "exact": list(codes.exact),
        **{"num_samples": num_samples, "part": part, "dataset": judged.name, "split": judged.split},
        **{"binarize": rule, "seed": seed, "num_examples": len(x)},
    }


def sample_run(
    run: str | Path | LoadedRun,
    out: str | Path,
    *,
    num_images: int = 100,
    seed: int = 0,
    drawn: bool = False,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> dict[str, Any]:
    """Write examples from the model of a run to `out`, an .npy (num_images, *event) of float32; returns what they are.

    They are in the units in which the model sees x: of iwax's images from 0 (black) to 1 (white).

    Arguments:
        run: its folder, or what else `iwax.load` takes.
        out: the file.
        num_images: how many.
        seed: of z, and of what is drawn; the same z as in the picture of `iwax sample`.
        drawn: draw x ~ p(x | z); else the mean of p(x | z), or what stands for it, is written.
        data_dir, data: as for `evaluate_run`.

    Returns:
        "shape"; "values", what they are ("mean", "mode", ..., or "draws"); "lowest" and "highest".

    Raises:
        ValueError: no run, another suffix, or a model without a prior.
    """
    check_suffix(out, ".npy")
    check_positive_integer("num_images", num_images, most=LARGEST // VALUES)
    run = open_run(run, data_dir=data_dir, data=data)
    key = EvaluationKeys.of_seed(seed).prior_samples
    found = (sample_values if drawn else sample_images)(run.model, num_images, key)
    array = np.asarray(found, np.float32).reshape(num_images, *run.example_shape)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_whole(out, buffer.getvalue())
    return {
        **{"out": str(out), "shape": list(array.shape), "values": "draws" if drawn else shown(run.model)},
        **{"lowest": float(array.min()), "highest": float(array.max()), "seed": seed},
        "binarize": run.resolved.test_binarize,
    }


def check_suffix(out: str | Path, suffix: str) -> None:
    """Raises ValueError unless a file has the suffix of what is written to it."""
    if Path(out).suffix != suffix:
        raise IwaxError(f"Expected out to be a file of the suffix {suffix}; got {out}. Name one.")


def _counts(data: Dataset) -> dict[str, int]:
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: len(part) for name, part in parts.items() if part is not None}
