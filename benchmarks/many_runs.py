"""Made-up folders of runs and records, thousands of them, to see how `iwax runs` and `iwax report` do at size.

Their numbers mean nothing. Every file is there that a trained and judged run has, as long as that of one; only the
checkpoints are small: the first layer's shape is right, which is what a report asks of them.
"""

import argparse
import copy
import dataclasses
import hashlib
import io
import json
import os
import random
import time
from pathlib import Path

import numpy as np

from iwax.files import dumps
from iwax.runs import RunConfig, resolve

__all__ = ["make_records", "make_run", "make_runs"]

SEEDS = 5  # of each configuration
EPOCHS, EXAMPLES = 40, 500
ARRAYS = ("log_likelihood", "iwae", "neg_kl", "mc_error", "bias", "ess", "khat", "elbo", "elbo_error", "iwae_64")
ARRAYS += ("jackknife_bias", "jackknife_error", "reconstruction", "kl")


def make_runs(folder: str | Path, count: int, *, examples: int = EXAMPLES, epochs: int = EPOCHS) -> list[Path]:
    """`count` run folders below `folder`, each of another configuration or seed; the same for the same arguments."""
    return [make_run(folder, number, examples=examples, epochs=epochs) for number in range(count)]


def make_run(folder: str | Path, number: int, *, examples: int = EXAMPLES, epochs: int = EPOCHS) -> Path:
    """The run of a number: every fifth begins another configuration."""
    draw, line = random.Random(number), number // SEEDS
    objective, num_samples = ("iwae", "elbo")[line % 2], (1, 5, 10, 50)[line // 2 % 4]
    asked = RunConfig(
        objective=objective,
        num_samples=num_samples,
        dataset="mnist-sample",
        epochs=epochs,
        learning_rate=1e-3 * (1 + line // 8),
        seed=number % SEEDS,
    )
    config = dataclasses.replace(resolve(asked).config, split="standard")
    text = config.to_json()
    path = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:12]
    path.mkdir(parents=True)
    log_p = -90.0 - 10 * draw.random()
    (path / "config.json").write_text(text)
    (path / "environment.json").write_text(dumps(_environment(config), indent=2) + "\n")
    (path / "metrics.jsonl").write_text("".join(dumps(record) + "\n" for record in _metrics(epochs, log_p)))
    status = {"state": "finished", "epoch": epochs, "epochs": epochs, "step": 8 * epochs, "seconds": 60 + draw.random()}
    (path / "status.json").write_text(dumps(status, indent=2) + "\n")
    weight = np.zeros((784, 1), np.float32)
    tree = {".model.inference[0].trunk.layers[0].weight": weight}
    packed, checksum = _checkpoint(tree, text)
    (path / "checkpoint.safetensors").write_bytes(packed)
    columns = _columns(number, examples, log_p)
    (path / "evaluation.npz").write_bytes(_packed(columns))
    (path / "evaluation.json").write_text(dumps(_evaluation(columns, checksum), indent=2) + "\n")
    return path


def make_records(folder: str | Path, count: int, like: str | Path) -> list[Path]:
    """`count` records in `folder`: those under `like` again and again, each time of another seed and a lower log p."""
    made, real = [], [json.loads(path.read_text()) for path in sorted(Path(like).glob("*.json"))]
    Path(folder).mkdir(parents=True)
    for number in range(count):
        record, turn = copy.deepcopy(real[number % len(real)]), number // len(real)
        if turn:
            checksum = hashlib.sha256(str(number).encode()).hexdigest()
            record |= {"id": checksum[:12], "checkpoint_sha256": checksum}
            record["config"]["seed"] += 1000 * turn
            record["asked"]["seed"] = record["config"]["seed"]
            record["evaluation"]["values"]["log_p"] -= 0.001 * turn
        made.append(Path(folder) / f"{record['id']}.json")
        made[-1].write_text(json.dumps(record))
        os.utime(made[-1], (1.7e9 + number,) * 2)
    return made


def age(paths: list[Path], seconds: float = 60.0) -> None:
    """Make files as old as that, so that an index may rely on their times; an evaluation stays newer than training."""
    for path in paths:
        for file in path.iterdir():
            then = time.time() - seconds + (1.0 if file.name.startswith("evaluation") else 0.0)
            os.utime(file, (then, then))


def _checkpoint(tensors: dict[str, np.ndarray], config: str) -> tuple[bytes, str]:
    import safetensors.numpy

    from iwax.runs.checkpoint import Checkpoint

    notes = {"config": config}
    header = {"format": "iwax-2", "sha256": Checkpoint(tensors, notes).sha256, "notes": notes}
    return safetensors.numpy.save(tensors, metadata={"iwax": dumps(header)}), header["sha256"]


def _environment(config: RunConfig) -> dict:
    versions = {"iwax": "0.1.0", "jax": "0.10.2", "jaxlib": "0.10.2", "equinox": "0.13.8", "optax": "0.2.8"}
    return {
        "versions": versions | {"numpy": "2.4.6"},
        **{"code": "f8c910ff" * 8, "commit": "fde0b9b9" * 5, "python": "3.11.7", "platform": "Linux-x86_64"},
        **{"device": "cpu (cpu)", "cores": 2, "command": ["iwax", "sweep", "--run", "made-up"]},
        **{"dataset": config.dataset, "split": config.split, "source": "bundled sample"},
        "checksums": {"mnist-sample-train": "b363dff0" * 8, "mnist-sample-test": "6993fbe7" * 8},
        **{"example_shape": [28, 28], "example_range": [0.0, 1.0]},
        "protocol": {"name": config.protocol, "source": "made up", "overridden": {}},
        "objective": {"is_unbiased": True, "target": "the bound"},
    }


def _metrics(epochs: int, log_p: float) -> list[dict]:
    return [
        {"epoch": epoch, "step": 8 * epoch, "bound": log_p - 100 / epoch, "learning_rate": 1e-3 * (1 - epoch / 99)}
        for epoch in range(1, epochs + 1)
    ]


def _evaluation(columns: dict[str, np.ndarray], checkpoint: str) -> dict:
    names = {"log_p": "log_likelihood"} | {name: name for name in ("iwae_64", "neg_kl", "elbo", "kl", "ess")}
    values = {name: float(columns[column].mean()) for name, column in names.items()}
    errors = {f"{name}_{what}": 0.1 for name in values for what in ("mc_error", "test_error")}
    quantiles = {"0.05": 0.1, "0.25": 0.2, "0.5": 0.3, "0.75": 0.4, "0.95": 0.5, "1": 0.6}
    return {
        **{"state": "finished", "objective": "iwae", **values, **errors},
        **{"ess_quantiles": quantiles, "khat_quantiles": quantiles, "khat_above_0.5": 0.1, "khat_above_0.7": 0.0},
        **{
            "active_units": [20],
            "num_examples": len(columns["ess"]),
            "num_samples": 5000,
            "iwae_samples": 64,
            "test_hash": "a2341778" * 8,
        },
        **{"notes": [], "seed": 0, "binarize": "fixed", "seconds": 5.0, "found_finished": 0},
        "settings": {"num_samples": 5000, "keys": "EvaluationKeys", "checkpoint": checkpoint},
    }


def _columns(number: int, examples: int, log_p: float) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(number)
    columns = {name: log_p + draw.normal(size=examples) for name in ARRAYS}
    columns["neg_kl"] = columns["iwae_64"] - columns["log_likelihood"]
    return columns | {"unit_variances_1": draw.exponential(size=50)}


def _packed(columns: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    return buffer.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--records-like", type=Path, help="a folder of records, of which so many more are made instead")
    asked = parser.parse_args()
    if asked.records_like:
        make_records(asked.folder, asked.runs, asked.records_like)
    else:
        age(make_runs(asked.folder, asked.runs))
