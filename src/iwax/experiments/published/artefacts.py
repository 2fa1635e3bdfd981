"""The computations behind the audit's demonstrations: a wrong number beside the right one, from the same samples.

All use the bundled sample of MNIST and models trained for seconds to minutes, so that anybody can see them; each
function takes (scale, seed) and returns columns, rows and a finding.
"""

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import iwax
from iwax.data import load
from iwax.diagnostics import training_flop
from iwax.evaluation import block_bounds, log_weights, test_examples
from iwax.experiments.rainforth_snr import Toy, limit_direction
from iwax.models import Model
from iwax.runs import RunConfig, new_run, resume_run
from iwax.training import get_recipe

__all__ = ["batches_for_samples", "ciwae_of_one_sample", "learned_beta", "piwae_hard_coded", "resume_of_nothing"]

EPOCHS = {"smoke": 2, "short": 60, "full": 300}
IMAGES = {"smoke": 128, "short": 500, "full": 500}
Shown = dict[str, Any]


@functools.cache
def _trained(scale: str, seed: int) -> Any:
    """A VAE of one sample per image, trained on the bundled sample of MNIST."""
    data = load("mnist-sample")
    model = iwax.ARCHITECTURES["one-layer"](key=jax.random.key(seed), data_mean=data.train.mean(axis=0) / 255)
    options: dict[str, Any] = {"recipe": "burda-paper", "epochs": EPOCHS[scale], "batch_size": 50}
    return iwax.fit(model, iwax.ELBO(num_samples=1), data, key=jax.random.key(seed + 1), **options).model


@functools.cache
def _log_weights(scale: str, seed: int, num_samples: int) -> np.ndarray:
    """Log-weights of test images, (images, samples) in nats."""
    keys = jax.random.split(jax.random.key(seed + 2))
    x = test_examples(load("mnist-sample"), "fixed", keys[0])[: IMAGES[scale]]
    return log_weights(_trained(scale, seed), x, keys[1], num_samples=num_samples)


def _bound(log_w: np.ndarray, size: int) -> np.ndarray:
    """IWAE of `size` samples: the mean over disjoint blocks of each image's, in nats."""
    return block_bounds(log_w, size).mean(axis=1)


def batches_for_samples(scale: str, seed: int) -> Shown:
    """IWAE-64 of the same log-weights: over blocks of 64 samples, and over 64 of 500 test batches as the report has it.

    `elbos[:64]` is meant to take 64 samples of every image; but the list holds one estimate of all samples for each
    batch of images, so that it takes all samples of a part of the images.
    """
    num_samples = 640 if scale == "smoke" else 4992
    log_w = _log_weights(scale, seed, num_samples)
    log_p, right = _bound(log_w, num_samples), float(_bound(log_w, 64).mean())
    taken = max(1, round(len(log_p) * 64 / 500))
    draws = np.random.default_rng(seed)
    wrong = np.array([draws.permutation(log_p)[:taken].mean() for _ in range(1000)])
    apart = wrong - log_p.mean()
    rows = [
        [f"log p^, k = {num_samples}", float(log_p.mean()), "", ""],
        ["IWAE-64: 64 samples of every image", right, right - float(log_p.mean()), "never"],
        [
            f"the report's: all samples of {taken} of {len(log_p)} images",
            float(wrong[0]),
            float(apart[0]),
            f"{np.mean(apart > 0):.0%} of 1000 choices of images",
        ],
    ]
    finding = (
        f"From the same log-weights -KL is {right - log_p.mean():.2f} nats; the slice of batches makes it anything "
        f"between {apart.min():+.2f} and {apart.max():+.2f}, as the images fall."
    )
    return {"columns": ["quantity", "nats", "-KL (nats)", "-KL positive"], "rows": rows, "finding": finding}


def ciwae_of_one_sample(scale: str, seed: int) -> Shown:
    """Bound and gradient of CIWAE against the ELBO of the same sample: equal at k = 1, whatever beta."""
    model, key = _trained(scale, seed), jax.random.key(seed + 3)
    x = jnp.asarray(test_examples(load("mnist-sample"), "fixed", key)[:50])

    def bound_and_gradient(objective: Any) -> tuple[float, np.ndarray]:
        value, gradient = eqx.filter_value_and_grad(iwax.loss)(model, objective, x, key)
        return -float(value), np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])

    elbo, of_elbo = bound_and_gradient(iwax.ELBO(num_samples=1))
    rows: list[list[Any]] = [["ELBO, 1 sample", elbo, 0.0, 0.0]]
    for samples in (1, 64):
        for beta in (0.0, 0.05, 0.5, 1.0) if samples == 1 else (0.5,):
            value, gradient = bound_and_gradient(iwax.CIWAE(num_samples=samples, beta=beta))
            apart = float(np.abs(gradient - of_elbo).max())
            rows.append([f"CIWAE({samples}), beta = {beta:g}", value, value - elbo, apart])
    worst = max(abs(row[2]) + row[3] for row in rows[:5])
    finding = (
        f"At k = 1 the bound and every gradient are the ELBO's (differences at most {worst:.0e}), so "
        f"`--ciwae --beta 0.5` without k trains a VAE; with 64 samples the bound is {rows[-1][2]:+.2f} nats away."
    )
    columns = ["objective, same key", "bound (nats)", "minus the ELBO", "largest difference of a gradient"]
    return {"columns": columns, "rows": rows, "finding": finding}


def piwae_hard_coded(scale: str, seed: int) -> Shown:
    """What PIWAE(8, 8) is and what the report ran under its name: whose bound the decoder climbs, and the price."""
    model, log_w = _trained(scale, seed), _log_weights(scale, seed, 640)
    of_64, of_10 = (float(_bound(log_w, size).mean()) for size in (64, 10))
    images = jax.ShapeDtypeStruct((20, 784), "float32")
    printed, ran = iwax.PIWAE(num_groups=8, num_samples=8), iwax.PIWAE(num_groups=10, num_samples=10)
    alternating = iwax.Alternating(
        inference=iwax.MIWAE(num_groups=10, num_samples=10), generative=iwax.IWAE(num_samples=10)
    )
    rows = [
        ["as printed", "MIWAE(8, 8)", "IWAE-64", 64, of_64, training_flop(model, printed, images) / 20e6],
        ["as run", "MIWAE(10, 10)", "IWAE-10", 110, of_10, training_flop(model, ran, images, alternating) / 20e6],
    ]
    finding = (
        f"Whatever M and K it was told, the decoder climbed IWAE-10, {of_64 - of_10:.2f} nats looser than "
        f"IWAE-64 for this model, from 110 samples an image in two updates instead of 64 in one."
    )
    columns = ["PIWAE(8, 8)", "encoder climbs", "decoder climbs", "samples", "decoder's bound (nats)", "MFLOP an image"]
    return {"columns": columns, "rows": rows, "finding": finding}


class _InPlace:
    """Gradient descent as a mutable optimiser does it: it holds on to the arrays it was made with."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays

    def step(self, gradient: list[np.ndarray], rate: float) -> None:
        for array, slope in zip(self.arrays, gradient, strict=True):
            array -= rate * slope


def resume_of_nothing(scale: str, seed: int) -> Shown:
    """Resume by replacing the model after its optimiser was made, and before; and iwax's own resume."""
    steps = {"smoke": 5, "short": 50, "full": 200}[scale]
    wrong, right = (
        _resumed_in_place(_trained(scale, seed), steps, seed, replaced_first=first) for first in (False, True)
    )
    same = _resumed_run_is_the_same(seed)
    rows = [
        [f"{steps} steps, model replaced after its optimiser was made", *wrong],
        [f"{steps} steps, optimiser made for the model that was read", *right],
        ["iwax train --resume: checkpoint against that of an undisturbed run", 0.0 if same else "not the same", ""],
    ]
    finding = (
        f"The first changes no parameter (largest change {wrong[0]:g}), so its curve is flat for ever; the second does "
        f"({right[0]:.1e}). A run of iwax that was stopped and resumed "
        f"{'ends in the same bits as' if same else 'DIFFERS from'} an undisturbed one."
    )
    return {"columns": ["resume", "largest change", "bound after (nats)"], "rows": rows, "finding": finding}


def _resumed_in_place(model: Model, steps: int, seed: int, *, replaced_first: bool) -> tuple[float, float]:
    """The largest change of a parameter by some steps of a mutable optimiser, and the bound after them in nats."""
    saved, static = eqx.partition(model, eqx.is_array)
    leaves, tree = jax.tree.flatten(saved)
    x = jnp.asarray(test_examples(load("mnist-sample"), "fixed", jax.random.key(seed))[:50])

    @jax.jit
    def value_and_gradient(arrays: list[Any], key: Any) -> Any:
        def of_arrays(arrays: list[Any]) -> Any:
            return iwax.loss(eqx.combine(jax.tree.unflatten(tree, arrays), static), iwax.ELBO(num_samples=8), x, key)

        return jax.value_and_grad(of_arrays)(arrays)

    def read() -> list[np.ndarray]:
        return [np.array(leaf) for leaf in leaves]

    arrays = read()
    optimiser = _InPlace(arrays)
    if replaced_first:
        optimiser = _InPlace(arrays := read())
    else:
        arrays = read()  # another object: the optimiser still holds the old one
    for step in range(steps):
        _, gradient = value_and_gradient(arrays, jax.random.key(step))
        optimiser.step([np.asarray(leaf) for leaf in gradient], 1e-4)
    moved = max(float(np.abs(new - old).max()) for new, old in zip(arrays, leaves, strict=True))
    return moved, -float(value_and_gradient(arrays, jax.random.key(steps))[0])


def _resumed_run_is_the_same(seed: int) -> bool:
    config = RunConfig(
        objective="elbo", dataset="mnist-sample", train_images=200, batch_size=20, epochs=2, seed=seed, protocol="demo"
    )
    data = load("mnist-sample")
    with tempfile.TemporaryDirectory() as folder:
        whole = new_run(config, Path(folder) / "whole", data=data, command=[])
        new_run(config, Path(folder) / "parts", data=data, command=[], time_limit=1e-9)
        parts = resume_run(Path(folder) / "parts", data=data, command=[])
        ends = [run.checkpoint().tensors for run in (whole, parts)]
    return all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])


def learned_beta(scale: str, seed: int) -> Shown:
    """Beta along training by the rule of the report's program and by its equation (16), from 0.5.

    Below 0 the mixture has no maximum: it rewards an ELBO that falls without end.
    """
    epochs = {"smoke": 6, "short": 40, "full": 200}[scale]
    data = load("mnist-sample")
    images = data.train[:1000].reshape(1000, -1)
    recipe = dataclasses.replace(get_recipe("tightiwae"), stages=((1e-3, 10**6),), batch_size=20)
    rows: list[list[Any]] = []
    for rule, samples, seeds in (("unconstrained", 1, 3), ("unconstrained", 8, 1), ("descend", 8, 1), ("ascend", 8, 1)):
        objective = iwax.CIWAE(num_samples=samples, beta=0.5, beta_rule=rule)
        for number in range(seed, seed + seeds):
            model = iwax.ARCHITECTURES["one-layer"](key=jax.random.key(number), data_mean=images.mean(axis=0) / 255)
            run = iwax.fit(model, objective, images, recipe=recipe, key=jax.random.key(number), epochs=epochs)
            betas = [record["beta"] for record in run.records]
            thirds = [betas[len(betas) * part // 3 - 1] for part in (1, 2, 3)]
            rows.append([rule, samples, number, *thirds, run.records[-1]["bound"]])
    walks = [row[5] for row in rows if row[:2] == ["unconstrained", 1]]
    ends = {rule: (beta, bound) for rule, k, *_, beta, bound in rows if k == 8}
    beta, bound = ends["unconstrained"]
    fate = f", where its objective has no maximum ({bound:.0e} nats)" if beta < 0 else " on its way past 0"
    finding = (
        f"After {epochs * 50} steps from 0.5: at k = 1 beta is {', '.join(f'{beta:.2f}' for beta in walks)}, by the "
        f"seed; at k = 8 the program's rule has it at {beta:.2f}{fate}, equation (16) as printed at "
        f"{ends['descend'][0]:.2f} on its way to 1, and ascent at {ends['ascend'][0]:.2f} on its way to 0."
    )
    columns = ["rule", "k", "seed", "beta after a third", "two thirds", "all steps", "objective then (nats)"]
    return {"columns": columns, "rows": rows, "finding": finding}


def gradient_noise(scale: str, seed: int) -> Shown:
    """Directional signal-to-noise ratio of Rainforth et al.'s toy model by M and by K."""
    replicates = {"smoke": 200, "short": 2000, "full": 10_000}[scale]
    model, x = Toy.perturbed(jax.random.key(seed), size=20, num_examples=64, deviation=0.01)
    rows = []
    sizes = (1, 4, 16, 64, 256)
    for groups, samples in (*((1, k) for k in sizes), *((m, 1) for m in sizes[1:]), (16, 16)):
        found = iwax.gradient_snr(
            model, iwax.MIWAE(num_groups=groups, num_samples=samples), x, jax.random.key(seed + 1),
            num_replicates=replicates, direction=limit_direction(model, x),
        )  # fmt: skip
        rows.append([groups, samples, *(float(getattr(found, g).dsnr_along[0]) for g in ("inference", "generative"))])
    by = {(row[0], row[1]): row for row in rows}
    finding = (
        f"From K = 1 to 256 the inference network's falls from {by[1, 1][2]:.2f} to {by[1, 256][2]:.2f}, the "
        f"generative one's goes from {by[1, 1][3]:.2f} to {by[1, 256][3]:.2f}; with M = 256 the former is "
        f"{by[256, 1][2]:.2f}."
    )
    return {"columns": ["M", "K", "inference network", "generative network"], "rows": rows, "finding": finding}
