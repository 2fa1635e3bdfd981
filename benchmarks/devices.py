"""What several devices bring: `python -m benchmarks.devices`. Times are ratios of turns taken one after another.

On a CPU each "device" is a share of the cores, so that the three cases are: one core, one device on all cores (XLA
divides each operation among them), and as many devices as cores (each has a part of the minibatch). Every case is a
process of its own; in each round all take a turn of some seconds, so that a slow moment of the machine slows all.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

__all__ = ["main"]

WIDTHS = (200, 2000)
"""Hidden units of the networks: the published model's, and one large enough to matter (11.5 million parameters)."""
SECONDS = 4.0


def main() -> None:
    """Print a line for each model: milliseconds of a step, and how many times as fast as one core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--num-samples", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    cases = {"one core": (1, cores[:1]), f"one device, {len(cores)} cores": (1, cores)}
    cases[f"{len(cores)} devices, {len(cores)} cores"] = (len(cores), cores)
    for width in WIDTHS:
        found = _measured(cases, width, asked)
        first = found["one core"]
        speed = {name: median(a / b for a, b in zip(first, times, strict=True)) for name, times in found.items()}
        rows = {name: {"ms": 1e3 * median(times), "times": speed[name]} for name, times in found.items()}
        if asked.json:
            print(json.dumps({"width": width, "batch_size": asked.batch_size, "load": os.getloadavg()[0], **rows}))
        else:
            text = "; ".join(f"{name} {row['ms']:.0f} ms, {row['times']:.2f}x" for name, row in rows.items())
            print(f"width {width}, {asked.batch_size} images x {asked.num_samples}: {text}")


def _measured(cases: dict, width: int, asked: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a step of each case in each round."""
    workers = {name: _start(devices, cores, width, asked) for name, (devices, cores) in cases.items()}
    for worker in workers.values():
        assert worker.stdout.readline() == "ready\n"
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(asked.rounds):
        for name, worker in workers.items():
            worker.stdin.write("turn\n")
            worker.stdin.flush()
            times[name].append(float(worker.stdout.readline()))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return times


def _start(devices: int, cores: list[int], width: int, asked: argparse.Namespace) -> subprocess.Popen:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    arguments = [str(value) for value in (devices, width, asked.batch_size, asked.num_samples)]
    code = "import sys; from benchmarks.devices import worker; worker(*map(int, sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )


def worker(devices: int, width: int, batch_size: int, num_samples: int) -> None:
    """Take a turn for each line read: print the seconds of a step."""
    import jax
    import numpy as np

    import iwax
    from iwax.training import Trainer, get_recipe

    images = np.random.default_rng(0).integers(0, 256, (4 * batch_size, 784), dtype=np.uint8)
    model = iwax.VAE(784, [50], [[width, width]], key=jax.random.key(0))
    trainer = Trainer(
        images=images,
        recipe=get_recipe("burda-code"),
        key=jax.random.key(1),
        batch_size=batch_size,
        devices=devices,
    )
    state, on_device = trainer.start(model, iwax.IWAE(num_samples=num_samples)), trainer.on_device()
    state = jax.block_until_ready(trainer.advance(state, on_device, 4))
    print("ready", flush=True)
    for _ in sys.stdin:
        began, steps = time.monotonic(), 0
        while time.monotonic() - began < SECONDS:
            state = trainer.advance(state, on_device, 4)
            steps += 4
        print((time.monotonic() - began) / steps, flush=True)


if __name__ == "__main__":
    main()
