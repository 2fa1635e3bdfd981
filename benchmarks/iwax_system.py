"""iwax: through the engine of `fit`, and through `iwax.loss` in a scan of the user's own; and its matrix products."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import iwax
from benchmarks.case import DATA, HIDDEN, LATENT, Case, Inputs
from iwax.models.model import draw
from iwax.training.fit import Trainer
from iwax.training.recipes import get_recipe

ARCHITECTURE = {1: "one-layer", 2: "two-layer"}
KEY = 3  # of the shared draw


def make_inputs(case: Case, images: np.ndarray) -> Inputs:
    """Weights, a batch, and the noise that `iwax.loss` itself draws from `KEY`."""
    model = iwax.ARCHITECTURES[ARCHITECTURE[case.layers]](key=jax.random.key(0), data_mean=images.mean(axis=0))
    x = jnp.asarray(np.random.default_rng(0).random((case.batch, DATA)) < images[: case.batch], jnp.float32)
    posterior = model.posterior(x)
    z, _ = draw(posterior, jax.random.key(KEY), case.total_samples)
    noise = np.split(np.asarray(posterior.to_noise(z)), np.cumsum(LATENT[case.layers])[:-1], axis=-1)
    return Inputs([np.asarray(leaf) for leaf in leaves(model)], np.asarray(x), noise, images)


def leaves(model: Any) -> list[Any]:
    """The parameters in the order of `Inputs`."""
    order = []
    for block in (*model.inference, *model.generative):
        heads = (block.loc, block.scale) if hasattr(block, "loc") else (block.logits,)
        order += [leaf for dense in (*block.trunk.layers, *heads) for leaf in (dense.weight, dense.bias)]
    return order


def model_of(case: Case, inputs: Inputs) -> Any:
    model = iwax.ARCHITECTURES[ARCHITECTURE[case.layers]](key=jax.random.key(0))
    return eqx.tree_at(leaves, model, [jnp.asarray(value) for value in inputs.parameters])


def objective_of(case: Case) -> Any:
    options: dict[str, Any] = {"num_samples": case.num_samples}
    if case.objective in ("miwae", "piwae"):
        options["num_groups"] = case.num_groups
    elif case.num_groups > 1:
        options["num_samples"] = case.total_samples
    return iwax.OBJECTIVES[case.objective](gradient=case.gradient, **options)


class Engine:
    """The compiled program inside `iwax.fit`: shuffling, binarisation, noise, gradient and Adam."""

    precision = "float32"

    def __init__(self, case: Case, inputs: Inputs) -> None:
        self.case, self.inputs = case, inputs
        images = np.round(255 * inputs.images).astype(np.uint8)
        self.trainer = Trainer(
            images=images,
            recipe=get_recipe("burda-paper"),
            key=jax.random.key(1),
            batch_size=case.batch,
            precision=self.precision,
        )
        self.images = self.trainer.on_device()
        self.state = self.trainer.start(model_of(case, inputs), objective_of(case))

    def check(self, noise: list[np.ndarray] | None = None) -> tuple[np.ndarray, list[np.ndarray]]:
        """Minus `iwax.loss` and its gradient, at the draw of `make_inputs`; or the bound and its own at `noise`."""
        model, objective, x = model_of(self.case, self.inputs), objective_of(self.case), jnp.asarray(self.inputs.x)

        def bound_at(model: Any, noise: Any) -> Any:
            z, log_q = model.posterior(x).from_noise(noise)
            return -jnp.mean(objective.bound(model.log_joint(x, z) - log_q))

        if noise is None:
            value, gradient = eqx.filter_value_and_grad(iwax.loss)(model, objective, x, jax.random.key(KEY))
        else:
            value, gradient = eqx.filter_value_and_grad(bound_at)(model, jnp.concatenate(noise, axis=-1))
        return -np.asarray(value), [-np.asarray(leaf) for leaf in leaves(gradient)]

    def run(self, steps: int) -> None:
        stop = int(self.state.step) + steps
        while int(self.state.step) < stop:
            self.state = self.trainer.advance(self.state, self.images, stop - int(self.state.step))


class EngineBfloat16(Engine):
    """The same with the operands of its matrix products in bfloat16."""

    precision = "bfloat16"


class UserScan(Engine):
    """What a user writes: `iwax.loss`, optax and a scan."""

    def __init__(self, case: Case, inputs: Inputs) -> None:
        self.case, self.inputs = case, inputs
        parameters, static = eqx.partition(model_of(case, inputs), eqx.is_inexact_array)
        objective, optimiser = objective_of(case), optax.adam(1e-3)
        images, batch = jnp.asarray(inputs.images), case.batch

        def step(carry: tuple, key: Any) -> tuple:
            parameters, state = carry
            pick_key, pixel_key, sample_key = jax.random.split(key, 3)
            mean = images[jax.random.randint(pick_key, (batch,), 0, len(images))]
            x = (jax.random.uniform(pixel_key, mean.shape) < mean).astype(jnp.float32)
            value, gradient = jax.value_and_grad(lambda p: iwax.loss(eqx.combine(p, static), objective, x, sample_key))(
                parameters
            )
            changes, state = optimiser.update(gradient, state)
            return (optax.apply_updates(parameters, changes), state), value

        self.scan = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))
        self.carry, self.key = (parameters, optimiser.init(parameters)), jax.random.key(2)

    def run(self, steps: int) -> None:
        self.key, key = jax.random.split(self.key)
        self.carry, values = self.scan(self.carry, jax.random.split(key, steps))
        values.block_until_ready()


class MatrixProducts:
    """The matrix products of a training step, or of a likelihood, and nothing else: forward, by input, by weight.

    Those by weight as XLA computes them fastest, of an input that has been turned before.
    """

    def __init__(self, case: Case, inputs: Inputs) -> None:
        shapes = list(_shapes(case))
        keys = jax.random.split(jax.random.key(0), len(shapes))
        weights = [jax.random.normal(k, (m, n)) / m**0.5 for k, (_, m, n, _) in zip(keys, shapes, strict=True)]
        xs = [jax.random.normal(k, (rows, m)) for k, (rows, m, _, _) in zip(keys, shapes, strict=True)]
        train = case.task == "train"

        def step(weights: list, _: None) -> tuple:
            new = []
            for (_, _, _, by_input), x, w in zip(shapes, xs, weights, strict=True):
                y = x @ w
                change = jnp.sum(y[0]) if not train else jax.lax.optimization_barrier(x.T) @ y
                if train and by_input:
                    change += jnp.sum((y @ w.T)[0])
                new.append(w + 1e-12 * change)  # so that nothing is left out, and nothing can be hoisted
            return new, None

        self.scan = jax.jit(lambda weights, steps: jax.lax.fori_loop(0, steps, lambda _, w: step(w, None)[0], weights))
        self.weights = weights
        self.multiply_adds = sum(
            rows * m * n * ((3 if by_input else 2) if train else 1) for rows, m, n, by_input in shapes
        )

    def run(self, steps: int) -> None:
        self.weights = jax.block_until_ready(self.scan(self.weights, steps))


def _shapes(case: Case) -> Any:
    """(rows, inputs, outputs, whether the input has a gradient) of each linear layer."""
    sizes, rows = (DATA, *LATENT[case.layers]), case.batch * case.total_samples
    for layer, hidden in enumerate(HIDDEN[case.layers]):
        up, here = (sizes[layer], *hidden), case.batch if layer == 0 else rows
        yield from ((here, m, n, (layer, i) != (0, 0)) for i, (m, n) in enumerate(itertools.pairwise(up)))
        yield (here, up[-1], 2 * sizes[layer + 1], True)  # mean and scale
        down = (sizes[layer + 1], *reversed(hidden))
        yield from ((rows, m, n, True) for m, n in itertools.pairwise(down))
        yield (rows, down[-1], sizes[layer] * (1 if layer == 0 else 2), True)


class Likelihood:
    """`iwax.log_likelihood` of `batch` images."""

    def __init__(self, case: Case, inputs: Inputs) -> None:
        self.case, self.x, self.model = case, inputs.x, model_of(case, inputs)

    def run(self, steps: int) -> None:
        for step in range(steps):
            iwax.log_likelihood(self.model, self.x, jax.random.key(step), num_samples=self.case.num_samples)
