"""The configuration of a run: one flat value, and its JSON. It imports no JAX, so that the command line starts fast."""

import dataclasses
import math
from typing import Any

from iwax.checks import nearest
from iwax.errors import IwaxError
from iwax.files import dumps, loads
from iwax.reading import check_type, types_of
from iwax.runs.objective_options import ObjectiveOptions

__all__ = ["FIELDS_BY_OPTION", "OBJECTIVE_FIELDS", "OPTION_NAMES", "RunConfig"]

OPTION_NAMES = {"protocol": ("--recipe", "--protocol")}
"""The options of a field whose name is kept for the records that hold it; the first name is today's."""
FIELDS_BY_OPTION = {name.lstrip("-"): field for field, names in OPTION_NAMES.items() for name in names}

OBJECTIVE_FIELDS = tuple(field.name for field in dataclasses.fields(ObjectiveOptions) if field.name != "objective")
"""The fields that are options of objectives, all of them."""


def _field(default: Any, help: str, *, flag: bool = False) -> Any:
    """A field with the help of its option, which takes a value or, as a `flag`, none."""
    return dataclasses.field(default=default, metadata={"help": help, "flag": flag})


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig(ObjectiveOptions):
    """Everything that decides what a training run computes. None means: as the objective or the recipe has it."""

    model: str = _field("one-layer", "one-layer, two-layer, larger, or your own: FILE.py:FUNCTION.")
    likelihood: str | None = _field(None, "p(x|z): bernoulli (if left out), or gaussian for real data.")
    dataset: str = _field(
        "mnist", "Data set (`iwax data` lists them), or a path to .npy, .npz, .csv, .parquet or a folder of images."
    )
    split: str | None = _field(None, "How the data set is split into training and test.")
    columns: str | None = _field(None, "Of a table: NAME,NAME,... in its header; all if left out.")
    grey: bool | None = _field(None, "Make images of your own in colour grey.", flag=True)
    background: str | None = _field(
        None, "What transparent pixels of your own images show, white or black; white, with a notice, if left out."
    )
    train_images: int | None = _field(None, "Use only the first this many training images; all if left out.")
    binarize: str | None = _field(
        None,
        "dynamic (afresh at each visit), fixed (once), threshold, intensities (grey values / 255), or none (values as "
        "they are). If left out as the likelihood takes them: dynamic; gaussian: intensities, or none of a path.",
    )
    protocol: str = _field("fast", "Training recipe; the options down to held-out are its, if left out.")
    batch_size: int | None = _field(None, "Images per step.")
    stages: str | None = _field(None, "Schedule: RATE:EPOCHS,RATE:EPOCHS,...")
    learning_rate: float | None = _field(
        None, "The schedule's first rate, a cosine's highest; later ones change in proportion."
    )
    schedule_scale: float | None = _field(None, "Stretch the schedule to this many times its epochs.")
    decay: str | None = _field(None, "Of the rate: stages, or cosine (from the first stage's to zero over all epochs).")
    warm_up: float | None = _field(None, "Part of the epochs in which a cosine's rate rises first.")
    algorithm: str | None = _field(None, "What turns gradients into steps: adam, soap or muon.")
    clip: float | None = _field(None, "Clip gradients of more than this many times the usual norm; 0: none.")
    early_samples: int | None = _field(
        None,
        "Samples of the early part of a run, all taken backward, shared out among the groups of miwae and piwae where "
        "they divide them (else IWAE of so many); from its end on the objective has all of its own. 0: throughout.",
    )
    early_part: float | None = _field(None, "Which part of the epochs that is; 0.8 if left out.")
    parts: int | None = _field(
        None,
        "Equal parts of a minibatch, one after another through the networks, each with a key of its own; if left out "
        "as many as keep one in a CPU's cache, whatever the device.",
    )
    gradient_scale: str | None = _field(None, "Gradient of a minibatch: mean or sum over its images.")
    beta1: float | None = _field(None, "Adam's decay of the first moment.")
    beta2: float | None = _field(None, "Adam's decay of the second moment.")
    epsilon: float | None = _field(None, "Adam's epsilon, in units of the gradient.")
    epsilon_hat: bool | None = _field(None, "Whether epsilon stands outside the bias correction (true or false).")
    second_moment: float | None = _field(None, "Where Adam's second moment starts.")
    previous_moments: bool | None = _field(None, "Whether a step uses the moments before its gradient (true or false).")
    init: str | None = _field(None, "Initial weights: glorot, glorot-123, uniform (+-1/sqrt(n)) or torch.")
    output_bias: str | None = _field(None, "Where the output bias starts: data-mean, zero or init.")
    scale_map: str | None = _field(None, "How sigma is kept positive: exp or softplus.")
    shuffle: str | None = _field(None, "Order of the training images: afresh each epoch, never, or permuted once.")
    held_out: int | None = _field(None, "Training images, from the end, that are not trained on.")
    epochs: int | None = _field(None, "Passes over the data; cuts the recipe's schedule off there.")
    precision: str = _field(
        "float32",
        "Of the operands of matrix products while training: float32 or bfloat16. Everything else, and all judging, is "
        "float32.",
    )
    devices: int | None = _field(None, "How many devices share each minibatch, in equal parts; 1 if left out.")
    update: str = _field(
        "joint",
        "joint, or alternating (piwae): the inference network on MIWAE(M, K), then the generative one on IWAE(K), with "
        "new samples and an optimiser each.",
    )
    kl_warmup: float | None = _field(
        None,
        "Epochs in which the weight of log p(z) - log q(z|x) in the log-weights first rises from 0 to 1; bounds are "
        "reported of weight 1.",
    )
    init_from: str | None = _field(None, "Start from the model of this run, with a new optimiser.")
    validation: str | None = _field(
        None,
        "Examples for validation, never trained on and judged along training in place of test images: a part of the "
        "training images (0.1), a number of them, or val, the data's own part.",
    )
    keep: str | None = _field(
        None, "Which checkpoint to keep: last, or best, the one of the best validation IWAE-64 beside the last."
    )
    patience: int | None = _field(
        None, "Stop early after this many judgements in a row without a better validation IWAE-64."
    )
    eval_every: int | None = _field(
        None,
        "Record log p and IWAE-64 every this many epochs on test images, or with --validation on those, where it is 1 "
        "if left out.",
    )
    eval_images: int | None = _field(None, "How many images for that, evenly spaced; 500 if left out.")
    eval_samples: int | None = _field(None, "Importance samples per image for that; 640 if left out.")
    seed: int = _field(0, "Seed of everything random.")

    def to_json(self) -> str:
        """Raises ValueError for a number that is not finite, which JSON does not have."""
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise IwaxError(f"Expected {name} to be finite; got {value}.")
        return dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """Raises ValueError for a key that is no field, and for a value of the wrong type."""
        values = loads(text)
        if not isinstance(values, dict):
            raise IwaxError(f"Expected a configuration to be a JSON object; got {type(values).__name__}.")
        hints = types_of(cls)
        for name, value in values.items():
            if name not in hints:
                raise IwaxError(
                    f"Expected the keys of a configuration to be known; got {name!r}.{nearest(name, hints, '')}"
                )
            check_type(value, hints[name], name)
        return cls(**values)
