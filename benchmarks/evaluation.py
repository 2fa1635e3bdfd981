"""What k = 5000 evaluation costs above its bare matrix products: `python -m benchmarks.evaluation`.

The one-layer model of Burda et al. (2015) on images of noise. For each chunk size, in turns of about a second: all of
`iwax evaluate` (log p, IWAE-64, ELBO, k-hat), `iwax.log_likelihood` alone, and the matrix products of the same shapes
in the same number of calls. Times of one round are compared, so that a slow moment of the machine slows all alike.
Cost is linear in images: a few hundred are timed, and 10,000 reckoned from them.
"""

import argparse
import itertools
import time
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array

import iwax
from iwax.evaluation.evaluate import evaluate_batches
from iwax.evaluation.streaming import BLOCK, chunk_shape

NUM_SAMPLES = 4992  # 78 blocks of 64, which is what k = 5000 is cut to
DECODER, ENCODER = (50, 200, 200, 784), (784, 200, 200, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="Turns of each.")
    parser.add_argument("--images", type=int, default=16, help="Images in a turn.")
    parser.add_argument("--rows", type=int, nargs="+", default=[1024, 2048, 4096, 8192], help="Chunk sizes.")
    options = parser.parse_args()
    key = jax.random.key(0)
    model = iwax.ARCHITECTURES["one-layer"](key=key)
    x = np.asarray(jax.random.bernoulli(key, 0.3, (options.images, 784)), np.float32)
    best: dict[str, float] = {}
    print(f"{'rows':>6} {'products':>10} {'log p':>10} {'evaluate':>10}   images/s, and time over that of the products")
    for rows in options.rows:
        turns: dict[str, Callable[[], object]] = {
            "products": bare_products(len(x), rows, key),
            "log p": lambda rows=rows: iwax.log_likelihood(model, x, key, num_samples=NUM_SAMPLES, rows=rows),
            "evaluate": lambda rows=rows: list(evaluate_batches(model, x, key, num_samples=NUM_SAMPLES, rows=rows)),
        }
        seconds = interleaved(turns, options.rounds)
        rates = {name: len(x) / np.median(found) for name, found in seconds.items()}
        ratios = {name: np.median(seconds[name] / seconds["products"]) for name in ("log p", "evaluate")}
        print(f"{rows:>6} " + " ".join(f"{rate:>10.1f}" for rate in rates.values()), end="   ")
        print(", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()), flush=True)
        best = {name: max(rate, best.get(name, 0)) for name, rate in rates.items()}
    for name in ("log p", "evaluate"):
        print(
            f"{name}: {best[name]:.1f} images/s at the best chunk size, {best['products'] / best[name]:.2f} times the "
            f"time of the products at theirs; 10,000 images in {10_000 / best[name] / 60:.1f} min"
        )


def interleaved(turns: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of every turn, (rounds,), taken in rotation after one that compiles."""
    for turn in turns.values():
        turn()
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            begin = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - begin)
    return {name: np.array(found) for name, found in seconds.items()}


def bare_products(num_images: int, rows: int, key: Array) -> Callable[[], object]:
    """The matrix products of an evaluation, and nothing else: every chunk's decoder and its images' encoder."""
    batch, blocks = chunk_shape(num_images, NUM_SAMPLES, rows)
    num_calls = -(-num_images // batch) * -(-NUM_SAMPLES // (blocks * BLOCK))
    inputs = jax.random.normal(key, (batch * blocks * BLOCK, DECODER[0])), jax.random.normal(key, (batch, ENCODER[0]))
    weights = [[jax.random.normal(key, s) / 10 for s in itertools.pairwise(w)] for w in (DECODER, ENCODER)]

    @jax.jit
    def products(inputs: tuple[Array, Array], weights: list[list[Array]]) -> list[Array]:
        return [chained(value, chain) for value, chain in zip(inputs, weights, strict=True)]

    def turn() -> object:
        for _ in range(num_calls):
            outputs = jax.block_until_ready(products(inputs, weights))
        return outputs

    return turn


def chained(value: Array, weights: list[Array]) -> Array:
    for weight in weights:
        value = value @ weight
    return value


if __name__ == "__main__":
    main()
