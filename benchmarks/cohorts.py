"""Time several runs at once: `python -m benchmarks.cohorts [--devices N]`, for docs/cohorts.md.

Four runs (seeds) of the one-layer model by IWAE(K) on the bundled digits, in one process: one after another, side by
side in as many threads as there are cores, and as one program. The ways take turns in each of several rounds; what is
printed are medians over rounds, and of the ratios within a round.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from iwax.data import load
from iwax.runs.config import RunConfig
from iwax.runs.environment import cores
from iwax.runs.initial import prepare
from iwax.runs.resolution import resolve
from iwax.training.cohort import Cohort, CohortState

RUNS, ROUNDS = 4, 5
ONE_BY_ONE = "one after another"


def ways(num_samples: int, batch_size: int, num_steps: int) -> dict[str, Callable[[], object]]:
    """Way -> what takes `num_steps` steps of each run and waits for them."""
    data = load("mnist-sample")
    fields = {"dataset": data.name, "num_samples": num_samples, "batch_size": batch_size, "protocol": "burda-paper"}
    pairs = [prepare(resolve(RunConfig(**fields, seed=seed)), data) for seed in range(RUNS)]
    trainers, states = zip(*pairs, strict=True)
    images = trainers[0].on_device()

    def one(i: int) -> object:
        return jax.block_until_ready(trainers[i].advance(states[i], images, num_steps).step)

    def side_by_side() -> object:
        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(one, range(RUNS)))

    def as_one(devices: int) -> Callable[[], object]:
        cohort, state = Cohort(trainers, devices=tuple(jax.devices()[:devices])), CohortState.stack(states)
        return lambda: jax.block_until_ready(cohort.advance(state, images, num_steps).step)

    listed = {ONE_BY_ONE: lambda: [one(i) for i in range(RUNS)], "side by side": side_by_side}
    counts = [n for n in range(1, len(jax.devices()) + 1) if RUNS % n == 0]
    return listed | {f"one program, {n} device{'s' * (n > 1)}": as_one(n) for n in counts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=1, help="host devices, on a CPU")
    jax.config.update("jax_num_cpu_devices", parser.parse_args().devices)
    for batch_size in (20, 100):
        for num_samples in (1, 5, 50):
            num_steps = 2000 // batch_size  # an epoch of the bundled digits
            listed = ways(num_samples, batch_size, num_steps)
            times: dict[str, list[float]] = {way: [] for way in listed}
            for measured in range(-1, ROUNDS):
                for way, take in listed.items():
                    begin = time.perf_counter()
                    take()
                    if measured >= 0:
                        times[way].append(1e3 * (time.perf_counter() - begin) / num_steps / RUNS)
            for way, row in times.items():
                ratio = np.median(np.array(times[ONE_BY_ONE]) / np.array(row))
                print(
                    f"batch {batch_size}, K = {num_samples}: {np.median(row):7.3f} ms  x{ratio:.2f}  {way}", flush=True
                )


if __name__ == "__main__":
    main()
