"""The rules of `iwax.experiments.learned_beta` on MNIST: beta over time from several starts, and the final bound.

`python -m iwax.experiments.learned_beta_mnist OUT` trains the one-layer model of Burda et al. once for each rule, start
and seed, adds a line to OUT/rows.jsonl for each, and goes on where it stopped; then it prints the table and draws beta
over time. 20,000 images, 500 of them held out for the rule that wants them.
"""

import sys
import time
from pathlib import Path
from typing import Any, Required, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from iwax.data import Dataset, load
from iwax.evaluation import evaluate
from iwax.experiments.learned_beta import RULES, train
from iwax.extras import check_installed
from iwax.files import append_line, dumps, make_folder, write_whole
from iwax.models import ARCHITECTURES
from iwax.reading import Count, read_lines

__all__ = ["STARTS", "betas_figure", "one_run", "table"]

STARTS = dict.fromkeys(RULES, (0.05, 0.5, 0.95)) | {"fixed": (0.0, 0.5, 1.0), "fixed-phi": (0.5, 1.0)}
IMAGES, HELD_OUT, TEST_IMAGES = 20_000, 500, 1000
NUM_STEPS, NUM_SAMPLES, BATCH = 3000, 16, 50


class Row(TypedDict, total=False):
    """A line of rows.jsonl, as far as it is read."""

    rule: Required[str]
    beta: Required[float]
    seed: Required[Count]
    steps: Required[Count]
    betas: Required[list[float]]
    log_p: Required[float]
    iwae_64: Required[float]
    neg_kl: Required[float]


def one_run(data: Dataset, *, rule: str, beta: float, seed: int, num_steps: int = NUM_STEPS) -> dict[str, Any]:
    """A row of the study: log p^ and IWAE-64 of the trained model on test images in nats, and beta at 100 moments.

    Images are binarised afresh at each visit; the test images once, the same for all rows.
    """
    begin = time.monotonic()
    images = jnp.asarray(data.train[:IMAGES].reshape(len(data.train[:IMAGES]), -1) / 255, jnp.float32)
    model_key, train_key = jax.random.split(jax.random.key(seed))
    model = ARCHITECTURES["one-layer"](key=model_key, data_mean=images.mean(axis=0), data_size=images[0].size)
    outcome = train(
        model, images[HELD_OUT:], images[:HELD_OUT], rule=rule, beta=beta, key=train_key, num_steps=num_steps,
        num_samples=NUM_SAMPLES, batch_size=BATCH, prepare=lambda x, key: jax.random.bernoulli(key, x).astype(x.dtype),
    )  # fmt: skip
    judged = evaluate(outcome.model, data.test[:TEST_IMAGES], jax.random.key(0), num_samples=512).summary()
    kept = (
        "log_p",
        "log_p_mc_error",
        "khat_above_0.7",
        "log_p_test_error",
        "iwae_64",
        "neg_kl",
        "active_units",
        "num_examples",
        "test_hash",
    )
    shown = np.linspace(0, num_steps - 1, min(100, num_steps)).astype(int)
    return {
        "rule": rule,
        "beta": beta,
        "seed": seed,
        "steps": num_steps,
        **{name: judged[name] for name in kept},
        "betas": np.asarray(outcome.betas, np.float64)[shown].round(4).tolist(),
        "seconds": round(time.monotonic() - begin, 1),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each rule and start; means over seeds, ± standard deviation where there are several."""
    columns = ("rule", "beta at start", "after 10%", "50%", "100%", "log p", "IWAE-64", "-KL", "seeds")
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for rule, starts in STARTS.items():
        for start in starts:
            cell = [row for row in rows if (row["rule"], row["beta"]) == (rule, start)]
            if not cell:
                continue
            betas = np.mean([row["betas"] for row in cell], axis=0)
            path = " | ".join(f"{betas[round(part * (len(betas) - 1))]:.3f}" for part in (0.1, 0.5, 1))
            values = " | ".join(_spread([row[name] for row in cell]) for name in ("log_p", "iwae_64", "neg_kl"))
            lines.append(f"| {rule} | {start:.2f} | {path} | {values} | {len(cell)} |")
    return "\n".join(lines)


def betas_figure(rows: list[dict[str, Any]], path: Path) -> None:
    """beta against the step for the rules that move it, a panel each, a line for each start (mean over seeds)."""
    from iwax.figures import COLOURS, plot

    moving = [rule for rule in RULES if not rule.startswith("fixed") and any(row["rule"] == rule for row in rows)]
    with plot(path, columns=len(moving), width=2.0 * len(moving), height=2.4) as axes:
        for axis, rule in zip(np.ravel(axes), moving, strict=True):
            for start, colour in zip(STARTS[rule], COLOURS, strict=False):
                cell = [row for row in rows if (row["rule"], row["beta"]) == (rule, start)]
                if cell:
                    betas = np.mean([row["betas"] for row in cell], axis=0)
                    steps = np.linspace(0, cell[0]["steps"], len(betas))
                    axis.plot(steps / 1000, betas, color=colour, label=f"start {start}")
            axis.set(title=rule, xlabel="step (thousands)", ylim=(-0.03, 1.03))
        np.ravel(axes)[0].set(ylabel="beta")
        np.ravel(axes)[0].legend()


def _spread(values: list[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def main(out: Path, num_seeds: int = 2) -> None:
    """Run what is missing, then print the table and draw the figure."""
    check_installed("matplotlib", "pictures")
    make_folder(out)
    record = out / "rows.jsonl"
    rows = read_lines(record, Row, "Delete it, to run all again.") if record.exists() else []
    write_whole(record, "".join(dumps(row) + "\n" for row in rows))  # without a half-written last one
    done = {(row["rule"], row["beta"], row["seed"]) for row in rows}
    data = load("mnist")
    for seed in range(num_seeds):
        for rule, starts in STARTS.items():
            for beta in starts:
                if (rule, beta, seed) not in done:
                    rows.append(one_run(data, rule=rule, beta=beta, seed=seed))
                    append_line(record, dumps(rows[-1]))
    print(table(rows))
    betas_figure(rows, out / "beta.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/learned-beta"), *map(int, sys.argv[2:]))
