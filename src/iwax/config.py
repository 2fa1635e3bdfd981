"""The configuration of a run: one flat value, and its JSON. It imports no JAX, so that the command line starts fast."""

import dataclasses
import json
from typing import Any, get_type_hints

from iwax.checks import nearest

__all__ = ["RunConfig"]


def _field(default: Any, help: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a training run computes. None means: as the objective or the protocol has it."""

    objective: str = _field("iwae", "Bound to maximise; `iwax objectives` lists them.")
    num_groups: int | None = _field(None, "M: groups of samples (miwae, piwae).")
    num_samples: int | None = _field(None, "K: importance samples per image (per group for miwae, piwae).")
    beta: float | None = _field(
        None, "Weight of the ELBO in ciwae, from 0 (IWAE) to 1 (ELBO); where it starts if learned."
    )
    beta_rule: str | None = _field(None, "How ciwae's beta changes: fixed, ascend or descend.")
    gradient: str = _field(
        "reparameterized", "Estimator: reparameterized, sticking-the-landing, doubly-reparameterized."
    )
    model: str = _field("one-layer", "Architecture: one-layer, two-layer or larger.")
    likelihood: str = _field("bernoulli", "p(x|z): bernoulli for binary data, gaussian for real data.")
    dataset: str = _field("mnist", "Data set (`iwax data` lists them), or a path to .npy, .npz or a folder of images.")
    split: str | None = _field(None, "How the data set is split into training and test.")
    train_images: int | None = _field(None, "Use only the first this many training images; all if left out.")
    binarize: str = _field("dynamic", "dynamic (anew at each visit), fixed (once), threshold, or none for real data.")
    protocol: str = _field("burda-paper", "Training recipe: optimiser, schedule, initialisation.")
    epochs: int | None = _field(None, "Passes over the data; cuts the protocol's schedule off there.")
    batch_size: int | None = _field(None, "Images per step; the protocol's if left out.")
    init: str | None = _field(None, "Initial weights: glorot or uniform (+-1/sqrt(n)); the protocol's if left out.")
    output_bias: str | None = _field(
        None, "Where the output bias starts: data-mean or zero; the protocol's if left out."
    )
    scale_map: str | None = _field(None, "How sigma is kept positive: exp or softplus; the protocol's if left out.")
    seed: int = _field(0, "Seed of everything random.")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """Raises ValueError for a key that is no field, and for a value of the wrong type."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"Expected a configuration to be a JSON object; got {type(values).__name__}.")
        hints = get_type_hints(cls)
        for name, value in values.items():
            if name not in hints:
                raise ValueError(
                    f"Expected the keys of a configuration to be known; got {name!r}.{nearest(name, hints)}"
                )
            if not isinstance(value, hints[name]) and not (float in _members(hints[name]) and isinstance(value, int)):
                raise ValueError(f"Expected {name} to be {hints[name]}; got {value!r}.")
        return cls(**values)


def _members(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__args__", (hint,))
