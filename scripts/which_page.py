"""Write the measured parts of docs/which-objective.md, from the records in results/ and from docs/paired.json.

python scripts/which_page.py

docs/paired.json is what `iwax compare two-layer-vae two-layer-iwae-50 one-layer-iwae-50 --json` printed, and what made
it.
"""

import dataclasses
import json
import math
import pathlib
import re

import numpy as np

from iwax.experiments import STUDIES, PerImage, Record, read_records
from iwax.report.cell_runs import Found
from iwax.report.paired import Difference, Pairing

ROOT = pathlib.Path(__file__).parents[1]
PAGE, PAIRED = ROOT / "docs" / "which-objective.md", ROOT / "docs" / "paired.json"
RESULTS = ROOT / "results"
ROWS = {  # label -> objective, groups, samples, beta
    "VAE, one sample": ("elbo", None, 1, None),
    "VAE, ELBO(64)": ("elbo", None, 64, None),
    "IWAE(64)": ("iwae", None, 64, None),
    "MIWAE(8, 8)": ("miwae", 8, 8, None),
    "MIWAE(4, 16)": ("miwae", 4, 16, None),
    "PIWAE(8, 8)": ("piwae", 8, 8, None),
    "PIWAE(4, 16)": ("piwae", 4, 16, None),
    "CIWAE(64), beta 0.5": ("ciwae", None, 64, 0.5),
    "CIWAE(64), beta 0.05": ("ciwae", None, 64, 0.05),
}
FEW = {  # likewise, of which there are three seeds
    "VAE, one sample": ("elbo", None, 1, None),
    "VAE, ELBO(5)": ("elbo", None, 5, None),
    "IWAE(5)": ("iwae", None, 5, None),
}
SETTINGS = {  # what is trained -> model, data set, epochs: within a column all are of as many epochs
    "MNIST, one layer, 160 epochs": ("one-layer", "mnist", 160),
    "Omniglot, one layer, 160 epochs": ("one-layer", "omniglot", 160),
    "MNIST, larger model, 96 epochs": ("larger", "mnist", 96),
}
SEEDS = (0, 1, 2)
AGAINST = "PIWAE(8, 8)"  # which the page advises


def chosen(records: list[Record], row: str, setting: str) -> list[Record]:
    """The records of a cell: the recipe `fast` as it is, all samples backward, at scale short."""
    return trained(records, (ROWS | FEW)[row], SETTINGS[setting])


def trained(records: list[Record], objective: tuple, setting: tuple) -> list[Record]:
    """The same by (objective, groups, samples, beta) and (model, data set, epochs)."""
    names = ("objective", "num_groups", "num_samples", "beta", "model", "dataset")
    return [
        record
        for record in records
        if record.scale == "short"
        and (*(record.config[name] for name in names), record.training["epochs"]) == (*objective, *setting)
        and (record.config["protocol"], record.config["backward"]) in (("fast", None), ("fast", "all"))
        and record.evaluation["num_samples"] > 4000
        and not {"beta_rule", "learning_rate", "stages", "init_from", "gradient", "binarize"} & set(record.asked)
    ]


def log_p(records: list[Record], objective: tuple, setting: tuple) -> dict[int, float]:
    """Seed -> log p in nats."""
    return {one.config["seed"]: one.evaluation["values"]["log_p"] for one in trained(records, objective, setting)}


def means(records: list[Record], metric: str) -> dict[str, dict[str, float]]:
    """setting -> row -> the mean over seeds of a metric, in nats, highest first."""
    found: dict[str, dict[str, float]] = {}
    for setting in SETTINGS:
        values = {}
        for row in ROWS:
            if cell := chosen(records, row, setting):
                values[row] = sum(record.evaluation["values"][metric] for record in cell) / len(cell)
        found[setting] = dict(sorted(values.items(), key=lambda item: -item[1]))
    return found


def over_images() -> float:
    """The error of a paired difference over 10,000 test images, of two models of one architecture, in nats."""
    less = json.loads(PAIRED.read_text())["models"][1]["less_first"]
    return less["error"] * math.sqrt(less["num_examples"] / 10_000)


def pairing(records: list[Record]) -> Pairing:
    """How differences get their errors, as those of claims do."""
    return Pairing(list(STUDIES.values()), records, PerImage(RESULTS))


def difference(pairs: Pairing, records: list[Record], row: str, setting: str) -> Difference:
    """log p of a row less that of PIWAE(8, 8); over images the error of kept numbers, or else of the shipped models."""
    one, other = (Found(tuple(chosen(records, name, setting)), "log_p") for name in (row, AGAINST))
    found = pairs.difference(one, other, "log_p")
    gain = one.value - other.value  # of all seeds, as the table above has it
    of_images = over_images() if found.of_images is None else found.of_images
    return dataclasses.replace(found, gain=gain, of_images=of_images)


def section(records: list[Record]) -> str:
    """The table of all objectives."""
    likelihoods, gaps = means(records, "log_p"), means(records, "minus_kl")
    lines = ["| log p (−KL(Q‖P)), nats | " + " | ".join(SETTINGS) + " |", "|:--|" + "--:|" * len(SETTINGS)]
    for row in ROWS:
        cells = [
            f"{_signed(likelihoods[setting][row])} ({_signed(gaps[setting][row])})"
            if row in likelihoods[setting]
            else ""
            for setting in SETTINGS
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    used = [record for setting in SETTINGS for row in ROWS for record in chosen(records, row, setting)]
    errors = [record.evaluation["data_error"]["log_p"] for record in used]
    lines += [
        "",
        f"Each log p has an error of {min(errors):.2f} to {max(errors):.2f} over test images. The models of a column",
    ]
    lines.append(f"share the images. {_seeds(records)}")
    return "\n".join(lines) + "\n"


def _seeds(records: list[Record]) -> str:
    """How many runs the numbers are means of."""
    counts = {
        (row, setting): len(cell) for setting in SETTINGS for row in ROWS if (cell := chosen(records, row, setting))
    }
    several = {place: count for place, count in counts.items() if count > 1}
    if len(several) == len(counts) and len(set(several.values())) == 1:
        return f"Each is the mean of {next(iter(several.values()))} seeds."
    named = "; ".join(f"{row} ({setting}): {count} seeds" for (row, setting), count in several.items())
    return f"One run each, except means over seeds for {named}." if several else "One run each."


def differences(records: list[Record]) -> str:
    """The table of log p less that of PIWAE(8, 8), with errors; bold where it is outside its 95 % interval."""
    found, pairs = means(records, "log_p"), pairing(records)
    lines = [f"| log p less that of {AGAINST}, nats | " + " | ".join(SETTINGS) + " |", "|:--|" + "--:|" * len(SETTINGS)]
    borrowed: dict[str, Difference] = {}
    for row in ROWS:
        cells = []
        for setting in SETTINGS:
            if row == AGAINST or row not in found[setting]:
                cells.append("" if row != AGAINST else "0")
                continue
            less = difference(pairs, records, row, setting)
            assert less.error is not None
            assert less.margin is not None
            borrowed.setdefault(SETTINGS[setting][1], less)
            mark = "**" if abs(less.gain) > less.margin else ""
            cells.append(f"{mark}{_plus(less.gain)}{mark} ± {less.error:.2f}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "±: standard error over seeds and test images together. Bold: zero is outside the 95 % interval (Student's",
        "t, degrees of freedom of the seeds). The error over seeds comes from all models of the data set that were",
        f"trained with several: a standard deviation of {_spread(borrowed['mnist'])} on MNIST and",
        f"{_spread(borrowed['omniglot'])} on Omniglot. The paired error over images is {over_images():.3f} nat",
        "for 10,000 images. It is that of the two models of one architecture that come with iwax, because records",
        "older than 2026-11-29 keep no numbers per image.",
    ]
    return "\n".join(lines) + "\n"


def _spread(found: Difference) -> str:
    """The standard deviation over seeds that a difference of single runs rests on."""
    assert found.of_seeds is not None
    return f"{found.of_seeds / math.sqrt(2 / found.seeds):.3f} nat ({found.freedom} degrees of freedom)"


def seeds(records: list[Record]) -> str:
    """Differences within a seed, where there are three; and what a second layer is worth beside them."""
    pairs = [("VAE, ELBO(5)", "VAE, one sample"), ("IWAE(5)", "VAE, one sample"), ("IWAE(5)", "VAE, ELBO(5)")]
    lines = ["| log p, difference within a seed, nats | MNIST, one layer | Omniglot, one layer |", "|:--|--:|--:|"]
    for one, other in pairs:
        cells = []
        for dataset in ("mnist", "omniglot"):
            found = within_seed(records, FEW[one], FEW[other], dataset)
            cells.append(f"{_plus(float(found.mean()))} ± {found.std(ddof=1) / math.sqrt(len(found)):.2f}")
        lines.append(f"| {one} less {other} | " + " | ".join(cells) + " |")
    lines += ["", f"Mean ± standard error over seeds {SEEDS[0]} to {SEEDS[-1]}, 160 epochs."]
    lines += ["", "A second stochastic layer improves every objective:", ""]
    lines += ["| log p, two layers less one, nats | MNIST | Omniglot |", "|:--|--:|--:|"]
    for row, objective in FEW.items():
        cells = [_plus(float(np.mean(second_layer(records, objective, name)))) for name in ("mnist", "omniglot")]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines += ["", "Seed 0 of each, 160 epochs."]
    return "\n".join(lines) + "\n"


def within_seed(records: list[Record], one: tuple, other: tuple, dataset: str) -> np.ndarray:
    """log p of one objective less that of another, seed by seed, one layer, in nats, (seeds,)."""
    first, second = (log_p(records, objective, ("one-layer", dataset, 160)) for objective in (one, other))
    return np.array([first[seed] - second[seed] for seed in SEEDS])


def second_layer(records: list[Record], objective: tuple, dataset: str) -> float:
    """log p of two layers less one of the same objective, seed 0, in nats."""
    two, one = (log_p(records, objective, (model, dataset, 160)) for model in ("two-layer", "one-layer"))
    return two[0] - one[0]


def images() -> str:
    """The models that come with iwax, image by image."""
    found = json.loads(PAIRED.read_text())
    first, *others = found["models"]
    lines = ["| model | log p | its own error | less the first | paired error | 95 % |", "|:--|--:|--:|--:|--:|:--|"]
    lines.append(f"| `{first['name']}` | {_signed(first['log_p'])} | {first['log_p_test_error']:.2f} | | | |")
    for one in others:
        less = one["less_first"]
        low, high = less["t_interval"]
        cells = [_signed(one["log_p"]), f"{one['log_p_test_error']:.2f}", _plus(less["difference"])]
        cells += [f"{less['error']:.3f}", f"{_plus(low)} to {_plus(high)}"]
        lines.append(f"| `{one['name']}` | " + " | ".join(cells) + " |")
    made = found["made"]
    count = "all" if first["num_examples"] == 10_000 else f"the first {first['num_examples']:,}"
    lines += ["", f"On {count} test images of MNIST, k = {first['num_samples']:,}, in nats. {made}"]
    return "\n".join(lines) + "\n"


def _plus(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def with_section(text: str) -> str:
    """The page with its measured parts as the records have them."""
    records = list(read_records(RESULTS))
    parts = {"table": section, "differences": differences, "seeds": seeds, "images": lambda _: images()}
    pattern = r"(<!-- measured: (\w+),[^\n]*-->\n).*?(<!-- end of measured -->)"
    return re.sub(
        pattern, lambda match: match[1] + "\n" + parts[match[2]](records) + "\n" + match[3], text, flags=re.DOTALL
    )


if __name__ == "__main__":
    PAGE.write_text(with_section(PAGE.read_text()))
