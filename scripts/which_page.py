"""Write the measured table and what follows from it into docs/which-objective.md, from the records in results/.

python scripts/which_page.py
"""

import pathlib
import re

from iwax.experiments.records import Record, read_records

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "which-objective.md"
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
SETTINGS = {  # what is trained -> model, data set, epochs: within a column all are of as many epochs
    "MNIST, one layer, 160 epochs": ("one-layer", "mnist", 160),
    "Omniglot, one layer, 160 epochs": ("one-layer", "omniglot", 160),
    "MNIST, larger model, 96 epochs": ("larger", "mnist", 96),
}


def chosen(records: list[Record], row: str, setting: str) -> list[Record]:
    """The records of a cell: the recipe `fast` as it is, all samples backward, at scale short."""
    wanted = (*ROWS[row], *SETTINGS[setting])
    names = ("objective", "num_groups", "num_samples", "beta", "model", "dataset")
    return [
        record
        for record in records
        if record.scale == "short"
        and (*(record.config[name] for name in names), record.training["epochs"]) == wanted
        and (record.config["protocol"], record.config["backward"]) in (("fast", None), ("fast", "all"))
        and record.evaluation["num_samples"] > 4000
        and not {"beta_rule", "learning_rate", "stages", "init_from", "gradient", "binarize"} & set(record.asked)
    ]


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


def section(records: list[Record]) -> str:
    """The table, and each order in words."""
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
        f"Each log p has an error of {min(errors):.2f} to {max(errors):.2f} over test images, which the models of a",
    ]
    lines += [f"column share. {_seeds(records)}", ""]
    lines += [f"- {setting}: {_order(likelihoods[setting])}." for setting in SETTINGS]
    return "\n".join(lines) + "\n"


def _seeds(records: list[Record]) -> str:
    """How many runs the numbers are means of."""
    counts = {
        (row, setting): len(cell) for setting in SETTINGS for row in ROWS if (cell := chosen(records, row, setting))
    }
    several = {place: count for place, count in counts.items() if count > 1}
    if len(several) == len(counts) and len(set(several.values())) == 1:
        return f"Each is the mean of {next(iter(several.values()))} seeds."
    named = "; ".join(f"{row} ({setting}), of {count} seeds" for (row, setting), count in several.items())
    return f"One run each, but for means of several: {named}." if several else "One run each."


def _order(values: dict[str, float]) -> str:
    best = next(iter(values.values()))
    return ", ".join(row if value == best else f"{row} {_signed(value - best)}" for row, value in values.items())


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def with_section(text: str) -> str:
    """The page with its measured part as the records have it."""
    pattern = r"(<!-- measured: [^\n]*-->\n).*?(<!-- end of measured -->)"
    records = list(read_records(ROOT / "results"))
    return re.sub(pattern, lambda match: match[1] + "\n" + section(records) + "\n" + match[2], text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(with_section(PAGE.read_text()))
