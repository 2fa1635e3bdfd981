"""Short names and numbers as every table and figure of the report writes them."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iwax.objectives import OBJECTIVES, options

__all__ = [
    "METRICS",
    "arithmetic",
    "backward",
    "counted",
    "data_name",
    "early_words",
    "legend",
    "nats",
    "objective_name",
    "processor",
    "signed",
]

METRICS = {
    "nll": "NLL",
    "log_p": "log p",
    "iwae_64": "IWAE-64",
    "minus_kl": "−KL(Q‖P)",
    "elbo": "ELBO",
    "active_units": "active units",
    "ssim": "SSIM",
}
ESTIMATORS = {"sticking-the-landing": "STL", "doubly-reparameterized": "DReG", "score-function": "score"}
OTHERWISE_WORDED = ("num_groups", "num_samples", "gradient", "backward", "num_resampled")  # options of objectives
SHORT = {
    "VAE": "VAE(K): the mean of K log-weights, an ELBO",
    "STL": "STL: gradients by sticking the landing",
    "DReG": "DReG: doubly reparameterized gradients",
    "resampled": "resampled: this many of the K samples, drawn by their weights, are used in the backward pass",
}  # of the words of names, those that do not say themselves what they mean
EXPONENT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def counted(number: int, noun: str) -> str:
    """A number of things: one, or several.

    >>> counted(1, "epoch"), counted(3280, "epoch")
    ('1 epoch', '3,280 epochs')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def data_name(config: Mapping[str, Any]) -> str:
    """The data set of a configuration; of a path, which is that of one machine, its last part.

    >>> data_name({"dataset": "/home/me/faces"}), data_name({"dataset": "mnist"})
    ('faces', 'mnist')
    """
    return Path(str(config["dataset"])).name


def objective_name(config: Mapping[str, Any]) -> str:
    """The objective of a configuration with every default filled in, such as "IWAE(50)" or "PIWAE(8, 8), DReG".

    Its options are worded as its class words them: those that every record reports, and those not at their defaults.

    >>> objective_name({"objective": "ciwae", "num_samples": 64, "beta": 0.5, "beta_rule": "fixed"})
    'CIWAE(64), β 0.5'
    >>> objective_name({"objective": "ovis", "num_samples": 5, "gamma": 0.5, "num_auxiliary": 0})
    'OVIS(5), γ 0.5'
    >>> objective_name({"objective": "elbo", "num_samples": 5, "gradient": "reparameterized"})
    'VAE(5)'
    >>> objective_name({"objective": "iwae", "num_samples": 50, "init_from": "runs/vae"})
    'IWAE(50), from a trained model'
    >>> objective_name({"objective": "iwae", "num_samples": 50, "binarize": "fixed"})
    'IWAE(50), binarised once'
    """
    name = "VAE" if config["objective"] == "elbo" else str(config["objective"]).upper()
    counts = [config.get("num_groups"), config.get("num_samples")]
    text = f"{name}({', '.join(str(count) for count in counts if count is not None)})".replace("()", "")
    words = [text, *_option_words(config)]
    words += [ESTIMATORS[config["gradient"]]] if config.get("gradient") in ESTIMATORS else []
    words += [f"{backward(config)} resampled"] if backward(config) != "all" else []
    words += [early] if (early := early_words(config)) else []
    words += ["alternating"] if config.get("update") == "alternating" else []
    words += ["binarised once"] if config.get("binarize") == "fixed" else []
    words += ["from a trained model"] if config.get("init_from") else []
    return ", ".join(words)


def legend(names: Iterable[str]) -> str:
    """What the short words in names of objectives mean; "" where there are none.

    >>> legend(["IWAE(5), DReG", "PIWAE(8, 8)"])
    'DReG: doubly reparameterized gradients.'
    """
    words = set(re.findall(r"\w+", " ".join(names)))
    said = "; ".join(meaning for word, meaning in SHORT.items() if word in words)
    return said and said + "."


def _option_words(config: Mapping[str, Any]) -> list[str]:
    """What tells the configuration from another of its objective; nothing of an objective that is not ours."""
    objective = OBJECTIVES.get(config["objective"])
    if objective is None:
        return []
    worded = [option for option in options(objective).values() if option.name not in OTHERWISE_WORDED]
    given = [(option, config.get(option.name)) for option in worded]
    return [
        option.words(value)
        for option, value in given
        if value is not None and (option.name in objective.reported or value != option.default)
    ]


def early_words(config: Mapping[str, Any]) -> str:
    """The early part of a run, in words; "" for one without.

    >>> early_words({"early_samples": 5, "early_part": 0.8})
    'first 80 % with 5 samples'
    """
    samples, part = config.get("early_samples"), config.get("early_part")
    if not samples:
        return ""
    return f"first {100 * part:g} % with {counted(samples, 'sample')}" if part else f"{samples} early"


def backward(config: Mapping[str, Any]) -> str:
    """How many samples of an example go backward: "all", or how many are resampled."""
    return str(config.get("num_resampled") or 1) if config.get("backward") == "resampled" else "all"


def processor(machine: Mapping[str, Any]) -> str:
    """What a run was trained on, without the maker's decoration: the GPU, if there was one, or the processor.

    >>> processor({"cpu": "Intel(R) Xeon(R) Processor", "device": "cpu (cpu)"})
    'Intel Xeon'
    """
    device = str(machine.get("device", "cpu"))
    name = str(machine.get("cpu", "")) if device.startswith("cpu") else device.partition(" (")[2].rstrip(")")
    return re.sub(r"\((R|TM)\)| Processor\b", "", name)


def nats(value: float, digits: int = 2) -> str:
    """A number with a real minus sign.

    >>> nats(-86.7612)
    '−86.76'
    """
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """A difference: its sign is always there."""
    return f"{value:+.{digits}f}".replace("-", "−")


def arithmetic(flop: float | int | None) -> str:
    """Floating-point operations, to two digits.

    >>> arithmetic(1.234e15)
    '1.2·10¹⁵'
    """
    if not flop:
        return "—"
    power = math.floor(math.log10(flop))
    scaled = f"{flop / 10**power:.1f}"
    scaled, power = ("1.0", power + 1) if scaled == "10.0" else (scaled, power)
    return f"{scaled}·10{str(power).translate(EXPONENT)}"
